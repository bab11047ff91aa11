#include "core/buf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max, .data = mem_zalloc(1), .cap = 1 };
}

void
buf_clear(struct buf *b)
{
	mem_free(b->data);
	*b = (struct buf){ 0 };
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->overflow = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

char *
buf_reserve(struct buf *b, size_t len)
{
	assert(b->data != NULL);
	if (b->overflow || len > b->max - b->len) {
		b->overflow = true;
		return NULL;
	}
	if (b->cap - b->len <= len) {
		size_t cap = b->cap * 2;

		if (cap < b->len + len + 1)
			cap = b->len + len + 1;
		if (cap < 64)
			cap = 64;
		b->data = mem_grow(b->data, cap, 1);
		b->cap = cap;
	}
	return b->data + b->len;
}

void
buf_commit(struct buf *b, size_t len)
{
	assert(len < b->cap - b->len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_add(struct buf *b, const void *data, size_t len)
{
	char *room = buf_reserve(b, len);

	if (room == NULL || len == 0)
		return;
	memcpy(room, data, len);
	buf_commit(b, len);
}

void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	assert(len >= 0);
	if ((size_t)len < sizeof small) {
		buf_add(b, small, (size_t)len);
		return;
	}
	va_start(ap, fmt);
	AUTO_STR large = mem_vprintf(fmt, ap);
	va_end(ap);
	buf_add(b, large, (size_t)len);
}

char *
buf_steal(struct buf *b, size_t *len)
{
	char *data = b->data;

	if (len != NULL)
		*len = b->len;
	b->data = mem_zalloc(1);
	b->cap = 1;
	b->len = 0;
	return data;
}

enum err_code
buf_check(const struct buf *b, const char *what, struct err *e)
{
	if (!b->overflow)
		return ERR_OK;
	return err_set(e, ERR_LIMIT, "%s: larger than %zu bytes", what, b->max);
}
