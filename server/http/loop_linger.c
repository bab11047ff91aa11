/* The end of connections whose client is still sending. Closed at once, the
 * kernel would answer what comes with a reset, and the client would often lose
 * the answer that says what was wrong. So the socket lives on for a moment
 * without the library: closed for writing, and read to the end. */

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "server/http/loop_state.h"

enum {
	LINGER_MS = 2000,
	LINGER_MAX = 64, /* at once; then the oldest goes */
	LINGER_BYTES = 4 << 20
};

struct parting {
	TAILQ_ENTRY(parting) link;
	int fd;
	int64_t deadline_ms;
	size_t left; /* bytes it may send still */
};

static void
let_go(struct loop *l, struct parting *g)
{
	TAILQ_REMOVE(&l->lingering, g, link);
	l->lingering_count--;
	close(g->fd); /* out of the epoll set, too */
	mem_free(g);
}

void
loop_linger(struct loop *l, int fd)
{
	struct parting *g = mem_zalloc(sizeof *g);
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP,
		.data.u64 = (uintptr_t)g | LOOP_TAG_LINGER,
	};

	g->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (g->fd < 0 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, g->fd, &event) != 0) {
		if (g->fd >= 0)
			close(g->fd);
		mem_free(g);
		return;
	}
	(void)shutdown(g->fd, SHUT_WR);
	g->deadline_ms = l->now_ms + LINGER_MS;
	g->left = LINGER_BYTES;
	TAILQ_INSERT_TAIL(&l->lingering, g, link);
	if (++l->lingering_count > LINGER_MAX)
		let_go(l, TAILQ_FIRST(&l->lingering));
}

void
loop_linger_read(struct loop *l, struct parting *g)
{
	char dropped[16384];
	ssize_t n = recv(g->fd, dropped, sizeof dropped, MSG_DONTWAIT);

	if (n > 0 && (size_t)n < g->left)
		g->left -= (size_t)n;
	else if (n >= 0 || errno != EAGAIN)
		let_go(l, g);
}

int64_t
loop_linger_next(const struct loop *l, int64_t now)
{
	const struct parting *g = TAILQ_FIRST(&l->lingering);

	if (g == NULL)
		return -1;
	return g->deadline_ms > now ? g->deadline_ms - now : 0;
}

void
loop_linger_expire(struct loop *l, int64_t now)
{
	struct parting *g;

	while ((g = TAILQ_FIRST(&l->lingering)) != NULL &&
	    g->deadline_ms <= now)
		let_go(l, g);
}
