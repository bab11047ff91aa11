/* The child of a fetch: it alone holds the credentials, and it alone talks to
 * the host. It reads secrets before it is confined, fetches afterwards, prints
 * one line, and ends. One fetch per process, hence the one static struct. */

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <git2/sys/repository.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "policies/fetch_pack.h"
#include "policies/fetch_private.h"
#include "policies/fetch_stream.h"
#include "policies/gitlib.h"
#include "policies/known_hosts.h"

enum {
	SSH_KEY_MAX = 64 * 1024,
	SECRET_LEAST = 4,
	LEFT_BEHIND_MAX = 1000 /* names in a folder that should be empty */
};

#define REF_HEADS "refs/heads/"

static struct {
	struct fetch_child *c;
	char *password;
	char *passphrase;
	char *home; /* for ssh */
	struct buf ssh_key;
	struct buf known_hosts;
	git_repository *git;
	git_remote *remote;
	/* Set where the reason is known, before libgit2 says something else. */
	bool concluded;
	bool password_given, key_given, connected;
	struct fetch_result result;
} self;

/* -- the result ----------------------------------------------------------- */

/* The first reason stays. */
static void __attribute__((format(printf, 2, 3)))
conclude(enum fetch_outcome outcome, const char *fmt, ...)
{
	va_list ap;

	if (self.concluded)
		return;
	self.concluded = true;
	self.result.outcome = outcome;
	va_start(ap, fmt);
	vsnprintf(self.result.message, sizeof(self.result.message), fmt, ap);
	va_end(ap);
}

static void
blot_out(const char *secret)
{
	char *at;

	if (secret == NULL || strlen(secret) < SECRET_LEAST)
		return;
	while ((at = strstr(self.result.message, secret)) != NULL)
		memset(at, '*', strlen(secret));
}

static int
print_result(void)
{
	const struct fetch_result *r = &self.result;
	AUTO_STR message = NULL;
	json_t *j;
	char *line;
	int failed = 1;

	blot_out(self.password);
	blot_out(self.passphrase);
	message =
	    utf8_clean(r->message, strlen(r->message), sizeof(r->message));
	j = json_pack("{s:s, s:s, s:s, s:I, s:s}", "outcome",
	    fetch_outcome_name(r->outcome), "tip", r->tip, "branch", r->branch,
	    "bytes", (json_int_t)r->bytes, "message", message);
	line = json_dumps(j, JSON_COMPACT);
	if (line != NULL)
		failed = file_write_all(STDOUT_FILENO, line, strlen(line),
			     NULL) != ERR_OK ||
		    file_write_all(STDOUT_FILENO, "\n", 1, NULL) != ERR_OK;
	free(line);
	json_decref(j);
	return failed;
}

/* -- before confinement --------------------------------------------------- */

static enum err_code
read_key(struct err *e)
{
	struct stat st;

	buf_init(&self.ssh_key, SSH_KEY_MAX);
	if (stat(self.c->ssh_key_file, &st) != 0)
		return err_errno(e, "%s", self.c->ssh_key_file);
	if ((st.st_mode & 077) != 0)
		return err_set(e, ERR_DENIED,
		    "%s: others than its owner may read this key; run: chmod "
		    "600 %s",
		    self.c->ssh_key_file, self.c->ssh_key_file);
	return file_read(&self.ssh_key, self.c->ssh_key_file, e);
}

static enum err_code
read_secrets(struct err *e)
{
	const struct fetch_child *c = self.c;

	if (c->password_file != NULL)
		TRY(file_read_secret(&self.password, c->password_file, e));
	if (c->ssh_passphrase_file != NULL)
		TRY(file_read_secret(&self.passphrase, c->ssh_passphrase_file,
		    e));
	if (c->ssh_key_file != NULL)
		TRY(read_key(e));
	if (c->known_hosts_file == NULL)
		return ERR_OK;
	buf_init(&self.known_hosts, KNOWN_HOSTS_MAX);
	return file_read(&self.known_hosts, c->known_hosts_file, e);
}

/* libgit2 wants a known_hosts below $HOME, and asks the host for a kind of key
 * that it finds there. Whether the key is right is decided in check_host_key. */
static enum err_code
offer_known_hosts(struct err *e)
{
	AUTO_STR ssh = NULL;
	AUTO_STR file = NULL;

	if (self.c->parts.kind != FETCH_SSH)
		return ERR_OK;
	self.home = file_path(self.c->incoming, "home");
	ssh = file_path(self.home, ".ssh");
	file = file_path(ssh, "known_hosts");
	TRY(file_make_dirs(ssh, e));
	return file_replace(file, self.known_hosts.data, self.known_hosts.len,
	    0600, e);
}

/* Others own the folder too: what they left in it, a config or a link that
 * leads elsewhere, is nothing to work with. */
static enum err_code
check_empty(const char *dir, struct err *e)
{
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;
	struct stat st;

	if (lstat(dir, &st) != 0)
		return err_errno(e, "%s", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFLICT, "%s: not a folder", dir);
	TRY(file_list(&list, dir, LEFT_BEHIND_MAX, e));
	if (list.count > 0)
		code = err_set(e, ERR_CONFLICT,
		    "%s: not empty, \"%.100s\" is in it; remove it", dir,
		    list.names[0]);
	file_names_clear(&list);
	return code;
}

/* From here on no file says how to fetch, whoever may write one meanwhile: with
 * url.X.insteadOf it would say where the credential goes. */
static int
forget_config(void)
{
	GITLIB_AUTO(config, none);
	int rc = git_config_new(&none);

	return rc == 0 ? git_repository_set_config(self.git, none) : rc;
}

static enum err_code
open_repository(struct err *e)
{
	const struct fetch_child *c = self.c;

	TRY(check_empty(c->incoming, e));
	TRY(fetch_pack_open(&self.git, c->mirror, c->incoming, c->bytes_max,
	    &self.result.bytes, e));
	if (forget_config() != 0)
		return gitlib_err(e, -1, "%s", c->incoming);
	return ERR_OK;
}

static enum err_code
prepare(struct err *e)
{
	int rc;

	TRY(gitlib_init(e));
	/* What has to last is written by whoever takes it in. */
	(void)git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 0);
	if (self.c->parts.kind == FETCH_HTTP ||
	    self.c->parts.kind == FETCH_HTTPS)
		TRY(fetch_stream_register(e));
	TRY(read_secrets(e));
	if (self.c->ca_file != NULL) {
		rc = git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS,
		    self.c->ca_file, NULL);
		if (rc != 0)
			return gitlib_err(e, rc, "%s: no certificates in it",
			    self.c->ca_file);
	}
	TRY(open_repository(e));
	return offer_known_hosts(e);
}

int
fetch_prepare(void *arg)
{
	struct err e;

	self.c = arg;
	/* A fault of the configuration's is a result like others. */
	if (prepare(&e) != ERR_OK)
		conclude(FETCH_FAILED, "%s", e.text);
	return 0;
}

/* -- what libgit2 asks ---------------------------------------------------- */

static const char *
user_name(const char *from_url)
{
	/* libssh2 cannot change the user that the url began with. */
	bool fixed = self.c->parts.kind == FETCH_SSH && from_url != NULL &&
	    from_url[0] != '\0';

	if (self.c->username != NULL && !fixed)
		return self.c->username;
	return from_url != NULL && from_url[0] != '\0' ? from_url : "git";
}

static int
deny(const char *why)
{
	conclude(FETCH_DENIED, "%s", why);
	return GIT_EAUTH;
}

/* Is it still the host that the credential is for? */
static bool
is_our_host(const char *url)
{
	const struct fetch_url *ours = &self.c->parts;
	struct fetch_url asking;
	struct err e;

	return url != NULL && fetch_url_read(&asking, url, &e) == ERR_OK &&
	    asking.kind == ours->kind && asking.port == ours->port &&
	    strcasecmp(asking.host, ours->host) == 0;
}

/* Asked again after the host refused what was given: once is enough. */
static int
on_credential(git_credential **out, const char *url, const char *from_url,
    unsigned int allowed, void *arg)
{
	(void)arg;
	if (!is_our_host(url))
		return deny("another host than the configured one asks for the "
			    "credential; it is not given");
	if ((allowed & GIT_CREDENTIAL_USERNAME) != 0)
		return git_credential_username_new(out, user_name(from_url));
	if ((allowed & GIT_CREDENTIAL_SSH_MEMORY) != 0 &&
	    self.ssh_key.len > 0) {
		if (self.key_given)
			return deny("the host does not accept the key in "
				    "ssh_key_file; add its public half there, "
				    "or check the passphrase (RSA keys are "
				    "often refused: use ed25519)");
		self.key_given = true;
		return git_credential_ssh_key_memory_new(out,
		    user_name(from_url), NULL, self.ssh_key.data,
		    self.passphrase);
	}
	if ((allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) != 0 &&
	    self.password != NULL) {
		if (self.password_given)
			return deny("the host does not accept the user or the "
				    "password (or token) in password_file");
		self.password_given = true;
		return git_credential_userpass_plaintext_new(out,
		    user_name(from_url), self.password);
	}
	return deny("the host asks for a credential that is not configured; "
		    "set credentials.password_file (https) or "
		    "credentials.ssh_key_file (ssh)");
}

static int
check_host_key(const git_cert_hostkey *key)
{
	const struct fetch_url *u = &self.c->parts;

	if ((key->type & GIT_CERT_SSH_RAW) == 0)
		return deny("the host's key cannot be read");
	switch (known_hosts_check(self.known_hosts.data, self.known_hosts.len,
	    u->host, u->port, key->hostkey, key->hostkey_len)) {
	case KNOWN_HOSTS_MATCH:
		return 0;
	case KNOWN_HOSTS_UNKNOWN:
		conclude(FETCH_DENIED,
		    "known_hosts_file has no key of %s port %d: run ssh-keyscan "
		    "-p %d %s, compare the key with what the host's owner "
		    "publishes, and add it",
		    u->host, u->port, u->port, u->host);
		break;
	case KNOWN_HOSTS_MISMATCH:
		conclude(FETCH_DENIED,
		    "%s port %d shows another key than the pinned ones: "
		    "somebody is in between, or the host was set up anew; ask "
		    "its owner, then run ssh-keyscan -p %d %s and replace the "
		    "key in known_hosts_file",
		    u->host, u->port, u->port, u->host);
		break;
	case KNOWN_HOSTS_REVOKED:
		conclude(FETCH_DENIED,
		    "%s shows a key that known_hosts_file marks as revoked",
		    u->host);
		break;
	}
	return GIT_ECERTIFICATE;
}

static int
on_certificate(git_cert *cert, int valid, const char *host, void *arg)
{
	(void)host;
	(void)arg;
	if (cert->cert_type == GIT_CERT_HOSTKEY_LIBSSH2) {
		const void *key = cert;

		return check_host_key(key);
	}
	if (valid)
		return 0;
	conclude(FETCH_DENIED,
	    "the certificate of %s is not valid for it; when it is signed by a "
	    "CA of your own, name that as credentials.ca_file",
	    self.c->parts.host);
	return GIT_ECERTIFICATE;
}

static int
on_progress(const git_indexer_progress *progress, void *arg)
{
	(void)arg;
	if ((int64_t)progress->received_bytes <= self.c->bytes_max)
		return 0;
	conclude(FETCH_TOO_LARGE,
	    "more than %lld bytes; raise fetch_max if this repository may be "
	    "that large",
	    (long long)self.c->bytes_max);
	return GIT_EUSER;
}

/* -- fetching ------------------------------------------------------------- */

/* Is it about who we are? libgit2 has a number for some of these only. */
static bool
is_denial(int rc, int class, const char *text)
{
	if (rc == GIT_EAUTH || rc == GIT_ECERTIFICATE)
		return true;
	if (class == GIT_ERROR_HTTP)
		return strstr(text, "401") != NULL ||
		    strstr(text, "403") != NULL;
	/* A key that cannot be used: a wrong or missing passphrase. */
	return class == GIT_ERROR_SSH && strstr(text, "authenticate") != NULL;
}

static void
conclude_failure(int rc, const char *what)
{
	const git_error *last = git_error_last();
	const char *text = last != NULL ? last->message : "unknown reason";
	int class = last != NULL ? last->klass : GIT_ERROR_NONE;
	bool network = class == GIT_ERROR_NET || class == GIT_ERROR_SSH ||
	    class == GIT_ERROR_HTTP || class == GIT_ERROR_SSL;

	if (is_denial(rc, class, text))
		conclude(FETCH_DENIED, "%s: %s; check credentials", what, text);
	else if (strstr(text, strerror(EFBIG)) != NULL)
		conclude(FETCH_TOO_LARGE,
		    "more than %lld bytes; raise fetch_max if this repository "
		    "may be that large",
		    (long long)self.c->bytes_max);
	else if (!self.connected || network)
		conclude(FETCH_UNREACHABLE, "%s: %s", what, text);
	else
		conclude(FETCH_FAILED, "%s: %s", what, text);
}

/* A redirect is not followed: it could lead the credential elsewhere. */
static int
connect_remote(const git_remote_callbacks *callbacks)
{
	git_remote_connect_options options;
	int rc =
	    git_remote_create_anonymous(&self.remote, self.git, self.c->url);

	if (rc == 0)
		rc = git_remote_connect_options_init(&options,
		    GIT_REMOTE_CONNECT_OPTIONS_VERSION);
	if (rc == 0) {
		options.callbacks = *callbacks;
		options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
		rc = git_remote_connect_ext(self.remote, GIT_DIRECTION_FETCH,
		    &options);
	}
	if (rc == 0)
		self.connected = true;
	/* libgit2 takes a path where nothing is for a URL it does not know. */
	else if (fetch_is_local(self.c->url))
		conclude(FETCH_UNREACHABLE, "no Git repository at %s",
		    fetch_local_path(self.c->url));
	else
		conclude_failure(rc, "connect");
	return rc;
}

static bool
has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Fills result.branch; false when there is none and that was concluded. */
static bool
choose_branch(size_t branches)
{
	git_buf name = GIT_BUF_INIT;
	const char *branch = self.c->branch;
	bool found = true;

	if (branches == 0) {
		conclude(FETCH_EMPTY,
		    "the repository has no branch: nothing was ever pushed, or "
		    "all was deleted");
		return false;
	}
	if (branch[0] == '\0') {
		if (git_remote_default_branch(&name, self.remote) == 0 &&
		    has_prefix(name.ptr, REF_HEADS))
			branch = name.ptr + strlen(REF_HEADS);
		else
			found = false;
	}
	if (!found)
		conclude(FETCH_BRANCH_MISSING,
		    "the repository says no default branch; set one: branch: "
		    "main");
	else
		(void)snprintf(self.result.branch, sizeof(self.result.branch),
		    "%s", branch);
	git_buf_dispose(&name);
	return found;
}

static bool
find_tip(void)
{
	const git_remote_head **heads;
	size_t count, branches = 0;
	int rc = git_remote_ls(&heads, &count, self.remote);

	if (rc != 0) {
		conclude_failure(rc, "list the branches");
		return false;
	}
	for (size_t i = 0; i < count; i++)
		branches += has_prefix(heads[i]->name, REF_HEADS);
	if (!choose_branch(branches))
		return false;
	for (size_t i = 0; i < count; i++)
		if (has_prefix(heads[i]->name, REF_HEADS) &&
		    strcmp(heads[i]->name + strlen(REF_HEADS),
			self.result.branch) == 0) {
			gitlib_hex(self.result.tip, &heads[i]->oid);
			return true;
		}
	conclude(FETCH_BRANCH_MISSING,
	    "the repository has no branch \"%s\" (deleted, renamed?); set "
	    "branch: to the right one",
	    self.result.branch);
	return false;
}

static int
download(const git_remote_callbacks *callbacks)
{
	AUTO_STR refspec =
	    mem_printf("+" REF_HEADS "%s:refs/edict/tip", self.result.branch);
	char *refspecs[] = { refspec };
	git_strarray array = { refspecs, 1 };
	git_fetch_options options;
	struct err e = { 0 };
	int rc = git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);

	if (fetch_pack_begin(self.git, self.c->incoming, self.c->known, &e) !=
	    ERR_OK) {
		conclude(FETCH_FAILED, "%s", e.text);
		return -1;
	}
	options.callbacks = *callbacks;
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	options.prune = GIT_FETCH_NO_PRUNE;
	options.update_fetchhead = 0;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	if (rc == 0)
		rc = git_remote_download(self.remote, &array, &options);
	if (rc != 0)
		conclude_failure(rc, "fetch");
	return rc;
}

static void
fetch(void)
{
	git_remote_callbacks callbacks;

	if (git_remote_init_callbacks(&callbacks,
		GIT_REMOTE_CALLBACKS_VERSION) != 0)
		return;
	callbacks.credentials = on_credential;
	callbacks.certificate_check = on_certificate;
	callbacks.transfer_progress = on_progress;
	if (connect_remote(&callbacks) != 0 || !find_tip())
		return;
	if (strcmp(self.result.tip, self.c->known) == 0) {
		conclude(FETCH_UNCHANGED, "%s", "");
		return;
	}
	/* Whether all is there that the tip needs, repo_take_in sees. */
	if (download(&callbacks) == 0)
		conclude(FETCH_OK, "%s", "");
}

int
fetch_main(void *arg)
{
	(void)arg;
	/* Over the limit a write fails with EFBIG, and libgit2 reports that. */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	if (self.home != NULL)
		(void)setenv("HOME", self.home, 1);
	if (!self.concluded)
		fetch();
	conclude(FETCH_FAILED, "libgit2 did not start the fetch");
	if (self.result.outcome != FETCH_OK)
		log_debug("fetch.ended", "repo=%s outcome=%s", self.c->name,
		    fetch_outcome_name(self.result.outcome));
	return print_result();
}
