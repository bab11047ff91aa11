#include "server/supervisor/listeners.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"

static enum err_code
split(const char *address, char host[256], char port[8], struct err *e)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon != NULL ? (size_t)(colon - address) : 0;
	const char *start = address;
	char *end;
	long number;

	if (colon == NULL || colon[1] < '0' || colon[1] > '9')
		return err_set(e, ERR_INVALID,
		    "listen: %s is not HOST:PORT, as in 127.0.0.1:8282",
		    address);
	number = strtol(colon + 1, &end, 10);
	if (*end != '\0' || number > 65535)
		return err_set(e, ERR_INVALID, "listen: %s: no such port",
		    address);
	if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
		start++;
		len -= 2;
	}
	if (len >= 256)
		return err_set(e, ERR_INVALID, "listen: host is too long");
	memcpy(host, start, len);
	host[len] = '\0';
	(void)snprintf(port, 8, "%ld", number);
	return ERR_OK;
}

static enum err_code
open_one(int *out, const struct sockaddr *sa, socklen_t len,
    const char *address, struct err *e)
{
	int on = 1;
	int fd = socket(sa->sa_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_errno(e, "listen %s: socket", address);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
	    bind(fd, sa, len) != 0 || listen(fd, LISTENERS_BACKLOG) != 0) {
		(void)err_errno(e, "listen %s", address);
		close(fd);
		return ERR_IO;
	}
	*out = fd;
	return ERR_OK;
}

/* SO_REUSEPORT would let a second server of the same user share our port
 * unnoticed, so the first socket has to get it without. */
static enum err_code
check_free(const struct sockaddr *sa, socklen_t len, const char *address,
    struct err *e)
{
	enum err_code code = ERR_OK;
	int on = 1;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(e, "listen %s: socket", address);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, sa, len) != 0) {
		(void)err_errno(e, "listen %s", address);
		code = ERR_CONFLICT;
	}
	close(fd);
	return code;
}

static void
take_port(struct sockaddr_storage *sa, int fd)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof bound;

	if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
		assert(0 && "getsockname");
	if (bound.ss_family == AF_INET6)
		((struct sockaddr_in6 *)sa)->sin6_port =
		    ((struct sockaddr_in6 *)&bound)->sin6_port;
	else
		((struct sockaddr_in *)sa)->sin_port =
		    ((struct sockaddr_in *)&bound)->sin_port;
}

static void
describe(struct listeners *l, const struct sockaddr_storage *sa,
    const char *host)
{
	unsigned int port = sa->ss_family == AF_INET6
	    ? ((const struct sockaddr_in6 *)sa)->sin6_port
	    : ((const struct sockaddr_in *)sa)->sin_port;
	const char *shown = *host != '\0' ? host : "0.0.0.0";

	(void)snprintf(l->address, sizeof l->address,
	    strchr(shown, ':') != NULL ? "[%s]:%u" : "%s:%u", shown,
	    (unsigned int)ntohs((uint16_t)port));
}

enum err_code
listeners_open(struct listeners *out, const char *address, size_t count,
    struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	struct sockaddr_storage sa = { 0 };
	struct listeners l = { .count = 0 };
	char host[256];
	char port[8];
	enum err_code code;
	int n;

	assert(count > 0 && count <= LISTENERS_MAX);
	TRY(split(address, host, port, e));
	n = getaddrinfo(*host != '\0' ? host : "0.0.0.0", port, &hints, &found);
	if (n != 0)
		return err_set(e, ERR_INVALID, "listen: %s: %s", address,
		    gai_strerror(n));
	memcpy(&sa, found->ai_addr, found->ai_addrlen);
	code =
	    check_free((struct sockaddr *)&sa, found->ai_addrlen, address, e);
	while (code == ERR_OK && l.count < count) {
		code = open_one(&l.fds[l.count], (struct sockaddr *)&sa,
		    found->ai_addrlen, address, e);
		if (code == ERR_OK && l.count++ == 0)
			take_port(&sa, l.fds[0]);
	}
	freeaddrinfo(found);
	if (code != ERR_OK) {
		listeners_close(&l);
		return code;
	}
	describe(&l, &sa, host);
	*out = l;
	return ERR_OK;
}

void
listeners_close(struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		close(l->fds[i]);
	l->count = 0;
}
