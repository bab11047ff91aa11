#include "policies/fetch.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/utf8.h"
#include "policies/fetch_private.h"
#include "policies/gitlib.h"

enum {
	LINK_FILE_MAX = 64 * 1024, /* .git, commondir, alternates */
	ALTERNATES_DEPTH = 5,
	FETCH_DATA_MAX = 2047 << 20,
	FETCH_FILES_MAX = 1024,
	/* An index beside its pack. */
	FETCH_SLACK = 16 << 20
};

static const char *const outcome_names[] = {
	[FETCH_OK] = "ok",
	[FETCH_UNCHANGED] = "unchanged",
	[FETCH_BRANCH_MISSING] = "branch_missing",
	[FETCH_EMPTY] = "empty",
	[FETCH_DENIED] = "denied",
	[FETCH_UNREACHABLE] = "unreachable",
	[FETCH_TIMED_OUT] = "timed_out",
	[FETCH_TOO_LARGE] = "too_large",
	[FETCH_FAILED] = "failed",
};

const char *
fetch_outcome_name(enum fetch_outcome o)
{
	return outcome_names[o];
}

/* libgit2 in the child has "/" as its folder. */
static char *
from_root(const char *path)
{
	char *here, *whole;

	if (path[0] == '/' || (here = get_current_dir_name()) == NULL)
		return mem_strdup(path);
	whole = file_path(here, path);
	free(here);
	return whole;
}

/* As from_root, and without links where the path exists. */
static char *
resolve(const char *path)
{
	char real[PATH_MAX];

	return realpath(path, real) != NULL ? mem_strdup(real)
					    : from_root(path);
}

/* -- what the child may touch --------------------------------------------- */

static void
allow(struct fetch_child *c, const char *path, unsigned int access)
{
	if (c->path_count == FETCH_PATHS_MAX)
		return;
	c->paths[c->path_count++] = (struct confine_path){ .path = path,
		.access = access,
		.optional = true };
}

/* As allow, for a path in mem_ memory, taken over. */
static void
allow_owned(struct fetch_child *c, char *path)
{
	if (c->owned_count == FETCH_PATHS_MAX) {
		mem_free(path);
		return;
	}
	c->owned_paths[c->owned_count++] = path;
	allow(c, path, CONFINE_PATH_READ);
}

static void
allow_network(struct fetch_child *c)
{
	/* Where /etc/resolv.conf may be a link to by the time it is read. */
	static const char *const more[] = { "/run/systemd/resolve/resolv.conf",
		"/run/systemd/resolve/stub-resolv.conf", "/dev/urandom" };

	for (size_t i = 0; i < CONFINE_NETWORK_PATHS; i++)
		allow(c, confine_network_paths[i].path,
		    confine_network_paths[i].access);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		allow(c, more[i], CONFINE_PATH_READ);
	if (c->ca_file != NULL)
		allow(c, c->ca_file, CONFINE_PATH_READ);
}

/* -- what files of a local source lead to ---------------------------------
 * Whoever writes the source says with them what the child may read, so only
 * what Git keeps objects in counts, and nothing of our own: "gitdir: /" must
 * not open the machine. */

/* Both without links; is path dir, or below it? */
static bool
is_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, len) == 0 &&
	    (path[len] == '/' || path[len] == '\0');
}

/* The mirrors, whose folder is two above ours (repos/NAME/git), and all that
 * holds them. */
static bool
is_ours(const struct fetch_child *c, const char *dir)
{
	AUTO_STR up = mem_printf("%s/../..", c->mirror);
	AUTO_STR mirrors = resolve(up);

	return is_within(dir, mirrors) || is_within(mirrors, dir);
}

static bool
has_dir(const char *dir, const char *name)
{
	AUTO_STR path = file_path(dir, name);
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool
has(const char *dir, const char *name)
{
	AUTO_STR path = file_path(dir, name);

	return access(path, F_OK) == 0;
}

static bool
is_objects(const char *dir)
{
	if (!text_ends_with(dir, "/objects"))
		return false;
	if (has_dir(dir, "pack") || has_dir(dir, "info"))
		return true;
	for (unsigned int i = 0; i < 256; i++) {
		char two[3];

		(void)snprintf(two, sizeof(two), "%02x", i);
		if (has_dir(dir, two))
			return true;
	}
	return false;
}

static bool
is_git(const char *dir)
{
	return has(dir, "HEAD") &&
	    (has_dir(dir, "objects") || has(dir, "commondir"));
}

/* The first line of a small file, or NULL. */
static char *
first_line(const char *path)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, LINK_FILE_MAX);
	if (file_read(&b, path, NULL) != ERR_OK)
		return NULL;
	return mem_strndup(b.data, strcspn(b.data, "\r\n"));
}

/* What path means when it is written in a file of dir. */
static char *
relative_to(const char *dir, const char *path)
{
	return path[0] == '/' ? mem_strdup(path) : file_path(dir, path);
}

static enum err_code allow_alternates(struct fetch_child *c,
    const char *objects, int depth, struct err *e);

static bool
is_allowed(const struct fetch_child *c, const char *path)
{
	for (size_t i = 0; i < c->path_count; i++)
		if (strcmp(c->paths[i].path, path) == 0)
			return true;
	return false;
}

/* One that is missing Git does without. */
static enum err_code
allow_alternate(struct fetch_child *c, const char *path, int depth,
    struct err *e)
{
	AUTO_STR real = resolve(path);

	if (access(real, F_OK) != 0 || is_allowed(c, real))
		return ERR_OK;
	/* Room for two more: the repository itself. */
	if (c->path_count + 2 >= FETCH_PATHS_MAX)
		return err_set(e, ERR_LIMIT,
		    "info/alternates: with those that they name, more than %d "
		    "folders; copy the objects with git repack -a -d and "
		    "remove the file",
		    (int)FETCH_PATHS_MAX);
	if (!is_objects(real))
		return err_set(e, ERR_INVALID,
		    "info/alternates names %.200s, which is no folder of Git "
		    "objects; correct that line, or copy the objects with git "
		    "repack -a -d and remove the file",
		    path);
	if (is_ours(c, real))
		return err_set(e, ERR_INVALID,
		    "info/alternates names %.200s, which is the server's own; "
		    "copy the objects with git repack -a -d and remove the "
		    "file",
		    path);
	allow_owned(c, mem_strdup(real));
	return allow_alternates(c, real, depth + 1, e);
}

static enum err_code
allow_alternates(struct fetch_child *c, const char *objects, int depth,
    struct err *e)
{
	AUTO_STR list = file_path(objects, "info/alternates");
	AUTO_BUF b = { 0 };
	char *line, *rest;

	buf_init(&b, LINK_FILE_MAX);
	if (depth > ALTERNATES_DEPTH || file_read(&b, list, NULL) != ERR_OK)
		return ERR_OK;
	for (rest = b.data; (line = strsep(&rest, "\n")) != NULL;) {
		AUTO_STR other = NULL;

		if (line[0] == '\0' || line[0] == '#')
			continue;
		other = relative_to(objects, line);
		TRY(allow_alternate(c, other, depth, e));
	}
	return ERR_OK;
}

/* The folder that holds .git's content: itself, or, for a linked work tree,
 * where that file points. NULL when there is none. */
static char *
find_git(const char *url)
{
	AUTO_STR dot_git = file_path(url, ".git");
	AUTO_STR link = NULL;
	AUTO_STR there = NULL;
	struct stat st;

	if (stat(dot_git, &st) != 0)
		return mem_strdup(url);
	if (S_ISDIR(st.st_mode))
		return resolve(dot_git);
	link = first_line(dot_git);
	if (link == NULL || strncmp(link, "gitdir: ", 8) != 0)
		return NULL;
	there = relative_to(url, link + 8);
	return resolve(there);
}

/* Where most of a linked work tree's repository is; git itself for others. */
static char *
find_common(const char *git)
{
	AUTO_STR file = file_path(git, "commondir");
	AUTO_STR line = first_line(file);
	AUTO_STR there = NULL;

	if (line == NULL)
		return mem_strdup(git);
	there = relative_to(git, line);
	return resolve(there);
}

/* Where the child finds no repository, it says so. */
static enum err_code
allow_source(struct fetch_child *c, struct err *e)
{
	AUTO_STR git = find_git(c->url);
	AUTO_STR common = NULL;
	AUTO_STR objects = NULL;

	allow(c, c->url, CONFINE_PATH_READ);
	if (git == NULL || !is_git(git) || is_ours(c, git))
		return ERR_OK;
	common = find_common(git);
	if (!is_git(common) || is_ours(c, common))
		return ERR_OK;
	objects = file_path(common, "objects");
	TRY(allow_alternates(c, objects, 0, e));
	allow_owned(c, STEAL(git));
	allow_owned(c, STEAL(common));
	return ERR_OK;
}

static enum err_code
set_rules(struct fetch_child *c, struct err *e)
{
	struct confine_rules *r = &c->spec.rules;

	allow(c, c->incoming, CONFINE_PATH_READ | CONFINE_PATH_WRITE);
	c->paths[c->path_count - 1].optional = false;
	allow_owned(c, file_path(c->mirror, "objects"));
	r->calls = CONFINE_READ_FILES | CONFINE_WRITE_FILES;
	if (c->parts.kind == FETCH_LOCAL) {
		TRY(allow_source(c, e));
		/* libgit2 packs on all processors when it is the host too. */
		r->calls |= CONFINE_THREADS;
	} else {
		allow_network(c);
		r->calls |= CONFINE_CONNECT;
	}
	r->paths = c->paths;
	r->path_count = c->path_count;
	r->data_max = FETCH_DATA_MAX;
	r->files_max = FETCH_FILES_MAX;
	/* The limit on what is received does not see what libgit2 copies from
	 * this machine; this one does. */
	r->file_size_max = (uint64_t)c->bytes_max + FETCH_SLACK;
	return ERR_OK;
}

/* -- starting ------------------------------------------------------------- */

static enum err_code
check_source(const struct fetch_source *s, struct fetch_url *parts,
    struct err *e)
{
	int valid = 1;

	TRY(fetch_url_read(parts, s->url, e));
	if (parts->kind == FETCH_SSH && s->known_hosts_file == NULL)
		return err_set(e, ERR_INVALID,
		    "ssh needs the host's key: run ssh-keyscan -p %d %s > "
		    "known_hosts, compare the key with what the host's owner "
		    "publishes, and name the file as "
		    "credentials.known_hosts_file",
		    parts->port, parts->host);
	if (parts->kind == FETCH_SSH && s->ssh_key_file == NULL &&
	    s->password_file == NULL)
		return err_set(e, ERR_INVALID,
		    "ssh needs a key: make one with ssh-keygen -t ed25519, let "
		    "the host accept it, and name it as "
		    "credentials.ssh_key_file");
	if (s->branch != NULL && s->branch[0] != '\0') {
		AUTO_STR full = mem_printf("refs/heads/%s", s->branch);

		if (strlen(s->branch) >
			sizeof(((struct fetch_result *)0)->branch) - 1 ||
		    git_reference_name_is_valid(&valid, full) != 0 || !valid)
			return err_set(e, ERR_INVALID,
			    "\"%.100s\" is no branch's name", s->branch);
	}
	return ERR_OK;
}

static void
copy_source(struct fetch_child *c, const struct fetch_source *s)
{
	c->name = mem_strdup(s->name);
	c->url = c->parts.kind == FETCH_LOCAL
	    ? resolve(fetch_local_path(s->url))
	    : mem_strdup(s->url);
	c->branch = mem_strdup(s->branch != NULL ? s->branch : "");
	c->username = mem_strdup(s->username);
	c->password_file = mem_strdup(s->password_file);
	c->ssh_key_file = mem_strdup(s->ssh_key_file);
	c->ssh_passphrase_file = mem_strdup(s->ssh_passphrase_file);
	c->known_hosts_file = mem_strdup(s->known_hosts_file);
	c->ca_file = mem_strdup(s->ca_file);
	c->bytes_max = s->bytes_max > 0 ? s->bytes_max : FETCH_BYTES_MAX;
}

enum err_code
fetch_child_new(struct fetch_child **out, const struct fetch_source *source,
    const char *mirror, const char *incoming, const char *known, struct err *e)
{
	AUTO(fetch_child, c) = mem_zalloc(sizeof(*c));
	enum err_code code;
	git_oid id;

	TRY(gitlib_init(e));
	code = check_source(source, &c->parts, e);
	if (code != ERR_OK)
		return err_add(e, "repository %s", source->name);
	if (known != NULL && known[0] != '\0')
		TRY(gitlib_oid(&id, known, e));
	copy_source(c, source);
	c->mirror = resolve(mirror);
	/* A link in its place stays one, and the child refuses it. */
	c->incoming = from_root(incoming);
	c->known = mem_strdup(known != NULL ? known : "");
	code = set_rules(c, e);
	if (code != ERR_OK)
		return err_add(e, "repository %s", source->name);
	c->spec.name = "fetch";
	c->spec.stdin_fd = -1;
	c->spec.stdout_fd = -1;
	c->spec.stderr_fd = -1;
	c->spec.prepare = fetch_prepare;
	c->spec.main = fetch_main;
	c->spec.arg = c;
	*out = STEAL(c);
	return ERR_OK;
}

const struct child_spec *
fetch_child_spec(struct fetch_child *c)
{
	return &c->spec;
}

void
fetch_child_free(struct fetch_child *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->owned_count; i++)
		mem_free(c->owned_paths[i]);
	mem_free(c->name);
	mem_free(c->url);
	mem_free(c->branch);
	mem_free(c->username);
	mem_free(c->password_file);
	mem_free(c->ssh_key_file);
	mem_free(c->ssh_passphrase_file);
	mem_free(c->known_hosts_file);
	mem_free(c->ca_file);
	mem_free(c->mirror);
	mem_free(c->incoming);
	mem_free(c->known);
	mem_free(c);
}

/* -- what came of it ------------------------------------------------------ */

static void
set_message(struct fetch_result *out, const char *text, size_t len)
{
	AUTO_STR clean = utf8_clean(text, len, sizeof(out->message) - 1);

	memcpy(out->message, clean, strlen(clean) + 1);
}

static void
conclude(struct fetch_result *out, enum fetch_outcome outcome,
    const char *message)
{
	out->outcome = outcome;
	set_message(out, message, strlen(message));
}

static bool
read_outcome(struct fetch_result *out, const char *name)
{
	for (size_t i = 0; i < sizeof(outcome_names) / sizeof(outcome_names[0]);
	     i++)
		if (strcmp(name, outcome_names[i]) == 0) {
			out->outcome = (enum fetch_outcome)i;
			return true;
		}
	return false;
}

/* The name comes from the host, and goes to logs and terminals. */
static bool
is_branch(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + strlen(text);

	while (p < end)
		if (utf8_is_control(utf8_next(&p, end)))
			return false;
	return true;
}

static bool
read_line(struct fetch_result *out, const json_t *j)
{
	const char *outcome, *tip, *branch, *message;
	size_t message_len;
	json_int_t bytes;

	if (json_unpack_ex((json_t *)(uintptr_t)j, NULL, 0,
		"{s:s, s:s, s:s, s:I, s:s% !}", "outcome", &outcome, "tip",
		&tip, "branch", &branch, "bytes", &bytes, "message", &message,
		&message_len) != 0)
		return false;
	if (!read_outcome(out, outcome) ||
	    (tip[0] != '\0' && !text_is_hex(tip, sizeof out->tip - 1)) ||
	    strlen(branch) >= sizeof(out->branch) || !is_branch(branch) ||
	    bytes < 0)
		return false;
	memcpy(out->tip, tip, strlen(tip) + 1);
	memcpy(out->branch, branch, strlen(branch) + 1);
	out->bytes = bytes;
	set_message(out, message, message_len);
	return tip[0] != '\0' ||
	    (out->outcome != FETCH_OK && out->outcome != FETCH_UNCHANGED);
}

static void
read_output(struct fetch_result *out, const struct child_result *r)
{
	json_t *j =
	    json_loadb(r->out.data, r->out.len, JSON_REJECT_DUPLICATES, NULL);

	if (j == NULL || !read_line(out, j)) {
		memset(out, 0, sizeof(*out));
		conclude(out, FETCH_FAILED,
		    "the fetch ended without a result; its reason is in the "
		    "log");
	}
	json_decref(j);
}

void
fetch_result_read(struct fetch_result *out, const struct child_result *r)
{
	AUTO_STR text = NULL;

	memset(out, 0, sizeof(*out));
	switch (r->end) {
	case CHILD_EXITED:
		read_output(out, r);
		return;
	case CHILD_TIMED_OUT:
		text = mem_printf("no end after %lld s: the host stalls, or "
				  "fetch_timeout is too short for this "
				  "repository",
		    (long long)r->wall_ms / 1000);
		conclude(out, FETCH_TIMED_OUT, text);
		return;
	case CHILD_SIGNALLED:
		text = mem_printf("the fetch was ended by signal %d (%s)",
		    r->status, strsignal(r->status));
		conclude(out, FETCH_FAILED, text);
		return;
	case CHILD_FLOODED:
		conclude(out, FETCH_FAILED, "the fetch wrote too much output");
		return;
	case CHILD_CANCELLED:
		conclude(out, FETCH_FAILED, "the fetch was cancelled");
		return;
	}
}
