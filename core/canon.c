#include "core/canon.h"

#include <string.h>

#include "core/escape.h"
#include "core/mem.h"
#include "core/utf8.h"

/* An array or object that is still open. */
struct frame {
	struct value *v;
	size_t base; /* where its values begin in the reader's list */
};

struct canon_reader {
	const char *name;
	const char *pos;
	const char *end;
	const char *line_start;
	uint32_t line;
	size_t value_count;
	struct document *document;
	/* Values of open arrays, keys and values in turn of open objects. */
	struct value **list;
	size_t list_count, list_cap;
	struct frame *frames;
	size_t depth, frame_cap;
	uint32_t *order; /* scratch for the search for duplicate keys */
	size_t order_cap;
	struct buf text; /* of a string with escapes */
	struct err *e;
};

static void
reader_clear(struct canon_reader *r)
{
	document_free(r->document);
	mem_free(r->list);
	mem_free(r->frames);
	mem_free(r->order);
	buf_clear(&r->text);
}

static uint32_t
column_of(const struct canon_reader *r, const char *at)
{
	return (uint32_t)(at - r->line_start) + 1;
}

/* An error at a place on the current line. */
static enum err_code
fault(const struct canon_reader *r, enum err_code code, const char *at,
    const char *what)
{
	return err_set(r->e, code, "%s:%u:%u: %s", r->name, r->line,
	    column_of(r, at), what);
}

/* What stands here, where something else had to. */
static enum err_code
unexpected(const struct canon_reader *r, const char *wanted)
{
	char quoted[VALUE_QUOTE_SIZE];
	size_t size;

	if (r->pos == r->end)
		return err_set(r->e, ERR_INVALID,
		    "%s:%u:%u: the text ends where %s was expected", r->name,
		    r->line, column_of(r, r->pos), wanted);
	size = utf8_size(r->pos, (size_t)(r->end - r->pos));
	return err_set(r->e, ERR_INVALID, "%s:%u:%u: %s was expected, not %s",
	    r->name, r->line, column_of(r, r->pos), wanted,
	    value_quote(quoted, r->pos, size > 0 ? size : 1));
}

static void
skip_space(struct canon_reader *r)
{
	for (; r->pos < r->end; r->pos++) {
		switch (*r->pos) {
		case '\n':
			r->line++;
			r->line_start = r->pos + 1;
			break;
		case ' ':
		case '\t':
		case '\r':
			break;
		default:
			return;
		}
	}
}

static enum err_code
new_value(struct canon_reader *r, struct value **out, enum value_kind kind)
{
	if (r->value_count++ == CANON_VALUES_MAX)
		return err_set(r->e, ERR_LIMIT,
		    "%s:%u:%u: more than %d values in one text", r->name,
		    r->line, column_of(r, r->pos), (int)CANON_VALUES_MAX);
	*out = document_value(r->document, kind, r->line, column_of(r, r->pos));
	return ERR_OK;
}

static bool
is_digit(const struct canon_reader *r, const char *p)
{
	return p < r->end && *p >= '0' && *p <= '9';
}

/* Skips digits; NULL when there is none. */
static const char *
digits(const struct canon_reader *r, const char *p)
{
	if (!is_digit(r, p))
		return NULL;
	while (is_digit(r, p))
		p++;
	return p;
}

/* The end of the number at pos by RFC 8259 section 6, or NULL with *bad at
 * the byte where a digit is missing. */
static const char *
number_end(const struct canon_reader *r, const char **bad)
{
	const char *p = r->pos;

	if (*p == '-')
		p++;
	*bad = p;
	if (p < r->end && *p == '0')
		p++;
	else if ((p = digits(r, p)) == NULL)
		return NULL;
	if (p < r->end && *p == '.') {
		*bad = p + 1;
		if ((p = digits(r, p + 1)) == NULL)
			return NULL;
	}
	if (p < r->end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < r->end && (*p == '+' || *p == '-'))
			p++;
		*bad = p;
		p = digits(r, p);
	}
	return p;
}

static enum err_code
read_number(struct canon_reader *r, struct value **out)
{
	const char *bad;
	const char *end = number_end(r, &bad);
	size_t len;

	if (end == NULL) {
		r->pos = bad;
		return unexpected(r, "a digit");
	}
	if (is_digit(r, end))
		return fault(r, ERR_INVALID, r->pos,
		    "a number does not begin with a superfluous 0");
	len = (size_t)(end - r->pos);
	if (len > CANON_NUMBER_MAX)
		return err_set(r->e, ERR_LIMIT,
		    "%s:%u:%u: a number longer than %d bytes", r->name, r->line,
		    column_of(r, r->pos), (int)CANON_NUMBER_MAX);
	TRY(new_value(r, out, VALUE_NUMBER));
	document_text(r->document, *out, r->pos, len);
	r->pos = end;
	return ERR_OK;
}

/* p is at the backslash. OPA turns half a surrogate pair into U+FFFD, which is
 * a loss, so it is refused. */
static enum err_code
read_escape(struct canon_reader *r, const char **p)
{
	char s[UTF8_CHARACTER_MAX];
	uint32_t c = 0;
	size_t size = escape_read(&c, *p, (size_t)(r->end - *p));

	if (size == 0 && r->end - *p >= 2 && (*p)[1] == 'u')
		return fault(r, ERR_INVALID, *p,
		    "\\u needs four hexadecimal digits");
	if (size == 0)
		return fault(r, ERR_INVALID, *p,
		    "unknown escape; JSON has \\\" \\\\ \\/ \\b \\f \\n \\r "
		    "\\t \\uXXXX");
	if (escape_is_half(c))
		return fault(r, ERR_INVALID, *p,
		    "half of a surrogate pair stands alone");
	buf_add(&r->text, s, utf8_put(s, c));
	*p += size;
	return ERR_OK;
}

/* Skips what stands for itself in a string. Stops at the end of the text, a
 * quote, a backslash, or at something that is not allowed. */
static const char *
skip_plain(const struct canon_reader *r, const char *p)
{
	while (p < r->end) {
		unsigned char c = (unsigned char)*p;
		size_t size;

		if (c == '"' || c == '\\' || c < 0x20)
			return p;
		if (c < 0x80) {
			p++;
			continue;
		}
		size = utf8_size(p, (size_t)(r->end - p));
		if (size == 0)
			return p;
		p += size;
	}
	return p;
}

static enum err_code
bad_string_byte(const struct canon_reader *r, const char *p)
{
	if (p == r->end)
		return fault(r, ERR_INVALID, r->pos,
		    "this string is never closed");
	if ((unsigned char)*p >= 0x80)
		return fault(r, ERR_INVALID, p, "not valid UTF-8");
	return fault(r, ERR_INVALID, p,
	    "control characters and line breaks in strings are written as "
	    "escapes (\\n)");
}

/* pos is at the opening quote. */
static enum err_code
read_string(struct canon_reader *r, struct value **out)
{
	const char *start = r->pos + 1;
	const char *p = skip_plain(r, start);

	TRY(new_value(r, out, VALUE_STRING));
	buf_reset(&r->text);
	while (p < r->end && *p == '\\') {
		buf_add(&r->text, start, (size_t)(p - start));
		TRY(read_escape(r, &p));
		start = p;
		p = skip_plain(r, p);
	}
	if (p == r->end || *p != '"')
		return bad_string_byte(r, p);
	if (r->text.len == 0) {
		document_text(r->document, *out, start, (size_t)(p - start));
	} else {
		buf_add(&r->text, start, (size_t)(p - start));
		document_text(r->document, *out, r->text.data, r->text.len);
	}
	r->pos = p + 1;
	return ERR_OK;
}

static enum err_code
read_word(struct canon_reader *r, struct value **out)
{
	static const struct {
		const char *word;
		enum value_kind kind;
		bool truth;
	} words[] = {
		{ "true", VALUE_BOOL, true },
		{ "false", VALUE_BOOL, false },
		{ "null", VALUE_NULL, false },
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		size_t len = strlen(words[i].word);

		if ((size_t)(r->end - r->pos) < len ||
		    memcmp(r->pos, words[i].word, len) != 0)
			continue;
		TRY(new_value(r, out, words[i].kind));
		(*out)->truth = words[i].truth;
		r->pos += len;
		return ERR_OK;
	}
	return unexpected(r, "a value");
}

static enum err_code
read_scalar(struct canon_reader *r, struct value **out)
{
	if (r->pos == r->end)
		return unexpected(r, "a value");
	if (*r->pos == '"')
		return read_string(r, out);
	if (*r->pos == '-' || is_digit(r, r->pos))
		return read_number(r, out);
	return read_word(r, out);
}

static void
list_add(struct canon_reader *r, struct value *v)
{
	if (r->list_count == r->list_cap) {
		r->list_cap = r->list_cap == 0 ? 64 : r->list_cap * 2;
		r->list = mem_grow(r->list, r->list_cap, sizeof *r->list);
	}
	r->list[r->list_count++] = v;
}

static enum err_code
open_frame(struct canon_reader *r, struct value *v)
{
	if (r->depth == CANON_DEPTH_MAX)
		return err_set(r->e, ERR_LIMIT,
		    "%s:%u:%u: nested deeper than %d", r->name, r->line,
		    column_of(r, r->pos), (int)CANON_DEPTH_MAX);
	if (r->depth == r->frame_cap) {
		r->frame_cap = r->frame_cap == 0 ? 16 : r->frame_cap * 2;
		r->frames =
		    mem_grow(r->frames, r->frame_cap, sizeof *r->frames);
	}
	r->frames[r->depth++] = (struct frame){ v, r->list_count };
	r->pos++;
	return ERR_OK;
}

static enum err_code
check_duplicates(struct canon_reader *r, const struct value *object)
{
	if (r->order_cap < object->count) {
		r->order_cap = object->count * 2;
		r->order = mem_grow(r->order, r->order_cap, sizeof *r->order);
	}
	if (!value_sort_keys(r->order, object->keys, object->count))
		return ERR_OK;
	for (size_t i = 1; i < object->count; i++) {
		const struct value *a = object->keys[r->order[i - 1]];
		const struct value *b = object->keys[r->order[i]];
		char quoted[VALUE_QUOTE_SIZE];

		if (a->text_len != b->text_len ||
		    memcmp(a->text, b->text, a->text_len) != 0)
			continue;
		return err_set(r->e, ERR_INVALID,
		    "%s:%u:%u: the key %s stands twice in one object (first "
		    "at %u:%u)",
		    r->name, b->line, b->column,
		    value_quote(quoted, b->text, b->text_len), a->line,
		    a->column);
	}
	return ERR_OK;
}

/* Moves the values of the innermost frame from the list to its owner. */
static enum err_code
close_frame(struct canon_reader *r, struct value **out)
{
	const struct frame *f = &r->frames[--r->depth];
	size_t n = r->list_count - f->base;
	struct value *v = f->v;
	struct value **from;

	r->pos++;
	r->list_count = f->base;
	*out = v;
	if (n == 0)
		return ERR_OK;
	/* Not before: with nothing read yet there is no list. */
	from = r->list + f->base;
	if (v->kind == VALUE_ARRAY) {
		v->count = n;
		v->items = document_pointers(r->document, n);
		memcpy(v->items, from, n * sizeof *from);
		return ERR_OK;
	}
	v->count = n / 2;
	v->keys = document_pointers(r->document, v->count);
	v->items = document_pointers(r->document, v->count);
	for (size_t i = 0; i < v->count; i++) {
		v->keys[i] = from[2 * i];
		v->items[i] = from[2 * i + 1];
	}
	return check_duplicates(r, v);
}

/* A key and its colon. */
static enum err_code
read_key(struct canon_reader *r)
{
	struct value *key;

	skip_space(r);
	if (r->pos == r->end || *r->pos != '"')
		return unexpected(r, "a key in double quotes");
	TRY(read_string(r, &key));
	list_add(r, key);
	skip_space(r);
	if (r->pos == r->end || *r->pos != ':')
		return unexpected(r, "\":\" after the key");
	r->pos++;
	return ERR_OK;
}

static char
closer(const struct canon_reader *r)
{
	return r->frames[r->depth - 1].v->kind == VALUE_ARRAY ? ']' : '}';
}

/* Reads the beginning of a value. *whole: nothing of it is left to read. */
static enum err_code
begin_value(struct canon_reader *r, struct value **out, bool *whole)
{
	skip_space(r);
	*whole = true;
	if (r->pos == r->end || (*r->pos != '[' && *r->pos != '{'))
		return read_scalar(r, out);
	TRY(new_value(r, out, *r->pos == '[' ? VALUE_ARRAY : VALUE_OBJECT));
	TRY(open_frame(r, *out));
	skip_space(r);
	if (r->pos < r->end && *r->pos == closer(r))
		return close_frame(r, out);
	*whole = false;
	return (*out)->kind == VALUE_OBJECT ? read_key(r) : ERR_OK;
}

/* Puts a whole value where it belongs and closes what ends behind it, up to
 * the next comma or the end of the outermost value. */
static enum err_code
end_value(struct canon_reader *r, struct value **v)
{
	while (r->depth > 0) {
		list_add(r, *v);
		skip_space(r);
		if (r->pos < r->end && *r->pos == ',') {
			r->pos++;
			return closer(r) == '}' ? read_key(r) : ERR_OK;
		}
		if (r->pos == r->end || *r->pos != closer(r))
			return unexpected(r,
			    closer(r) == ']' ? "\",\" or \"]\""
					     : "\",\" or \"}\"");
		TRY(close_frame(r, v));
	}
	return ERR_OK;
}

static enum err_code
read_text(struct canon_reader *r)
{
	struct value *v = NULL;
	bool whole;

	if (r->end - r->pos >= 3 && memcmp(r->pos, "\xef\xbb\xbf", 3) == 0)
		return fault(r, ERR_INVALID, r->pos,
		    "begins with a byte order mark; save it without one");
	do {
		TRY(begin_value(r, &v, &whole));
		if (whole)
			TRY(end_value(r, &v));
	} while (!whole || r->depth > 0);
	skip_space(r);
	if (r->pos != r->end)
		return unexpected(r, "the end of the text");
	document_set_root(r->document, v);
	return ERR_OK;
}

enum err_code
canon_read(struct document **out, const char *name, const char *text,
    size_t len, struct err *e)
{
	struct canon_reader r = {
		.name = name,
		.pos = text,
		.end = text + len,
		.line_start = text,
		.line = 1,
		.e = e,
	};
	enum err_code code;

	if (len > CANON_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "%s: larger than %d MiB", name,
		    (int)(CANON_SIZE_MAX >> 20));
	r.document = document_new();
	buf_init(&r.text, len);
	code = read_text(&r);
	if (code == ERR_OK)
		*out = STEAL(r.document);
	reader_clear(&r);
	return code;
}

void
canon_write_string(struct buf *out, const char *text, size_t len)
{
	size_t start = 0;
	size_t i = 0;

	buf_add_char(out, '"');
	while (i < len) {
		unsigned char c = (unsigned char)text[i];
		size_t skip = 1;

		if (c == 0xe2 && len - i >= 3 && text[i + 1] == '\x80' &&
		    (text[i + 2] == '\xa8' || text[i + 2] == '\xa9'))
			skip = 3;
		else if (c >= 0x20 && c != '"' && c != '\\') {
			i++;
			continue;
		}
		buf_add(out, text + start, i - start);
		if (skip == 3)
			buf_add_str(out,
			    text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029");
		else
			escape_write(out, c);
		i += skip;
		start = i;
	}
	buf_add(out, text + start, len - start);
	buf_add_char(out, '"');
}

static void
write_object(struct buf *out, const struct value *v)
{
	uint32_t few[32];
	uint32_t *order = few;
	bool sorted;

	if (v->count > sizeof few / sizeof few[0])
		order = mem_alloc(v->count * sizeof *order);
	sorted = !value_sort_keys(order, v->keys, v->count);
	buf_add_char(out, '{');
	for (size_t i = 0; i < v->count && !out->overflow; i++) {
		size_t at = sorted ? i : order[i];

		if (i > 0)
			buf_add_char(out, ',');
		canon_write_string(out, v->keys[at]->text,
		    v->keys[at]->text_len);
		buf_add_char(out, ':');
		canon_write(out, v->items[at]);
	}
	buf_add_char(out, '}');
	if (order != few)
		mem_free(order);
}

/* Recursion is bounded by CANON_DEPTH_MAX, which the readers keep. */
void
canon_write(struct buf *out, const struct value *v)
{
	switch (v->kind) {
	case VALUE_NULL:
		buf_add_str(out, "null");
		break;
	case VALUE_BOOL:
		buf_add_str(out, v->truth ? "true" : "false");
		break;
	case VALUE_NUMBER:
		buf_add(out, v->text, v->text_len);
		break;
	case VALUE_STRING:
		canon_write_string(out, v->text, v->text_len);
		break;
	case VALUE_ARRAY:
		buf_add_char(out, '[');
		for (size_t i = 0; i < v->count && !out->overflow; i++) {
			if (i > 0)
				buf_add_char(out, ',');
			canon_write(out, v->items[i]);
		}
		buf_add_char(out, ']');
		break;
	case VALUE_OBJECT:
		write_object(out, v);
		break;
	}
}
