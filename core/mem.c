#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
present(void *p)
{
	if (p == NULL) {
		static const char text[] = "edict: out of memory\n";

		(void)fwrite(text, 1, sizeof text - 1, stderr);
		abort();
	}
	return p;
}

void *
mem_alloc(size_t size)
{
	return present(malloc(size > 0 ? size : 1));
}

/* glibc's calloc passes by what a thread keeps at hand for its next malloc. */
enum { AT_HAND = 1024 };

void *
mem_zalloc(size_t size)
{
	if (size > AT_HAND)
		return present(calloc(1, size));
	return memset(mem_alloc(size), 0, size);
}

void *
mem_array(size_t count, size_t size)
{
	return present(calloc(count > 0 ? count : 1, size));
}

void *
mem_grow(void *old, size_t count, size_t size)
{
	return present(reallocarray(old, count > 0 ? count : 1, size));
}

void
mem_free(void *p)
{
	free(p);
}

char *
mem_strdup(const char *s)
{
	return s == NULL ? NULL : present(strdup(s));
}

char *
mem_strndup(const char *s, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
mem_vprintf(const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		present(NULL);
	return text;
}

char *
mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	return text;
}

void
mem_free_secret(void *p, size_t size)
{
	if (p != NULL)
		explicit_bzero(p, size);
	free(p);
}
