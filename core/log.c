#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/clock.h"

static_assert((int)LOG_LINE_MAX <= PIPE_BUF, "one line, one write");

static char log_process[32] = "edict";
static bool log_streams; /* stderr is a pipe or a socket */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER; /* put_if_room */
static enum log_level log_least = LOG_INFO;
static atomic_uint log_dropped; /* lines, since the last that was written */

void
log_init(const char *process, enum log_level least)
{
	struct stat st;

	(void)snprintf(log_process, sizeof log_process, "%s", process);
	log_least = least;
	log_streams = fstat(STDERR_FILENO, &st) == 0 &&
	    (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
	atomic_store(&log_dropped, 0); /* what the parent lost, it tells */
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

/* Returns the length; the line is not terminated. */
static size_t
format(char line[LOG_LINE_MAX], enum log_level level, const char *event,
    const char *text)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	char stamp[CLOCK_TEXT_SIZE];
	size_t n;

	clock_text(stamp, clock_now_ms());
	n = (size_t)snprintf(line, 192, "%s %s %s %s ", stamp, names[level],
	    log_process, event);
	n += escape(line + n, LOG_LINE_MAX - n - 1, text);
	line[n++] = '\n';
	return n;
}

/* One thread at a time: of two that see the last room, one would have to wait for
 * the reader. */
static bool
put_if_room(const char *line, size_t len)
{
	struct pollfd log = { .fd = STDERR_FILENO, .events = POLLOUT };
	bool done;

	pthread_mutex_lock(&log_lock);
	done = poll(&log, 1, 0) == 1 && (log.revents & POLLOUT) != 0 &&
	    write(STDERR_FILENO, line, len) >= 0;
	pthread_mutex_unlock(&log_lock);
	return done;
}

/* A log that nobody reads, or that cannot be written, must not stop the server:
 * false when the line is lost. The descriptor is shared with others, so it
 * cannot be made non-blocking; newer kernels (6.4) take that for one call, and
 * then it does not matter which other processes write there. */
static bool
put(const char *line, size_t len)
{
	struct iovec part = { (void *)(uintptr_t)line, len };

	if (log_streams) {
		ssize_t n = pwritev2(STDERR_FILENO, &part, 1, -1, RWF_NOWAIT);

		if (n >= 0 || errno == EAGAIN)
			return n >= 0;
	}
	return put_if_room(line, len);
}

static void
tell_dropped(char line[LOG_LINE_MAX])
{
	unsigned int count = atomic_exchange(&log_dropped, 0);
	char text[32];

	if (count == 0)
		return;
	(void)snprintf(text, sizeof text, "lines=%u", count);
	if (!put(line, format(line, LOG_WARN, "log.dropped", text)))
		atomic_fetch_add(&log_dropped, count);
}

void
log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LOG_LINE_MAX - 256];
	char line[LOG_LINE_MAX];
	va_list ap;

	if (level < log_least)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	tell_dropped(line);
	if (!put(line, format(line, level, event, text)))
		atomic_fetch_add(&log_dropped, 1);
}

size_t
log_line(char line[LOG_LINE_MAX], enum log_level level, const char *event,
    const char *fmt, ...)
{
	char text[LOG_LINE_MAX - 256];
	va_list ap;

	if (level < log_least)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return format(line, level, event, text);
}
