#include "core/value.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

/* The memory of a document: chunks that grow with it, filled by aligned
 * structures from the front and by text from the back. */
enum { CHUNK_FIRST = 4096, CHUNK_MAX = 1 << 20 };

struct chunk {
	struct chunk *next;
	size_t front;
	size_t back;
	alignas(max_align_t) char data[];
};

struct document {
	struct chunk *chunks; /* the first is the one being filled */
	size_t chunk_size;    /* of the next one */
	size_t bytes;         /* of all chunks */
	const struct value *root;
};

struct document *
document_new(void)
{
	struct document *d = mem_zalloc(sizeof *d);

	d->chunk_size = CHUNK_FIRST;
	return d;
}

void
document_free(struct document *d)
{
	struct chunk *next;

	if (d == NULL)
		return;
	for (struct chunk *c = d->chunks; c != NULL; c = next) {
		next = c->next;
		mem_free(c);
	}
	mem_free(d);
}

const struct value *
document_root(const struct document *d)
{
	return d->root;
}

size_t
document_bytes(const struct document *d)
{
	return sizeof *d + d->bytes;
}

void
document_set_root(struct document *d, const struct value *root)
{
	d->root = root;
}

static struct chunk *
chunk_new(struct document *d, size_t size)
{
	struct chunk *c = mem_alloc(sizeof *c + size);

	d->bytes += sizeof *c + size;
	c->next = NULL;
	c->front = 0;
	c->back = size;
	return c;
}

/* A chunk with this much room between front and back. */
static struct chunk *
chunk_for(struct document *d, size_t size)
{
	struct chunk *c = d->chunks;

	if (c != NULL && c->back - c->front >= size)
		return c;
	if (size > d->chunk_size / 4) {
		/* One of its own, behind the one being filled. */
		c = chunk_new(d, size);
		if (d->chunks == NULL) {
			d->chunks = c;
		} else {
			c->next = d->chunks->next;
			d->chunks->next = c;
		}
		return c;
	}
	c = chunk_new(d, d->chunk_size);
	c->next = d->chunks;
	d->chunks = c;
	if (d->chunk_size < CHUNK_MAX)
		d->chunk_size *= 2;
	return c;
}

static void *
take_front(struct document *d, size_t size)
{
	enum { ALIGN = alignof(struct value) };
	size_t rounded = (size + ALIGN - 1) / ALIGN * ALIGN;
	struct chunk *c = chunk_for(d, rounded);
	void *room = c->data + c->front;

	c->front += rounded;
	return room;
}

struct value *
document_value(struct document *d, enum value_kind kind, uint32_t line,
    uint32_t column)
{
	struct value *v = take_front(d, sizeof *v);

	*v = (struct value){
		.kind = kind,
		.line = line,
		.column = column,
		.text = "",
	};
	return v;
}

void
document_text(struct document *d, struct value *v, const char *text, size_t len)
{
	struct chunk *c = chunk_for(d, len + 1);
	char *room;

	c->back -= len + 1;
	room = c->data + c->back;
	if (len > 0)
		memcpy(room, text, len);
	room[len] = '\0';
	v->text = room;
	v->text_len = len;
}

struct value **
document_pointers(struct document *d, size_t count)
{
	return take_front(d, count * sizeof(struct value *));
}

const struct value *
value_get(const struct value *object, const char *key)
{
	size_t len = strlen(key);

	if (object == NULL || object->kind != VALUE_OBJECT)
		return NULL;
	for (size_t i = 0; i < object->count; i++) {
		const struct value *k = object->keys[i];

		if (k->text_len == len && memcmp(k->text, key, len) == 0)
			return object->items[i];
	}
	return NULL;
}

const char *
value_kind_name(enum value_kind kind)
{
	static const char *const names[] = {
		[VALUE_NULL] = "null",
		[VALUE_BOOL] = "boolean",
		[VALUE_NUMBER] = "number",
		[VALUE_STRING] = "string",
		[VALUE_ARRAY] = "array",
		[VALUE_OBJECT] = "object",
	};

	return names[kind];
}

const char *
value_quote(char out[VALUE_QUOTE_SIZE], const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	static const char more[] = "\xe2\x80\xa6"; /* … */
	/* Room for one more escape, the ellipsis, the quote and the NUL. */
	const size_t end = VALUE_QUOTE_SIZE - 32;
	size_t n = 0;

	out[n++] = '"';
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];
		size_t size = utf8_size(text + i, len - i);

		if (n >= end) {
			memcpy(out + n, more, sizeof more - 1);
			n += sizeof more - 1;
			break;
		}
		if (size == 0 || c < 0x20 || c == 0x7f) {
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
			i++;
			continue;
		}
		if (c == '"' || c == '\\')
			out[n++] = '\\';
		memcpy(out + n, text + i, size);
		n += size;
		i += size;
	}
	out[n++] = '"';
	out[n] = '\0';
	return out;
}

static int
compare_text(const struct value *a, const struct value *b)
{
	size_t len = a->text_len < b->text_len ? a->text_len : b->text_len;
	int order = memcmp(a->text, b->text, len);

	if (order != 0)
		return order;
	return (a->text_len > b->text_len) - (a->text_len < b->text_len);
}

static int
compare_indices(const void *a, const void *b, void *arg)
{
	struct value *const *keys = arg;
	const uint32_t *x = a;
	const uint32_t *y = b;
	int order = compare_text(keys[*x], keys[*y]);

	return order != 0 ? order : (*x > *y) - (*x < *y);
}

bool
value_sort_keys(uint32_t *order, struct value *const *keys, size_t count)
{
	struct value **context;
	size_t rising = 1;

	while (rising < count &&
	    compare_text(keys[rising - 1], keys[rising]) < 0)
		rising++;
	if (rising >= count)
		return false;
	for (size_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	/* qsort_r's context is not const, but only read here. */
	memcpy(&context, &keys, sizeof context);
	qsort_r(order, count, sizeof *order, compare_indices, context);
	return true;
}
