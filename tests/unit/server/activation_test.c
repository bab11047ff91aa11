#include "server/supervisor/activation.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "server/supervisor/notify.h"

/* What happens to descriptors 3 and up happens in a child: 0 is well, else a
 * line of this file. */
#define EXPECT(condition)                                              \
	do {                                                           \
		if (!(condition))                                      \
			_exit(__LINE__ % 256 + (__LINE__ % 256 == 0)); \
	} while (0)

static int
listening(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	EXPECT(fd >= 0 && listen(fd, 8) == 0);
	return fd;
}

static int
to_place(int fd, int place)
{
	if (fd != place) {
		EXPECT(dup2(fd, place) == place);
		close(fd);
	}
	return place;
}

static void
announce(const char *count)
{
	char pid[16];

	(void)snprintf(pid, sizeof pid, "%d", (int)getpid());
	EXPECT(setenv("LISTEN_PID", pid, 1) == 0);
	EXPECT(setenv("LISTEN_FDS", count, 1) == 0);
	EXPECT(setenv("LISTEN_FDNAMES", "edict.socket", 1) == 0);
}

static void
expect_no_variables(void)
{
	EXPECT(getenv("LISTEN_PID") == NULL && getenv("LISTEN_FDS") == NULL &&
	    getenv("LISTEN_FDNAMES") == NULL);
}

static void
in_child(void (*body)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		log_init("test", LOG_ERROR);
		closefrom(3);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("line %d (mod 256), signal %d", WEXITSTATUS(status),
		    WTERMSIG(status));
}

/* ---- sockets ---- */

static void
one_for_three_threads(void)
{
	struct listeners l;
	struct err e;

	to_place(listening(AF_INET), 3);
	announce("1");
	EXPECT(activation_take(&l, 3, &e) == ERR_OK);
	EXPECT(l.count == 3 && l.fds[0] == 3);
	EXPECT(strncmp(l.address, "0.0.0.0:", 8) == 0);
	for (size_t i = 0; i < 3; i++) {
		EXPECT(fcntl(l.fds[i], F_GETFD) == FD_CLOEXEC);
		EXPECT((fcntl(l.fds[i], F_GETFL) & O_NONBLOCK) != 0);
	}
	expect_no_variables();
	listeners_close(&l);
	EXPECT(fcntl(3, F_GETFD) == -1);
}

static void
two_for_two_threads(void)
{
	struct listeners l;
	struct err e;

	to_place(listening(AF_INET6), 3);
	to_place(listening(AF_INET), 4);
	announce("2");
	EXPECT(activation_take(&l, 2, &e) == ERR_OK);
	EXPECT(l.count == 2 && l.fds[0] == 3 && l.fds[1] == 4);
	EXPECT(strncmp(l.address, "[::]:", 5) == 0);
}

static void
more_than_threads(void)
{
	struct listeners l;
	struct err e;

	to_place(listening(AF_INET), 3);
	to_place(listening(AF_INET), 4);
	announce("2");
	EXPECT(activation_take(&l, 1, &e) == ERR_INVALID);
	EXPECT(strstr(e.text, "http.threads") != NULL);
}

static void
for_somebody_else(void)
{
	static const char *const counts[] = { "", "x", "-1", "0", "1x", "1" };
	struct listeners l;
	struct err e;

	for (size_t i = 0; i < 6; i++) {
		announce(counts[i]);
		if (i == 5)
			EXPECT(setenv("LISTEN_PID", "1", 1) == 0);
		EXPECT(activation_take(&l, 1, &e) == ERR_OK && l.count == 0);
		expect_no_variables();
	}
}

static void
expect_refused(int fd, const char *why)
{
	struct listeners l;
	struct err e;

	to_place(fd, 3);
	announce("1");
	EXPECT(activation_take(&l, 1, &e) == ERR_INVALID);
	EXPECT(l.count == 0 && strstr(e.text, why) != NULL);
}

static void
no_use(void)
{
	expect_refused(socket(AF_UNIX, SOCK_STREAM, 0), "TCP");
	expect_refused(socket(AF_INET, SOCK_DGRAM, 0), "stream");
	expect_refused(socket(AF_INET, SOCK_STREAM, 0), "Accept=no");
}

static void
no_socket(void)
{
	struct listeners l;
	struct err e;

	announce("1");
	EXPECT(activation_take(&l, 1, &e) != ERR_OK);
	EXPECT(strstr(e.text, "descriptor 3") != NULL);
}

static void
sockets(void **state)
{
	(void)state;
	in_child(one_for_three_threads);
	in_child(two_for_two_threads);
	in_child(more_than_threads);
	in_child(for_somebody_else);
	in_child(no_use);
	in_child(no_socket);
}

/* ---- telling ---- */

static int
open_manager(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t len = strlen(name);

	memcpy(sa.sun_path + 1, name + 1, len - 1);
	EXPECT(bind(fd, (struct sockaddr *)&sa,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) ==
	    0);
	EXPECT(setenv("NOTIFY_SOCKET", name, 1) == 0);
	return fd;
}

static const char *
hear(int fd)
{
	static char text[2048];
	ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
told_in_order(void)
{
	char name[64];
	struct notify n;
	int fd;

	(void)snprintf(name, sizeof name, "@edict-notify-%d", (int)getpid());
	fd = open_manager(name);
	EXPECT(setenv("WATCHDOG_USEC", "2000000", 1) == 0);
	notify_open(&n);
	EXPECT(getenv("NOTIFY_SOCKET") == NULL &&
	    getenv("WATCHDOG_USEC") == NULL);
	EXPECT(fcntl(n.fd, F_GETFD) == FD_CLOEXEC);
	notify_ready(&n, "serving %d\nmore", 3);
	EXPECT(strcmp(hear(fd), "READY=1\nSTATUS=serving 3") == 0);
	notify_reloading(&n);
	EXPECT(strncmp(hear(fd), "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
	EXPECT(notify_tick(&n, 5000) == 1000);
	EXPECT(strcmp(hear(fd), "WATCHDOG=1") == 0);
	EXPECT(notify_tick(&n, 5999) == 1 && *hear(fd) == '\0');
	EXPECT(notify_tick(&n, 6000) == 1000 && *hear(fd) == 'W');
	notify_stopping(&n);
	EXPECT(strncmp(hear(fd), "STOPPING=1\n", 11) == 0);
	close(fd);
	notify_stopping(&n); /* nobody hears it, and nothing happens */
	notify_close(&n);
}

static void
nobody_to_tell(void)
{
	static const char *const names[] = { "", "relative", "vsock:2:1",
		"/nowhere/at/all" };
	struct notify n;

	for (size_t i = 0; i < 4; i++) {
		EXPECT(setenv("NOTIFY_SOCKET", names[i], 1) == 0);
		notify_open(&n);
		EXPECT(n.fd == -1 && getenv("NOTIFY_SOCKET") == NULL);
		notify_ready(&n, "x");
		EXPECT(notify_tick(&n, 1) == -1);
	}
}

static void
watchdog_of_another(void)
{
	char name[64];
	struct notify n;
	int fd;

	(void)snprintf(name, sizeof name, "@edict-notify-%d", (int)getpid());
	fd = open_manager(name);
	EXPECT(setenv("WATCHDOG_USEC", "2000000", 1) == 0);
	EXPECT(setenv("WATCHDOG_PID", "1", 1) == 0);
	notify_open(&n);
	EXPECT(notify_tick(&n, 5000) == -1 && *hear(fd) == '\0');
}

static void
telling(void **state)
{
	(void)state;
	in_child(told_in_order);
	in_child(nobody_to_tell);
	in_child(watchdog_of_another);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets),
		cmocka_unit_test(telling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
