#ifndef CORE_UTF8_H
#define CORE_UTF8_H

/* Characters of text that came from outside, by RFC 3629: no overlong forms,
 * no surrogates, nothing over U+10FFFF. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_CHARACTER_MAX = 4 };

/* Length of the character at text, 0 when there is none. */
size_t utf8_size(const char *text, size_t len);

bool utf8_is_valid(const char *text, size_t len);

/* The character at *p, which moves behind it; 0 when there is none there (*p
 * stays; a NUL counts as none). *p must be before end. */
uint32_t utf8_next(const unsigned char **p, const unsigned char *end);

/* Writes one character. Returns its length. */
size_t utf8_put(char out[UTF8_CHARACTER_MAX], uint32_t c);

/* C0, DEL and C1. */
bool utf8_is_control(uint32_t c);

/* What is no character becomes question marks. text ends with a NUL. */
void utf8_repair(char *text);

/* A copy fit for people: what is no UTF-8 becomes U+FFFD, control characters
 * are left out, and it ends at max bytes, between characters. mem_ memory. */
char *utf8_clean(const char *text, size_t len, size_t max);

#endif
