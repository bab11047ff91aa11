/* The child of a join. It reads objects that others wrote, with a library that
 * takes them apart and deltas them anew, so it may do nothing else: no network,
 * no file of ours but the mirror's objects, and only its folder to write in. One
 * join per process, hence the one static struct. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <git2/sys/odb_backend.h>
#include <git2/sys/repository.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/gitlib.h"
#include "policies/join_private.h"

enum {
	JOIN_FILES_MAX = 1024,
	JOIN_NICE = 10, /* whatever else runs goes first */
	WRITE_STEP = 1 << 20,
	/* Both bound memory; larger objects are kept without a delta. */
	DELTA_CACHE = 64 << 20,
	DELTA_WINDOW = 256 << 20
};
#define JOIN_DATA_MAX (UINT64_C(2047) << 20)
#define JOIN_CONFIG "config"

struct join_child {
	struct child_spec spec;
	struct confine_path paths[2];
	char *objects;
	char *incoming;
};

static struct {
	const struct join_child *c;
	struct join plan;
	git_odb *odb;
	git_repository *git;
	git_packbuilder *packer;
	git_oid *ids; /* sorted, each once */
	size_t count, room;
	FILE *out;
	enum err_code prepared;
	struct err fault;
} self;

/* -- what the parent prepares --------------------------------------------- */

static enum err_code
write_config(struct err *e)
{
	static const struct {
		const char *name;
		int64_t value;
	} settings[] = {
		/* libgit2 1.5 takes this one for the largest file, too. */
		{ "pack.deltacachesize", DELTA_CACHE },
		{ "pack.windowmemory", DELTA_WINDOW },
	};
	AUTO_STR path = file_path(self.c->incoming, JOIN_CONFIG);
	GITLIB_AUTO(config, config);
	int rc = git_config_open_ondisk(&config, path);

	for (size_t i = 0;
	     rc == 0 && i < sizeof(settings) / sizeof(settings[0]); i++)
		rc = git_config_set_int64(config, settings[i].name,
		    settings[i].value);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", path);
}

static enum err_code
prepare(struct err *e)
{
	TRY(gitlib_init(e));
	return write_config(e);
}

static int
join_prepare(void *arg)
{
	self.c = arg;
	/* A courtesy: it is no failure to be as urgent as others. */
	if (setpriority(PRIO_PROCESS, 0, JOIN_NICE) != 0)
		errno = 0;
	self.prepared = prepare(&self.fault);
	return 0;
}

/* -- opening -------------------------------------------------------------- */

static enum err_code
add_backend(git_odb_backend *backend, int rc, const char *path, struct err *e)
{
	if (rc == 0)
		rc = git_odb_add_backend(self.odb, backend, 1);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", path);
}

/* What is joined, and no other packs: libgit2 mixes files up when it has to
 * close some of very many. */
static enum err_code
open_objects(struct err *e)
{
	const char *objects = self.c->objects;
	git_odb_backend *b = NULL;
	int rc = git_odb_new(&self.odb);

	if (rc != 0)
		return gitlib_err(e, rc, "%s", objects);
	for (size_t i = 0; i < self.plan.pack_count; i++) {
		AUTO_STR index = mem_printf("%s/pack/pack-%s.idx", objects,
		    self.plan.packs[i]);

		rc = git_odb_backend_one_pack(&b, index);
		TRY(add_backend(b, rc, index, e));
	}
	if (self.plan.loose_count == 0)
		return ERR_OK;
	rc = git_odb_backend_loose(&b, objects, -1, 0, 0, 0);
	return add_backend(b, rc, objects, e);
}

static enum err_code
open_packer(struct err *e)
{
	AUTO_STR path = file_path(self.c->incoming, JOIN_CONFIG);
	GITLIB_AUTO(config, config);
	int rc = git_repository_wrap_odb(&self.git, self.odb);

	if (rc == 0)
		rc = git_config_open_ondisk(&config, path);
	if (rc == 0)
		rc = git_repository_set_config(self.git, config);
	if (rc == 0)
		rc = git_packbuilder_new(&self.packer, self.git);
	if (rc != 0)
		return gitlib_err(e, rc, "%s", self.c->objects);
	(void)git_packbuilder_set_threads(self.packer, 1);
	return ERR_OK;
}

/* -- which objects -------------------------------------------------------- */

static int
add_id(const git_oid *id, void *arg)
{
	(void)arg;
	if (self.count == JOIN_OBJECTS_MAX)
		return GIT_EUSER;
	if (self.count == self.room) {
		self.room = self.room == 0 ? 1024 : self.room * 2;
		self.ids = mem_grow(self.ids, self.room, sizeof(*self.ids));
	}
	self.ids[self.count++] = *id;
	return 0;
}

static int
compare_ids(const void *a, const void *b)
{
	return git_oid_cmp(a, b);
}

static void
sort_ids(void)
{
	size_t n = 0;

	qsort(self.ids, self.count, sizeof(*self.ids), compare_ids);
	for (size_t i = 0; i < self.count; i++)
		if (n == 0 || !git_oid_equal(&self.ids[n - 1], &self.ids[i]))
			self.ids[n++] = self.ids[i];
	self.count = n;
}

static enum err_code
list_objects(struct err *e)
{
	int rc = git_odb_foreach(self.odb, add_id, NULL);

	if (rc == GIT_EUSER)
		return err_set(e, ERR_LIMIT, "more than %d objects",
		    (int)JOIN_OBJECTS_MAX);
	if (rc != 0)
		return gitlib_err(e, rc, "list the objects");
	sort_ids();
	return ERR_OK;
}

/* -- packing -------------------------------------------------------------- */

static bool
is_ours(const git_oid *id)
{
	return self.count > 0 &&
	    bsearch(id, self.ids, self.count, sizeof(*self.ids), compare_ids) !=
	    NULL;
}

static enum err_code
insert(const git_oid *id, const char *name, struct err *e)
{
	char hex[GIT_OID_HEXSZ + 1];
	int rc = git_packbuilder_insert(self.packer, id, name);

	if (rc == 0)
		return ERR_OK;
	gitlib_hex(hex, id);
	return gitlib_err(e, rc, "object %s", hex);
}

/* Objects that went by the same name make good deltas of each other. */
static enum err_code
insert_entries(const git_oid *id, struct err *e)
{
	GITLIB_AUTO(tree, tree);
	int rc = git_tree_lookup(&tree, self.git, id);
	char hex[GIT_OID_HEXSZ + 1];

	gitlib_hex(hex, id);
	if (rc != 0)
		return gitlib_err(e, rc, "tree %s", hex);
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);

		if (is_ours(git_tree_entry_id(entry)))
			TRY(insert(git_tree_entry_id(entry),
			    git_tree_entry_name(entry), e));
	}
	return ERR_OK;
}

static enum err_code
insert_all(struct err *e)
{
	for (size_t i = 0; i < self.count; i++) {
		git_object_t type;
		size_t size;
		int rc =
		    git_odb_read_header(&size, &type, self.odb, &self.ids[i]);

		if (rc != 0)
			return gitlib_err(e, rc, "read an object");
		if (type == GIT_OBJECT_TREE)
			TRY(insert_entries(&self.ids[i], e));
	}
	for (size_t i = 0; i < self.count; i++)
		TRY(insert(&self.ids[i], NULL, e));
	return ERR_OK;
}

static int
put(void *data, size_t len, void *arg)
{
	(void)arg;
	return fwrite(data, 1, len, self.out) == len ? 0 : GIT_EUSER;
}

static enum err_code
write_pack(struct err *e)
{
	AUTO_STR path = file_path(self.c->incoming, JOIN_PACK);
	int rc;

	self.out = fopen(path, "wxe");
	if (self.out == NULL)
		return err_errno(e, "%s", path);
	(void)setvbuf(self.out, NULL, _IOFBF, WRITE_STEP);
	rc = git_packbuilder_foreach(self.packer, put, NULL);
	if (rc == GIT_EUSER || (fclose(self.out) != 0 && rc == 0))
		return err_errno(e, "%s: write", path);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", path);
}

static enum err_code
join(struct err *e)
{
	TRY(join_read(&self.plan, self.c->incoming, e));
	TRY(open_objects(e));
	TRY(open_packer(e));
	TRY(list_objects(e));
	TRY(insert_all(e));
	return write_pack(e);
}

static int
join_main(void *arg)
{
	struct err *e = &self.fault;

	(void)arg;
	if (self.prepared == ERR_OK && join(e) == ERR_OK)
		return 0;
	/* The exit status says it as well. */
	if (file_write_all(STDOUT_FILENO, e->text, strlen(e->text), NULL) !=
	    ERR_OK)
		return 2;
	return 1;
}

/* -- the parent's side ---------------------------------------------------- */

enum err_code
join_child_new(struct join_child **out, const char *mirror,
    const char *incoming, struct err *e)
{
	AUTO(join_child, c) = mem_zalloc(sizeof(*c));
	AUTO_STR objects = file_path(mirror, "objects");

	TRY(gitlib_init(e));
	/* The child's folder is another one. */
	c->objects = realpath(objects, NULL);
	c->incoming = realpath(incoming, NULL);
	if (c->objects == NULL || c->incoming == NULL)
		return err_errno(e, "%s",
		    c->objects == NULL ? objects : incoming);
	c->paths[0] = (struct confine_path){ .path = c->objects,
		.access = CONFINE_PATH_READ };
	c->paths[1] = (struct confine_path){ .path = c->incoming,
		.access = CONFINE_PATH_READ | CONFINE_PATH_WRITE };
	c->spec = (struct child_spec){ .name = "join",
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.prepare = join_prepare,
		.main = join_main,
		.arg = c,
		.rules = { .calls = CONFINE_READ_FILES | CONFINE_WRITE_FILES,
		    .paths = c->paths,
		    .path_count = 2,
		    .data_max = JOIN_DATA_MAX,
		    .files_max = JOIN_FILES_MAX } };
	*out = STEAL(c);
	return ERR_OK;
}

const struct child_spec *
join_child_spec(struct join_child *c)
{
	return &c->spec;
}

void
join_child_free(struct join_child *c)
{
	if (c == NULL)
		return;
	free(c->objects);
	free(c->incoming);
	mem_free(c);
}

enum err_code
join_result(const struct child_result *r, struct err *e)
{
	if (r->end == CHILD_EXITED && r->status == 0)
		return ERR_OK;
	if (r->end == CHILD_EXITED && r->out.len > 0)
		return err_set(e, ERR_UNAVAILABLE, "join: %.*s",
		    (int)r->out.len, r->out.data);
	return err_set(e, ERR_UNAVAILABLE, "join: the child %s (%d)",
	    child_end_name(r->end), r->status);
}
