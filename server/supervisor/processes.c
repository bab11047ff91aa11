#include "server/supervisor/processes.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

/* Times are on the monotonic clock. */
struct process {
	pid_t pid;    /* 0: not running */
	bool kept;    /* is started again when it ends */
	bool told;    /* to end, or to leave */
	bool hurried; /* to end at once, while it leaves */
	bool serves;
	bool successor; /* started as one */
	int64_t started_ms;
	int64_t restart_ms;
	int64_t backoff_ms;
	int64_t end_ms; /* killed if it is there still; 0: never */
};

struct processes {
	struct processes_owner owner;
	size_t count;
	struct process rows[PROCESSES_MAX];
	bool replace[PROCESSES_HTTP_MAX];       /* wanted */
	int64_t replace_ms[PROCESSES_HTTP_MAX]; /* not before */
	bool failing[PROCESSES_HTTP_MAX];       /* the last successor failed */
	bool renew[PROCESS_HTTP];               /* the same */
	bool stopping;
	int64_t stop_ms; /* when patience ends */
};

static const char *const http_names[PROCESSES_HTTP_MAX] = { "http", "http-2",
	"http-3", "http-4", "http-5", "http-6", "http-7", "http-8", "http-9",
	"http-10", "http-11", "http-12", "http-13", "http-14", "http-15",
	"http-16" };

static const char *const names[PROCESS_HTTP] = {
	[PROCESS_LEDGER] = "ledger",
	[PROCESS_KEEPER] = "keeper",
	[PROCESS_PIPELINE] = "pipeline",
};

struct processes *
processes_new(size_t http_count, const struct processes_owner *owner)
{
	struct processes *p = mem_zalloc(sizeof *p);

	assert(http_count > 0 && http_count <= PROCESSES_HTTP_MAX);
	p->owner = *owner;
	p->count = PROCESS_HTTP + 2 * http_count;
	for (size_t id = 0; id < p->count; id++)
		p->rows[id].kept = id < PROCESS_HTTP ||
		    (id - PROCESS_HTTP) % 2 == 0;
	return p;
}

void
processes_free(struct processes *p)
{
	mem_free(p);
}

/* ---- what there is ---- */

const char *
processes_name(size_t id)
{
	assert(id < PROCESSES_MAX);
	return id < PROCESS_HTTP ? names[id]
				 : http_names[(id - PROCESS_HTTP) / 2];
}

size_t
processes_count(const struct processes *p)
{
	return p->count;
}

bool
processes_runs(const struct processes *p, size_t id)
{
	return p->rows[id].pid != 0;
}

bool
processes_is_kept(const struct processes *p, size_t id)
{
	return p->rows[id].kept;
}

bool
processes_is_awaited(const struct processes *p, size_t id)
{
	return id >= PROCESS_HTTP && p->rows[id].pid != 0 &&
	    !p->rows[id].serves;
}

bool
processes_all_serve(const struct processes *p)
{
	for (size_t id = PROCESS_HTTP; id < p->count; id++)
		if (p->rows[id].kept && !p->rows[id].serves)
			return false;
	return true;
}

bool
processes_are_gone(const struct processes *p)
{
	for (size_t id = 0; id < p->count; id++)
		if (p->rows[id].pid != 0)
			return false;
	return true;
}

/* Which of the http processes it is. */
static size_t
number_of(size_t id)
{
	return (id - PROCESS_HTTP) / 2;
}

/* The other place of an http process. */
static size_t
other_place(size_t id)
{
	return PROCESS_HTTP + ((id - PROCESS_HTTP) ^ 1);
}

static bool
is_successor(const struct processes *p, size_t id)
{
	const struct process *r = &p->rows[id];

	return id >= PROCESS_HTTP && r->pid != 0 && !r->kept && !r->told;
}

/* ---- starting ---- */

/* The old one does not have what it is to be replaced for. */
static void
replace_later(struct processes *p, size_t id, int64_t wait_ms)
{
	size_t i = number_of(id);

	p->replace[i] = true;
	p->replace_ms[i] = clock_mono_ms() + wait_ms;
}

static void
could_not_start(struct processes *p, size_t id, bool successor)
{
	log_error("process.fork", "process=%s error=%s", processes_name(id),
	    strerror(errno));
	p->rows[id].restart_ms = clock_mono_ms() + PROCESSES_BACKOFF_MAX_MS;
	if (successor)
		replace_later(p, id, PROCESSES_BACKOFF_MAX_MS);
}

static void
start(struct processes *p, size_t id)
{
	struct process *r = &p->rows[id];
	bool successor = !r->kept;
	pid_t pid;

	p->owner.starting(p->owner.arg, id, successor);
	pid = fork();
	if (pid == 0)
		p->owner.run(p->owner.arg, id, successor);
	if (pid < 0) {
		could_not_start(p, id, successor);
		return;
	}
	r->pid = pid;
	r->told = false;
	r->hurried = false;
	r->serves = false;
	r->successor = successor;
	r->started_ms = clock_mono_ms();
	r->end_ms = id < PROCESS_HTTP ? 0 : r->started_ms + PROCESSES_READY_MS;
	log_info("process.started", "process=%s pid=%d%s", processes_name(id),
	    (int)pid, successor ? " as=successor" : "");
}

static void
tell(struct processes *p, size_t id, int number, int64_t patience_ms)
{
	struct process *r = &p->rows[id];

	if (r->pid == 0)
		return;
	(void)kill(r->pid, number);
	r->told = true;
	r->end_ms = clock_mono_ms() + patience_ms;
}

/* ---- replacing http ---- */

void
processes_serves(struct processes *p, size_t id)
{
	struct process *r = &p->rows[id];
	struct process *old;

	if (!processes_is_awaited(p, id))
		return;
	r->serves = true;
	if (r->successor)
		p->failing[number_of(id)] = false;
	if (!is_successor(p, id)) {
		r->end_ms = r->told ? r->end_ms : 0;
		return;
	}
	old = &p->rows[other_place(id)];
	log_info("process.replaced", "process=%s pid=%d by=%d",
	    processes_name(id), (int)old->pid, (int)r->pid);
	r->kept = true;
	r->end_ms = 0;
	old->kept = false;
	tell(p, other_place(id), SIGUSR2, PROCESSES_LEAVE_MS);
}

void
processes_gets_on(struct processes *p, size_t id)
{
	struct process *r = &p->rows[id];

	if (processes_is_awaited(p, id) && !r->told)
		r->end_ms = clock_mono_ms() + PROCESSES_READY_MS;
}

void
processes_replace_http(struct processes *p)
{
	for (size_t i = 0; PROCESS_HTTP + 2 * i < p->count; i++) {
		p->replace[i] = true;
		p->replace_ms[i] = 0;
		p->failing[i] = false;
	}
}

void
processes_retry_http(struct processes *p)
{
	for (size_t i = 0; i < PROCESSES_HTTP_MAX; i++)
		if (p->failing[i]) {
			p->replace_ms[i] = 0;
			p->failing[i] = false;
		}
}

static bool
has_successor(const struct processes *p)
{
	for (size_t id = PROCESS_HTTP; id < p->count; id++)
		if (is_successor(p, id))
			return true;
	return false;
}

/* Who leaves and is waited for: clients that take their time must not hold up
 * what an operator changes. */
static void
hurry(struct processes *p, size_t id)
{
	struct process *r = &p->rows[id];

	if (r->pid == 0 || !r->told || r->hurried)
		return;
	tell(p, id, SIGTERM, PROCESSES_STOP_MS);
	r->hurried = true;
}

/* One at a time: each has all that is served in memory. One that does not serve
 * yet is left to get as far. */
static void
replace_next(struct processes *p, int64_t now_ms)
{
	for (size_t i = 0; PROCESS_HTTP + 2 * i < p->count; i++) {
		size_t now = PROCESS_HTTP + 2 * i;

		if (!p->rows[now].kept)
			now = other_place(now);
		if (!p->replace[i] || !p->rows[now].serves ||
		    has_successor(p) || p->replace_ms[i] > now_ms)
			continue;
		if (p->rows[other_place(now)].pid != 0) {
			hurry(p, other_place(now));
			continue;
		}
		p->replace[i] = false;
		start(p, other_place(now));
	}
}

/* ---- renewing the others ---- */

void
processes_renew(struct processes *p, size_t id)
{
	assert(id < PROCESS_HTTP);
	p->renew[id] = true;
}

void
processes_renew_others(struct processes *p)
{
	for (size_t id = 0; id < PROCESS_HTTP; id++)
		p->renew[id] = true;
}

bool
processes_is_settled(const struct processes *p)
{
	for (size_t id = 0; id < PROCESS_HTTP; id++)
		if (p->renew[id] || p->rows[id].pid == 0 || p->rows[id].told)
			return false;
	for (size_t i = 0; i < PROCESSES_HTTP_MAX; i++)
		if (p->replace[i] && !p->failing[i])
			return false;
	for (size_t id = PROCESS_HTTP; id < p->count; id++)
		if (is_successor(p, id) && !p->failing[number_of(id)])
			return false;
	return processes_all_serve(p);
}

bool
processes_is_failing(const struct processes *p)
{
	for (size_t i = 0; i < PROCESSES_HTTP_MAX; i++)
		if (p->failing[i])
			return true;
	return false;
}

/* The next when the one before has been started again. */
static void
renew_next(struct processes *p)
{
	for (size_t id = 0; id < PROCESS_HTTP; id++)
		if (p->rows[id].pid == 0 || p->rows[id].told)
			return;
	for (size_t id = 0; id < PROCESS_HTTP; id++)
		if (p->renew[id]) {
			p->renew[id] = false;
			tell(p, id, SIGTERM, PROCESSES_STOP_MS);
			return;
		}
}

/* ---- one ended ---- */

static void
log_end(size_t id, const struct process *r, int status)
{
	const char *name = processes_name(id);

	if (WIFSIGNALED(status))
		log_error("process.died", "process=%s pid=%d signal=%d", name,
		    (int)r->pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		log_error("process.died", "process=%s pid=%d status=%d", name,
		    (int)r->pid, WEXITSTATUS(status));
	else
		log_info(r->kept ? "process.renewed" : "process.left",
		    "process=%s pid=%d", name, (int)r->pid);
}

/* One that lived a while is started at once: who connects to its sockets waits
 * for it. So is one that was told to end. */
static void
schedule(struct process *r, int64_t now)
{
	if (now - r->started_ms >= PROCESSES_SETTLED_MS || r->told)
		r->backoff_ms = 0;
	else if (r->backoff_ms == 0)
		r->backoff_ms = PROCESSES_BACKOFF_MIN_MS;
	else if (r->backoff_ms * 2 <= PROCESSES_BACKOFF_MAX_MS)
		r->backoff_ms *= 2;
	else
		r->backoff_ms = PROCESSES_BACKOFF_MAX_MS;
	r->restart_ms = now + r->backoff_ms;
}

/* Instead of a successor that ended, another is tried later. It may have had the
 * old one's place already. */
static void
successor_failed(struct processes *p, size_t id)
{
	log_error("process.not_replaced",
	    "process=%s: its successor ended before it served; the one before "
	    "goes on as it is, and it is tried again in %d s",
	    processes_name(id), PROCESSES_AGAIN_MS / 1000);
	p->failing[number_of(id)] = true;
	replace_later(p, id, PROCESSES_AGAIN_MS);
	p->owner.failed(p->owner.arg, id);
}

/* Who is about to succeed it takes its place. */
static void
pass_on(struct processes *p, size_t id)
{
	struct process *r = &p->rows[id];

	if (id < PROCESS_HTTP)
		return;
	if (r->kept && is_successor(p, other_place(id))) {
		r->kept = false;
		p->rows[other_place(id)].kept = true;
		/* Its deadline holds on: nobody else serves now. */
	} else if (r->successor && !r->serves) {
		successor_failed(p, id);
	}
}

static void
ended(struct processes *p, size_t id, int status)
{
	struct process *r = &p->rows[id];
	bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	if (p->stopping) {
		log_info("process.ended", "process=%s", processes_name(id));
	} else {
		log_end(id, r, status);
		schedule(r, clock_mono_ms());
		pass_on(p, id);
	}
	r->pid = 0;
	r->serves = false;
	p->owner.ended(p->owner.arg, id, !clean || !r->told);
}

bool
processes_reaped(struct processes *p, pid_t pid, int status)
{
	for (size_t id = 0; id < p->count; id++)
		if (p->rows[id].pid == pid) {
			ended(p, id, status);
			return true;
		}
	return false;
}

/* ---- the end ---- */

void
processes_stop(struct processes *p)
{
	if (p->stopping)
		return;
	p->stopping = true;
	p->stop_ms = clock_mono_ms() + PROCESSES_STOP_MS;
	for (size_t id = PROCESS_PIPELINE; id < p->count; id++)
		tell(p, id, SIGTERM, PROCESSES_STOP_MS);
}

static bool
asks_nobody(const struct processes *p)
{
	for (size_t id = PROCESS_PIPELINE; id < p->count; id++)
		if (p->rows[id].pid != 0)
			return false;
	return true;
}

static int64_t
stop_tick(struct processes *p, int64_t now)
{
	for (size_t id = 0; id < p->count; id++)
		if (now >= p->stop_ms && p->rows[id].pid != 0)
			(void)kill(p->rows[id].pid, SIGKILL);
	if (asks_nobody(p))
		for (size_t id = 0; id < PROCESS_PIPELINE; id++)
			tell(p, id, SIGTERM, PROCESSES_STOP_MS);
	return p->stop_ms > now ? p->stop_ms - now : 100;
}

/* ---- over time ---- */

/* The milliseconds until something is due for this one, or -1. */
static int64_t
tick(struct processes *p, size_t id, int64_t now)
{
	struct process *r = &p->rows[id];

	if (r->pid == 0 && r->kept && r->restart_ms <= now)
		start(p, id);
	if (r->pid != 0 && r->end_ms != 0 && r->end_ms <= now) {
		log_warn("process.overdue", "process=%s pid=%d",
		    processes_name(id), (int)r->pid);
		(void)kill(r->pid, SIGKILL);
		r->end_ms = 0;
	}
	if (r->pid != 0)
		return r->end_ms != 0 ? r->end_ms - now : -1;
	if (!r->kept)
		return -1;
	return r->restart_ms > now ? r->restart_ms - now : 0;
}

int64_t
processes_tick(struct processes *p, int64_t now_ms)
{
	int64_t next = -1;

	if (p->stopping)
		return stop_tick(p, now_ms);
	replace_next(p, now_ms);
	renew_next(p);
	for (size_t id = 0; id < p->count; id++) {
		next = clock_sooner(next, tick(p, id, now_ms));
	}
	for (size_t i = 0; i < PROCESSES_HTTP_MAX; i++)
		if (p->replace[i] && p->replace_ms[i] > now_ms)
			next = clock_sooner(next, p->replace_ms[i] - now_ms);
	return next;
}
