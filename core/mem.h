#ifndef CORE_MEM_H
#define CORE_MEM_H

/* Memory that is always there: every function here aborts when the system has
 * none, because sizes that come from outside are checked against a named limit
 * first. What these return is released with mem_free. Any thread. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

void *mem_alloc(size_t size);               /* not cleared */
void *mem_zalloc(size_t size);              /* cleared */
void *mem_array(size_t count, size_t size); /* cleared; aborts on overflow */
void *mem_grow(void *old, size_t count, size_t size); /* realloc to an array */
void mem_free(void *p);                               /* NULL is fine */

char *mem_strdup(const char *s);              /* NULL gives NULL */
char *mem_strndup(const char *s, size_t len); /* NUL is appended */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
char *mem_vprintf(const char *fmt, va_list ap) PRINTF_LIKE(1, 0);

/* Overwrites before releasing, for secrets. */
void mem_free_secret(void *p, size_t size);

/* A `char *` that is released at scope end. */
#define AUTO_STR __attribute__((cleanup(mem_auto_str))) char *
static inline __attribute__((unused)) void
mem_auto_str(char **p)
{
	mem_free(*p);
}

#endif
