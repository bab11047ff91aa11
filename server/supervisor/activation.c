#include "server/supervisor/activation.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"

enum { NAMES_SIZE = 256 };

/* A number in the environment, or -1. */
static long
number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (text == NULL || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' ? n : -1;
}

/* How many there are for us; variables that were meant for who started us are
 * of no use to anybody below us either. */
static long
take_variables(char names[NAMES_SIZE])
{
	long pid = number("LISTEN_PID");
	long count = number("LISTEN_FDS");
	const char *given = getenv("LISTEN_FDNAMES");

	(void)snprintf(names, NAMES_SIZE, "%s", given != NULL ? given : "");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return pid == (long)getpid() ? count : 0;
}

/* ---- is it one that can be served on? ---- */

static int
option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static enum err_code
check_one(int fd, struct err *e)
{
	int family = option(fd, SO_DOMAIN);

	if (family < 0)
		return err_errno(e, "socket activation: descriptor %d", fd);
	if (family != AF_INET && family != AF_INET6)
		return err_set(e, ERR_INVALID,
		    "socket activation: descriptor %d is no TCP socket; use "
		    "ListenStream=ADDRESS:PORT",
		    fd);
	if (option(fd, SO_TYPE) != SOCK_STREAM)
		return err_set(e, ERR_INVALID,
		    "socket activation: descriptor %d is no stream socket; "
		    "use ListenStream=",
		    fd);
	if (option(fd, SO_ACCEPTCONN) != 1)
		return err_set(e, ERR_INVALID,
		    "socket activation: descriptor %d does not listen; use "
		    "Accept=no",
		    fd);
	return ERR_OK;
}

/* Nobody below inherits it, and no thread waits in accept. */
static enum err_code
prepare_one(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	TRY(check_one(fd, e));
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return err_errno(e, "socket activation: descriptor %d", fd);
	return ERR_OK;
}

static void
describe(struct listeners *l, int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} sa = { 0 };
	socklen_t len = sizeof sa;
	char host[INET6_ADDRSTRLEN] = "";
	bool is_v6;

	if (getsockname(fd, &sa.any, &len) != 0)
		assert(0 && "getsockname");
	is_v6 = sa.any.sa_family == AF_INET6;
	(void)inet_ntop(sa.any.sa_family,
	    is_v6 ? (void *)&sa.v6.sin6_addr : (void *)&sa.v4.sin_addr, host,
	    sizeof host);
	(void)snprintf(l->address, sizeof l->address,
	    is_v6 ? "[%s]:%u" : "%s:%u", host,
	    (unsigned int)ntohs(is_v6 ? sa.v6.sin6_port : sa.v4.sin_port));
}

/* Thread by thread; the first have the sockets themselves. */
static enum err_code
share(struct listeners *out, size_t sockets, size_t count, struct err *e)
{
	struct listeners l = { .count = 0 };

	while (l.count < count) {
		int fd = ACTIVATION_FIRST_FD + (int)(l.count % sockets);

		if (l.count >= sockets)
			fd = fcntl(fd, F_DUPFD_CLOEXEC, ACTIVATION_FIRST_FD);
		if (fd < 0) {
			(void)err_errno(e, "socket activation");
			listeners_close(&l);
			return ERR_IO;
		}
		l.fds[l.count++] = fd;
	}
	describe(&l, l.fds[0]);
	*out = l;
	return ERR_OK;
}

enum err_code
activation_take(struct listeners *out, size_t count, struct err *e)
{
	char names[NAMES_SIZE];
	long sockets = take_variables(names);

	assert(count > 0 && count <= LISTENERS_MAX);
	out->count = 0;
	if (sockets <= 0)
		return ERR_OK;
	if ((size_t)sockets > count)
		return err_set(e, ERR_INVALID,
		    "socket activation: %ld sockets for %zu threads; raise "
		    "http.threads, so that each is served",
		    sockets, count);
	for (int i = 0; i < sockets; i++)
		TRY(prepare_one(ACTIVATION_FIRST_FD + i, e));
	TRY(share(out, (size_t)sockets, count, e));
	log_info("listen.activated", "sockets=%ld threads=%zu names=\"%s\"",
	    sockets, count, names);
	return ERR_OK;
}

void
activation_drop(void)
{
	/* The variables name the process that forked. */
	long sockets =
	    number("LISTEN_PID") == (long)getppid() ? number("LISTEN_FDS") : 0;

	for (long i = 0; i < sockets && i < LISTENERS_MAX; i++)
		close(ACTIVATION_FIRST_FD + (int)i);
}
