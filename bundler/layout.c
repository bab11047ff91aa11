#include "bundler/layout.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/module.h"
#include "core/mem.h"
#include "core/order.h"

enum { PATH_TEXT_MAX = 8192, ROOTS_TEXT_MAX = 1024 };

/* A path that some part has, or that leads to one. Children are sorted: parts
 * are added in order. */
struct node {
	const char *key;
	size_t len;
	struct node *children;
	size_t count;
	const struct layout_part *data; /* data_count parts in a row */
	size_t data_count;
	const struct layout_part *package;       /* exactly here */
	const struct layout_part *package_below; /* here or below */
	const struct layout_part *data_below;    /* strictly below */
	bool root;
	bool root_below;
	bool visited;
};

/* A value that reaches a node, from a data file there or above. */
struct item {
	const struct value *value;
	const struct layout_part *part;
};

/* A member of an object that reaches a node. */
struct member {
	const char *key;
	size_t len;
	struct item item;
};

/* The way from the top, for messages. */
struct way {
	const struct way *up;
	const char *key;
	size_t len;
};

struct check {
	const struct roots *roots;
	struct err *e;
};

static enum err_code walk(struct node *n, const struct item *items,
    size_t count, bool covered, const struct way *way, struct check *c);

/* Roots, worked out */

static void
add_plain(struct roots *out, char *const *segments, size_t count)
{
	AUTO_BUF path = { 0 };

	buf_init(&path, PATH_TEXT_MAX);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(segments[i]);

		if (!root_segment_is_plain(segments[i], len))
			break;
		if (i > 0)
			buf_add_char(&path, '/');
		buf_add(&path, segments[i], len);
	}
	assert(!path.overflow);
	roots_add(out, path.data, path.len);
}

static void
add_keys(struct roots *out, const struct value *v)
{
	for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->count; i++) {
		const struct value *key = v->keys[i];

		if (root_segment_is_plain(key->text, key->text_len))
			roots_add(out, key->text, key->text_len);
		else
			roots_add(out, "", 0);
	}
}

void
layout_roots(struct roots *out, const struct layout_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (parts[i].kind == LAYOUT_DATA && parts[i].count == 0)
			add_keys(out, parts[i].value);
		else
			add_plain(out, parts[i].segments, parts[i].count);
	}
	roots_shorten(out, ROOTS_FINE_MAX);
}

/* The tree of paths */

static int
compare_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (order != 0)
		return order;
	return (a_len > b_len) - (a_len < b_len);
}

static int
compare_parts(const void *a, const void *b)
{
	const struct layout_part *x = a, *y = b;
	int order;

	for (size_t i = 0; i < x->count && i < y->count; i++) {
		order = strcmp(x->segments[i], y->segments[i]);
		if (order != 0)
			return order;
	}
	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->source, y->source);
}

static struct node *
enter(struct node *n, const char *key)
{
	struct node *last = n->count > 0 ? &n->children[n->count - 1] : NULL;

	if (last != NULL && strcmp(last->key, key) == 0)
		return last;
	if ((n->count & (n->count - 1)) == 0)
		n->children = mem_grow(n->children,
		    n->count == 0 ? 1 : n->count * 2, sizeof *n->children);
	last = &n->children[n->count++];
	*last = (struct node){ .key = key, .len = strlen(key) };
	return last;
}

static void
pass(struct node *n, const struct layout_part *part, bool end)
{
	if (part->kind == LAYOUT_ROOT)
		n->root_below = true;
	if (part->kind == LAYOUT_PACKAGE && n->package_below == NULL)
		n->package_below = part;
	if (part->kind == LAYOUT_DATA && !end && n->data_below == NULL)
		n->data_below = part;
}

static void
insert(struct node *top, const struct layout_part *part)
{
	struct node *n = top;

	for (size_t i = 0; i < part->count; i++) {
		pass(n, part, false);
		n = enter(n, part->segments[i]);
	}
	pass(n, part, true);
	if (part->kind == LAYOUT_ROOT)
		n->root = true;
	if (part->kind == LAYOUT_PACKAGE && n->package == NULL)
		n->package = part;
	if (part->kind == LAYOUT_DATA && n->data_count++ == 0)
		n->data = part;
}

static void
node_clear(struct node *n)
{
	for (size_t i = 0; i < n->count; i++)
		node_clear(&n->children[i]);
	mem_free(n->children);
}

static struct node *
child(struct node *n, const char *key, size_t len)
{
	size_t low = 0, high = n->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct node *m = &n->children[middle];
		int order = compare_text(key, len, m->key, m->len);

		if (order == 0)
			return m;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Messages */

static void
way_list(const struct way *way, struct roots *out)
{
	if (way == NULL)
		return;
	way_list(way->up, out);
	roots_add(out, way->key, way->len);
}

static char *
way_text(const struct way *way)
{
	struct roots path = { 0 };
	AUTO_BUF text = { 0 };

	way_list(way, &path);
	buf_init(&text, PATH_TEXT_MAX);
	module_path_write(&text, path.items, path.count);
	roots_clear(&path);
	return buf_steal(&text, NULL);
}

static char *
roots_text(const struct check *c)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, ROOTS_TEXT_MAX);
	roots_describe(&text, c->roots->items, c->roots->count);
	return buf_steal(&text, NULL);
}

static enum err_code
data_outside(const struct item *item, const struct way *way, struct check *c)
{
	AUTO_STR path = way_text(way);
	AUTO_STR roots = roots_text(c);

	return err_set(c->e, ERR_INVALID, "%s:%u: %s lies outside the roots %s",
	    item->part->source, item->value->line, path, roots);
}

static enum err_code
package_outside(const struct layout_part *package, struct check *c)
{
	AUTO_STR roots = roots_text(c);
	AUTO_BUF name = { 0 };

	buf_init(&name, PATH_TEXT_MAX);
	module_path_write(&name, package->segments, package->count);
	return err_set(c->e, ERR_INVALID,
	    "%s:%u: package %s lies outside the roots %s", package->source,
	    package->line, name.data, roots);
}

static enum err_code
data_in_package(const struct item *item, const struct layout_part *package,
    const struct way *way, struct check *c)
{
	AUTO_STR path = way_text(way);
	AUTO_BUF name = { 0 };

	buf_init(&name, PATH_TEXT_MAX);
	module_path_write(&name, package->segments, package->count);
	return err_set(c->e, ERR_INVALID,
	    "%s:%u: %s is data (%s), but %s:%u makes a package %s; only an "
	    "object can stand there",
	    item->part->source, item->value->line, path,
	    value_kind_name(item->value->kind), package->source, package->line,
	    name.data);
}

static enum err_code
data_twice(const struct item *item, const char *source, uint32_t line,
    const struct way *way, struct check *c)
{
	AUTO_STR path = way_text(way);

	return err_set(c->e, ERR_INVALID,
	    "%s:%u: %s is also set by %s:%u; data files merge only where they "
	    "set different keys",
	    item->part->source, item->value->line, path, source, line);
}

/* The check */

/* Something that is no object cannot share its place with anything. */
static enum err_code
check_leaf(const struct node *n, const struct item *items, size_t count,
    size_t i, bool covered, const struct way *way, struct check *c)
{
	const struct item *item = &items[i];
	const struct item *other = &items[i == 0 ? 1 : 0];

	if (!covered)
		return data_outside(item, way, c);
	if (n->package_below != NULL)
		return data_in_package(item, n->package_below, way, c);
	if (count > 1)
		return data_twice(item, other->part->source, other->value->line,
		    way, c);
	if (n->data_below != NULL)
		return data_twice(item, n->data_below->source,
		    n->data_below->value->line, way, c);
	return ERR_OK;
}

static enum err_code
check_items(const struct node *n, const struct item *items, size_t count,
    bool covered, const struct way *way, struct check *c)
{
	for (size_t i = 0; i < count; i++) {
		if (items[i].value->kind != VALUE_OBJECT)
			TRY(check_leaf(n, items, count, i, covered, way, c));
		else if (!covered && !n->root_below)
			return data_outside(&items[i], way, c);
	}
	return ERR_OK;
}

static int
compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return compare_text(x->key, x->len, y->key, y->len);
}

static struct member *
gather(const struct item *items, size_t count, size_t *total)
{
	struct member *members;
	size_t filled = 0;

	*total = 0;
	for (size_t i = 0; i < count; i++) {
		if (items[i].value->kind == VALUE_OBJECT)
			*total += items[i].value->count;
	}
	members = mem_array(*total + 1, sizeof *members);
	for (size_t i = 0; i < count; i++) {
		const struct value *v = items[i].value;

		for (size_t k = 0; v->kind == VALUE_OBJECT && k < v->count; k++)
			members[filled++] = (struct member){
				.key = v->keys[k]->text,
				.len = v->keys[k]->text_len,
				.item = { v->items[k], items[i].part },
			};
	}
	if (count > 1)
		qsort(members, filled, sizeof *members, compare_members);
	return members;
}

/* Members with one key, of all files, meet at one child. */
static enum err_code
walk_group(struct node *n, const struct member *group, size_t count,
    bool covered, const struct way *way, struct check *c)
{
	struct way step = { way, group->key, group->len };
	struct node *next = child(n, group->key, group->len);
	struct node nothing = { .key = group->key, .len = group->len };
	struct item *items;
	enum err_code code;

	if (next == NULL && covered && count == 1)
		return ERR_OK;
	if (next == NULL)
		next = &nothing;
	next->visited = true;
	items = mem_array(count, sizeof *items);
	for (size_t i = 0; i < count; i++)
		items[i] = group[i].item;
	code = walk(next, items, count, covered, &step, c);
	mem_free(items);
	return code;
}

static enum err_code
walk_members(struct node *n, const struct item *items, size_t count,
    bool covered, const struct way *way, struct check *c)
{
	size_t total, end;
	struct member *members = gather(items, count, &total);
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < total && code == ERR_OK; i = end) {
		for (end = i + 1; end < total &&
		     compare_members(&members[i], &members[end]) == 0;
		     end++)
			continue;
		code = walk_group(n, &members[i], end - i, covered, way, c);
	}
	mem_free(members);
	return code;
}

static enum err_code
walk_rest(struct node *n, bool covered, const struct way *way, struct check *c)
{
	for (size_t i = 0; i < n->count; i++) {
		struct node *next = &n->children[i];
		struct way step = { way, next->key, next->len };

		if (!next->visited)
			TRY(walk(next, NULL, 0, covered, &step, c));
	}
	return ERR_OK;
}

/* items come from above; the data files of this very place join them. */
static enum err_code
walk(struct node *n, const struct item *items, size_t count, bool covered,
    const struct way *way, struct check *c)
{
	size_t all = count + n->data_count;
	struct item *here = mem_array(all + 1, sizeof *here);
	enum err_code code;

	covered = covered || n->root;
	if (count > 0)
		memcpy(here, items, count * sizeof *here);
	for (size_t i = 0; i < n->data_count; i++)
		here[count + i] =
		    (struct item){ n->data[i].value, &n->data[i] };
	if (n->package != NULL && !covered)
		code = package_outside(n->package, c);
	else
		code = check_items(n, here, all, covered, way, c);
	if (code == ERR_OK && (all > 1 || n->count > 0 || !covered))
		code = walk_members(n, here, all, covered, way, c);
	mem_free(here);
	if (code != ERR_OK)
		return code;
	return walk_rest(n, covered, way, c);
}

/* "a/b" into segments, in one copy; an empty root has none. */
static char **
split(char *text, size_t *count)
{
	char **segments = NULL;
	char *rest = text;

	*count = 0;
	while (rest != NULL && *text != '\0') {
		segments = mem_grow(segments, *count + 1, sizeof *segments);
		segments[(*count)++] = strsep(&rest, "/");
	}
	return segments;
}

struct split_root {
	char *text;
	char **segments;
	size_t count;
};

static enum err_code
check_all(struct layout_part *all, size_t count, struct check *c)
{
	struct node top = { .key = "" };
	enum err_code code;

	order_sort(all, count, sizeof *all, compare_parts);
	for (size_t i = 0; i < count; i++)
		insert(&top, &all[i]);
	code = walk(&top, NULL, 0, false, NULL, c);
	node_clear(&top);
	return code;
}

enum err_code
layout_check(const struct layout_part *parts, size_t count,
    const struct roots *roots, struct err *e)
{
	struct check c = { .roots = roots, .e = e };
	struct split_root *split_roots =
	    mem_array(roots->count + 1, sizeof *split_roots);
	struct layout_part *all =
	    mem_array(count + roots->count + 1, sizeof *all);
	enum err_code code;

	for (size_t i = 0; i < roots->count; i++) {
		struct split_root *r = &split_roots[i];

		r->text = mem_strdup(roots->items[i]);
		r->segments = split(r->text, &r->count);
		all[i] = (struct layout_part){
			.kind = LAYOUT_ROOT,
			.segments = r->segments,
			.count = r->count,
			.source = "",
		};
	}
	if (count > 0)
		memcpy(all + roots->count, parts, count * sizeof *all);
	code = check_all(all, count + roots->count, &c);
	for (size_t i = 0; i < roots->count; i++) {
		mem_free(split_roots[i].segments);
		mem_free(split_roots[i].text);
	}
	mem_free(split_roots);
	mem_free(all);
	return code;
}
