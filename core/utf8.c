#include "core/utf8.h"

#include <string.h>

#include "core/mem.h"

/* Of a character with this first byte; 0: no character begins so. */
static size_t
size_by_first(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Overlong forms, surrogates and what lies over U+10FFFF show in the second
 * byte. */
static bool
is_second(unsigned char first, unsigned char second)
{
	unsigned char low = 0x80;
	unsigned char high = 0xbf;

	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	return second >= low && second <= high;
}

size_t
utf8_size(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t size = len > 0 ? size_by_first(s[0]) : 0;

	if (size <= 1)
		return size;
	if (len < size || !is_second(s[0], s[1]))
		return 0;
	for (size_t i = 2; i < size; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return size;
}

bool
utf8_is_valid(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t size = utf8_size(text + i, len - i);

		if (size == 0)
			return false;
		i += size;
	}
	return true;
}

uint32_t
utf8_next(const unsigned char **p, const unsigned char *end)
{
	const unsigned char *s = *p;
	size_t size = utf8_size((const char *)s, (size_t)(end - s));
	uint32_t c = size == 1 ? *s : *s & (0x7fU >> size);

	if (size == 0)
		return 0;
	for (size_t i = 1; i < size; i++)
		c = c << 6 | (s[i] & 0x3fU);
	if (c != 0)
		*p = s + size;
	return c;
}

size_t
utf8_put(char out[UTF8_CHARACTER_MAX], uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

bool
utf8_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

void
utf8_repair(char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t size = utf8_size(text, left);

		if (size == 0) {
			*text = '?';
			size = 1;
		}
		text += size;
		left -= size;
	}
}

char *
utf8_clean(const char *text, size_t len, size_t max)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + len;
	char *out = mem_alloc(max + 1);
	size_t n = 0;

	while (p < end) {
		uint32_t c = utf8_next(&p, end);
		char one[UTF8_CHARACTER_MAX];
		size_t size;

		if (c == 0) {
			c = *p == 0 ? 0 : 0xfffd;
			p++;
		}
		if (utf8_is_control(c))
			continue;
		size = utf8_put(one, c);
		if (n + size > max)
			break;
		memcpy(out + n, one, size);
		n += size;
	}
	out[n] = '\0';
	return out;
}
