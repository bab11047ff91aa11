#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"

enum { LOG_LINE_MAX = 4096 };

static char log_process[32] = "edict";
static enum log_level log_least = LOG_INFO;

void
log_init(const char *process, enum log_level least)
{
	(void)snprintf(log_process, sizeof log_process, "%s", process);
	log_least = least;
}

/* Escapes what could end the line or drive a terminal. Bytes from 0x80 up
 * pass: they are UTF-8 in paths and subjects. Returns the new length. */
static size_t
escape(char *out, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (const char *p = text; *p != '\0' && n + 5 < size; p++) {
		unsigned char c = (unsigned char)*p;

		if (c >= 0x20 && c != 0x7f) {
			out[n++] = *p;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return n;
}

void
log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	char text[LOG_LINE_MAX - 256];
	char line[LOG_LINE_MAX];
	char stamp[CLOCK_TEXT_SIZE];
	size_t n;
	va_list ap;

	if (level < log_least)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	clock_text(stamp, clock_now_ms());
	n = (size_t)snprintf(line, 192, "%s %s %s %s ", stamp, names[level],
	    log_process, event);
	n += escape(line + n, sizeof line - n - 1, text);
	line[n++] = '\n';
	/* A log that cannot be written must not stop the server. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
