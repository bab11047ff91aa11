#include "server/conf/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/yaml.h"
#include "policies/fetch.h"
#include "server/supervisor/listeners.h"
#include "server/supervisor/processes.h"

enum { CONF_FILE_MAX = 1 << 20, CONF_REPOSITORIES_MAX = 64 };

#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)

static const struct spec credentials_spec[] = {
	{ "username", SPEC_STRING, offsetof(struct conf_credentials, username),
	    .max = 256,
	    .help = "User name at the Git host; tokens need none." },
	{ "password_file", SPEC_STRING,
	    offsetof(struct conf_credentials, password_file), .max = 4096,
	    .help = "File (mode 0600) with the password or token." },
	{ "ssh_key_file", SPEC_STRING,
	    offsetof(struct conf_credentials, ssh_key_file), .max = 4096,
	    .help = "Private SSH key (mode 0600)." },
	{ "ssh_passphrase_file", SPEC_STRING,
	    offsetof(struct conf_credentials, ssh_passphrase_file), .max = 4096,
	    .help = "File with the key's passphrase." },
	{ "known_hosts_file", SPEC_STRING,
	    offsetof(struct conf_credentials, known_hosts_file), .max = 4096,
	    .help = "Pinned host keys, as ssh-keyscan writes them. Required "
		    "for SSH." },
	{ "ca_file", SPEC_STRING, offsetof(struct conf_credentials, ca_file),
	    .max = 4096,
	    .help = "Certificate authorities for https; default: the "
		    "system's." },
	{ 0 }
};

static const struct spec repository_spec[] = {
	{ "", SPEC_NAME, offsetof(struct conf_repository, name), .max = 63 },
	{ "url", SPEC_STRING, offsetof(struct conf_repository, url), .min = 1,
	    .max = 4096, .required = true,
	    .help = "A path, file://, https://, ssh:// or user@host:path." },
	{ "branch", SPEC_STRING, offsetof(struct conf_repository, branch),
	    .max = 255,
	    .help = "The tracked branch; default: the remote's own." },
	{ "poll_interval", SPEC_SECONDS,
	    offsetof(struct conf_repository, poll_interval), 1, 86400, 30,
	    .help = "How often the host is asked; a repository on this machine "
		    "is noticed at once." },
	{ "fetch_timeout", SPEC_SECONDS,
	    offsetof(struct conf_repository, fetch_timeout), 1, 3600, 300,
	    .help = "A fetch that takes longer is ended." },
	{ "stale_after", SPEC_INT,
	    offsetof(struct conf_repository, stale_after), 1, 1000000, 20,
	    .help = "Poll intervals without a successful fetch after which "
		    "the event `fetch.stale` is told." },
	{ "fetch_max", SPEC_SIZE, offsetof(struct conf_repository, fetch_max),
	    MIB, 64 * GIB, 4 * GIB, .help = "Bytes that one fetch may bring." },
	{ "credentials", SPEC_OBJECT,
	    offsetof(struct conf_repository, credentials),
	    .sub = credentials_spec, .help = "For private repositories." },
	{ "bundles", SPEC_STRINGS, offsetof(struct conf_repository, bundles),
	    .max = 1000,
	    .help = "Globs: which bundles it may define; default: all." },
	{ "clusters", SPEC_BOOL, offsetof(struct conf_repository, clusters),
	    .help = "Does it define clusters? Exactly one repository does; the "
		    "only one by default." },
	{ "engine", SPEC_STRINGS, offsetof(struct conf_repository, engine),
	    .max = 16, .help = "The engine's command; default: opa." },
	{ 0 }
};

static const struct spec key_spec[] = {
	{ "id", SPEC_STRING, offsetof(struct conf_key, id), .min = 1, .max = 64,
	    .required = true, .help = "The key's name, as engines know it." },
	{ "algorithm", SPEC_STRING, offsetof(struct conf_key, algorithm),
	    .max = 8, .text = "RS256",
	    .help = "RS, PS, ES or HS with 256, 384 or 512." },
	{ "private_key_file", SPEC_STRING,
	    offsetof(struct conf_key, private_key_file), .min = 1, .max = 4096,
	    .required = true,
	    .help = "PEM, or the secret for HS; imported into data_dir/keys." },
	{ 0 }
};

static const struct spec command_spec[] = {
	{ "", SPEC_NAME, offsetof(struct conf_command, name), .max = 63 },
	{ "path", SPEC_STRING, offsetof(struct conf_command, path), .min = 1,
	    .max = 4096, .required = true, .help = "The program, absolute." },
	{ "scratch", SPEC_SIZE, offsetof(struct conf_command, scratch), 0, GIB,
	    0, .help = "Bytes of scratch space, per file." },
	{ "processes", SPEC_INT, offsetof(struct conf_command, processes), 1,
	    64, 1, .help = "Processes it may have at once." },
	{ "memory", SPEC_SIZE, offsetof(struct conf_command, memory), 16 * MIB,
	    16 * GIB, 512 * MIB, .help = "Memory of each process." },
	{ "timeout", SPEC_SECONDS, offsetof(struct conf_command, timeout), 1,
	    3600, 60, .help = "Wall-clock limit." },
	{ 0 }
};

static const struct spec tls_spec[] = {
	{ "certificate", SPEC_STRING, offsetof(struct conf, tls.certificate),
	    .max = 4096, .help = "PEM, the chain after it." },
	{ "key", SPEC_STRING, offsetof(struct conf, tls.key), .max = 4096,
	    .help = "PEM, mode 0600." },
	{ "client_ca", SPEC_STRING, offsetof(struct conf, tls.client_ca),
	    .max = 4096,
	    .help = "PEM: who signs the certificates of engines that "
		    "`access.certificates` names." },
	{ "client_crl", SPEC_STRINGS, offsetof(struct conf, tls.client_crl),
	    .max = 16,
	    .help = "PEM: which of those certificates are revoked; signed by "
		    "an authority of `client_ca`." },
	{ 0 }
};

static const struct spec signing_spec[] = {
	{ "keys", SPEC_LIST, offsetof(struct conf, signing.keys), .max = 16,
	    .sub = key_spec, .size = sizeof(struct conf_key),
	    .help = "Keys to import; without any, one is made." },
	{ "use", SPEC_STRING, offsetof(struct conf, signing.use), .max = 64,
	    .help = "The key that signs for clusters without one of their "
		    "own (`edict key use`); default: the one in use, else the "
		    "first." },
	{ 0 }
};

static const struct spec minimum_spec[] = {
	{ "strict", SPEC_BOOL, offsetof(struct conf, gate.minimum.strict),
	    .help = "No repository may turn `opa check --strict` off." },
	{ "coverage", SPEC_INT, offsetof(struct conf, gate.minimum.coverage), 0,
	    100, 0, .help = "Percent of test coverage." },
	{ 0 }
};

static const char *const sandbox_names[] = { "required", "best_effort", NULL };

static const struct spec gate_spec[] = {
	{ "sandbox", SPEC_ENUM, offsetof(struct conf, gate.sandbox), 0, 1,
	    SANDBOX_REQUIRED, .choices = sandbox_names,
	    .help = "`required` refuses to run anything without Landlock and "
		    "seccomp." },
	{ "memory_max", SPEC_SIZE, offsetof(struct conf, gate.memory_max),
	    128 * MIB, 64 * GIB, 512 * MIB,
	    .help = "Memory of one engine run." },
	{ "concurrency", SPEC_INT, offsetof(struct conf, gate.concurrency), 1,
	    64, 1, .help = "Gate runs at once." },
	{ "commands", SPEC_MAP, offsetof(struct conf, gate.commands), .max = 64,
	    .sub = command_spec, .size = sizeof(struct conf_command),
	    .help = "Programs that repositories may run in the gate." },
	{ "minimum", SPEC_OBJECT, 0, .sub = minimum_spec,
	    .help = "What no repository may go below." },
	{ 0 }
};

static const struct spec certificate_spec[] = {
	{ "name", SPEC_STRING, offsetof(struct conf_certificate, name), 1, 255,
	    .required = true,
	    .help = "A DNS name or URI of its subjectAltName, or its common "
		    "name when it has neither; `*` is any run of characters "
		    "but `.` and `/`." },
	{ "cluster", SPEC_NAME, offsetof(struct conf_certificate, cluster),
	    .max = 63, .required = true, .help = "Whose engine that is." },
	{ 0 }
};

static const struct spec access_spec[] = {
	{ "anonymous_cluster", SPEC_NAME,
	    offsetof(struct conf, access.anonymous_cluster), .max = 63,
	    .help = "Engines without a credential are of this cluster; absent: "
		    "every engine needs one." },
	{ "certificates", SPEC_LIST, offsetof(struct conf, access.certificates),
	    .max = 1000, .sub = certificate_spec,
	    .size = sizeof(struct conf_certificate),
	    .help = "Engines that show a client certificate instead of a "
		    "token; the first that fits counts." },
	{ "jwt", SPEC_LIST, offsetof(struct conf, access.jwt),
	    .max = CONF_JWT_MAX, .sub = conf_jwt_spec,
	    .size = sizeof(struct conf_jwt),
	    .help = "Engines that show a token of another issuer, such as a "
		    "Kubernetes service account's." },
	{ 0 }
};

static const struct spec http_spec[] = {
	{ "processes", SPEC_INT, offsetof(struct conf, http.processes), 1,
	    PROCESSES_HTTP_MAX, 1,
	    .help = "Processes that serve. More than one where a process may "
		    "not have a descriptor for each engine that waits." },
	{ "threads", SPEC_INT, offsetof(struct conf, http.threads), 1, 64, 2,
	    .help = "Threads that serve in each, each with a socket of its "
		    "own." },
	{ "wait_max", SPEC_SECONDS, offsetof(struct conf, http.wait_max), 1,
	    3600, 50,
	    .help = "Longest hold of a long poll; keep it below the proxies' "
		    "limits." },
	{ "release_spread", SPEC_SECONDS,
	    offsetof(struct conf, http.release_spread), 0, 3600, 0,
	    .help = "Engines that wait get a release within this time, each at "
		    "a moment of its own, instead of all in the same instant. "
		    "What an operator decides reaches them at once." },
	{ "engines_max", SPEC_INT, offsetof(struct conf, http.engines_max), 16,
	    1000000, 16384,
	    .help = "Connections at once, shared out among the processes; "
		    "where there are several, each takes up to an eighth more "
		    "than its share." },
	{ "access_log", SPEC_OBJECT, offsetof(struct conf, http.access_log),
	    .sub = conf_access_log_spec,
	    .help = "Requests in the log, a line each." },
	{ "memory_max", SPEC_SIZE, offsetof(struct conf, http.memory_max), 0,
	    1024 * GIB, 256 * MIB,
	    .help = "Artifacts that each http process keeps in memory; what "
		    "was least recently used beyond it is served from its "
		    "file." },
	{ "limits", SPEC_OBJECT, offsetof(struct conf, http.limits),
	    .sub = conf_limits_spec,
	    .help = "What clients may take (docs/serving.md); each of the "
		    "threads counts for itself." },
	{ 0 }
};

static const struct spec engines_spec[] = {
	{ "max", SPEC_INT, offsetof(struct conf, engines.max), 1, 10000000,
	    100000,
	    .help = "Engines that are kept track of; all others are served, "
		    "but not known." },
	{ "silent_after", SPEC_SECONDS,
	    offsetof(struct conf, engines.silent_after), 10, 86400, 300,
	    .help = "An engine that did not poll for so long counts as "
		    "silent." },
	{ "forget_after", SPEC_SECONDS,
	    offsetof(struct conf, engines.forget_after), 60, 31536000, 86400,
	    .help = "One that did not poll for so long is forgotten." },
	{ 0 }
};

static const char *const log_names[] = { "debug", "info", "warn", "error",
	NULL };

const struct spec conf_spec[] = {
	{ "listen", SPEC_STRING, offsetof(struct conf, listen), .min = 1,
	    .max = 256, .text = "127.0.0.1:8282",
	    .help = "Address and port; [::]:8282 for all." },
	{ "url", SPEC_STRING, offsetof(struct conf, url), .max = 1024,
	    .help = "As engines and people reach this server; default: from "
		    "`listen`." },
	{ "data_dir", SPEC_STRING, offsetof(struct conf, data_dir), .min = 1,
	    .max = 1024, .text = "/var/lib/edict",
	    .help = "Where everything is kept." },
	{ "log_level", SPEC_ENUM, offsetof(struct conf, log_level), 0, 3, 1,
	    .choices = log_names, .help = "The least that is logged." },
	{ "tls", SPEC_OBJECT, 0, .sub = tls_spec,
	    .help = "Serve https; both files or none." },
	{ "repositories", SPEC_MAP, offsetof(struct conf, repositories),
	    .max = CONF_REPOSITORIES_MAX, .sub = repository_spec,
	    .size = sizeof(struct conf_repository),
	    .help = "What is watched, by name." },
	{ "signing", SPEC_OBJECT, 0, .sub = signing_spec,
	    .help = "Keys that sign bundles." },
	{ "gate", SPEC_OBJECT, 0, .sub = gate_spec,
	    .help = "How policies are tested." },
	{ "access", SPEC_OBJECT, 0, .sub = access_spec,
	    .help = "Who may read what." },
	{ "http", SPEC_OBJECT, 0, .sub = http_spec,
	    .help = "How engines are served." },
	{ "engines", SPEC_OBJECT, 0, .sub = engines_spec,
	    .help = "What is remembered of engines." },
	{ "retention", SPEC_OBJECT, offsetof(struct conf, retention),
	    .sub = conf_retention_spec,
	    .help = "What is kept, and for how long." },
	{ "discovery", SPEC_OBJECT, offsetof(struct conf, discovery),
	    .sub = conf_discovery_spec,
	    .help = "What engines that are configured by discovery are told "
		    "about their bundles." },
	{ "sets", SPEC_OBJECT, 0, .sub = conf_sets_spec,
	    .help = "How the bundles of one cluster change together." },
	{ "events", SPEC_MAP, offsetof(struct conf, events),
	    .max = CONF_EVENT_TARGETS_MAX, .sub = conf_event_spec,
	    .size = sizeof(struct conf_event_target),
	    .help = "Who is told of events, by name (docs/events.md)." },
	{ 0 }
};

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	spec_clear(c, conf_spec);
	mem_free(c);
}

static char *
joined(const char *dir, size_t dir_len, const char *name)
{
	return mem_printf("%.*s/%s", (int)dir_len, dir, name);
}

static bool
is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    access(path, X_OK) == 0;
}

/* The first PATH folder that has it, as the shell would pick. */
static char *
search_path(const char *name)
{
	const char *path = getenv("PATH");

	while (path != NULL && *path != '\0') {
		size_t len = strcspn(path, ":");
		AUTO_STR candidate = joined(path, len, name);

		if (len > 0 && path[0] == '/' && is_program(candidate))
			return STEAL(candidate);
		path += len + (path[len] == ':');
	}
	return NULL;
}

static char *
beside_program(const char *name)
{
	static const char *const places[] = { "", "../tools/", NULL };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; places[i] != NULL; i++) {
		AUTO_STR candidate = mem_printf("%.*s/%s%s",
		    (int)(slash - self), self, places[i], name);

		if (is_program(candidate))
			return STEAL(candidate);
	}
	return NULL;
}

enum err_code
conf_find_engine(char **out, const char *name, struct err *e)
{
	const char *named = getenv("EDICT_OPA");
	AUTO_STR found = NULL;
	char *real;

	if (strchr(name, '/') != NULL)
		found = mem_strdup(name);
	else if (strcmp(name, "opa") == 0 && named != NULL && *named != '\0')
		found = mem_strdup(named);
	if (found == NULL)
		found = search_path(name);
	if (found == NULL)
		found = beside_program(name);
	if (found == NULL || !is_program(found))
		return err_set(e, ERR_NOT_FOUND,
		    "engine %s: no such program; install opa 1.0 or newer, or "
		    "name it with --opa FILE or EDICT_OPA=FILE",
		    found != NULL ? found : name);
	real = realpath(found, NULL);
	if (real == NULL)
		return err_errno(e, "engine %s", found);
	*out = mem_strdup(real);
	free(real);
	return ERR_OK;
}

const struct conf_repository *
conf_repository(const struct conf *c, const char *name)
{
	const struct conf_repository *r = c->repositories.items;

	for (size_t i = 0; i < c->repositories.count; i++)
		if (strcmp(r[i].name, name) == 0)
			return &r[i];
	return NULL;
}

static void
replace(char **field, const char *value)
{
	if (value == NULL)
		return;
	mem_free(*field);
	*field = mem_strdup(value);
}

/* A path is made absolute: the server changes its folder. One that is missing
 * is the watcher's to report; what was served before stays served. */
static enum err_code
absolute_url(char **url, struct err *e)
{
	AUTO_STR relative = NULL;
	char *real;

	if (strstr(*url, "://") != NULL || !fetch_is_local(*url))
		return ERR_OK;
	real = realpath(*url, NULL);
	if (real == NULL && **url == '/')
		return ERR_OK;
	if (real == NULL) {
		real = getcwd(NULL, 0);
		if (real == NULL)
			return err_errno(e, "repository %s", *url);
		relative = mem_printf("%s/%s", real, *url);
	}
	replace(url, relative != NULL ? relative : real);
	free(real);
	return ERR_OK;
}

/* "git@host:teams/policies.git" gives "policies". */
static char *
name_from_url(const char *url)
{
	size_t len = strlen(url);
	size_t start;
	char *name;

	while (len > 0 && url[len - 1] == '/')
		len--;
	if (len > 4 && strncmp(url + len - 4, ".git", 4) == 0)
		len -= 4;
	while (len > 0 && url[len - 1] == '/')
		len--;
	start = len;
	while (start > 0 && url[start - 1] != '/' && url[start - 1] != ':')
		start--;
	name = mem_strndup(url + start, len - start);
	for (char *p = name; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	if (spec_is_name(name))
		return name;
	mem_free(name);
	return mem_strdup("policies");
}

static enum err_code
add_repository(struct conf *c, const struct conf_flags *flags, struct err *e)
{
	struct conf_repository *r;
	struct spec_faults faults;

	if (c->repositories.count > 0)
		return err_set(e, ERR_INVALID,
		    "--repo and repositories in %s: give one or the other",
		    flags->file);
	r = mem_zalloc(sizeof *r);
	spec_faults_init(&faults, "--repo");
	spec_read(r, repository_spec, NULL, &faults);
	/* Its one complaint is that url is missing, which follows now. */
	spec_faults_clear(&faults);
	replace(&r->url, flags->repo);
	mem_free(r->name);
	r->name = name_from_url(flags->repo);
	c->repositories.items = r;
	c->repositories.count = 1;
	return ERR_OK;
}

/* An engine that is missing stops the gate, not the server: what was served
 * stays available. The gate's verdicts say what is wrong. */
static void
fill_engine(struct conf_repository *r, const char *opa)
{
	struct err e = { 0 };
	char *path;

	if (r->engine.count == 0) {
		r->engine.items = mem_array(1, sizeof *r->engine.items);
		r->engine.items[0] = mem_strdup("opa");
		r->engine.count = 1;
	}
	if (opa != NULL && r->engine.count == 1 &&
	    strcmp(r->engine.items[0], "opa") == 0)
		replace(&r->engine.items[0], opa);
	if (conf_find_engine(&path, r->engine.items[0], &e) != ERR_OK) {
		log_error("engine.missing", "repo=%s error=\"%s\"", r->name,
		    e.text);
		return;
	}
	mem_free(r->engine.items[0]);
	r->engine.items[0] = path;
}

static enum err_code
fill_repositories(struct conf *c, const struct conf_flags *flags, struct err *e)
{
	struct conf_repository *r = c->repositories.items;
	size_t owners = 0;

	if (c->repositories.count == 1)
		r[0].clusters = true;
	for (size_t i = 0; i < c->repositories.count; i++) {
		replace(&r[i].branch, flags->branch);
		owners += r[i].clusters;
		fill_engine(&r[i], flags->opa);
		if (absolute_url(&r[i].url, e) != ERR_OK)
			return err_add(e, "repository %s", r[i].name);
	}
	if (c->repositories.count == 0)
		return err_set(e, ERR_INVALID,
		    "no repository to watch: give --repo URL, or "
		    "`repositories:` in a file named with -c");
	if (owners != 1)
		return err_set(e, ERR_INVALID,
		    "%zu repositories say `clusters: true`; exactly one has to",
		    owners);
	return ERR_OK;
}

static enum err_code
fill_commands(struct conf *c, struct err *e)
{
	const struct conf_command *k = c->gate.commands.items;

	for (size_t i = 0; i < c->gate.commands.count; i++)
		if (k[i].path[0] != '/' || !is_program(k[i].path))
			return err_set(e, ERR_INVALID,
			    "gate.commands.%s: %s is not a program's absolute "
			    "path",
			    k[i].name, k[i].path);
	return ERR_OK;
}

static enum err_code
fill_in(struct conf *c, const struct conf_flags *flags, struct err *e)
{
	char *real;

	replace(&c->listen, flags->listen);
	replace(&c->data_dir, flags->data_dir);
	if ((c->tls.certificate == NULL) != (c->tls.key == NULL))
		return err_set(e, ERR_INVALID,
		    "tls: certificate and key belong together");
	if (c->tls.client_ca != NULL && c->tls.certificate == NULL)
		return err_set(e, ERR_INVALID,
		    "tls: client_ca needs certificate and key");
	if ((c->tls.client_ca == NULL) != (c->access.certificates.count == 0))
		return err_set(e, ERR_INVALID,
		    "tls.client_ca and access.certificates belong together");
	if (c->tls.client_crl.count > 0 && c->tls.client_ca == NULL)
		return err_set(e, ERR_INVALID,
		    "tls: client_crl needs client_ca");
	if (c->http.processes * c->http.threads > LISTENERS_MAX)
		return err_set(e, ERR_INVALID,
		    "http: %" PRId64 " processes of %" PRId64 " threads are "
		    "more than %d sockets",
		    c->http.processes, c->http.threads, (int)LISTENERS_MAX);
	TRY(conf_jwt_check(&c->access.jwt, e));
	if (flags->repo != NULL)
		TRY(add_repository(c, flags, e));
	TRY(fill_repositories(c, flags, e));
	TRY(fill_commands(c, e));
	TRY(conf_discovery_check(&c->discovery, e));
	TRY(conf_events_fill(&c->events, e));
	if (!flags->trial)
		TRY(file_make_dirs(c->data_dir, e));
	real = realpath(c->data_dir, NULL);
	if (real == NULL && flags->trial && errno == ENOENT)
		return ERR_OK;
	if (real == NULL)
		return err_errno(e, "%s", c->data_dir);
	replace(&c->data_dir, real);
	free(real);
	return ERR_OK;
}

enum err_code
conf_read(struct conf **out, const struct conf_flags *flags, struct err *e)
{
	AUTO(conf, c) = mem_zalloc(sizeof *c);
	AUTO(document, d) = NULL;
	struct spec_faults faults;
	enum err_code code;

	if (flags->file != NULL) {
		AUTO_BUF text = { 0 };

		buf_init(&text, CONF_FILE_MAX);
		TRY(file_read(&text, flags->file, e));
		TRY(yaml_read(&d, flags->file, text.data, text.len, e));
	}
	spec_faults_init(&faults, flags->file != NULL ? flags->file : "-");
	spec_read(c, conf_spec, d != NULL ? document_root(d) : NULL, &faults);
	code = spec_verdict(&faults, e);
	spec_faults_clear(&faults);
	if (code != ERR_OK)
		return code;
	TRY(fill_in(c, flags, e));
	*out = STEAL(c);
	return ERR_OK;
}

void
conf_describe(struct buf *out)
{
	spec_describe(out, conf_spec, "server.yaml");
}
