#include "policies/fetch_stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <git2/errors.h>
#include <git2/sys/stream.h>

#include "core/mem.h"
#include "policies/gitlib.h"

struct fetch_stream {
	git_stream parent; /* first: libgit2 knows this part alone */
	char *host;
	char *port;
	int fd; /* -1: not connected */
};

static struct fetch_stream *
from(git_stream *s)
{
	void *whole = s;

	return whole;
}

static int
fail(const char *what, const char *host, const char *why)
{
	AUTO_STR text = mem_printf("%s %s: %s", what, host, why);

	git_error_set_str(GIT_ERROR_NET, text);
	return -1;
}

/* Best effort: a connection without these is slower, not wrong. */
static void
set_options(int fd)
{
	struct timeval limit = { .tv_sec = FETCH_STREAM_CONNECT_S };
	const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, FETCH_STREAM_SILENT_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, FETCH_STREAM_SILENT_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, FETCH_STREAM_PROBES },
	};

	/* Linux applies this one to connect as well. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].name,
		    &options[i].value, sizeof(options[i].value));
}

static const char *
reason(int number)
{
	if (number == EINPROGRESS || number == EAGAIN)
		return "no answer in time";
	return strerror(number);
}

/* The descriptor, or -1 with errno. */
static int
connect_to(const struct addrinfo *a)
{
	int fd =
	    socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
	int number;

	if (fd < 0)
		return -1;
	set_options(fd);
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	number = errno;
	close(fd);
	errno = number;
	return -1;
}

static int
stream_connect(git_stream *s)
{
	struct fetch_stream *st = from(s);
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_family = AF_UNSPEC };
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(st->host, st->port, &hints, &list);

	if (rc != 0)
		return fail("failed to resolve address for", st->host,
		    rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (const struct addrinfo *a = list; a != NULL && st->fd < 0;
	     a = a->ai_next)
		st->fd = connect_to(a);
	if (st->fd < 0)
		rc = fail("failed to connect to", st->host, reason(errno));
	freeaddrinfo(list);
	return rc;
}

static ssize_t
stream_read(git_stream *s, void *data, size_t len)
{
	const struct fetch_stream *st = from(s);
	ssize_t n;

	do
		n = recv(st->fd, data, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? fail("reading from", st->host, reason(errno)) : n;
}

static ssize_t
stream_write(git_stream *s, const char *data, size_t len, int flags)
{
	const struct fetch_stream *st = from(s);
	ssize_t n;

	do
		n = send(st->fd, data, len, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? fail("writing to", st->host, reason(errno)) : n;
}

static int
stream_close(git_stream *s)
{
	struct fetch_stream *st = from(s);
	int rc = st->fd >= 0 ? close(st->fd) : 0;

	st->fd = -1;
	return rc;
}

static void
stream_free(git_stream *s)
{
	struct fetch_stream *st = from(s);

	if (st == NULL)
		return;
	(void)stream_close(s);
	mem_free(st->host);
	mem_free(st->port);
	mem_free(st);
}

static int
stream_new(git_stream **out, const char *host, const char *port)
{
	struct fetch_stream *st = mem_zalloc(sizeof(*st));

	st->host = mem_strdup(host);
	st->port = mem_strdup(port);
	st->fd = -1;
	st->parent = (git_stream){ .version = GIT_STREAM_VERSION,
		.connect = stream_connect,
		.read = stream_read,
		.write = stream_write,
		.close = stream_close,
		.free = stream_free };
	*out = &st->parent;
	return 0;
}

enum err_code
fetch_stream_register(struct err *e)
{
	git_stream_registration r = { .version = GIT_STREAM_VERSION,
		.init = stream_new };
	int rc = git_stream_register(GIT_STREAM_STANDARD, &r);

	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "stream");
}
