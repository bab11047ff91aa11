#include "core/spec.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { FAULTS_TEXT_MAX = 64 * 1024 };

void
spec_faults_init(struct spec_faults *f, const char *name)
{
	*f = (struct spec_faults){ .name = name };
	buf_init(&f->text, FAULTS_TEXT_MAX);
}

void
spec_faults_clear(struct spec_faults *f)
{
	buf_clear(&f->text);
}

/* Keys and values come from outside: no line breaks, no terminal's controls. */
static void
add_clean(struct buf *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		buf_add_char(out,
		    (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
}

void
spec_fault(struct spec_faults *f, const struct value *at, const char *fmt, ...)
{
	AUTO_STR what = NULL;
	va_list ap;

	if (f->count++ >= SPEC_FAULTS_MAX)
		return;
	va_start(ap, fmt);
	what = mem_vprintf(fmt, ap);
	va_end(ap);
	if (f->text.len > 0)
		buf_add_char(&f->text, '\n');
	buf_add_str(&f->text, f->name);
	if (at != NULL && at->line > 0)
		buf_printf(&f->text, ":%" PRIu32 ":%" PRIu32, at->line,
		    at->column);
	if (f->path[0] != '\0') {
		buf_add_str(&f->text, ": ");
		add_clean(&f->text, f->path);
	}
	buf_add_str(&f->text, ": ");
	add_clean(&f->text, what);
}

enum err_code
spec_verdict(const struct spec_faults *f, struct err *e)
{
	/* Room for the last line, which counts what is not shown. */
	const size_t room = ERR_TEXT_MAX - 64;
	const char *text = f->text.data;
	size_t len = f->text.len;
	size_t shown = 0;
	size_t end = 0;

	if (f->count == 0)
		return ERR_OK;
	while (end < len) {
		const char *next = memchr(text + end, '\n', len - end);
		size_t stop = next != NULL ? (size_t)(next - text) : len;

		if (stop > room && shown > 0)
			break;
		end = stop < len ? stop + 1 : len;
		shown++;
	}
	while (end > 0 && text[end - 1] == '\n')
		end--;
	if (end > room)
		end = room;
	if (shown == f->count)
		return err_set(e, ERR_INVALID, "%.*s", (int)end, text);
	return err_set(e, ERR_INVALID, "%.*s\nand %zu more", (int)end, text,
	    f->count - shown);
}

/* Lengthens the path by a name; path_pop takes the length back. What does not
 * fit is left away: line and column stay right. */
static size_t
path_push(struct spec_faults *f, const char *name)
{
	size_t len = strlen(f->path);

	(void)snprintf(f->path + len, sizeof f->path - len, "%s%s",
	    len > 0 && *name != '[' ? "." : "", name);
	return len;
}

static size_t
path_push_index(struct spec_faults *f, size_t index)
{
	char name[32];

	(void)snprintf(name, sizeof name, "[%zu]", index);
	return path_push(f, name);
}

static void
path_pop(struct spec_faults *f, size_t len)
{
	f->path[len] = '\0';
}

bool
spec_is_name(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strspn(text, allowed);

	return len > 0 && len <= SPEC_NAME_MAX && text[len] == '\0' &&
	    strchr("._-", *text) == NULL;
}

/* The place of one member in the struct. */
static void *
field_of(void *into, const struct spec *s)
{
	return (char *)into + s->offset;
}

static int64_t
items_max(const struct spec *s)
{
	return s->max > 0 ? s->max : SPEC_ITEMS_MAX;
}

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = {
	{ "GiB", 1 << 30 },
	{ "MiB", 1 << 20 },
	{ "KiB", 1 << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct unit second_units[] = {
	{ "h", 3600 },
	{ "m", 60 },
	{ "s", 1 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units_of(enum spec_kind kind)
{
	if (kind == SPEC_SIZE)
		return size_units;
	return kind == SPEC_SECONDS ? second_units : no_units;
}

/* "16KiB": the largest unit that divides it. */
static void
amount_text(char out[32], enum spec_kind kind, int64_t amount)
{
	const struct unit *u = units_of(kind);

	while (u->factor > 1 && (amount == 0 || amount % u->factor != 0))
		u++;
	if (kind == SPEC_SECONDS && u->factor == 1)
		(void)snprintf(out, 32, "%" PRId64 "s", amount);
	else
		(void)snprintf(out, 32, "%" PRId64 "%s", amount / u->factor,
		    u->name);
}

static bool
read_digits(int64_t *out, const char **p)
{
	const char *start = *p;
	int64_t sum = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++) {
		if (__builtin_mul_overflow(sum, (int64_t)10, &sum) ||
		    __builtin_add_overflow(sum, (int64_t)(**p - '0'), &sum))
			return false;
	}
	*out = sum;
	return *p > start;
}

/* Digits and a unit. */
static bool
parse_amount(int64_t *out, const char *text, enum spec_kind kind)
{
	bool negative = *text == '-' && kind == SPEC_INT;
	const char *p = negative ? text + 1 : text;
	const struct unit *u = units_of(kind);

	if (!read_digits(out, &p))
		return false;
	if (negative)
		*out = -*out;
	while (u->name != NULL && strcmp(u->name, p) != 0)
		u++;
	return u->name != NULL && !__builtin_mul_overflow(*out, u->factor, out);
}

static bool
has_range(const struct spec *s)
{
	return s->min != 0 || s->max != 0;
}

/* What a number may be, for messages and the reference: "1s to 1h". */
static void
range_text(char out[80], const struct spec *s)
{
	char low[32];
	char high[32];

	amount_text(low, s->kind, s->min);
	amount_text(high, s->kind, s->max);
	(void)snprintf(out, 80, "%s to %s", low, high);
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
	char range[80];
	int64_t amount;

	if (v->kind != VALUE_NUMBER &&
	    (v->kind != VALUE_STRING || s->kind == SPEC_INT)) {
		spec_fault(f, v, "must be %s, not %s", examples[s->kind],
		    value_kind_name(v->kind));
		return;
	}
	if (strlen(v->text) != v->text_len ||
	    !parse_amount(&amount, v->text, s->kind)) {
		spec_fault(f, v, "must be %s, not %s", examples[s->kind],
		    v->kind == VALUE_NUMBER
			? v->text
			: value_quote(quoted, v->text, v->text_len));
		return;
	}
	assert(s->max >= s->min);
	if (has_range(s) && (amount < s->min || amount > s->max)) {
		range_text(range, s);
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
list_choices(struct buf *out, const char *const *choices, const char *quote)
{
	for (size_t i = 0; choices[i] != NULL; i++) {
		if (i > 0)
			buf_add_str(out,
			    choices[i + 1] != NULL ? ", " : " or ");
		buf_printf(out, "%s%s%s", quote, choices[i], quote);
	}
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
	list_choices(&list, s->choices, "");
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
strings_clear(struct spec_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		mem_free(list->items[i]);
	mem_free(list->items);
	*list = (struct spec_strings){ 0 };
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
	strings_clear(field);
	field->items = mem_array(count, sizeof *field->items);
	for (size_t i = 0; i < count; i++) {
		const struct value *one = single ? v : v->items[i];
		char **to = &field->items[field->count];
		size_t len = strlen(f->path);

		if (!single)
			(void)path_push_index(f, i);
		read_string(to, one, &item, f);
		if (*to != NULL)
			field->count++;
		path_pop(f, len);
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
		size_t len = path_push_index(f, i);

		spec_read((char *)field->items + i * s->size, s->sub,
		    v->items[i], f);
		path_pop(f, len);
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
			read_name(field_of(item, key), v->keys[i], f);
		else
			read_string(field_of(item, key), v->keys[i], key, f);
		len = path_push(f, v->keys[i]->text);
		spec_read(item, s->sub, v->items[i], f);
		path_pop(f, len);
	}
}

static void
read_field(void *field, const struct value *v, const struct spec *s,
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

static bool
is_key_entry(const struct spec *s)
{
	return s->key[0] == '\0';
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

/* How many changes, insertions, removals and swaps of neighbours make one of
 * the other; - and _ count as one. */
static size_t
distance(const char *a, const char *b)
{
	enum { LONGEST = 64 };
	size_t rows[3][LONGEST + 1];
	size_t la = strlen(a);
	size_t lb = strlen(b);

	if (la > LONGEST || lb > LONGEST)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3];
		const size_t *up = rows[(i + 2) % 3];
		const size_t *two_up = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			char x = a[i - 1] == '-' ? '_' : a[i - 1];
			size_t best = up[j - 1] + (x != b[j - 1]);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && two_up[j - 2] + 1 < best)
				best = two_up[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[la % 3][lb];
}

static const char *
closest_key(const struct spec *table, const char *wrong)
{
	const char *closest = NULL;
	size_t least = strlen(wrong) / 3 + 1;

	for (const struct spec *s = table; s->key != NULL; s++) {
		size_t d = distance(wrong, s->key);

		if (is_key_entry(s) || d > least)
			continue;
		if (d < least || closest == NULL)
			closest = s->key;
		least = d;
	}
	return closest;
}

static void
unknown_key(const struct spec *table, const struct value *key,
    struct spec_faults *f)
{
	const char *closest = closest_key(table, key->text);
	char quoted[VALUE_QUOTE_SIZE];
	AUTO_BUF list = { 0 };

	value_quote(quoted, key->text, key->text_len);
	if (closest != NULL) {
		spec_fault(f, key, "unknown key %s, did you mean \"%s\"?",
		    quoted, closest);
		return;
	}
	buf_init(&list, 4096);
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (is_key_entry(s))
			continue;
		buf_printf(&list, "%s%s", list.len > 0 ? ", " : "", s->key);
	}
	spec_fault(f, key, "unknown key %s; there are: %s", quoted, list.data);
}

static const struct spec *
find_entry(const struct spec *table, const struct value *key)
{
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (!is_key_entry(s) && strlen(s->key) == key->text_len &&
		    memcmp(s->key, key->text, key->text_len) == 0)
			return s;
	}
	return NULL;
}

static void
set_defaults(void *into, const struct spec *table)
{
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (s->kind == SPEC_OBJECT)
			set_defaults(field_of(into, s), s->sub);
		else if (!is_key_entry(s))
			set_default(field_of(into, s), s);
	}
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
			unknown_key(table, v->keys[i], f);
			continue;
		}
		if (v->items[i]->kind == VALUE_NULL && s->kind != SPEC_VALUE)
			continue;
		len = path_push(f, s->key);
		if (s->kind == SPEC_OBJECT && v->items[i]->kind != VALUE_OBJECT)
			spec_fault(f, v->items[i], "must be an object, not %s",
			    value_kind_name(v->items[i]->kind));
		else if (s->kind == SPEC_OBJECT)
			read_members(field_of(into, s), s->sub, v->items[i], f);
		else
			read_field(field_of(into, s), v->items[i], s, f);
		path_pop(f, len);
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
		strings_clear(field);
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
		clear_field(field_of(from, s), s);
}

static const char *
kind_text(enum spec_kind kind)
{
	static const char *const texts[] = {
		[SPEC_STRING] = "string",
		[SPEC_NAME] = "name",
		[SPEC_BOOL] = "true or false",
		[SPEC_INT] = "number",
		[SPEC_SIZE] = "size",
		[SPEC_SECONDS] = "time",
		[SPEC_ENUM] = "",
		[SPEC_STRINGS] = "strings",
		[SPEC_OBJECT] = "object",
		[SPEC_LIST] = "list of objects",
		[SPEC_MAP] = "objects by name",
		[SPEC_VALUE] = "anything",
		[SPEC_CUSTOM] = "see there",
	};

	return texts[kind];
}

static void
describe_kind(struct buf *out, const struct spec *s)
{
	char range[80];

	buf_add_str(out, kind_text(s->kind));
	if (s->kind == SPEC_ENUM) {
		list_choices(out, s->choices, "`");
	} else if ((s->kind == SPEC_INT || s->kind == SPEC_SIZE ||
		       s->kind == SPEC_SECONDS) &&
	    has_range(s)) {
		range_text(range, s);
		buf_printf(out, ", %s", range);
	}
}

static void
describe_default(struct buf *out, const struct spec *s)
{
	char text[32];

	if (s->required) {
		buf_add_str(out, "required");
		return;
	}
	switch (s->kind) {
	case SPEC_BOOL:
		buf_add_str(out, s->fallback != 0 ? "`true`" : "`false`");
		break;
	case SPEC_INT:
	case SPEC_SIZE:
	case SPEC_SECONDS:
		/* A fallback outside stands for "not given". */
		if (has_range(s) &&
		    (s->fallback < s->min || s->fallback > s->max))
			break;
		amount_text(text, s->kind, s->fallback);
		buf_printf(out, "`%s`", text);
		break;
	case SPEC_ENUM:
		if (s->fallback >= 0)
			buf_printf(out, "`%s`", s->choices[s->fallback]);
		break;
	default:
		if (s->text != NULL)
			buf_printf(out, "`%s`", s->text);
		break;
	}
}

/* A bar would end the table's cell. */
static void
describe_help(struct buf *out, const char *help)
{
	for (const char *p = help != NULL ? help : ""; *p != '\0'; p++) {
		if (*p == '|')
			buf_add_char(out, '\\');
		buf_add_char(out, *p);
	}
}

/* How the title of a sub-table goes on behind the key. */
static const char *
below_text(enum spec_kind kind)
{
	if (kind == SPEC_LIST)
		return "[]";
	return kind == SPEC_MAP ? ".NAME" : "";
}

void
spec_describe(struct buf *out, const struct spec *table, const char *title)
{
	buf_printf(out, "### %s\n\n", title);
	buf_add_str(out,
	    "| key | what | default | meaning |\n"
	    "|---|---|---|---|\n");
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (is_key_entry(s))
			continue;
		buf_printf(out, "| `%s` | ", s->key);
		describe_kind(out, s);
		buf_add_str(out, " | ");
		describe_default(out, s);
		buf_add_str(out, " | ");
		describe_help(out, s->help);
		buf_add_str(out, " |\n");
	}
	for (const struct spec *s = table; s->key != NULL; s++) {
		AUTO_STR sub = NULL;

		if (s->sub == NULL)
			continue;
		sub = mem_printf("%s.%s%s", title, s->key, below_text(s->kind));
		buf_add_char(out, '\n');
		spec_describe(out, s->sub, sub);
	}
}
