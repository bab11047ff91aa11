#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "core/mem.h"
#include "core/spec_parts.h"

static int64_t
items_max(const struct spec *s)
{
	return s->max > 0 ? s->max : SPEC_ITEMS_MAX;
}

static void
read_amount(void *field, const struct value *v, const struct spec *s,
    struct spec_faults *f)
{
	static const char *const examples[] = {
		[SPEC_INT] = "a whole number",
		[SPEC_SIZE] = "a size such as 4096, 16KiB, 512MiB or 1GiB",
		[SPEC_SECONDS] = "a time such as 90s, 2m or 1h",
	};
	char quoted[VALUE_QUOTE_SIZE];
	char range[SPEC_RANGE_SIZE];
	int64_t amount;

	if (v->kind != VALUE_NUMBER &&
	    (v->kind != VALUE_STRING || s->kind == SPEC_INT)) {
		spec_fault(f, v, "must be %s, not %s", examples[s->kind],
		    value_kind_name(v->kind));
		return;
	}
	if (strlen(v->text) != v->text_len ||
	    !spec_amount_read(&amount, v->text, s->kind)) {
		spec_fault(f, v, "must be %s, not %s", examples[s->kind],
		    v->kind == VALUE_NUMBER
			? v->text
			: value_quote(quoted, v->text, v->text_len));
		return;
	}
	assert(s->max >= s->min);
	if (spec_has_range(s) && (amount < s->min || amount > s->max)) {
		spec_range_text(range, s);
		spec_fault(f, v, "must be %s, not %s", range, v->text);
		return;
	}
	*(int64_t *)field = amount;
}

/* A string without NUL, or a fault that says how to write one. */
static bool
check_string(const struct value *v, struct spec_faults *f)
{
	if (v->kind == VALUE_NUMBER || v->kind == VALUE_BOOL) {
		spec_fault(f, v, "must be a string, not %s; put it in quotes",
		    value_kind_name(v->kind));
		return false;
	}
	if (v->kind != VALUE_STRING) {
		spec_fault(f, v, "must be a string, not %s",
		    value_kind_name(v->kind));
		return false;
	}
	if (strlen(v->text) != v->text_len) {
		spec_fault(f, v, "must not contain a NUL");
		return false;
	}
	return true;
}

static void
read_string(char **field, const struct value *v, const struct spec *s,
    struct spec_faults *f)
{
	size_t min = s->min > 0 ? (size_t)s->min : 0;
	size_t max = s->max > 0 ? (size_t)s->max : SPEC_TEXT_MAX;

	if (!check_string(v, f))
		return;
	if (v->text_len < min && v->text_len == 0) {
		spec_fault(f, v, "must not be empty");
		return;
	}
	if (v->text_len < min || v->text_len > max) {
		spec_fault(f, v, "must have %zu to %zu bytes, not %zu", min,
		    max, v->text_len);
		return;
	}
	mem_free(*field);
	*field = mem_strdup(v->text);
}

static void
read_name(char **field, const struct value *v, struct spec_faults *f)
{
	char quoted[VALUE_QUOTE_SIZE];

	if (!check_string(v, f))
		return;
	if (!spec_is_name(v->text)) {
		spec_fault(f, v,
		    "%s is no name: up to %d of a-z 0-9 . _ -, the first a "
		    "letter or a digit",
		    value_quote(quoted, v->text, v->text_len),
		    (int)SPEC_NAME_MAX);
		return;
	}
	mem_free(*field);
	*field = mem_strdup(v->text);
}

static void
read_bool(bool *field, const struct value *v, struct spec_faults *f)
{
	if (v->kind == VALUE_BOOL)
		*field = v->truth;
	else
		spec_fault(f, v, "must be true or false, not %s",
		    value_kind_name(v->kind));
}

static void
read_enum(int *field, const struct value *v, const struct spec *s,
    struct spec_faults *f)
{
	char quoted[VALUE_QUOTE_SIZE];
	AUTO_BUF list = { 0 };

	buf_init(&list, 4096);
	if (v->kind == VALUE_STRING) {
		for (int i = 0; s->choices[i] != NULL; i++) {
			if (strcmp(s->choices[i], v->text) != 0)
				continue;
			*field = i;
			return;
		}
	}
	spec_list_choices(&list, s->choices, "");
	if (v->kind == VALUE_STRING)
		spec_fault(f, v, "must be %s, not %s", list.data,
		    value_quote(quoted, v->text, v->text_len));
	else
		spec_fault(f, v, "must be %s, not %s", list.data,
		    value_kind_name(v->kind));
}

/* Do that many items fit? */
static bool
check_count(const struct value *v, const struct spec *s, struct spec_faults *f)
{
	if (v->count > (size_t)items_max(s)) {
		spec_fault(f, v, "has %zu items, more than %" PRId64, v->count,
		    items_max(s));
		return false;
	}
	if (s->min > 0 && v->count < (size_t)s->min) {
		spec_fault(f, v, "has %zu items, fewer than %" PRId64, v->count,
		    s->min);
		return false;
	}
	return true;
}

static void
read_strings(struct spec_strings *field, const struct value *v,
    const struct spec *s, struct spec_faults *f)
{
	static const struct spec item = { .kind = SPEC_STRING };
	bool single = v->kind == VALUE_STRING;
	size_t count = single ? 1 : v->count;

	if (!single && v->kind != VALUE_ARRAY) {
		spec_fault(f, v, "must be a list of strings, not %s%s",
		    value_kind_name(v->kind),
		    v->kind == VALUE_OBJECT ? "" : "; put it in quotes");
		return;
	}
	if (!single && !check_count(v, s, f))
		return;
	spec_strings_clear(field);
	field->items = mem_array(count, sizeof *field->items);
	for (size_t i = 0; i < count; i++) {
		const struct value *one = single ? v : v->items[i];
		char **to = &field->items[field->count];
		size_t len = strlen(f->path);

		if (!single)
			(void)spec_path_push_index(f, i);
		read_string(to, one, &item, f);
		if (*to != NULL)
			field->count++;
		spec_path_pop(f, len);
	}
}

static void
read_list(struct spec_list *field, const struct value *v, const struct spec *s,
    struct spec_faults *f)
{
	if (v->kind != VALUE_ARRAY) {
		spec_fault(f, v, "must be a list, not %s",
		    value_kind_name(v->kind));
		return;
	}
	if (!check_count(v, s, f))
		return;
	field->items = mem_array(v->count, s->size);
	field->count = v->count;
	for (size_t i = 0; i < v->count; i++) {
		size_t len = spec_path_push_index(f, i);

		spec_read((char *)field->items + i * s->size, s->sub,
		    v->items[i], f);
		spec_path_pop(f, len);
	}
}

static void
read_map(struct spec_list *field, const struct value *v, const struct spec *s,
    struct spec_faults *f)
{
	const struct spec *key = s->sub;

	assert(key->key != NULL && key->key[0] == '\0');
	if (v->kind != VALUE_OBJECT) {
		spec_fault(f, v, "must be an object of names, not %s",
		    value_kind_name(v->kind));
		return;
	}
	if (!check_count(v, s, f))
		return;
	field->items = mem_array(v->count, s->size);
	field->count = v->count;
	for (size_t i = 0; i < v->count; i++) {
		char *item = (char *)field->items + i * s->size;
		size_t len;

		if (key->kind == SPEC_NAME)
			read_name(spec_field(item, key), v->keys[i], f);
		else
			read_string(spec_field(item, key), v->keys[i], key, f);
		len = spec_path_push(f, v->keys[i]->text);
		spec_read(item, s->sub, v->items[i], f);
		spec_path_pop(f, len);
	}
}

void
spec_read_field(void *field, const struct value *v, const struct spec *s,
    struct spec_faults *f)
{
	switch (s->kind) {
	case SPEC_STRING:
		read_string(field, v, s, f);
		break;
	case SPEC_NAME:
		read_name(field, v, f);
		break;
	case SPEC_BOOL:
		read_bool(field, v, f);
		break;
	case SPEC_INT:
	case SPEC_SIZE:
	case SPEC_SECONDS:
		read_amount(field, v, s, f);
		break;
	case SPEC_ENUM:
		read_enum(field, v, s, f);
		break;
	case SPEC_STRINGS:
		read_strings(field, v, s, f);
		break;
	case SPEC_LIST:
		read_list(field, v, s, f);
		break;
	case SPEC_MAP:
		read_map(field, v, s, f);
		break;
	case SPEC_VALUE:
		*(const struct value **)field = v;
		break;
	case SPEC_CUSTOM:
		s->read(field, v, s, f);
		break;
	case SPEC_OBJECT:
		spec_read(field, s->sub, v, f);
		break;
	}
}
