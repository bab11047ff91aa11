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

enum err_code
data_read(struct document **out, enum data_kind kind, const char *name,
    const char *text, size_t len, bool top, struct err *e)
{
	AUTO(document, d) = NULL;
	const struct value *root;

	if (kind == DATA_JSON)
		TRY(canon_read(&d, name, text, len, e));
	else
		TRY(yaml_read(&d, name, text, len, e));
	root = document_root(d);
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
	*out = STEAL(d);
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
