#include "policies/utf8.h"

#include "core/mem.h"

uint32_t
utf8_next(const unsigned char **p, const unsigned char *end)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = *p;
	size_t len = *s < 0x80 ? 1
	    : *s >> 5 == 0x6   ? 2
	    : *s >> 4 == 0xe   ? 3
	    : *s >> 3 == 0x1e  ? 4
			       : 0;
	uint32_t c = len == 1 ? *s : *s & (0x7fU >> len);

	if (len == 0 || (size_t)(end - s) < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (s[i] >> 6 != 0x2)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	/* Overlong, beyond Unicode, or half of a surrogate pair. */
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	if (c != 0)
		*p = s + len;
	return c;
}

size_t
utf8_put(char *out, uint32_t c)
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

int
utf8_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
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
		char one[4];
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
		for (size_t i = 0; i < size; i++)
			out[n++] = one[i];
	}
	out[n] = '\0';
	return out;
}
