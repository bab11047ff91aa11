#include "core/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

enum {
	CHILD_FAILED = 127,  /* exit status of a child that did not start */
	CHILD_FD_FREE = 100, /* where descriptors wait while 0, 1, 2 are set */
	READ_STEP = 64 * 1024,
	/* After its end, for what is left in pipes that a process outside
	 * its group may still hold. */
	DRAIN_MS = 1000
};

/* In the child, between fork and exec. The parent has one thread, so memory
 * may be allocated. */

static void
reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL); /* KILL, STOP: no effect */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A copy of fd (or of /dev/null) out of the way of 0, 1 and 2. */
static enum err_code
copy_fd(int *out, int fd, struct err *e)
{
	int copy;

	if (fd >= 0) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, CHILD_FD_FREE);
	} else {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null < 0)
			return err_errno(e, "/dev/null");
		copy = fcntl(null, F_DUPFD_CLOEXEC, CHILD_FD_FREE);
		close(null);
	}
	if (copy < 0)
		return err_errno(e, "descriptor %d", fd);
	*out = copy;
	return ERR_OK;
}

static int
compare_ints(const void *a, const void *b)
{
	int x = *(const int *)a;
	int y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Closes all but 0, 1, 2 and these. */
static enum err_code
close_others(const int *keep, size_t count, struct err *e)
{
	int sorted[CHILD_FDS_MAX + 1];
	unsigned int from = 3;

	memcpy(sorted, keep, count * sizeof *keep);
	qsort(sorted, count, sizeof *sorted, compare_ints);
	for (size_t i = 0; i < count; i++) {
		unsigned int fd = (unsigned int)sorted[i];

		if (fd > from && close_range(from, fd - 1, 0) != 0)
			return err_errno(e, "descriptors");
		if (fd >= from)
			from = fd + 1;
	}
	if (close_range(from, ~0u, 0) != 0)
		return err_errno(e, "descriptors");
	return ERR_OK;
}

static enum err_code
set_descriptors(const struct child_spec *spec, int report, struct err *e)
{
	int wanted[3] = { spec->stdin_fd, spec->stdout_fd, spec->stderr_fd };
	int keep[CHILD_FDS_MAX + 1];
	int copies[3];

	/* Functions report to the log, as their parent does. */
	if (spec->stderr_fd < 0 && spec->path == NULL)
		wanted[2] = STDERR_FILENO;
	for (int i = 0; i < 3; i++)
		TRY(copy_fd(&copies[i], wanted[i], e));
	for (int i = 0; i < 3; i++) {
		if (dup2(copies[i], i) < 0)
			return err_errno(e, "descriptor %d", i);
	}
	for (size_t i = 0; i < spec->keep_count; i++) {
		keep[i] = spec->keep[i];
		if (fcntl(keep[i], F_SETFD,
			spec->path != NULL ? 0 : FD_CLOEXEC) != 0)
			return err_errno(e, "descriptor %d", keep[i]);
	}
	keep[spec->keep_count] = report;
	return close_others(keep, spec->keep_count + 1, e);
}

static enum err_code
set_process(const struct child_spec *spec, pid_t parent, struct err *e)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return err_errno(e, "parent-death signal");
	/* The parent may have died before it was set. */
	if (getppid() != parent)
		_exit(CHILD_FAILED);
	if (setpgid(0, 0) != 0)
		return err_errno(e, "process group");
	reset_signals();
	(void)prctl(PR_SET_NAME, spec->name);
	return ERR_OK;
}

static enum err_code
set_environment(const struct child_spec *spec, struct err *e)
{
	const char *cwd = spec->cwd != NULL ? spec->cwd : "/";

	if (chdir(cwd) != 0)
		return err_errno(e, "%s", cwd);
	if (spec->path != NULL)
		return ERR_OK; /* execve passes its own */
	if (clearenv() != 0)
		return err_errno(e, "environment");
	for (size_t i = 0; spec->envp != NULL && spec->envp[i] != NULL; i++) {
		const char *equals = strchr(spec->envp[i], '=');
		AUTO_STR name = NULL;

		if (equals == NULL)
			return err_set(e, ERR_INVALID,
			    "environment: %s has no value", spec->envp[i]);
		name = mem_strndup(spec->envp[i],
		    (size_t)(equals - spec->envp[i]));
		if (setenv(name, equals + 1, 1) != 0)
			return err_errno(e, "environment: %s", name);
	}
	return ERR_OK;
}

static enum err_code
set_up(const struct child_spec *spec, pid_t parent, int report, struct err *e)
{
	TRY(set_process(spec, parent, e));
	TRY(set_descriptors(spec, report, e));
	TRY(set_environment(spec, e));
	if (spec->prepare != NULL && spec->path == NULL) {
		int status = spec->prepare(spec->arg);

		if (status != 0)
			return err_set(e, ERR_UNAVAILABLE,
			    "it could not prepare (%d); see the log", status);
	}
	return confine_self(&spec->rules, e);
}

static void
execute(const struct child_spec *spec, struct err *e)
{
	static const char *const empty[] = { NULL };
	const char *const alone[] = { spec->path, NULL };
	const char *const *argv = spec->argv != NULL ? spec->argv : alone;
	const char *const *envp = spec->envp != NULL ? spec->envp : empty;

	/* execve writes to neither; its prototype is older than const. */
	execve(spec->path, (char *const *)(uintptr_t)argv,
	    (char *const *)(uintptr_t)envp);
	(void)err_errno(e, "%s", spec->path);
}

static _Noreturn void
child_body(const struct child_spec *spec, pid_t parent, int report)
{
	struct err e = { 0 };
	enum err_code code;

	/* Out of the way of 0, 1, 2, should the parent have none. */
	report = fcntl(report, F_DUPFD_CLOEXEC, CHILD_FD_FREE);
	if (report < 0)
		_exit(CHILD_FAILED);
	code = set_up(spec, parent, report, &e);
	if (code == ERR_OK && spec->path == NULL) {
		close(report);
		_exit(spec->main(spec->arg));
	}
	if (code == ERR_OK)
		execute(spec, &e);
	/* Less than PIPE_BUF: whole or not at all. If even this fails the exit
	 * status is all there is. */
	if (write(report, &e, sizeof e) < 0)
		_exit(CHILD_FAILED);
	_exit(CHILD_FAILED);
}

/* In the parent. */

static enum err_code
check_spec(const struct child_spec *spec, struct err *e)
{
	assert((spec->path != NULL) != (spec->main != NULL));
	if (spec->path != NULL && spec->path[0] != '/')
		return err_set(e, ERR_INVALID,
		    "%s: a program needs its whole path, not %s", spec->name,
		    spec->path);
	if (spec->keep_count > CHILD_FDS_MAX)
		return err_set(e, ERR_LIMIT, "%s: more than %d descriptors",
		    spec->name, (int)CHILD_FDS_MAX);
	for (size_t i = 0; i < spec->keep_count; i++)
		assert(spec->keep[i] > STDERR_FILENO);
	return ERR_OK;
}

static void
reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Waits until the child runs its program or says why it does not. */
static enum err_code
await_start(pid_t pid, int report, const char *name, struct err *e)
{
	struct err said;
	ssize_t n;

	do
		n = read(report, &said, sizeof said);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof said)
		return ERR_OK; /* closed: it runs, or was killed */
	reap(pid);
	said.text[sizeof said.text - 1] = '\0';
	return err_set(e, said.code, "%s: cannot start: %s", name, said.text);
}

static enum err_code
fork_child(pid_t *out, const struct child_spec *spec, const int report[2],
    struct err *e)
{
	enum err_code code = ERR_OK;
	pid_t parent = getpid();
	sigset_t all;
	sigset_t old;
	pid_t pid;

	/* Or the child could run a handler that is the parent's. */
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, &old) != 0)
		return err_errno(e, "%s: signals", spec->name);
	pid = fork();
	if (pid == 0)
		child_body(spec, parent, report[1]);
	if (pid < 0)
		code = err_errno(e, "%s: fork", spec->name);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return code;
	/* Both sides do it, so that neither can be too early. */
	(void)setpgid(pid, pid);
	*out = pid;
	return ERR_OK;
}

enum err_code
child_start(pid_t *out, const struct child_spec *spec, struct err *e)
{
	int report[2];
	pid_t pid = -1;
	enum err_code code;

	TRY(check_spec(spec, e));
	confine_prepare(&spec->rules);
	if (pipe2(report, O_CLOEXEC) != 0)
		return err_errno(e, "%s: pipe", spec->name);
	code = fork_child(&pid, spec, report, e);
	close(report[1]);
	if (code == ERR_OK)
		code = await_start(pid, report[0], spec->name, e);
	close(report[0]);
	if (code == ERR_OK)
		*out = pid;
	return code;
}

void
child_signal(pid_t pid, int signal_number)
{
	assert(pid > 1);
	(void)kill(-pid, signal_number);
}

const char *
child_end_name(enum child_end end)
{
	static const char *const names[] = {
		[CHILD_EXITED] = "exited",
		[CHILD_SIGNALLED] = "signalled",
		[CHILD_TIMED_OUT] = "timed_out",
		[CHILD_FLOODED] = "flooded",
		[CHILD_CANCELLED] = "cancelled",
	};

	return names[end];
}

void
child_result_clear(struct child_result *r)
{
	buf_clear(&r->out);
	buf_clear(&r->err);
	*r = (struct child_result){ 0 };
}

/* A child and its output. */

enum { SOURCE_OUT, SOURCE_ERR, SOURCE_PROCESS, SOURCE_TIMER, SOURCES };

struct child {
	pid_t pid; /* -1 when reaped */
	int epoll;
	int fds[SOURCES]; /* -1: closed */
	struct child_result result;
	size_t out_max;
	int64_t started;
	bool stopping; /* it went too far; result.end says how */
	bool ended;    /* the process has; the pipes may hold more */
	bool drained;
};

static void
set_timer(struct child *c, int64_t ms)
{
	struct itimerspec t = { 0 };
	int result;

	if (ms <= 0)
		ms = 1;
	t.it_value.tv_sec = (time_t)(ms / 1000);
	t.it_value.tv_nsec = (long)(ms % 1000) * 1000000;
	result = timerfd_settime(c->fds[SOURCE_TIMER], 0, &t, NULL);
	assert(result == 0);
}

static void
close_source(struct child *c, int source)
{
	if (c->fds[source] >= 0)
		close(c->fds[source]);
	c->fds[source] = -1;
}

static enum err_code
watch_source(struct child *c, int source, int fd, struct err *e)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u32 = (uint32_t)source,
	};

	if (fd < 0)
		return err_errno(e, "child: descriptor");
	c->fds[source] = fd;
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		return err_errno(e, "child: epoll");
	return ERR_OK;
}

static struct child *
child_new(size_t out_max)
{
	struct child *c = mem_zalloc(sizeof *c);

	c->pid = -1;
	c->epoll = -1;
	for (int i = 0; i < SOURCES; i++)
		c->fds[i] = -1;
	c->out_max = out_max;
	/* One byte more than allowed tells a flood. */
	buf_init(&c->result.out, out_max + 1);
	buf_init(&c->result.err, out_max + 1);
	return c;
}

void
child_free(struct child *c)
{
	if (c == NULL)
		return;
	if (c->pid > 0) {
		child_signal(c->pid, SIGKILL);
		reap(c->pid);
	}
	for (int i = 0; i < SOURCES; i++)
		close_source(c, i);
	if (c->epoll >= 0)
		close(c->epoll);
	child_result_clear(&c->result);
	mem_free(c);
}

static enum err_code
open_pipe(struct child *c, int source, int *write_end, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_errno(e, "child: pipe");
	*write_end = ends[1];
	TRY(watch_source(c, source, ends[0], e));
	/* Our end only: programs expect theirs to block. */
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
		return err_errno(e, "child: pipe");
	return ERR_OK;
}

static enum err_code
start_with_pipes(struct child *c, const struct child_spec *spec, struct err *e)
{
	struct child_spec piped = *spec;
	int ends[2] = { -1, -1 };
	enum err_code code = open_pipe(c, SOURCE_OUT, &ends[0], e);

	if (code == ERR_OK)
		code = open_pipe(c, SOURCE_ERR, &ends[1], e);
	piped.stdout_fd = ends[0];
	piped.stderr_fd = ends[1];
	if (code == ERR_OK)
		code = child_start(&c->pid, &piped, e);
	for (int i = 0; i < 2; i++) {
		if (ends[i] >= 0)
			close(ends[i]);
	}
	return code;
}

enum err_code
child_open(struct child **out, const struct child_spec *spec,
    int64_t timeout_ms, size_t out_max, struct err *e)
{
	AUTO(child, c) = child_new(out_max);

	assert(timeout_ms > 0);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0)
		return err_errno(e, "%s: epoll", spec->name);
	TRY(watch_source(c, SOURCE_TIMER,
	    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), e));
	c->started = clock_steady_ms();
	TRY(start_with_pipes(c, spec, e));
	TRY(watch_source(c, SOURCE_PROCESS, pidfd_open(c->pid, 0), e));
	set_timer(c, timeout_ms);
	*out = STEAL(c);
	return ERR_OK;
}

int
child_fd(const struct child *c)
{
	return c->epoll;
}

pid_t
child_pid(const struct child *c)
{
	return c->pid;
}

/* The first reason to stop a child is the one that is told. */
static void
stop(struct child *c, enum child_end why, int signal_number)
{
	if (!c->stopping)
		c->result.end = why;
	c->stopping = true;
	if (c->ended)
		return;
	child_signal(c->pid, signal_number);
	set_timer(c, CHILD_GRACE_MS);
}

void
child_cancel(struct child *c)
{
	if (!c->stopping && !c->ended)
		stop(c, CHILD_CANCELLED, SIGTERM);
}

static void
on_output(struct child *c, int source)
{
	struct buf *b = source == SOURCE_OUT ? &c->result.out : &c->result.err;

	while (c->fds[source] >= 0) {
		size_t room = b->max - b->len;
		size_t step = room < READ_STEP ? room : READ_STEP;
		ssize_t n;

		if (step == 0) { /* one byte over */
			b->len = c->out_max;
			b->data[b->len] = '\0';
			close_source(c, source);
			stop(c, CHILD_FLOODED, SIGKILL);
			return;
		}
		n = read(c->fds[source], buf_reserve(b, step), step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			close_source(c, source);
		else
			buf_commit(b, (size_t)n);
	}
}

static void
on_timer(struct child *c)
{
	uint64_t times;

	if (read(c->fds[SOURCE_TIMER], &times, sizeof times) < 0)
		return;
	if (c->ended)
		c->drained = true;
	else if (c->stopping)
		stop(c, c->result.end, SIGKILL);
	else
		stop(c, CHILD_TIMED_OUT, SIGTERM);
}

/* The process has ended and is not reaped, so its number still names the
 * group; what is left in there goes now. */
static void
on_end(struct child *c)
{
	c->ended = true;
	close_source(c, SOURCE_PROCESS);
	child_signal(c->pid, SIGKILL);
	set_timer(c, DRAIN_MS);
}

static int64_t
timeval_ms(struct timeval t)
{
	return (int64_t)t.tv_sec * 1000 + t.tv_usec / 1000;
}

static void
finish(struct child *c)
{
	struct child_result *r = &c->result;
	struct rusage usage = { 0 };
	int status = 0;
	pid_t got;

	do
		got = wait4(c->pid, &status, 0, &usage);
	while (got < 0 && errno == EINTR);
	assert(got == c->pid); /* somebody else waited for it */
	c->pid = -1;
	if (!c->stopping)
		r->end = WIFSIGNALED(status) ? CHILD_SIGNALLED : CHILD_EXITED;
	r->status = WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status);
	r->wall_ms = clock_steady_ms() - c->started;
	r->cpu_ms = timeval_ms(usage.ru_utime) + timeval_ms(usage.ru_stime);
	r->rss_max = (int64_t)usage.ru_maxrss * 1024;
}

bool
child_step(struct child *c)
{
	struct epoll_event events[SOURCES];
	int count = epoll_wait(c->epoll, events, SOURCES, 0);

	for (int i = 0; i < count; i++) {
		int source = (int)events[i].data.u32;

		if (source == SOURCE_TIMER)
			on_timer(c);
		else if (source == SOURCE_PROCESS)
			on_end(c);
		else
			on_output(c, source);
	}
	if (!c->ended ||
	    (!c->drained &&
		(c->fds[SOURCE_OUT] >= 0 || c->fds[SOURCE_ERR] >= 0)))
		return false;
	if (c->pid > 0)
		finish(c);
	return true;
}

void
child_take(struct child_result *out, struct child *c)
{
	assert(c->pid < 0);
	*out = c->result;
	c->result = (struct child_result){ 0 };
}

enum err_code
child_run(struct child_result *out, const struct child_spec *spec,
    int64_t timeout_ms, size_t out_max, struct err *e)
{
	AUTO(child, c) = NULL;

	TRY(child_open(&c, spec, timeout_ms, out_max, e));
	while (!child_step(c)) {
		struct pollfd p = { .fd = child_fd(c), .events = POLLIN };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return err_errno(e, "%s: poll", spec->name);
	}
	child_take(out, c);
	return ERR_OK;
}
