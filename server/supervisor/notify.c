#include "server/supervisor/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

enum { NOTIFY_TEXT_MAX = 1024 };

void
notify_drop(void)
{
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

/* A path, or "@name" in the abstract namespace. */
static int
connect_to(const char *path)
{
	/* Who does not read must not hold us up for long. */
	const struct timeval patience = { .tv_sec = 1 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd;

	if ((*path != '/' && *path != '@') || len >= sizeof sa.sun_path) {
		errno = EINVAL;
		return -1;
	}
	memcpy(sa.sun_path, path, len);
	if (*path == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
	    sizeof patience);
	if (connect(fd, (struct sockaddr *)&sa,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Microseconds, as the variable has them; 0: no watchdog, or somebody else's. */
static int64_t
watchdog_us(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	char *end;
	long long n;

	if (text == NULL || *text < '0' || *text > '9')
		return 0;
	if (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	errno = 0;
	n = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? (int64_t)n : 0;
}

void
notify_open(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*n = (struct notify){ .fd = -1 };
	if (path != NULL && *path != '\0') {
		n->fd = connect_to(path);
		if (n->fd < 0)
			log_warn("notify.failed", "socket=%s error=\"%s\"",
			    path, strerror(errno));
		n->watchdog_ms = watchdog_us() / 1000;
	}
	notify_drop();
}

void
notify_close(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

static void
say(struct notify *n, const char *text)
{
	if (n->fd < 0)
		return;
	if (send(n->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		log_warn("notify.failed", "error=\"%s\"", strerror(errno));
}

void
notify_ready(struct notify *n, const char *fmt, ...)
{
	char text[NOTIFY_TEXT_MAX];
	int len = snprintf(text, sizeof text, "READY=1\nSTATUS=");
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text + len, sizeof text - (size_t)len, fmt, args);
	va_end(args);
	/* A fault of many lines: only the first belongs to STATUS=. */
	text[(size_t)len + strcspn(text + len, "\n")] = '\0';
	say(n, text);
}

/* The time tells systemd which reload a READY=1 is the end of. */
void
notify_reloading(struct notify *n)
{
	char text[NOTIFY_TEXT_MAX];
	struct timespec t;
	int64_t now_us;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	now_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	(void)snprintf(text, sizeof text,
	    "RELOADING=1\nMONOTONIC_USEC=%" PRId64
	    "\nSTATUS=reading the configuration",
	    now_us);
	say(n, text);
}

void
notify_stopping(struct notify *n)
{
	say(n, "STOPPING=1\nSTATUS=answering what is under way");
}

/* Twice as often as it has to be. */
int64_t
notify_tick(struct notify *n, int64_t now_ms)
{
	if (n->fd < 0 || n->watchdog_ms <= 0)
		return -1;
	if (now_ms >= n->next_ms) {
		say(n, "WATCHDOG=1");
		n->next_ms = now_ms + n->watchdog_ms / 2;
	}
	return n->next_ms - now_ms;
}
