#include "bundler/data.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/canon.h"
#include "core/mem.h"
#include "core/yaml.h"

struct member {
	const struct value *key;
	const struct value *value;
};

enum data_kind
data_kind_of(const char *base)
{
	if (strcmp(base, "data.json") == 0)
		return DATA_JSON;
	if (strcmp(base, "data.yaml") == 0 || strcmp(base, "data.yml") == 0)
		return DATA_YAML;
	return DATA_NONE;
}

/* Each but the first comes behind one of four characters. */
static size_t
count_json(const char *text, size_t len)
{
	size_t count = 1;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			quoted = !quoted;
		else if (quoted)
			i += text[i] == '\\';
		else if (text[i] == ',' || text[i] == ':' || text[i] == '[' ||
		    text[i] == '{')
			count++;
	}
	return count;
}

size_t
data_count_values(enum data_kind kind, const char *text, size_t len)
{
	/* In YAML a value may be a character and what parts it from the next;
	 * aliases are the value that they name. */
	return kind == DATA_JSON ? count_json(text, len) : len / 2 + 1;
}

enum err_code
data_check_pointer(const char *name, const char *text, size_t len,
    struct err *e)
{
	static const char mark[] = "version https://git-lfs.github.com/spec/";

	if (len < sizeof mark - 1 || memcmp(text, mark, sizeof mark - 1) != 0)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "%s: is a Git LFS pointer, not its content; keep policies and data "
	    "in Git itself (git lfs migrate export)",
	    name);
}

/* Go wrote these two as \u0008 and \u000c before 1.22 and as \b and \f since,
 * and engines hash what it writes (OPA's v1/bundle/hash.go): so an engine built
 * with the other one would call a good signature bad. */
static enum err_code
check_text(const struct value *v, const char *name, struct err *e)
{
	if (memchr(v->text, '\b', v->text_len) == NULL &&
	    memchr(v->text, '\f', v->text_len) == NULL)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "%s:%u:%u: a backspace or a form feed (\\b, \\f) in a text: engines "
	    "do not agree on its digest; leave it out",
	    name, v->line, v->column);
}

enum err_code
data_check_texts(const struct value *v, const char *name, struct err *e)
{
	if (v->kind == VALUE_STRING)
		return check_text(v, name, e);
	if (v->kind != VALUE_ARRAY && v->kind != VALUE_OBJECT)
		return ERR_OK;
	for (size_t i = 0; i < v->count; i++) {
		if (v->kind == VALUE_OBJECT)
			TRY(check_text(v->keys[i], name, e));
		TRY(data_check_texts(v->items[i], name, e));
	}
	return ERR_OK;
}

enum err_code
data_read(struct document **out, enum data_kind kind, const char *name,
    const char *text, size_t len, struct err *e)
{
	AUTO(document, d) = NULL;

	TRY(data_check_pointer(name, text, len, e));
	if (kind == DATA_JSON)
		TRY(canon_read(&d, name, text, len, e));
	else
		TRY(yaml_read(&d, name, text, len, e));
	/* JSON has no other way to write them than an escape. */
	if (kind != DATA_JSON || memchr(text, '\\', len) != NULL)
		TRY(data_check_texts(document_root(d), name, e));
	*out = STEAL(d);
	return ERR_OK;
}

enum err_code
data_check(const struct document *d, const char *name, bool top, struct err *e)
{
	const struct value *root = document_root(d);

	if (top && root->kind != VALUE_OBJECT)
		return err_set(e, ERR_INVALID,
		    "%s:%u: data at the root of a bundle has to be an object, "
		    "not %s",
		    name, root->line, value_kind_name(root->kind));
	/* One of OPA's two readers drops it, the other keeps it. */
	if (root->kind == VALUE_NULL)
		return err_set(e, ERR_INVALID,
		    "%s: nothing but null, which engines read differently; "
		    "remove the file or write {}",
		    name);
	return ERR_OK;
}

int
data_compare_keys(const struct value *a, const struct value *b)
{
	size_t len = a->text_len < b->text_len ? a->text_len : b->text_len;
	int order = memcmp(a->text, b->text, len);

	if (order != 0)
		return order;
	return (a->text_len > b->text_len) - (a->text_len < b->text_len);
}

static int
compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return data_compare_keys(x->key, y->key);
}

static struct member *
gather(const struct value *const *values, size_t count, size_t *total)
{
	struct member *members;
	size_t filled = 0;

	*total = 0;
	for (size_t i = 0; i < count; i++) {
		assert(values[i]->kind == VALUE_OBJECT);
		*total += values[i]->count;
	}
	members = mem_array(*total + 1, sizeof *members);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < values[i]->count; k++)
			members[filled++] = (struct member){ values[i]->keys[k],
				values[i]->items[k] };
	}
	qsort(members, filled, sizeof *members, compare_members);
	return members;
}

static void
write_group(struct buf *out, const struct member *group, size_t count)
{
	const struct value **values = mem_array(count, sizeof *values);

	for (size_t i = 0; i < count; i++)
		values[i] = group[i].value;
	canon_write_string(out, group->key->text, group->key->text_len);
	buf_add_char(out, ':');
	data_write(out, values, count);
	mem_free(values);
}

void
data_write(struct buf *out, const struct value *const *values, size_t count)
{
	struct member *members;
	size_t total, end;

	if (count == 1) {
		canon_write(out, values[0]);
		return;
	}
	members = gather(values, count, &total);
	buf_add_char(out, '{');
	for (size_t i = 0; i < total; i = end) {
		for (end = i + 1; end < total &&
		     compare_members(&members[i], &members[end]) == 0;
		     end++)
			continue;
		if (i > 0)
			buf_add_char(out, ',');
		write_group(out, &members[i], end - i);
	}
	buf_add_char(out, '}');
	mem_free(members);
}
