#include "bundler/roots.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/order.h"
#include "core/text.h"

enum { SHOWN_MAX = 12 };

void
roots_clear(struct roots *r)
{
	for (size_t i = 0; i < r->count; i++)
		mem_free(r->items[i]);
	mem_free(r->items);
	*r = (struct roots){ 0 };
}

void
roots_add(struct roots *r, const char *text, size_t len)
{
	/* Doubling at each power of two keeps long lists linear. */
	if ((r->count & (r->count - 1)) == 0)
		r->items = mem_grow(r->items, r->count == 0 ? 1 : r->count * 2,
		    sizeof *r->items);
	r->items[r->count++] = mem_strndup(text, len);
}

static bool
is_plain(char c)
{
	/* What url.PathEscape of Go leaves alone. */
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr("-_.~$&+=:@", c));
}

bool
root_segment_is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_plain(text[i]))
			return false;
	}
	return len > 0;
}

/* The end comes first, then the slash, so that what lies below a root follows
 * it at once: a, a/b, a-b. */
static int
rank(char c)
{
	if (c == '\0')
		return 0;
	return c == '/' ? 1 : (unsigned char)c + 1;
}

static int
compare(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return rank(*a) - rank(*b);
}

static int
compare_items(const void *a, const void *b)
{
	return compare(*(char *const *)a, *(char *const *)b);
}

void
roots_sort(struct roots *r)
{
	if (r->count > 0)
		order_sort(r->items, r->count, sizeof *r->items, compare_items);
}

void
roots_reduce(struct roots *r)
{
	size_t kept = 0;

	roots_sort(r);
	for (size_t i = 0; i < r->count; i++) {
		if (kept > 0 &&
		    text_path_holds(r->items[kept - 1], r->items[i]))
			mem_free(r->items[i]);
		else
			r->items[kept++] = r->items[i];
	}
	r->count = kept;
}

static size_t
depth_of(const char *root)
{
	size_t depth = 1;

	for (; *root != '\0'; root++)
		depth += *root == '/';
	return depth;
}

static void
cut_to(char *root, size_t depth)
{
	while (depth-- > 0 && root != NULL)
		root = strchr(root[0] == '/' ? root + 1 : root, '/');
	if (root != NULL)
		*root = '\0';
}

void
roots_shorten(struct roots *r, size_t max)
{
	size_t depth = 1;

	roots_reduce(r);
	for (size_t i = 0; i < r->count; i++) {
		if (depth_of(r->items[i]) > depth)
			depth = depth_of(r->items[i]);
	}
	while (r->count > max && --depth > 0) {
		for (size_t i = 0; i < r->count; i++)
			cut_to(r->items[i], depth);
		roots_reduce(r);
	}
}

static void
trim(char *root)
{
	size_t start = strspn(root, "/");
	size_t len = strlen(root + start);

	while (len > 0 && root[start + len - 1] == '/')
		len--;
	memmove(root, root + start, len);
	root[len] = '\0';
}

static enum err_code
check_one(const char *root, const char *where, struct err *e)
{
	const char *at = root;

	if (strlen(root) > ROOT_LEN_MAX)
		return err_set(e, ERR_LIMIT, "%s: root longer than %d bytes",
		    where, ROOT_LEN_MAX);
	for (;;) {
		size_t len = strcspn(at, "/");

		if (*root != '\0' && len == 0)
			return err_set(e, ERR_INVALID,
			    "%s: root \"%s\": an empty part between slashes",
			    where, root);
		if (len > 0 && !root_segment_is_plain(at, len))
			return err_set(e, ERR_INVALID,
			    "%s: root \"%s\": \"%.*s\" holds characters that "
			    "engines read differently (letters, digits and "
			    "-_.~$&+=:@ are safe); use the path above it",
			    where, root, (int)len, at);
		if (at[len] == '\0')
			return ERR_OK;
		at += len + 1;
	}
}

enum err_code
roots_check(struct roots *r, const char *where, struct err *e)
{
	if (r->count == 0)
		return err_set(e, ERR_INVALID,
		    "%s: roots is an empty list, so the bundle would own "
		    "nothing; leave it out to have the roots worked out",
		    where);
	if (r->count > ROOTS_MAX)
		return err_set(e, ERR_LIMIT, "%s: more than %d roots", where,
		    ROOTS_MAX);
	for (size_t i = 0; i < r->count; i++) {
		trim(r->items[i]);
		TRY(check_one(r->items[i], where, e));
	}
	roots_sort(r);
	for (size_t i = 1; i < r->count; i++) {
		if (text_path_holds(r->items[i - 1], r->items[i]))
			return err_set(e, ERR_INVALID,
			    "%s: roots \"%s\" and \"%s\" overlap; keep only "
			    "the first",
			    where, r->items[i - 1], r->items[i]);
	}
	return ERR_OK;
}

static int
compare_owners(const void *a, const void *b)
{
	const struct root_owner *x = a, *y = b;
	int order = compare(x->root, y->root);

	return order != 0 ? order : strcmp(x->owner, y->owner);
}

bool
roots_clash(struct root_owner *list, size_t count, const struct root_owner **a,
    const struct root_owner **b)
{
	const struct root_owner *outer = NULL;

	if (count > 0)
		qsort(list, count, sizeof *list, compare_owners);
	for (size_t i = 0; i < count; i++) {
		if (outer == NULL ||
		    !text_path_holds(outer->root, list[i].root)) {
			outer = &list[i];
		} else if (strcmp(outer->owner, list[i].owner) != 0) {
			*a = outer;
			*b = &list[i];
			return true;
		}
	}
	return false;
}

void
roots_describe(struct buf *out, char *const *roots, size_t count)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < count && i < SHOWN_MAX; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "",
		    roots[i][0] != '\0' ? roots[i] : "\"\"");
	if (count > SHOWN_MAX)
		buf_printf(out, ", and %zu more", count - SHOWN_MAX);
	buf_add_char(out, ']');
}
