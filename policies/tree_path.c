/* Hygiene of paths: one alone, and all of a tree together. */

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/order.h"
#include "core/utf8.h"
#include "policies/tree_private.h"

enum { FOLDED_MAX = TREE_PATH_MAX * 2, SHOWN_MAX = 256 };

/* -- hygiene: one path ---------------------------------------------------- */

static const char *
character_fault(const char *path, size_t len)
{
	const unsigned char *p = (const unsigned char *)path;
	const unsigned char *end = p + len;

	while (p < end) {
		uint32_t c = utf8_next(&p, end);

		if (c == 0)
			return "is not UTF-8";
		if (utf8_is_control(c))
			return "has a control character";
		if (c == '\\')
			return "has a backslash";
	}
	return NULL;
}

static const char *
segment_fault(const char *s, size_t len)
{
	if (len == 0)
		return "has an empty segment";
	if (len == 1 && s[0] == '.')
		return "has a \".\" segment";
	if (len == 2 && s[0] == '.' && s[1] == '.')
		return "has a \"..\" segment";
	if (len == 4 && strncasecmp(s, ".git", 4) == 0)
		return "has a \".git\" segment";
	return NULL;
}

static const char *
segments_fault(const char *path)
{
	size_t depth = 0;

	for (const char *s = path;; s++) {
		size_t len = strcspn(s, "/");
		const char *fault = segment_fault(s, len);

		if (fault != NULL)
			return fault;
		if (++depth > TREE_DEPTH_MAX)
			return "is nested deeper than 64 folders";
		s += len;
		if (*s == '\0')
			return NULL;
	}
}

static void
show_character(struct buf *out, uint32_t c)
{
	char one[UTF8_CHARACTER_MAX];

	if (c == '\n')
		buf_add_str(out, "\\n");
	else if (c == '\t')
		buf_add_str(out, "\\t");
	else if (utf8_is_control(c))
		buf_printf(out, "\\x%02x", (unsigned int)c);
	else
		buf_add(out, one, utf8_put(one, c));
}

/* Control characters as they are written in C: they are what is wrong. */
static char *
show_path(const char *path, size_t len)
{
	const unsigned char *p = (const unsigned char *)path;
	const unsigned char *end = p + len;
	AUTO_BUF out = { 0 };

	buf_init(&out, SHOWN_MAX + 16);
	while (p < end && out.len < SHOWN_MAX) {
		uint32_t c = utf8_next(&p, end);

		if (c == 0) {
			c = 0xfffd;
			p++;
		}
		show_character(&out, c);
	}
	return buf_steal(&out, NULL);
}

static enum err_code
refuse_path(const char *path, size_t len, const char *fault, struct err *e)
{
	AUTO_STR shown = show_path(path, len);

	return err_set(e, ERR_INVALID,
	    "\"%s\": the path %s; rename it (git mv) and commit again", shown,
	    fault);
}

enum err_code
tree_check_path(const char *path, struct err *e)
{
	size_t len = strlen(path);
	const char *fault = NULL;

	if (len > TREE_PATH_MAX)
		fault = "is longer than 1024 bytes";
	else if (len == 0)
		fault = "is empty";
	else if (path[0] == '/')
		fault = "is absolute";
	if (fault == NULL)
		fault = character_fault(path, len);
	if (fault == NULL)
		fault = segments_fault(path);
	if (fault == NULL)
		return ERR_OK;
	return refuse_path(path, len, fault, e);
}

enum err_code
tree_check_size(const char *path, int64_t size, struct err *e)
{
	if (size <= TREE_BLOB_MAX)
		return ERR_OK;
	return err_set(e, ERR_LIMIT,
	    "%s: %" PRId64 " bytes; a file may have at most %d (64 MiB): make "
	    "it smaller or move it out of the policy repository",
	    path, size, (int)TREE_BLOB_MAX);
}

enum err_code
tree_check_room(const char *path, size_t count, int64_t total, struct err *e)
{
	if (count > TREE_FILES_MAX)
		return err_set(e, ERR_LIMIT,
		    "more than %d files; split the policy repository",
		    (int)TREE_FILES_MAX);
	if (total > TREE_TOTAL_MAX)
		return err_set(e, ERR_LIMIT,
		    "%s: with it all files together have more than %" PRId64
		    " bytes (2 GiB); split the policy repository",
		    path, TREE_TOTAL_MAX);
	return ERR_OK;
}

/* -- hygiene: all paths together ------------------------------------------ */

/* Simple lower case for the scripts that file names are commonly written in:
 * no locale, because confined processes cannot load one and results may not
 * depend on it. */
static uint32_t
fold_character(uint32_t c)
{
	if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7))
		return c + 32;
	if ((c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
		return c + 32;
	if (c >= 0x400 && c <= 0x40f)
		return c + 80;
	if ((c >= 0x100 && c <= 0x137 && c != 0x130) ||
	    (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c + (c & 1);
	return c;
}

struct folded {
	char *key; /* folded path, '/' as \1: a file sorts right before what
	            * would lie below a folder of its name */
	const char *path;
};

size_t
tree_fold(char *out, const char *name, size_t len)
{
	const unsigned char *p = (const unsigned char *)name;
	const unsigned char *end = p + len;
	size_t n = 0;

	while (p < end) {
		uint32_t c = utf8_next(&p, end);

		n += utf8_put(out + n, c == '/' ? 1 : fold_character(c));
	}
	return n;
}

static char *
fold_path(const char *path)
{
	char out[FOLDED_MAX];

	return mem_strndup(out, tree_fold(out, path, strlen(path)));
}

static int
folded_compare(const void *a, const void *b)
{
	const struct folded *x = a, *y = b;
	int by_key = strcmp(x->key, y->key);

	return by_key != 0 ? by_key : strcmp(x->path, y->path);
}

static enum err_code
check_neighbours(const struct folded *a, const struct folded *b, struct err *e)
{
	size_t len = strlen(a->key);

	if (strncmp(a->key, b->key, len) != 0)
		return ERR_OK;
	if (b->key[len] == '\0')
		return err_set(e, ERR_INVALID,
		    "%s and %s: these paths are equal, or equal but for case; "
		    "rename one of them",
		    a->path, b->path);
	if (b->key[len] == 1)
		return err_set(e, ERR_INVALID,
		    "%s and %s: the one is a file where the other needs a "
		    "folder; rename one of them",
		    a->path, b->path);
	return ERR_OK;
}

enum err_code
tree_check_distinct(const struct tree_entry *entries, size_t count,
    struct err *e)
{
	struct folded *all = mem_array(count + 1, sizeof(*all));
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < count; i++) {
		all[i].key = fold_path(entries[i].path);
		all[i].path = entries[i].path;
	}
	order_sort(all, count, sizeof(*all), folded_compare);
	for (size_t i = 0; code == ERR_OK && i + 1 < count; i++)
		code = check_neighbours(&all[i], &all[i + 1], e);
	for (size_t i = 0; i < count; i++)
		mem_free(all[i].key);
	mem_free(all);
	return code;
}
