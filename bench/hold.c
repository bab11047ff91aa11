/* The peer of bench/wait: holds polls and, at a signal, sends the same bytes to
 * all that wait. Epoll and nothing else: no rights, no records, no limits, and
 * each process serves what one connection asks once. Nobody who knows who asks
 * can be faster. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/file.h"
#include "core/mem.h"

enum {
	VERSIONS = 2,
	BUNDLE_MAX = 16 << 20,
	REQUEST_MAX = 1024,
	EVENTS_MAX = 512,
	BACKLOG = 16384,
	PROCESSES_MAX = 64
};

/* Of one descriptor. */
struct peer {
	bool held;
	size_t len; /* of the request so far */
	size_t sent, version;
	char request[REQUEST_MAX];
};

struct hold {
	int epoll, listener, signals;
	struct buf answers[VERSIONS]; /* heads and all */
	size_t version;
	struct peer **peers; /* by descriptor */
	size_t peer_count;
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_hold: %s: %s\n", what, why);
	exit(1);
}

static void
watch(struct hold *h, int fd, uint32_t events, int how)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (epoll_ctl(h->epoll, how, fd, &ev) != 0)
		give_up("epoll", strerror(errno));
}

static void
hang_up(struct hold *h, int fd)
{
	mem_free(h->peers[fd]);
	h->peers[fd] = NULL;
	(void)close(fd);
}

static void
send_more(struct hold *h, int fd)
{
	struct peer *p = h->peers[fd];
	const struct buf *b = &h->answers[p->version];
	ssize_t n = send(fd, b->data + p->sent, b->len - p->sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		hang_up(h, fd);
		return;
	}
	p->sent += n > 0 ? (size_t)n : 0;
	if (p->sent == b->len)
		hang_up(h, fd);
	else
		watch(h, fd, EPOLLOUT, EPOLL_CTL_MOD);
}

static void
answer(struct hold *h, int fd)
{
	struct peer *p = h->peers[fd];

	p->held = false;
	p->sent = 0;
	p->version = h->version;
	send_more(h, fd);
}

/* As the versions are named: "v0", "v1". */
static bool
has_newest(const struct hold *h, const char *request)
{
	char tag[48];

	(void)snprintf(tag, sizeof tag, "If-None-Match: \"v%zu\"", h->version);
	return strstr(request, tag) != NULL;
}

static void
read_request(struct hold *h, int fd)
{
	struct peer *p = h->peers[fd];
	ssize_t n =
	    recv(fd, p->request + p->len, sizeof p->request - 1 - p->len, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hang_up(h, fd);
		return;
	}
	p->len += (size_t)n;
	p->request[p->len] = '\0';
	if (strstr(p->request, "\r\n\r\n") == NULL)
		return;
	if (has_newest(h, p->request))
		p->held = true;
	else
		answer(h, fd);
}

static void
take_connections(struct hold *h)
{
	const int on = 1;
	int fd;

	while ((fd = accept4(h->listener, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if ((size_t)fd >= h->peer_count)
			give_up("accept", "more than was reckoned with");
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		h->peers[fd] = mem_zalloc(sizeof *h->peers[fd]);
		watch(h, fd, EPOLLIN, EPOLL_CTL_ADD);
	}
}

static void
release(struct hold *h)
{
	struct signalfd_siginfo info;

	if (read(h->signals, &info, sizeof info) != sizeof info)
		return;
	h->version = (h->version + 1) % VERSIONS;
	for (size_t i = 0; i < h->peer_count; i++)
		if (h->peers[i] != NULL && h->peers[i]->held)
			answer(h, (int)i);
}

static void
handle(struct hold *h, const struct epoll_event *ev)
{
	int fd = ev->data.fd;

	if (fd == h->listener)
		take_connections(h);
	else if (fd == h->signals)
		release(h);
	else if (h->peers[fd] == NULL)
		return; /* released by what came before in this batch */
	else if ((ev->events & EPOLLOUT) != 0)
		send_more(h, fd);
	else
		read_request(h, fd);
}

/* ---- the start ---- */

static int
listen_at(uint16_t port)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 ||
	    listen(fd, BACKLOG) != 0)
		give_up("listen", strerror(errno));
	return fd;
}

static void
read_answer(struct buf *out, const char *path, size_t version)
{
	AUTO_BUF body = { 0 };
	struct err e = { 0 };

	buf_init(out, BUNDLE_MAX);
	buf_init(&body, BUNDLE_MAX - 1024);
	if (file_read(&body, path, &e) != ERR_OK)
		give_up(path, e.text);
	buf_printf(out,
	    "HTTP/1.1 200 OK\r\n"
	    "Content-Type: application/vnd.openpolicyagent.bundles\r\n"
	    "ETag: \"v%zu\"\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
	    version, body.len);
	buf_add(out, body.data, body.len);
}

static void
serve(uint16_t port, char **files)
{
	struct hold h = { .listener = listen_at(port) };
	struct rlimit room;
	sigset_t set;

	(void)getrlimit(RLIMIT_NOFILE, &room);
	room.rlim_cur = room.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &room);
	h.peer_count = room.rlim_cur < 1 << 20 ? room.rlim_cur : 1 << 20;
	h.peers = mem_array(h.peer_count, sizeof(struct peer *));
	for (size_t i = 0; i < VERSIONS; i++)
		read_answer(&h.answers[i], files[i], i);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	h.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	h.epoll = epoll_create1(EPOLL_CLOEXEC);
	watch(&h, h.listener, EPOLLIN, EPOLL_CTL_ADD);
	watch(&h, h.signals, EPOLLIN, EPOLL_CTL_ADD);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(h.epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++)
			handle(&h, &events[i]);
	}
}

/* PORT PROCESSES FILE FILE: says the ids of its processes when they begin; each
 * is to be sent SIGUSR1. Ends with SIGTERM. */
int
main(int argc, char **argv)
{
	size_t count = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	uint16_t port = argc == 5 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0;
	sigset_t set;

	if (count == 0 || count > PROCESSES_MAX || port == 0)
		give_up("usage", "see bench/wait");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			give_up("fork", strerror(errno));
		if (pid == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(port, &argv[3]);
		}
		(void)printf("%s%d", i > 0 ? "," : "", (int)pid);
		(void)fflush(stdout);
	}
	(void)printf("\n");
	(void)fflush(stdout);
	(void)wait(NULL);
	give_up("a process", "ended");
}
