#include "tests/unit/server/receiver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"

enum { REQUEST_MAX = 2 << 20, TRICKLE_MS = 100, STEP = 4096 };

struct request {
	struct buf text;
	const char *path;
	size_t head_len;
};

static void
say(int fd, const char *text)
{
	if (file_write_all(fd, text, strlen(text), NULL) != ERR_OK)
		_exit(0);
}

/* ---- what it does ---- */

static void
do_ok(int fd, const char *rest)
{
	(void)rest;
	say(fd,
	    "HTTP/1.1 200 OK\r\neTag:  \"v1\" \r\nContent-Length: 4\r\n"
	    "Connection: close\r\n\r\nfine");
}

static void
do_status(int fd, const char *rest)
{
	long status = strtol(rest, NULL, 10);
	AUTO_STR text = mem_printf(
	    "HTTP/1.1 %ld Said\r\nContent-Length: 0\r\n%sConnection: "
	    "close\r\n\r\n",
	    status, status == 429 || status == 503 ? "Retry-After: 7\r\n" : "");

	say(fd, text);
}

static void
do_stall(int fd, const char *rest)
{
	(void)fd;
	(void)rest;
	for (;;)
		(void)pause();
}

static void
do_trickle(int fd, const char *rest)
{
	(void)rest;
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	for (;;) {
		say(fd, ".");
		(void)poll(NULL, 0, TRICKLE_MS);
	}
}

static void
do_flood(int fd, const char *rest)
{
	(void)rest;
	say(fd, "HTTP/1.1 200 OK\r\n\r\n");
	for (;;)
		say(fd, "a body that does not end, a body that does not end, ");
}

static void
do_headers(int fd, const char *rest)
{
	(void)rest;
	say(fd, "HTTP/1.1 200 OK\r\n");
	for (;;)
		say(fd, "X-More: there are headers after this one\r\n");
}

static void
do_close(int fd, const char *rest)
{
	(void)fd;
	(void)rest;
}

static void
do_half(int fd, const char *rest)
{
	(void)rest;
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
}

static void
do_garbage(int fd, const char *rest)
{
	(void)rest;
	say(fd, "220 mail.example.org ESMTP\r\n");
}

static void
do_redirect(int fd, const char *rest)
{
	(void)rest;
	say(fd,
	    "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n"
	    "Connection: close\r\n\r\n");
}

static const struct {
	const char *path;
	void (*act)(int fd, const char *rest);
} acts[] = {
	{ "/ok", do_ok },
	{ "/status/", do_status },
	{ "/stall", do_stall },
	{ "/trickle", do_trickle },
	{ "/flood", do_flood },
	{ "/headers", do_headers },
	{ "/close", do_close },
	{ "/half", do_half },
	{ "/garbage", do_garbage },
	{ "/redirect", do_redirect },
};

/* ---- requests ---- */

static size_t
body_length(const char *head)
{
	const char *at = strcasestr(head, "\r\ncontent-length:");

	return at != NULL ? strtoul(at + 17, NULL, 10) : 0;
}

static void
read_request(struct request *r, int fd)
{
	size_t wanted = SIZE_MAX;

	buf_init(&r->text, REQUEST_MAX);
	while (r->text.len < wanted) {
		char *room = buf_reserve(&r->text, STEP);
		ssize_t n = room != NULL ? read(fd, room, STEP) : 0;
		char *end;

		if (n <= 0)
			_exit(0);
		buf_commit(&r->text, (size_t)n);
		end = strstr(r->text.data, "\r\n\r\n");
		if (end == NULL)
			continue;
		r->head_len = (size_t)(end + 4 - r->text.data);
		wanted = r->head_len + body_length(r->text.data);
	}
	r->path = strchr(r->text.data, ' ');
	if (r->path++ == NULL)
		_exit(0);
}

/* The body first: who sees the head finds both. */
static void
keep(const struct request *r, const char *dir, int number)
{
	AUTO_STR head = mem_printf("%s/%d.head", dir, number);
	AUTO_STR body = mem_printf("%s/%d.body", dir, number);

	if (file_replace(body, r->text.data + r->head_len,
		r->text.len - r->head_len, 0600, NULL) != ERR_OK ||
	    file_replace(head, r->text.data, r->head_len, 0600, NULL) != ERR_OK)
		_exit(1);
}

static void
serve_one(int fd, const char *dir, int number)
{
	struct request r;

	read_request(&r, fd);
	keep(&r, dir, number);
	for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
		size_t len = strlen(acts[i].path);

		if (strncmp(r.path, acts[i].path, len) == 0) {
			acts[i].act(fd, r.path + len);
			_exit(0);
		}
	}
	do_status(fd, "404");
	_exit(0);
}

static _Noreturn void
serve(int listener, const char *dir)
{
	AUTO_STR down = file_path(dir, "down");
	int number = 0;

	(void)signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (access(down, F_OK) != 0) {
			number++;
			if (fork() == 0) {
				(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
				serve_one(fd, dir, number);
			}
		}
		close(fd);
	}
}

void
receiver_start(struct receiver *r, const char *dir, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
			     sizeof on),
	    0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	r->port = ntohs(a.sin_port);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(fd, dir);
	}
	close(fd);
}

void
receiver_stop(struct receiver *r)
{
	if (r->pid <= 0)
		return;
	(void)kill(r->pid, SIGKILL);
	(void)waitpid(r->pid, NULL, 0);
	r->pid = 0;
}
