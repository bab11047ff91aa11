#include "core/spec.h"

#include <string.h>

#include "core/mem.h"
#include "core/spec_parts.h"
#include "core/text.h"

bool
spec_is_name(const char *text)
{
	static const struct text_set allowed = { { ['a' ... 'z'] = true,
	    ['0' ... '9'] = true,
	    ['.'] = true,
	    ['_'] = true,
	    ['-'] = true } };
	size_t len = text_span(text, &allowed);

	return len > 0 && len <= SPEC_NAME_MAX && text[len] == '\0' &&
	    *text != '.' && *text != '_' && *text != '-';
}

static void
set_default(void *field, const struct spec *s)
{
	struct spec_strings *list = field;

	switch (s->kind) {
	case SPEC_STRING:
	case SPEC_NAME:
		*(char **)field = mem_strdup(s->text);
		break;
	case SPEC_BOOL:
		*(bool *)field = s->fallback != 0;
		break;
	case SPEC_INT:
	case SPEC_SIZE:
	case SPEC_SECONDS:
		*(int64_t *)field = s->fallback;
		break;
	case SPEC_ENUM:
		*(int *)field = (int)s->fallback;
		break;
	case SPEC_STRINGS:
		if (s->text == NULL)
			break;
		list->items = mem_array(1, sizeof *list->items);
		list->items[0] = mem_strdup(s->text);
		list->count = 1;
		break;
	default:
		break;
	}
}

static void
set_defaults(void *into, const struct spec *table)
{
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (s->kind == SPEC_OBJECT)
			set_defaults(spec_field(into, s), s->sub);
		else if (!spec_is_key_entry(s))
			set_default(spec_field(into, s), s);
	}
}

static const struct spec *
find_entry(const struct spec *table, const struct value *key)
{
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (!spec_is_key_entry(s) && strlen(s->key) == key->text_len &&
		    memcmp(s->key, key->text, key->text_len) == 0)
			return s;
	}
	return NULL;
}

/* Those inside an object that was left out as a whole are not asked for. */
static void
check_required(const struct spec *table, const struct value *v,
    struct spec_faults *f)
{
	for (const struct spec *s = table; s->key != NULL; s++) {
		const struct value *member;

		if (!s->required)
			continue;
		member = value_get(v, s->key);
		if (member == NULL || member->kind == VALUE_NULL)
			spec_fault(f, v, "needs the key \"%s\"", s->key);
	}
}

static void
read_members(void *into, const struct spec *table, const struct value *v,
    struct spec_faults *f)
{
	for (size_t i = 0; i < v->count; i++) {
		const struct spec *s = find_entry(table, v->keys[i]);
		size_t len;

		if (s == NULL) {
			spec_unknown_key(table, v->keys[i], f);
			continue;
		}
		if (v->items[i]->kind == VALUE_NULL && s->kind != SPEC_VALUE)
			continue;
		len = spec_path_push(f, s->key);
		if (s->kind == SPEC_OBJECT && v->items[i]->kind != VALUE_OBJECT)
			spec_fault(f, v->items[i], "must be an object, not %s",
			    value_kind_name(v->items[i]->kind));
		else if (s->kind == SPEC_OBJECT)
			read_members(spec_field(into, s), s->sub, v->items[i],
			    f);
		else
			spec_read_field(spec_field(into, s), v->items[i], s, f);
		spec_path_pop(f, len);
	}
	check_required(table, v, f);
}

void
spec_read(void *into, const struct spec *table, const struct value *v,
    struct spec_faults *faults)
{
	set_defaults(into, table);
	if (v == NULL)
		return;
	if (v->kind == VALUE_OBJECT)
		read_members(into, table, v, faults);
	else if (v->kind == VALUE_NULL)
		check_required(table, v, faults);
	else
		spec_fault(faults, v, "must be an object, not %s",
		    value_kind_name(v->kind));
}

void
spec_strings_clear(struct spec_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		mem_free(list->items[i]);
	mem_free(list->items);
	*list = (struct spec_strings){ 0 };
}

static void
clear_list(struct spec_list *list, const struct spec *s)
{
	for (size_t i = 0; i < list->count; i++)
		spec_clear((char *)list->items + i * s->size, s->sub);
	mem_free(list->items);
	*list = (struct spec_list){ 0 };
}

static void
clear_field(void *field, const struct spec *s)
{
	switch (s->kind) {
	case SPEC_STRING:
	case SPEC_NAME:
		mem_free(STEAL(*(char **)field));
		break;
	case SPEC_BOOL:
		*(bool *)field = false;
		break;
	case SPEC_INT:
	case SPEC_SIZE:
	case SPEC_SECONDS:
		*(int64_t *)field = 0;
		break;
	case SPEC_ENUM:
		*(int *)field = 0;
		break;
	case SPEC_STRINGS:
		spec_strings_clear(field);
		break;
	case SPEC_LIST:
	case SPEC_MAP:
		clear_list(field, s);
		break;
	case SPEC_VALUE:
		*(const struct value **)field = NULL;
		break;
	case SPEC_CUSTOM:
		if (s->clear != NULL)
			s->clear(field);
		break;
	case SPEC_OBJECT:
		spec_clear(field, s->sub);
		break;
	}
}

void
spec_clear(void *from, const struct spec *table)
{
	for (const struct spec *s = table; s->key != NULL; s++)
		clear_field(spec_field(from, s), s);
}
