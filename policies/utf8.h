#ifndef POLICIES_UTF8_H
#define POLICIES_UTF8_H

/* Characters of text that came from outside. Pure, any thread. */

#include <stddef.h>
#include <stdint.h>

/* The UTF-8 character at *p, which moves behind it; 0 when there is none there
 * (*p stays; a NUL counts as none). *p must be before end. */
uint32_t utf8_next(const unsigned char **p, const unsigned char *end);

/* Writes one character, at most four bytes. Returns how many. */
size_t utf8_put(char *out, uint32_t c);

/* C0, DEL and C1. */
int utf8_is_control(uint32_t c);

/* A copy fit for people: what is no UTF-8 becomes U+FFFD, control characters
 * are left out, and it ends at max bytes, between characters. mem_ memory. */
char *utf8_clean(const char *text, size_t len, size_t max);

#endif
