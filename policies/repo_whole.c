#include "policies/repo_whole.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include <git2/sys/repository.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/packs.h"

/* For fewer, opening the packs takes longer. */
enum { PACKS_FROM = 64 };

struct seen_tree {
	git_oid id;
	UT_hash_handle hh;
};

struct checker {
	const struct repo *repo;
	const char *verified;
	git_repository *git; /* sees the mirror and verified, nothing else */
	git_odb *odb;
	struct packs *packs; /* in verified */
	struct seen_tree *seen;
	size_t objects;
};

static enum err_code
checker_open(struct checker *t, struct err *e)
{
	AUTO_STR mirror = mem_printf("%s/objects", t->repo->dir);
	int rc = git_odb_open(&t->odb, t->verified);

	if (rc == 0)
		rc = git_odb_add_disk_alternate(t->odb, mirror);
	if (rc == 0)
		rc = git_repository_wrap_odb(&t->git, t->odb);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", t->verified);
}

static void
checker_clear(struct checker *t)
{
	struct seen_tree *s, *next;

	HASH_ITER(hh, t->seen, s, next) {
		HASH_DEL(t->seen, s);
		mem_free(s);
	}
	git_repository_free(t->git);
	git_odb_free(t->odb);
	packs_free(t->packs);
}

/* -- trees ---------------------------------------------------------------- */

static bool
is_seen(const struct checker *t, const git_oid *id)
{
	struct seen_tree *s;

	HASH_FIND(hh, t->seen, id, sizeof(*id), s);
	return s != NULL;
}

/* True once per id. */
static bool
first_time(struct checker *t, const git_oid *id)
{
	struct seen_tree *s;

	if (is_seen(t, id))
		return false;
	s = mem_zalloc(sizeof(*s));
	git_oid_cpy(&s->id, id);
	HASH_ADD(hh, t->seen, id, sizeof(s->id), s);
	return true;
}

/* To say what a delta makes, libgit2 goes back to its first base and inflates,
 * so most is not asked of it. NULL: of little, all is. */
static struct packs *
packs_of(struct checker *t)
{
	if (t->packs == NULL && t->objects >= PACKS_FROM)
		t->packs = packs_open(t->verified);
	return t->packs;
}

static bool
is_new_blob(struct checker *t, const git_oid *id)
{
	struct packs *p = packs_of(t);

	return p != NULL && packs_has_blob(p, id);
}

static bool
is_new_and_small(struct checker *t, const git_oid *id)
{
	struct packs *p = packs_of(t);
	size_t size;

	return p != NULL && packs_size_of_any(p, id, &size) &&
	    size <= REPO_TREE_OBJECT_MAX;
}

static enum err_code
check_blob(struct checker *t, const git_oid *id, struct err *e)
{
	char hex[TREE_ID_SIZE];
	git_object_t type;
	size_t size;

	if (is_new_blob(t, id) ||
	    (git_odb_read_header(&size, &type, t->odb, id) == 0 &&
		type == GIT_OBJECT_BLOB))
		return ERR_OK;
	gitlib_hex(hex, id);
	return err_set(e, ERR_CORRUPT,
	    "blob %s is missing from what was fetched", hex);
}

struct pair {
	git_tree *tree;
	git_tree *base; /* whole already, or NULL */
	size_t next;
};

struct pairs {
	struct pair at[REPO_WHOLE_NEST_MAX];
	size_t depth;
};

/* A base that was seen was read, and its size looked at before. What goes wrong
 * goes wrong again, with its reason. */
static enum err_code
read_tree(git_tree **out, struct checker *t, const git_oid *id, bool is_base,
    struct err *e)
{
	if (((is_base && is_seen(t, id)) || is_new_and_small(t, id)) &&
	    git_tree_lookup(out, t->git, id) == 0)
		return ERR_OK;
	return repo_tree_object(out, t->git, id, e);
}

static enum err_code
push_pair(struct checker *t, struct pairs *p, const git_oid *id,
    const git_oid *base, struct err *e)
{
	struct pair *pair = &p->at[p->depth];

	if (p->depth == REPO_WHOLE_NEST_MAX)
		return err_set(e, ERR_LIMIT,
		    "folders are nested deeper than %d",
		    (int)REPO_WHOLE_NEST_MAX);
	memset(pair, 0, sizeof(*pair));
	TRY(read_tree(&pair->tree, t, id, false, e));
	if (base != NULL) {
		enum err_code code = read_tree(&pair->base, t, base, true, e);

		if (code != ERR_OK) {
			git_tree_free(pair->tree);
			return code;
		}
	}
	p->depth++;
	return ERR_OK;
}

static const git_tree_entry *
base_entry(const struct pair *pair, const git_tree_entry *entry)
{
	if (pair->base == NULL)
		return NULL;
	return git_tree_entry_byname(pair->base, git_tree_entry_name(entry));
}

/* What equals the base's entry of that name is there since the base is. */
static enum err_code
check_entry(struct checker *t, struct pairs *p, const git_tree_entry *entry,
    struct err *e)
{
	const struct pair *pair = &p->at[p->depth - 1];
	const git_tree_entry *old = base_entry(pair, entry);
	const git_oid *id = git_tree_entry_id(entry);
	git_object_t type = git_tree_entry_type(entry);
	bool typed = old != NULL && git_tree_entry_type(old) == type;

	if (typed && git_oid_equal(id, git_tree_entry_id(old)))
		return ERR_OK;
	/* A submodule's commit lives elsewhere; the gate refuses it. */
	if (type == GIT_OBJECT_COMMIT)
		return ERR_OK;
	if (++t->objects > REPO_WHOLE_NEW_MAX)
		return err_set(e, ERR_LIMIT, "more than %d new objects",
		    (int)REPO_WHOLE_NEW_MAX);
	if (type == GIT_OBJECT_BLOB)
		return check_blob(t, id, e);
	if (!first_time(t, id))
		return ERR_OK;
	return push_pair(t, p, id, typed ? git_tree_entry_id(old) : NULL, e);
}

static enum err_code
check_pairs(struct checker *t, struct pairs *p, struct err *e)
{
	while (p->depth > 0) {
		struct pair *pair = &p->at[p->depth - 1];
		const git_tree_entry *entry =
		    git_tree_entry_byindex(pair->tree, pair->next++);

		if (entry != NULL) {
			TRY(check_entry(t, p, entry, e));
			continue;
		}
		git_tree_free(pair->tree);
		git_tree_free(pair->base);
		p->depth--;
	}
	return ERR_OK;
}

static enum err_code
check_tree(struct checker *t, const git_oid *id, const git_oid *base,
    struct err *e)
{
	struct pairs *p;
	enum err_code code;

	if (!first_time(t, id))
		return ERR_OK;
	p = mem_zalloc(sizeof(*p));
	code = push_pair(t, p, id, base, e);
	if (code == ERR_OK)
		code = check_pairs(t, p, e);
	while (p->depth > 0) {
		p->depth--;
		git_tree_free(p->at[p->depth].tree);
		git_tree_free(p->at[p->depth].base);
	}
	mem_free(p);
	return code;
}

/* -- commits -------------------------------------------------------------- */

/* Parents come first, so that a commit's first parent is whole by now. */
static enum err_code
check_commit(struct checker *t, const git_oid *id, struct err *e)
{
	GITLIB_AUTO(commit, c);
	GITLIB_AUTO(commit, parent);
	const git_oid *base = NULL;
	enum err_code code;

	TRY(repo_commit(&c, t->git, id, e));
	if (git_commit_parentcount(c) > 0) {
		TRY(repo_commit(&parent, t->git, git_commit_parent_id(c, 0),
		    e));
		base = git_commit_tree_id(parent);
	}
	code = check_tree(t, git_commit_tree_id(c), base, e);
	if (code != ERR_OK) {
		char hex[TREE_ID_SIZE];

		gitlib_hex(hex, id);
		return err_add(e, "commit %.12s", hex);
	}
	return ERR_OK;
}

/* Only what our refs reach is known to be whole: a pack may hold commits
 * without what they need. */
static int
hide_known(git_revwalk *walk, const struct checker *t)
{
	git_reference_iterator *iterator = NULL;
	git_reference *ref = NULL;
	int rc = git_reference_iterator_glob_new(&iterator, t->repo->git,
	    "refs/edict/*");

	while (rc == 0 && (rc = git_reference_next(&ref, iterator)) == 0) {
		const git_oid *id = git_reference_target(ref);

		if (id != NULL)
			rc = git_revwalk_hide(walk, id);
		git_reference_free(ref);
	}
	git_reference_iterator_free(iterator);
	return rc == GIT_ITEROVER ? 0 : rc;
}

static enum err_code
walk_failed(struct err *e)
{
	return gitlib_damaged(e, "the history is not whole");
}

static enum err_code
check_commits(struct checker *t, const git_oid *tip, struct err *e)
{
	GITLIB_AUTO(revwalk, walk);
	GITLIB_AUTO(commit, c);
	git_oid id;
	int rc;

	TRY(repo_commit(&c, t->git, tip, e));
	rc = git_revwalk_new(&walk, t->git);
	if (rc == 0)
		rc = git_revwalk_sorting(walk,
		    GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE);
	if (rc == 0)
		rc = hide_known(walk, t);
	if (rc == 0)
		rc = git_revwalk_push(walk, tip);
	if (rc != 0)
		return walk_failed(e);
	while ((rc = git_revwalk_next(&id, walk)) == 0)
		TRY(check_commit(t, &id, e));
	return rc == GIT_ITEROVER ? ERR_OK : walk_failed(e);
}

enum err_code
repo_whole(const struct repo *r, const char *verified, const git_oid *tip,
    struct err *e)
{
	struct checker t = { .repo = r, .verified = verified };
	enum err_code code = checker_open(&t, e);

	if (code == ERR_OK)
		code = check_commits(&t, tip, e);
	checker_clear(&t);
	return code;
}
