#include "policies/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/text.h"
#include "policies/join_private.h"
#include "policies/objects.h"

enum {
	GROWTH = 2, /* a pack and the sum of the smaller ones */
	LOOSE_FOLDERS = 256
};

static const char pack_line[] = "pack ";
static const char loose_line[] = "loose ";

void
join_clear(struct join *j)
{
	mem_free(j->packs);
	mem_free(j->loose);
	memset(j, 0, sizeof(*j));
}

bool
join_is_empty(const struct join *j)
{
	return j->pack_count == 0 && j->loose_count == 0;
}

/* -- choosing ------------------------------------------------------------- */

struct pack_size {
	char id[JOIN_ID_SIZE];
	int64_t bytes;
};

struct pack_sizes {
	struct pack_size *at;
	size_t count;
};

static int
compare_sizes(const void *a, const void *b)
{
	const struct pack_size *x = a;
	const struct pack_size *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return strcmp(x->id, y->id);
}

static bool
pack_bytes(const char *dir, const char *index, struct pack_size *out)
{
	AUTO_STR pack = NULL;
	struct stat st;

	if (!objects_is_pack(index, ".idx"))
		return false;
	(void)snprintf(out->id, sizeof(out->id), "%.40s", index + 5);
	pack = mem_printf("%s/pack-%s.pack", dir, out->id);
	if (lstat(pack, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	out->bytes = (int64_t)st.st_size;
	return out->bytes <= JOIN_PACK_BYTES_MAX;
}

/* Those that may be joined, smallest first. */
static enum err_code
list_packs(struct pack_sizes *out, const char *dir, struct err *e)
{
	struct file_names list = { 0 };

	TRY(file_list(&list, dir, OBJECTS_PACKS_LISTED, e));
	out->at = mem_array(list.count + 1, sizeof(*out->at));
	for (size_t i = 0; i < list.count; i++)
		out->count +=
		    pack_bytes(dir, list.names[i], &out->at[out->count]);
	file_names_clear(&list);
	qsort(out->at, out->count, sizeof(*out->at), compare_sizes);
	return ERR_OK;
}

/* How many of the smallest: at first all up to the last that breaks the row of
 * doublings, then those that are not twice what comes together. */
static size_t
how_many(const struct pack_sizes *s)
{
	size_t split = s->count > 0 ? s->count - 1 : 0;
	int64_t sum = 0;

	while (split > 0 &&
	    s->at[split].bytes >= GROWTH * s->at[split - 1].bytes)
		split--;
	split = split > 0 ? split + 1 : 0;
	for (size_t i = 0; i < split; i++)
		sum += s->at[i].bytes;
	while (split < s->count && s->at[split].bytes < GROWTH * sum)
		sum += s->at[split++].bytes;
	if (split < 2)
		split = s->count < 2 ? s->count : 2;
	return split < JOIN_AT_ONCE_MAX ? split : JOIN_AT_ONCE_MAX;
}

static enum err_code
list_loose_folder(struct join *out, const char *objects, const char *two,
    struct err *e)
{
	AUTO_STR dir = file_path(objects, two);
	struct file_names list = { 0 };

	if (access(dir, F_OK) != 0)
		return ERR_OK;
	TRY(file_list(&list, dir, OBJECTS_LOOSE_MAX, e));
	for (size_t i = 0;
	     i < list.count && out->loose_count < JOIN_LOOSE_ONCE_MAX; i++)
		if (text_is_hex(list.names[i], 38))
			(void)snprintf(out->loose[out->loose_count++],
			    JOIN_ID_SIZE, "%s%s", two, list.names[i]);
	file_names_clear(&list);
	return ERR_OK;
}

static enum err_code
list_loose(struct join *out, const char *objects, struct err *e)
{
	out->loose = mem_array(JOIN_LOOSE_ONCE_MAX, sizeof(*out->loose));
	for (unsigned int i = 0; i < LOOSE_FOLDERS; i++) {
		char two[3];

		(void)snprintf(two, sizeof(two), "%02x", i);
		TRY(list_loose_folder(out, objects, two, e));
	}
	return ERR_OK;
}

static void
choose(struct join *out, const struct pack_sizes *sizes)
{
	out->pack_count = how_many(sizes);
	out->packs = mem_array(out->pack_count + 1, sizeof(*out->packs));
	for (size_t i = 0; i < out->pack_count; i++)
		memcpy(out->packs[i], sizes->at[i].id, JOIN_ID_SIZE);
}

enum err_code
join_plan(struct join *out, const char *mirror, struct err *e)
{
	AUTO_STR objects = file_path(mirror, "objects");
	AUTO_STR dir = file_path(objects, "pack");
	struct pack_sizes sizes = { 0 };
	enum err_code code;

	memset(out, 0, sizeof(*out));
	TRY(list_packs(&sizes, dir, e));
	code = list_loose(out, objects, e);
	if (code == ERR_OK && sizes.count > JOIN_PACKS_MAX)
		choose(out, &sizes);
	if (code != ERR_OK ||
	    (out->pack_count == 0 && out->loose_count <= JOIN_LOOSE_MAX))
		join_clear(out);
	mem_free(sizes.at);
	return code;
}

/* -- as a file ------------------------------------------------------------ */

enum err_code
join_write(const struct join *j, const char *incoming, struct err *e)
{
	AUTO_STR path = file_path(incoming, JOIN_LIST);
	AUTO_BUF b = { 0 };

	buf_init(&b, JOIN_LIST_MAX);
	for (size_t i = 0; i < j->pack_count; i++)
		buf_printf(&b, "%s%s\n", pack_line, j->packs[i]);
	for (size_t i = 0; i < j->loose_count; i++)
		buf_printf(&b, "%s%s\n", loose_line, j->loose[i]);
	TRY(buf_check(&b, path, e));
	return file_replace(path, b.data, b.len, 0600, e);
}

/* The id after this word, or NULL. */
static const char *
id_after(const char *line, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(line, word, len) != 0 || !text_is_hex(line + len, 40))
		return NULL;
	return line + len;
}

static bool
read_line(struct join *out, const char *line)
{
	const char *id = id_after(line, pack_line);

	if (id != NULL && out->pack_count < JOIN_AT_ONCE_MAX) {
		memcpy(out->packs[out->pack_count++], id, JOIN_ID_SIZE);
		return true;
	}
	id = id_after(line, loose_line);
	if (id == NULL || out->loose_count == JOIN_LOOSE_ONCE_MAX)
		return false;
	memcpy(out->loose[out->loose_count++], id, JOIN_ID_SIZE);
	return true;
}

enum err_code
join_read(struct join *out, const char *incoming, struct err *e)
{
	AUTO_STR path = file_path(incoming, JOIN_LIST);
	AUTO_BUF b = { 0 };
	char *line, *rest;

	memset(out, 0, sizeof(*out));
	buf_init(&b, JOIN_LIST_MAX);
	TRY(file_read(&b, path, e));
	out->packs = mem_array(JOIN_AT_ONCE_MAX, sizeof(*out->packs));
	out->loose = mem_array(JOIN_LOOSE_ONCE_MAX, sizeof(*out->loose));
	for (rest = b.data; (line = strsep(&rest, "\n")) != NULL;)
		if (*line != '\0' && !read_line(out, line)) {
			join_clear(out);
			return err_set(e, ERR_INVALID, "%s: bad line \"%.60s\"",
			    path, line);
		}
	return ERR_OK;
}

/* -- verifying ------------------------------------------------------------ */

struct looking {
	git_odb *in;
	const struct objects_patience *patience;
	size_t count;
	git_oid missing;
	bool over;
};

static int
look_for(const git_oid *id, void *arg)
{
	struct looking *l = arg;

	if (++l->count % 4096 == 0 && l->patience != NULL &&
	    l->patience->over(l->patience->arg))
		l->over = true;
	if (l->over)
		return GIT_EUSER;
	if (git_odb_exists_ext(l->in, id, GIT_ODB_LOOKUP_NO_REFRESH))
		return 0;
	git_oid_cpy(&l->missing, id);
	return GIT_ENOTFOUND;
}

static enum err_code
concluded(const struct looking *l, int rc, const char *what, struct err *e)
{
	char hex[GIT_OID_HEXSZ + 1];

	if (rc == 0)
		return ERR_OK;
	if (l->over)
		return err_set(e, ERR_UNAVAILABLE, "join: given up");
	if (rc != GIT_ENOTFOUND)
		return gitlib_damaged(e, "join: %s", what);
	gitlib_hex(hex, &l->missing);
	return err_set(e, ERR_CORRUPT,
	    "join: object %s of %s is missing from the new pack", hex, what);
}

static enum err_code
look_for_pack(struct looking *l, const char *objects, const char *id,
    struct err *e)
{
	AUTO_STR index = mem_printf("%s/pack/pack-%s.idx", objects, id);
	GITLIB_AUTO(odb, old);

	TRY(objects_open_pack(&old, index, e));
	return concluded(l, git_odb_foreach(old, look_for, l), index, e);
}

static enum err_code
look_for_all(const struct join *j, struct looking *l, const char *mirror,
    struct err *e)
{
	AUTO_STR objects = file_path(mirror, "objects");
	git_oid id;

	for (size_t i = 0; i < j->pack_count; i++)
		TRY(look_for_pack(l, objects, j->packs[i], e));
	for (size_t i = 0; i < j->loose_count; i++) {
		TRY(gitlib_oid(&id, j->loose[i], e));
		TRY(concluded(l, look_for(&id, l), "the loose ones", e));
	}
	return ERR_OK;
}

/* The one index that is in the folder. */
static enum err_code
find_made(struct join *j, const char *dir, struct err *e)
{
	struct file_names list = { 0 };
	size_t found = 0;

	TRY(file_list(&list, dir, OBJECTS_PACKS_MAX, e));
	for (size_t i = 0; i < list.count; i++)
		if (objects_is_pack(list.names[i], ".idx")) {
			(void)snprintf(j->made, sizeof(j->made), "%.40s",
			    list.names[i] + 5);
			found++;
		}
	file_names_clear(&list);
	if (found != 1)
		return err_set(e, ERR_CORRUPT, "%s: %zu packs, not one", dir,
		    found);
	return ERR_OK;
}

enum err_code
join_verify(struct join *j, const char *mirror, const char *incoming,
    const struct objects_patience *patience, struct err *e)
{
	AUTO_STR pack = file_path(incoming, JOIN_PACK);
	AUTO_STR to = file_path(incoming, JOIN_VERIFIED);
	AUTO_STR index = NULL;
	GITLIB_AUTO(odb, made);
	struct looking l = { .patience = patience };

	TRY(gitlib_init(e));
	TRY(file_remove_tree(to, e));
	TRY(file_make_dirs(to, e));
	TRY(objects_index_pack(pack, to, NULL, patience, e));
	TRY(find_made(j, to, e));
	index = mem_printf("%s/pack-%s.idx", to, j->made);
	TRY(objects_open_pack(&made, index, e));
	l.in = made;
	return look_for_all(j, &l, mirror, e);
}
