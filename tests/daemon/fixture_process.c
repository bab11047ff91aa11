#include "tests/daemon/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/daemon/scene.h"

int64_t
daemon_now_ms(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The only place where a test rests. */
static void
rest(void)
{
	const struct timespec step = { .tv_nsec = STEP_NS };

	(void)nanosleep(&step, NULL);
}

bool
scene_holds_before(bool (*condition)(void *arg), void *arg, int64_t deadline_ms)
{
	int64_t end = daemon_now_ms() + deadline_ms;

	while (!condition(arg)) {
		if (daemon_now_ms() > end)
			return false;
		rest();
	}
	return true;
}

int64_t
daemon_wait(const char *what, bool (*condition)(void *arg), void *arg,
    int64_t deadline_ms)
{
	int64_t begin = daemon_now_ms();

	if (!scene_holds_before(condition, arg, deadline_ms))
		fail_msg("after %" PRId64 " ms still not: %s", deadline_ms,
		    what);
	return daemon_now_ms() - begin;
}

int
daemon_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		fail_msg("no free port: %s", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

/* Nobody else has descriptors so low, but those of this process's own. */
static void
hand_over(const int *sockets)
{
	char text[16];
	int count = 0;

	for (; sockets != NULL && sockets[count] != 0; count++)
		if (dup2(sockets[count], 3 + count) < 0 ||
		    fcntl(3 + count, F_SETFD, 0) != 0)
			_exit(126);
	if (count == 0)
		return;
	(void)snprintf(text, sizeof text, "%d", count);
	(void)setenv("LISTEN_FDS", text, 1);
	(void)snprintf(text, sizeof text, "%d", (int)getpid());
	(void)setenv("LISTEN_PID", text, 1);
}

/* Becomes the program, its output appended to log; dies with the test. */
static void
become(const int *sockets, const char *const *argv, const char *log,
    const char *const *env, mode_t mask, pid_t parent)
{
	int in = open("/dev/null", O_RDONLY);
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	sigset_t none;

	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0)
		_exit(126);
	if (in > 2)
		close(in);
	if (out > 2)
		close(out);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (mask != 0)
		(void)umask(mask);
	for (; env != NULL && *env != NULL; env++) {
		const char *equals = strchr(*env, '=');
		AUTO_STR name = mem_strndup(*env, (size_t)(equals - *env));

		(void)setenv(name, equals + 1, 1);
	}
	hand_over(sockets);
	if (getppid() == parent)
		(void)execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

pid_t
scene_launch(const char *const *argv, const char *log, const char *const *env,
    mode_t mask)
{
	return scene_launch_with(NULL, argv, log, env, mask);
}

pid_t
scene_launch_with(const int *sockets, const char *const *argv, const char *log,
    const char *const *env, mode_t mask)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		become(sockets, argv, log, env, mask, parent);
	assert_true(pid > 0);
	return pid;
}

bool
scene_has_ended(void *arg)
{
	struct waiting *w = arg;

	return waitpid(w->pid, &w->status, WNOHANG) == w->pid;
}

int
scene_end_process(pid_t pid, int signal_number)
{
	struct waiting w = { .pid = pid };

	(void)kill(pid, signal_number);
	if (scene_holds_before(scene_has_ended, &w, STOP_MS))
		return w.status;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &w.status, 0);
	return -1;
}

/* Calls visit for each child of the server. */
static void
each_child(void (*visit)(pid_t pid, void *arg), void *arg)
{
	AUTO_STR path = mem_printf("/proc/%d/task/%d/children",
	    (int)scene.server, (int)scene.server);
	const char *list = scene.server != 0 ? scene_read(path) : NULL;

	while (list != NULL && *list != '\0') {
		char *end;
		long pid = strtol(list, &end, 10);

		if (end == list)
			return;
		visit((pid_t)pid, arg);
		list = end;
	}
}

struct search {
	const char *name;
	pid_t found;
};

static void
match_child(pid_t pid, void *arg)
{
	struct search *s = arg;
	AUTO_STR path = mem_printf("/proc/%d/comm", (int)pid);
	const char *comm = scene_read(path);

	if (comm != NULL && strncmp(comm, "edict ", 6) == 0 &&
	    strncmp(comm + 6, s->name, strlen(s->name)) == 0)
		s->found = pid;
}

pid_t
daemon_process(const char *name)
{
	struct search s = { .name = name };

	each_child(match_child, &s);
	return s.found;
}

static bool
is_running(void *arg)
{
	const char *const *name = arg;

	return daemon_process(*name) != 0;
}

void
daemon_kill(const char *name, int signal_number)
{
	pid_t pid;

	daemon_wait(daemon_printf("%s runs", name), is_running, &name,
	    DAEMON_DEADLINE_MS);
	pid = daemon_process(name);
	if (pid != 0)
		(void)kill(pid, signal_number);
}

bool
daemon_is_gone(pid_t pid)
{
	AUTO_STR path = mem_printf("/proc/%d/stat", (int)pid);
	const char *stat = scene_read(path);
	const char *state = stat != NULL ? strrchr(stat, ')') : NULL;

	/* A zombie is gone: whoever reaps it is not ours to judge. */
	return state == NULL || state[2] == 'Z';
}
