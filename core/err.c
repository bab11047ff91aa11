#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at p (RFC 3629), 0 when it is none. */
static size_t
character_at(const unsigned char *p)
{
	size_t len = p[0] < 0x80 ? 1
	    : p[0] < 0xc2        ? 0
	    : p[0] < 0xe0        ? 2
	    : p[0] < 0xf0        ? 3
	    : p[0] < 0xf5        ? 4
				 : 0;

	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* Texts quote what came from outside, and are cut: what is left must be UTF-8
 * all the same, or no JSON could carry it. */
static void
make_utf8(char *text)
{
	unsigned char *p = (unsigned char *)text;

	while (*p != '\0') {
		size_t len = character_at(p);

		if (len == 0)
			*p = '?';
		p += len > 0 ? len : 1;
	}
}

void
err_copy(char *out, size_t size, const char *text)
{
	(void)snprintf(out, size, "%s", text);
	make_utf8(out);
}

enum err_code
err_set_text(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return code;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	make_utf8(e->text);
	return code;
}

static enum err_code
code_of_errno(int number)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_CONFLICT;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
		return ERR_UNAVAILABLE;
	case ENAMETOOLONG:
	case EFBIG:
		return ERR_LIMIT;
	default:
		return ERR_IO;
	}
}

enum err_code
err_errno_text(struct err *e, const char *fmt, ...)
{
	int number = errno;
	enum err_code code = code_of_errno(number);
	char reason[128];
	size_t len;
	va_list ap;

	if (e == NULL)
		return code;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	/* The GNU strerror_r returns the text, perhaps not in the buffer. */
	(void)snprintf(e->text + len, sizeof e->text - len, ": %s",
	    strerror_r(number, reason, sizeof reason));
	make_utf8(e->text);
	return code;
}

enum err_code
err_add_text(struct err *e, const char *fmt, ...)
{
	char prefix[ERR_TEXT_MAX];
	char old[ERR_TEXT_MAX];
	va_list ap;

	if (e == NULL)
		return ERR_INVALID;
	va_start(ap, fmt);
	(void)vsnprintf(prefix, sizeof prefix, fmt, ap);
	va_end(ap);
	memcpy(old, e->text, sizeof old);
	old[sizeof old - 1] = '\0';
	prefix[ERR_TEXT_MAX / 2] = '\0';
	/* Cut at the end on purpose: the beginning names the place. */
	(void)snprintf(e->text, sizeof e->text, "%s: %.*s", prefix,
	    (int)(sizeof e->text - strlen(prefix) - 3), old);
	make_utf8(e->text);
	return e->code;
}

enum err_code
err_as_code(struct err *e, enum err_code code)
{
	if (e != NULL)
		e->code = code;
	return code;
}

const char *
err_name(enum err_code code)
{
	static const char *const names[ERR_CODES] = {
		[ERR_OK] = "ok",
		[ERR_INVALID] = "invalid",
		[ERR_NOT_FOUND] = "not_found",
		[ERR_CONFLICT] = "conflict",
		[ERR_DENIED] = "denied",
		[ERR_LIMIT] = "limit",
		[ERR_TIMEOUT] = "timeout",
		[ERR_UNAVAILABLE] = "unavailable",
		[ERR_CORRUPT] = "corrupt",
		[ERR_IO] = "io",
		[ERR_CRYPTO] = "crypto",
		[ERR_UNSUPPORTED] = "unsupported",
	};

	return code < ERR_CODES ? names[code] : "unknown";
}
