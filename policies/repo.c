#include "policies/repo.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/utf8.h"
#include "policies/repo_private.h"

enum {
	REV_MAX = 1024,
	SUBJECT_MAX = 200,
	AUTHOR_MAX = 400,
	NAMES_MAX = 1000000,
	LOCK_DEPTH_MAX = 16
};

#define REPO_REFS "refs/edict/"
#define REPO_TIP REPO_REFS "tip"
#define REPO_HEADS "refs/heads/"
/* What HEAD names until the branch's name is known. */
#define FIRST_BRANCH "edict-tip"
/* In the mirror's own configuration: this one is ours to tidy up. */
#define REPO_MARK "edict.mirror"

/* -- opening -------------------------------------------------------------- */

static enum err_code
remove_left_over(const char *path, struct err *e)
{
	log_info("repo.tidied", "path=%s", path);
	return file_remove_tree(path, e);
}

/* Locks of a writer that died: the server's lock says that no other lives. */
static enum err_code
remove_locks(const char *dir, int depth, struct err *e)
{
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	if (depth > LOCK_DEPTH_MAX)
		return ERR_OK;
	TRY(file_list(&list, dir, NAMES_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR path = file_path(dir, list.names[i]);
		struct stat st;

		if (text_ends_with(path, ".lock"))
			code = remove_left_over(path, e);
		else if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
		    strcmp(list.names[i], "objects") != 0)
			code = remove_locks(path, depth + 1, e);
	}
	file_names_clear(&list);
	return code;
}

/* Is this one of a pair whose other half is there as well? */
static bool
is_whole_pack(const struct file_names *list, const char *name)
{
	size_t pairs = 0;

	if (strncmp(name, "pack-", 5) != 0 ||
	    strspn(name + 5, "0123456789abcdef") != 40 || strlen(name) < 46 ||
	    name[45] != '.')
		return false;
	for (size_t i = 0; i < list->count; i++)
		if (strncmp(list->names[i], name, 46) == 0)
			pairs += strcmp(list->names[i] + 46, "pack") == 0 ||
			    strcmp(list->names[i] + 46, "idx") == 0;
	return pairs == 2;
}

static enum err_code
tidy_packs(const char *dir, struct err *e)
{
	AUTO_STR path = file_path(dir, "objects/pack");
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	if (access(path, F_OK) != 0)
		return ERR_OK;
	TRY(file_list(&list, path, NAMES_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR file = file_path(path, list.names[i]);

		if (!is_whole_pack(&list, list.names[i]))
			code = remove_left_over(file, e);
	}
	file_names_clear(&list);
	return code;
}

static enum err_code
tidy_loose_folder(const char *dir, struct err *e)
{
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	TRY(file_list(&list, dir, NAMES_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR file = file_path(dir, list.names[i]);

		if (!text_is_hex(list.names[i], 38))
			code = remove_left_over(file, e);
	}
	file_names_clear(&list);
	return code;
}

static enum err_code
tidy_loose(const char *dir, struct err *e)
{
	AUTO_STR objects = file_path(dir, "objects");
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	TRY(file_list(&list, objects, NAMES_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR path = file_path(objects, list.names[i]);

		if (text_is_hex(list.names[i], 2))
			code = tidy_loose_folder(path, e);
		else if (strncmp(list.names[i], "tmp_", 4) == 0)
			code = remove_left_over(path, e);
	}
	file_names_clear(&list);
	return code;
}

static enum err_code
tidy_incoming(const char *dir, struct err *e)
{
	AUTO_STR incoming = mem_printf("%s/../incoming", dir);
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	if (access(incoming, F_OK) != 0)
		return ERR_OK;
	TRY(file_list(&list, incoming, NAMES_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR path = file_path(incoming, list.names[i]);

		code = remove_left_over(path, e);
	}
	file_names_clear(&list);
	return code;
}

static enum err_code
tidy(const char *dir, struct err *e)
{
	TRY(remove_locks(dir, 0, e));
	TRY(tidy_packs(dir, e));
	TRY(tidy_loose(dir, e));
	return tidy_incoming(dir, e);
}

static enum err_code
wrap(struct repo **out, git_repository *git, struct err *e)
{
	AUTO(repo, r) = mem_zalloc(sizeof(*r));
	size_t len;
	int rc;

	r->git = git;
	r->dir = mem_strdup(git_repository_path(git));
	len = strlen(r->dir);
	while (len > 1 && r->dir[len - 1] == '/')
		r->dir[--len] = '\0';
	rc = git_repository_odb(&r->odb, git);
	if (rc != 0)
		return gitlib_err(e, rc, "%s", r->dir);
	*out = STEAL(r);
	return ERR_OK;
}

static enum err_code
make_mirror(const char *dir, struct err *e)
{
	git_repository_init_options options = {
		.version = GIT_REPOSITORY_INIT_OPTIONS_VERSION,
		.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH,
		.initial_head = FIRST_BRANCH
	};
	GITLIB_AUTO(repository, git);
	GITLIB_AUTO(config, config);
	int rc;

	TRY(file_make_dirs(dir, e));
	rc = git_repository_init_ext(&git, dir, &options);
	if (rc == 0)
		rc = git_repository_config(&config, git);
	if (rc == 0)
		rc = git_config_set_bool(config, REPO_MARK, 1);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: making the mirror", dir);
	return ERR_OK;
}

static bool
is_ours(git_repository *git)
{
	GITLIB_AUTO(config, config);
	int yes = 0;

	return git_repository_config_snapshot(&config, git) == 0 &&
	    git_config_get_bool(&yes, config, REPO_MARK) == 0 && yes;
}

static int
open_bare(git_repository **out, const char *dir)
{
	return git_repository_open_ext(out, dir,
	    GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE |
		GIT_REPOSITORY_OPEN_NO_DOTGIT,
	    NULL);
}

enum err_code
repo_open(struct repo **out, const char *dir, bool make, struct err *e)
{
	git_repository *git = NULL;
	int rc;

	TRY(gitlib_init(e));
	rc = open_bare(&git, dir);
	if (rc == GIT_ENOTFOUND && make) {
		TRY(make_mirror(dir, e));
		rc = open_bare(&git, dir);
	}
	if (rc != 0)
		return gitlib_err(e, rc, "%s: open the mirror", dir);
	if (is_ours(git)) {
		enum err_code code = tidy(dir, e);

		if (code != ERR_OK) {
			git_repository_free(git);
			return code;
		}
	}
	return wrap(out, git, e);
}

enum err_code
repo_reopen(struct repo *r, struct err *e)
{
	GITLIB_AUTO(repository, git);
	git_odb *odb = NULL;
	int rc = open_bare(&git, r->dir);

	if (rc == 0)
		rc = git_repository_odb(&odb, git);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: open the mirror", r->dir);
	git_odb_free(r->odb);
	git_repository_free(r->git);
	r->odb = odb;
	r->git = STEAL(git);
	return ERR_OK;
}

enum err_code
repo_discover(struct repo **out, const char *path, struct err *e)
{
	git_repository *git = NULL;
	int rc;

	TRY(gitlib_init(e));
	rc = git_repository_open_ext(&git, path, 0, NULL);
	if (rc == GIT_ENOTFOUND)
		return err_set(e, ERR_NOT_FOUND,
		    "%s: neither this folder nor one above it is a Git "
		    "repository; run it inside one, or name one",
		    path);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: open the repository", path);
	return wrap(out, git, e);
}

void
repo_free(struct repo *r)
{
	if (r == NULL)
		return;
	git_odb_free(r->odb);
	git_repository_free(r->git);
	mem_free(r->dir);
	repo_tree_forget(r);
	mem_free(r);
}

/* -- commits -------------------------------------------------------------- */

/* An object's size and type before its content is taken into memory. */
static enum err_code
check_header(git_repository *git, const git_oid *id, git_object_t expected,
    size_t max, struct err *e)
{
	GITLIB_AUTO(odb, odb);
	char hex[TREE_ID_SIZE];
	git_object_t type;
	size_t size;
	int rc = git_repository_odb(&odb, git);

	gitlib_hex(hex, id);
	if (rc == 0)
		rc = git_odb_read_header(&size, &type, odb, id);
	if (rc != 0)
		return gitlib_err(e, rc, "%s %s",
		    git_object_type2string(expected), hex);
	if (type != expected)
		return err_set(e, ERR_INVALID, "object %s is a %s, not a %s",
		    hex, git_object_type2string(type),
		    git_object_type2string(expected));
	if (size > max)
		return err_set(e, ERR_LIMIT,
		    "%s %s has %zu bytes; at most %zu are read",
		    git_object_type2string(expected), hex, size, max);
	return ERR_OK;
}

/* What is there but cannot be read is damaged, whatever libgit2 calls it. */
static enum err_code
damaged(struct err *e, const char *kind, const git_oid *id)
{
	char hex[TREE_ID_SIZE];

	gitlib_hex(hex, id);
	return gitlib_damaged(e, "%s %s is damaged", kind, hex);
}

enum err_code
repo_commit(git_commit **out, git_repository *git, const git_oid *id,
    struct err *e)
{
	int rc;

	TRY(check_header(git, id, GIT_OBJECT_COMMIT, REPO_COMMIT_MAX, e));
	rc = git_commit_lookup(out, git, id);
	return rc == 0 ? ERR_OK : damaged(e, "commit", id);
}

enum err_code
repo_tree_object(git_tree **out, git_repository *git, const git_oid *id,
    struct err *e)
{
	enum err_code code =
	    check_header(git, id, GIT_OBJECT_TREE, REPO_TREE_OBJECT_MAX, e);
	int rc;

	if (code == ERR_NOT_FOUND || code == ERR_INVALID)
		return gitlib_as(e, ERR_CORRUPT);
	TRY(code);
	rc = git_tree_lookup(out, git, id);
	return rc == 0 ? ERR_OK : damaged(e, "tree", id);
}

static char *
author_text(const git_signature *who)
{
	AUTO_STR name =
	    utf8_clean(who->name, strlen(who->name), AUTHOR_MAX / 2);
	AUTO_STR mail =
	    utf8_clean(who->email, strlen(who->email), AUTHOR_MAX / 2);

	return mem_printf("%s <%s>", name, mail);
}

void
repo_commit_facts(struct tree_commit *out, const git_commit *commit)
{
	const git_signature *author = git_commit_author(commit);
	const char *message = git_commit_message(commit);

	memset(out, 0, sizeof(*out));
	gitlib_hex(out->id, git_commit_id(commit));
	gitlib_hex(out->tree, git_commit_tree_id(commit));
	if (git_commit_parentcount(commit) > 0)
		gitlib_hex(out->parent, git_commit_parent_id(commit, 0));
	out->author = author_text(author);
	out->subject = utf8_clean(message, strcspn(message, "\n"), SUBJECT_MAX);
	out->author_time = author->when.time;
	out->commit_time = git_commit_time(commit);
	out->commit_offset = git_commit_time_offset(commit);
}

/* -- names ---------------------------------------------------------------- */

enum err_code
repo_resolve(struct repo *r, const char *rev, char out[TREE_ID_SIZE],
    struct err *e)
{
	GITLIB_AUTO(object, named);
	GITLIB_AUTO(object, commit);
	AUTO_STR shown = utf8_clean(rev, strlen(rev), 100);
	int rc;

	/* "rev:path" is no commit, and ":/text" would search all history. */
	if (rev[0] == '\0' || strlen(rev) > REV_MAX || strchr(rev, ':') != NULL)
		return err_set(e, ERR_INVALID,
		    "\"%s\" does not name a commit; give an id, a branch, a "
		    "tag, or one of these with ~N",
		    shown);
	rc = git_revparse_single(&named, r->git, rev);
	if (rc == GIT_ENOTFOUND)
		return err_set(e, ERR_NOT_FOUND,
		    "no commit \"%s\" in this repository; see: git log "
		    "(on a server: edict log)",
		    shown);
	if (rc == GIT_EAMBIGUOUS)
		return err_set(e, ERR_INVALID,
		    "\"%s\" fits several objects; give more digits of the id",
		    shown);
	if (rc != 0)
		return gitlib_err(e, rc, "\"%s\"", shown);
	rc = git_object_peel(&commit, named, GIT_OBJECT_COMMIT);
	if (rc != 0)
		return err_set(e, ERR_INVALID, "\"%s\" is a %s, not a commit",
		    shown, git_object_type2string(git_object_type(named)));
	gitlib_hex(out, git_object_id(commit));
	return ERR_OK;
}

static enum err_code
ref_name(char out[REV_MAX], const char *name, struct err *e)
{
	int valid = 0;
	size_t len = strlen(name);

	if (len + sizeof(REPO_REFS) <= REV_MAX) {
		memcpy(out, REPO_REFS, sizeof(REPO_REFS));
		memcpy(out + sizeof(REPO_REFS) - 1, name, len + 1);
		if (git_reference_name_is_valid(&valid, out) != 0)
			valid = 0;
	}
	if (!valid)
		return err_set(e, ERR_INVALID, "\"%.100s\" is no ref's name",
		    name);
	return ERR_OK;
}

static enum err_code
remove_ref(struct repo *r, const char *name, struct err *e)
{
	int rc = git_reference_remove(r->git, name);

	if (rc != 0 && rc != GIT_ENOTFOUND)
		return gitlib_err(e, rc, "%s: remove %s", r->dir, name);
	return ERR_OK;
}

static enum err_code
write_ref(struct repo *r, const char *full, const git_oid *id, struct err *e)
{
	GITLIB_AUTO(reference, ref);
	int rc = git_reference_create(&ref, r->git, full, id, 1, NULL);

	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s: set %s", r->dir, full);
}

/* The branch that HEAD names follows the tip. A symbolic ref to the tip would do
 * the same, but git's fsck takes offence at it. */
static enum err_code
move_branch(struct repo *r, const git_oid *id, struct err *e)
{
	GITLIB_AUTO(reference, head);
	const char *branch;
	int rc = git_reference_lookup(&head, r->git, "HEAD");

	if (rc != 0)
		return gitlib_err(e, rc, "%s: HEAD", r->dir);
	branch = git_reference_symbolic_target(head);
	if (branch == NULL || strncmp(branch, REPO_HEADS, 11) != 0)
		return ERR_OK;
	return write_ref(r, branch, id, e);
}

enum err_code
repo_set_ref(struct repo *r, const char *name, const char *commit,
    struct err *e)
{
	GITLIB_AUTO(commit, c);
	char full[REV_MAX];
	git_oid id;

	TRY(ref_name(full, name, e));
	if (commit == NULL)
		return remove_ref(r, full, e);
	TRY(gitlib_oid(&id, commit, e));
	TRY(repo_commit(&c, r->git, &id, e));
	TRY(write_ref(r, full, &id, e));
	if (strcmp(full, REPO_TIP) == 0)
		return move_branch(r, &id, e);
	return ERR_OK;
}

enum err_code
repo_get_ref(struct repo *r, const char *name, char out[TREE_ID_SIZE],
    struct err *e)
{
	char full[REV_MAX];
	git_oid id;
	int rc;

	TRY(ref_name(full, name, e));
	rc = git_reference_name_to_id(&id, r->git, full);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: %s", r->dir, full);
	gitlib_hex(out, &id);
	return ERR_OK;
}

static enum err_code
point_head(struct repo *r, const char *full, struct err *e)
{
	GITLIB_AUTO(reference, head);
	GITLIB_AUTO(reference, old);
	AUTO_STR was = NULL;
	int rc = git_reference_lookup(&old, r->git, "HEAD");

	if (rc == 0 && git_reference_symbolic_target(old) != NULL)
		was = mem_strdup(git_reference_symbolic_target(old));
	rc =
	    git_reference_symbolic_create(&head, r->git, "HEAD", full, 1, NULL);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: set HEAD", r->dir);
	if (was == NULL || strcmp(was, full) == 0)
		return ERR_OK;
	return remove_ref(r, was, e);
}

enum err_code
repo_name_branch(struct repo *r, const char *branch, struct err *e)
{
	AUTO_STR full = mem_printf(REPO_HEADS "%s", branch);
	int valid = 0;
	git_oid id;
	int rc = git_reference_name_is_valid(&valid, full);

	if (rc != 0 || !valid)
		return err_set(e, ERR_INVALID, "\"%.100s\" is no branch's name",
		    branch);
	TRY(point_head(r, full, e));
	if (git_reference_name_to_id(&id, r->git, REPO_TIP) != 0)
		return ERR_OK; /* nothing was fetched yet */
	return write_ref(r, full, &id, e);
}

/* -- history -------------------------------------------------------------- */

static enum err_code
check_commit(struct repo *r, const char *hex, git_oid *id, struct err *e)
{
	TRY(gitlib_oid(id, hex, e));
	return check_header(r->git, id, GIT_OBJECT_COMMIT, REPO_COMMIT_MAX, e);
}

enum err_code
repo_descends(struct repo *r, const char *a, const char *b, bool *out,
    struct err *e)
{
	git_oid ancestor, descendant;
	int rc;

	TRY(check_commit(r, a, &ancestor, e));
	TRY(check_commit(r, b, &descendant, e));
	if (git_oid_equal(&ancestor, &descendant)) {
		*out = true;
		return ERR_OK;
	}
	rc = git_graph_descendant_of(r->git, &descendant, &ancestor);
	if (rc < 0)
		return gitlib_err(e, rc, "history of %.12s", b);
	*out = rc == 1;
	return ERR_OK;
}

static struct repo_step *
add_step(struct repo_line *line, size_t *room)
{
	if (line->count == *room) {
		*room = *room == 0 ? 16 : *room * 2;
		line->steps =
		    mem_grow(line->steps, *room, sizeof(*line->steps));
	}
	return &line->steps[line->count++];
}

struct line_walk {
	const char *until;
	size_t max;
	bool collecting;
	int64_t seen;  /* commits passed so far */
	int64_t depth; /* of the tip; -1: not known yet */
	size_t room;
};

static void
visit(struct repo *r, struct line_walk *w, const git_commit *c,
    struct repo_line *line)
{
	char hex[TREE_ID_SIZE];

	gitlib_hex(hex, git_commit_id(c));
	if (w->collecting &&
	    ((w->until != NULL && strcmp(hex, w->until) == 0) ||
		line->count == w->max))
		w->collecting = false;
	if (w->collecting)
		repo_commit_facts(&add_step(line, &w->room)->commit, c);
	if (w->depth < 0 && strcmp(hex, r->deep_id) == 0)
		w->depth = r->depth + w->seen;
	if (w->depth < 0 && git_commit_parentcount(c) == 0)
		w->depth = w->seen;
	w->seen++;
}

/* Goes on until both the wanted commits and the tip's depth are known. */
static enum err_code
walk_line(struct repo *r, struct line_walk *w, const git_oid *tip,
    struct repo_line *line, struct err *e)
{
	git_oid id = *tip;

	for (;;) {
		GITLIB_AUTO(commit, c);
		enum err_code code = repo_commit(&c, r->git, &id, e);

		/* A shallow clone, as build machines make them, ends early. */
		if (code == ERR_NOT_FOUND && w->seen > 0 &&
		    git_repository_is_shallow(r->git) == 1) {
			w->depth = w->depth < 0 ? w->seen - 1 : w->depth;
			return ERR_OK;
		}
		if (code != ERR_OK && w->seen > 0)
			return gitlib_as(e, ERR_CORRUPT);
		TRY(code);
		visit(r, w, c, line);
		if (git_commit_parentcount(c) == 0 ||
		    (!w->collecting && w->depth >= 0))
			return ERR_OK;
		git_oid_cpy(&id, git_commit_parent_id(c, 0));
	}
}

enum err_code
repo_line(struct repo *r, const char *tip, const char *until, size_t max,
    struct repo_line *out, struct err *e)
{
	struct line_walk w = { .until = until,
		.max = max,
		.collecting = true,
		.depth = -1 };
	struct repo_line line = { 0 };
	enum err_code code;
	git_oid id;

	TRY(gitlib_oid(&id, tip, e));
	code = walk_line(r, &w, &id, &line, e);
	if (code != ERR_OK) {
		repo_line_clear(&line);
		return code;
	}
	for (size_t i = 0; i < line.count; i++)
		line.steps[i].depth = w.depth - (int64_t)i;
	memcpy(r->deep_id, tip, TREE_ID_SIZE);
	r->depth = w.depth;
	*out = line;
	return ERR_OK;
}

void
repo_line_clear(struct repo_line *line)
{
	for (size_t i = 0; i < line->count; i++)
		tree_commit_clear(&line->steps[i].commit);
	mem_free(line->steps);
	memset(line, 0, sizeof(*line));
}
