#include "core/escape.h"

#include <string.h>

#include "core/text.h"

enum {
	HIGH_FIRST = 0xd800, /* the first half of a pair */
	LOW_FIRST = 0xdc00,
	LOW_LAST = 0xdfff,
	UNICODE_SIZE = 6 /* \uXXXX */
};

/* Those with a letter of their own; JSON's slash needs none when written. */
static const char letters[] = "\"\\bfnrt/";
static const char meanings[] = "\"\\\b\f\n\r\t/";

static bool
read_unicode(uint32_t *out, const char *text, size_t len)
{
	*out = 0;
	if (len < UNICODE_SIZE || text[0] != '\\' || text[1] != 'u')
		return false;
	for (size_t i = 2; i < UNICODE_SIZE; i++) {
		int digit = text_hex_digit(text[i]);

		if (digit < 0)
			return false;
		*out = *out << 4 | (uint32_t)digit;
	}
	return true;
}

bool
escape_is_half(uint32_t c)
{
	return c >= HIGH_FIRST && c <= LOW_LAST;
}

size_t
escape_read(uint32_t *out, const char *text, size_t len)
{
	const char *found;
	uint32_t low;

	if (len < 2)
		return 0;
	if (text[1] != 'u') {
		found = memchr(letters, text[1], sizeof letters - 1);
		if (found == NULL)
			return 0;
		*out = (unsigned char)meanings[found - letters];
		return 2;
	}
	if (!read_unicode(out, text, len))
		return 0;
	if (*out < HIGH_FIRST || *out >= LOW_FIRST ||
	    !read_unicode(&low, text + UNICODE_SIZE, len - UNICODE_SIZE) ||
	    low < LOW_FIRST || low > LOW_LAST)
		return UNICODE_SIZE;
	*out = 0x10000 + ((*out - HIGH_FIRST) << 10) + (low - LOW_FIRST);
	return (size_t)2 * UNICODE_SIZE;
}

void
escape_write(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char *found = memchr(meanings, c, sizeof meanings - 2);
	char s[UNICODE_SIZE] = { '\\', 'u', '0', '0', hex[c >> 4],
		hex[c & 15] };

	if (found == NULL) {
		buf_add(out, s, sizeof s);
		return;
	}
	s[1] = letters[found - meanings];
	buf_add(out, s, 2);
}
