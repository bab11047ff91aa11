#include "server/pipeline/desk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clusters/ledger.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "policies/join.h"
#include "server/supervisor/supervisor.h"

enum { DESK_STEP = 64 * 1024, DESK_ANSWER_MS = 10000, DESK_LOOK_MS = 250 };

void
desk_init(struct desk *d)
{
	pthread_condattr_t attr;

	if (pthread_mutex_init(&d->lock, NULL) != 0 ||
	    pthread_condattr_init(&attr) != 0 ||
	    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
	    pthread_cond_init(&d->turn, &attr) != 0)
		assert(0 && "pthread");
	(void)pthread_condattr_destroy(&attr);
	/* Numbers go on rising over restarts, so that a folder of a process
	 * that died is never met again. */
	atomic_store(&d->folders, (uint64_t)clock_now_ms() * 1000);
}

void
desk_clear(struct desk *d)
{
	(void)pthread_cond_destroy(&d->turn);
	(void)pthread_mutex_destroy(&d->lock);
}

static void
lock(struct desk *d)
{
	if (pthread_mutex_lock(&d->lock) != 0)
		assert(0 && "pthread_mutex_lock");
}

static void
unlock(struct desk *d)
{
	if (pthread_mutex_unlock(&d->lock) != 0)
		assert(0 && "pthread_mutex_unlock");
}

void
desk_news(struct desk *d)
{
	lock(d);
	d->news++;
	(void)pthread_cond_broadcast(&d->turn);
	unlock(d);
}

static void
deadline_in(struct timespec *t, int64_t wait_ms)
{
	if (clock_gettime(CLOCK_MONOTONIC, t) != 0)
		assert(0 && "clock_gettime");
	t->tv_sec += (time_t)(wait_ms / 1000);
	t->tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
}

void
desk_wait(struct desk *d, uint64_t *seen, int64_t wait_ms)
{
	struct timespec deadline;
	int n = 0;

	deadline_in(&deadline, wait_ms);
	lock(d);
	while (d->news == *seen && n == 0 && !atomic_load(&d->stopping))
		n = pthread_cond_timedwait(&d->turn, &d->lock, &deadline);
	*seen = d->news;
	unlock(d);
}

uint64_t
desk_seen(struct desk *d)
{
	uint64_t news;

	lock(d);
	news = d->news;
	unlock(d);
	return news;
}

bool
desk_gate_enter(struct desk *d, bool alone)
{
	int64_t most = alone ? 1 : d->conf->gate.concurrency;
	bool entered;

	lock(d);
	while (!atomic_load(&d->stopping) && (d->alone || d->running >= most))
		(void)pthread_cond_wait(&d->turn, &d->lock);
	entered = !atomic_load(&d->stopping);
	if (entered) {
		d->running++;
		d->alone = alone;
	}
	unlock(d);
	return entered;
}

void
desk_gate_leave(struct desk *d, bool alone)
{
	lock(d);
	assert(d->running > 0);
	d->running--;
	if (alone)
		d->alone = false;
	(void)pthread_cond_broadcast(&d->turn);
	unlock(d);
}

void
desk_folder(struct desk *d, char out[24])
{
	(void)snprintf(out, 24, "%" PRIu64,
	    (uint64_t)atomic_fetch_add(&d->folders, 1) + 1);
}

enum err_code
desk_tell(struct desk *d, uint32_t kind, json_t *payload, json_t **reply,
    struct err *e)
{
	struct message m = { 0 };
	enum err_code code;

	if (payload == NULL)
		return err_set(e, ERR_INVALID,
		    "message %u to the ledger: a text in it is not UTF-8",
		    kind);
	code = caller_call(d->ledger, kind, payload, NULL, 0, LEDGER_TIMEOUT_MS,
	    &m, e);
	json_decref(payload);
	if (code != ERR_OK)
		return code;
	if (reply != NULL)
		*reply = json_incref(m.payload);
	message_clear(&m);
	return ERR_OK;
}

/* ---- children, through the supervisor ---- */

static enum err_code
start_child(struct desk *d, uint32_t kind, json_t *payload, const int *fds,
    size_t count, json_int_t *number, struct err *e)
{
	struct message m = { 0 };
	enum err_code code = caller_call(d->supervisor, kind, payload, fds,
	    count, DESK_ANSWER_MS, &m, e);

	json_decref(payload);
	if (code == ERR_DENIED)
		return code; /* a command that is not allowed here */
	/* Whatever else it is, it is no fault of a commit's. */
	if (code != ERR_OK)
		return err_as(e, ERR_UNAVAILABLE);
	if (json_unpack(m.payload, "{s:I}", "child", number) != 0)
		code = err_set(e, ERR_UNAVAILABLE, "supervisor: bad answer");
	message_clear(&m);
	return code;
}

static void
stop_child(struct desk *d, json_int_t number)
{
	json_t *payload = json_pack("{s:I}", "child", number);
	struct message m = { 0 };
	struct err e = { 0 };

	if (caller_call(d->supervisor, SUPERVISOR_STOP, payload, NULL, 0,
		DESK_ANSWER_MS, &m, &e) != ERR_OK)
		log_warn("child.stop", "child=%" PRId64 " error=\"%s\"",
		    (int64_t)number, e.text);
	json_decref(payload);
	message_clear(&m);
}

static enum child_end
end_from_name(const char *name)
{
	for (int end = CHILD_EXITED; end <= CHILD_CANCELLED; end++)
		if (strcmp(name, child_end_name((enum child_end)end)) == 0)
			return (enum child_end)end;
	return CHILD_CANCELLED;
}

static enum err_code
await_child(struct desk *d, json_int_t number, int64_t timeout_ms,
    struct child_result *out, struct err *e)
{
	json_t *payload = json_pack("{s:I}", "child", number);
	struct message m = { 0 };
	const char *end;
	json_int_t wall, cpu, rss;
	enum err_code code = caller_call(d->supervisor, SUPERVISOR_WAIT,
	    payload, NULL, 0, timeout_ms + 3 * CHILD_GRACE_MS, &m, e);

	json_decref(payload);
	if (code != ERR_OK)
		return code;
	if (json_unpack(m.payload, "{s:s,s:i,s:I,s:I,s:I}", "end", &end,
		"status", &out->status, "wall_ms", &wall, "cpu_ms", &cpu,
		"rss_max", &rss) != 0) {
		message_clear(&m);
		return err_set(e, ERR_UNAVAILABLE, "supervisor: bad answer");
	}
	/* Our own reason to have it stopped goes before. */
	if (out->end == CHILD_EXITED)
		out->end = end_from_name(end);
	out->wall_ms = wall;
	out->cpu_ms = cpu;
	out->rss_max = rss;
	message_clear(&m);
	return ERR_OK;
}

/* False: too much. */
static bool
drain(struct buf *out, int fd, bool *open)
{
	char step[DESK_STEP];
	ssize_t n = read(fd, step, sizeof step);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0) {
		*open = false;
		return true;
	}
	buf_add(out, step, (size_t)n);
	return !out->overflow;
}

/* Reads both pipes to their ends. The supervisor ends the child at its
 * deadline, which closes them; one of its own children that left the group could
 * hold them open longer, and is not waited for. give_up may be NULL. */
static void
gather(struct child_result *out, int out_fd, int err_fd, int64_t until_ms,
    const struct desk_patience *patience)
{
	bool out_open = true;
	bool err_open = true;

	while (out_open || err_open) {
		struct pollfd fds[] = {
			{ .fd = out_open ? out_fd : -1, .events = POLLIN },
			{ .fd = err_open ? err_fd : -1, .events = POLLIN },
		};

		if (clock_mono_ms() > until_ms ||
		    (patience != NULL && patience->over(patience->arg))) {
			out->end = CHILD_CANCELLED;
			return;
		}
		if (poll(fds, 2, DESK_LOOK_MS) < 0)
			continue;
		if ((fds[0].revents != 0 &&
			!drain(&out->out, out_fd, &out_open)) ||
		    (fds[1].revents != 0 &&
			!drain(&out->err, err_fd, &err_open))) {
			out->end = CHILD_FLOODED;
			return;
		}
	}
}

struct pipes {
	int out[2], err[2];
};

static void
close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
pipes_close(struct pipes *p)
{
	for (int i = 0; i < 2; i++) {
		close_one(&p->out[i]);
		close_one(&p->err[i]);
	}
}

static enum err_code
pipes_open(struct pipes *p, struct err *e)
{
	*p = (struct pipes){ { -1, -1 }, { -1, -1 } };
	if (pipe2(p->out, O_CLOEXEC) == 0 && pipe2(p->err, O_CLOEXEC) == 0)
		return ERR_OK;
	(void)err_errno(e, "pipe");
	pipes_close(p);
	return ERR_IO;
}

/* Starts, reads, waits. Takes over payload; input may be -1. */
static enum err_code
run_child(struct desk *d, uint32_t kind, json_t *payload, size_t streams,
    int input, int64_t timeout_ms, size_t out_max,
    const struct desk_patience *patience, struct child_result *out,
    struct err *e)
{
	struct child_result r = { .end = CHILD_EXITED };
	struct pipes p;
	json_int_t number;
	enum err_code code = pipes_open(&p, e);
	int fds[3];

	if (code != ERR_OK) {
		json_decref(payload);
		return code;
	}
	fds[0] = p.out[1];
	fds[1] = p.err[1];
	if (input >= 0)
		fds[streams++] = input;
	code = start_child(d, kind, payload, fds, streams, &number, e);
	close_one(&p.out[1]);
	close_one(&p.err[1]);
	if (code != ERR_OK) {
		pipes_close(&p);
		return code;
	}
	buf_init(&r.out, out_max);
	buf_init(&r.err, out_max);
	gather(&r, p.out[0], p.err[0],
	    clock_mono_ms() + timeout_ms + 2 * CHILD_GRACE_MS, patience);
	pipes_close(&p);
	if (r.end != CHILD_EXITED)
		stop_child(d, number);
	code = await_child(d, number, timeout_ms, &r, e);
	if (code != ERR_OK) {
		child_result_clear(&r);
		return code;
	}
	*out = r;
	return ERR_OK;
}

/* "<data_dir>/work/12/src" → "12" and "src". */
static enum err_code
split_dir(const struct desk *d, const char *dir, char work[32], char sub[1024],
    struct err *e)
{
	AUTO_STR root = mem_printf("%s/work/", d->conf->data_dir);
	size_t len = strlen(root);
	size_t digits;

	if (strncmp(dir, root, len) != 0)
		return err_set(e, ERR_INVALID, "%s: not below work", dir);
	digits = strspn(dir + len, "0123456789");
	if (digits == 0 || digits >= 32 ||
	    (dir[len + digits] != '/' && dir[len + digits] != '\0'))
		return err_set(e, ERR_INVALID, "%s: not a work folder", dir);
	(void)snprintf(work, 32, "%.*s", (int)digits, dir + len);
	(void)snprintf(sub, 1024, "%s",
	    dir + len + digits + (dir[len + digits] == '/'));
	return ERR_OK;
}

enum err_code
desk_run(void *runner, struct child_result *out, const struct gate_tool *tool,
    struct err *e)
{
	struct desk_runner *r = runner;
	char work[32];
	char sub[1024];
	json_t *args;

	TRY(split_dir(r->desk, tool->dir, work, sub, e));
	args = json_array();
	for (size_t i = 0; tool->args[i] != NULL; i++)
		if (json_array_append_new(args, json_string(tool->args[i])) !=
		    0) {
			json_decref(args);
			return err_set(e, ERR_INVALID,
			    "argument %zu is not UTF-8", i);
		}
	return run_child(r->desk, SUPERVISOR_RUN,
	    json_pack("{s:s,s:s?,s:o,s:s,s:s,s:I}", "repository", r->repository,
		"command", tool->command, "args", args, "work", work, "sub",
		sub, "timeout_ms", (json_int_t)tool->timeout_ms),
	    2, -1, tool->timeout_ms, tool->out_max, NULL, out, e);
}

enum err_code
desk_child(struct desk *d, uint32_t kind, json_t *payload, int input,
    int64_t timeout_ms, size_t out_max, const struct desk_patience *patience,
    struct child_result *out, struct err *e)
{
	return run_child(d, kind, payload, 1, input, timeout_ms, out_max,
	    patience, out, e);
}

enum err_code
desk_fetch(struct desk *d, const struct conf_repository *repo,
    const char *folder, const char *known, const char *branch,
    const struct desk_patience *patience, struct fetch_result *out,
    struct err *e)
{
	struct child_result r = { 0 };

	TRY(run_child(d, SUPERVISOR_FETCH,
	    json_pack("{s:s,s:s,s:s,s:s}", "repository", repo->name, "incoming",
		folder, "known", known, "branch", branch),
	    1, -1, repo->fetch_timeout * 1000, FETCH_RESULT_MAX, patience, &r,
	    e));
	fetch_result_read(out, &r);
	child_result_clear(&r);
	return ERR_OK;
}

enum err_code
desk_join(struct desk *d, const struct conf_repository *repo,
    const char *folder, const struct desk_patience *patience, struct err *e)
{
	struct child_result r = { 0 };
	enum err_code code;

	TRY(run_child(d, SUPERVISOR_JOIN,
	    json_pack("{s:s,s:s}", "repository", repo->name, "incoming",
		folder),
	    1, -1, JOIN_TIMEOUT_MS, JOIN_RESULT_MAX, patience, &r, e));
	code = join_result(&r, e);
	child_result_clear(&r);
	return code;
}

void
desk_place_note(struct desk_place *p, const char *path)
{
	p->path = path;
	if (stat(path, &p->st) != 0)
		p->st = (struct stat){ 0 };
}

bool
desk_place_replaced(const struct desk_place *p)
{
	struct stat st;

	if (p->path == NULL || stat(p->path, &st) != 0 ||
	    (st.st_dev == p->st.st_dev && st.st_ino == p->st.st_ino))
		return false;
	log_info("pipeline.renew", "path=%s", p->path);
	return true;
}
