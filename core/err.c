#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

void
err_copy(char *out, size_t size, const char *text)
{
	(void)snprintf(out, size, "%s", text);
	utf8_repair(out);
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
	utf8_repair(e->text);
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
	utf8_repair(e->text);
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
	utf8_repair(e->text);
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
