#include "core/base64.h"

#include <stdint.h>

enum { NO_DIGIT = 64 };

/* The six bits of a digit, or NO_DIGIT. The last two digits are what the
 * alphabets differ in. */
static uint32_t
bits_of(char c, char digit_62, char digit_63)
{
	if (c >= 'A' && c <= 'Z')
		return (uint32_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0') + 52;
	if (c == digit_62)
		return 62;
	return c == digit_63 ? 63 : NO_DIGIT;
}

void
base64url_write(char *out, const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *in = data;

	for (; len >= 3; len -= 3, in += 3) {
		uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 |
		    in[2];

		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = digits[bits >> 6 & 63];
		*out++ = digits[bits & 63];
	}
	if (len > 0) {
		uint32_t bits = (uint32_t)in[0] << 16 |
		    (len == 2 ? (uint32_t)in[1] << 8 : 0);

		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		if (len == 2)
			*out = digits[bits >> 6 & 63];
	}
}

void
base64url_add(struct buf *out, const void *data, size_t len)
{
	char *to = buf_reserve(out, BASE64URL_SIZE(len));

	if (to == NULL)
		return;
	base64url_write(to, data, len);
	buf_commit(out, BASE64URL_SIZE(len));
}

enum err_code
base64url_read(struct buf *out, const char *text, size_t len, const char *what,
    struct err *e)
{
	uint32_t bits = 0;
	unsigned int held = 0;
	char *to = buf_reserve(out, len / 4 * 3 + 2);
	size_t made = 0;

	if (to == NULL)
		return buf_check(out, what, e);
	for (size_t i = 0; i < len; i++) {
		uint32_t more = bits_of(text[i], '-', '_');

		if (more == NO_DIGIT)
			return err_set(e, ERR_INVALID,
			    "%s: byte %zu is no base64url digit", what, i);
		bits = bits << 6 | more;
		held += 6;
		if (held >= 8) {
			held -= 8;
			to[made++] = (char)(bits >> held & 255);
		}
	}
	if (held >= 6 || (bits & ((1u << held) - 1)) != 0)
		return err_set(e, ERR_INVALID,
		    "%s: base64url with a cut or bent end", what);
	buf_commit(out, made);
	return ERR_OK;
}

bool
base64_read(char *out, size_t *out_len, const char *text, size_t len)
{
	uint32_t bits = 0;
	size_t count = 0; /* digits and padding */
	size_t padding = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint32_t more;

		if (text[i] == '\n' || text[i] == '\r')
			continue;
		count++;
		if (text[i] == '=') {
			padding++;
			continue;
		}
		more = bits_of(text[i], '+', '/');
		if (more == NO_DIGIT || padding > 0)
			return false;
		bits = bits << 6 | more;
		if (count % 4 != 1)
			out[n++] = (char)(bits >> (2 * (3 - (count - 1) % 4)));
	}
	*out_len = n;
	return count % 4 == 0 && padding <= 2;
}
