#include "server/supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusters/counters.h"
#include "clusters/engines.h"
#include "clusters/ledger.h"
#include "core/channel.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/http.h"
#include "server/pipeline/pipeline.h"
#include "server/supervisor/children.h"
#include "server/supervisor/greeting.h"
#include "server/supervisor/handover.h"
#include "server/supervisor/key_watch.h"
#include "server/supervisor/listeners.h"
#include "server/supervisor/prepare.h"
#include "signing/keeper.h"

enum process_id { LEDGER, KEEPER, PIPELINE, HTTP, PROCESSES };

/* A pair between two processes; both ends stay open here, so that one that is
 * started again finds what was sent meanwhile. */
enum pair_id {
	PIPELINE_LEDGER,
	HTTP_LEDGER,
	PIPELINE_KEEPER,
	PIPELINE_SUPERVISOR,
	HTTP_SUPERVISOR,
	PAIRS
};

struct process {
	pid_t pid;          /* 0: not running */
	int64_t started_ms; /* all on the monotonic clock */
	int64_t restart_ms;
	int64_t backoff_ms;
};

struct supervisor {
	const struct conf *conf;
	struct listeners listeners;
	struct counters *counters;
	struct engines *engines;
	int pairs[PAIRS][2]; /* [0]: the one named first */
	struct channel *to_pipeline;
	struct channel *to_http;
	struct children *children;
	struct handover *handover;
	struct process processes[PROCESSES];
	int signals;
	int keys; /* key_watch.h */
	int lock;
	bool stopping;
	int64_t stop_ms; /* when patience ends */
};

static const char *const process_names[PROCESSES] = { "ledger", "keeper",
	"pipeline", "http" };

/* ---- what each process is ---- */

static int
run_ledger(struct supervisor *sv)
{
	struct ledger_setup setup = {
		.data_dir = sv->conf->data_dir,
		.pipeline_fd = sv->pairs[PIPELINE_LEDGER][1],
		.http_fd = sv->pairs[HTTP_LEDGER][1],
		.repositories_max = (int64_t)sv->conf->repositories.count,
		.engines_max = sv->conf->engines.max,
		.handover_ms = (sv->conf->sets.handover_timeout +
				   sv->conf->http.release_spread) *
		    1000,
		.keep = conf_retention_keep(&sv->conf->retention,
		    sv->conf->engines.forget_after),
		.best_effort = sv->conf->gate.sandbox == SANDBOX_BEST_EFFORT,
	};

	return ledger_main(&setup);
}

static int
run_keeper(struct supervisor *sv)
{
	AUTO_STR keys = file_path(sv->conf->data_dir, "keys");

	return keeper_main(keys, sv->pairs[PIPELINE_KEEPER][1],
	    sv->conf->gate.sandbox == SANDBOX_BEST_EFFORT);
}

static int
run_pipeline(struct supervisor *sv)
{
	struct pipeline_setup setup = {
		.conf = sv->conf,
		.ledger_fd = sv->pairs[PIPELINE_LEDGER][0],
		.keeper_fd = sv->pairs[PIPELINE_KEEPER][0],
		.supervisor_fd = sv->pairs[PIPELINE_SUPERVISOR][0],
		.counters = sv->counters,
	};

	return pipeline_main(&setup);
}

static int
run_http(struct supervisor *sv)
{
	struct http_setup setup = {
		.conf = sv->conf,
		.listeners = sv->listeners.fds,
		.listener_count = sv->listeners.count,
		.ledger_fd = sv->pairs[HTTP_LEDGER][0],
		.supervisor_fd = sv->pairs[HTTP_SUPERVISOR][0],
		.counters = sv->counters,
		.engines = sv->engines,
	};

	return http_main(&setup);
}

static int (*const process_run[PROCESSES])(struct supervisor *) = {
	[LEDGER] = run_ledger,
	[KEEPER] = run_keeper,
	[PIPELINE] = run_pipeline,
	[HTTP] = run_http,
};

/* Which ends a process holds: {pair, end}, ended by PAIRS. */
static const struct {
	enum pair_id pair;
	int end;
} process_ends[PROCESSES][4] = {
	[LEDGER] = { { PIPELINE_LEDGER, 1 }, { HTTP_LEDGER, 1 }, { PAIRS, 0 } },
	[KEEPER] = { { PIPELINE_KEEPER, 1 }, { PAIRS, 0 } },
	[PIPELINE] = { { PIPELINE_LEDGER, 0 }, { PIPELINE_KEEPER, 0 },
	    { PIPELINE_SUPERVISOR, 0 }, { PAIRS, 0 } },
	[HTTP] = { { HTTP_LEDGER, 0 }, { HTTP_SUPERVISOR, 0 }, { PAIRS, 0 } },
};

static bool
holds_end(enum process_id id, enum pair_id pair, int end)
{
	for (size_t i = 0; process_ends[id][i].pair != PAIRS; i++)
		if (process_ends[id][i].pair == pair &&
		    process_ends[id][i].end == end)
			return true;
	return false;
}

/* Everything that is another process's business goes. */
static void
drop_descriptors(struct supervisor *sv, enum process_id id)
{
	for (int pair = 0; pair < PAIRS; pair++)
		for (int end = 0; end < 2; end++)
			if (!holds_end(id, (enum pair_id)pair, end))
				close(sv->pairs[pair][end]);
	if (id != HTTP) {
		listeners_close(&sv->listeners);
		engines_free(sv->engines);
		sv->engines = NULL;
	}
	close(sv->signals);
	close(sv->keys);
	close(sv->lock);
}

static void
process_main(struct supervisor *sv, enum process_id id, pid_t parent)
{
	sigset_t none;
	char title[16];

	(void)snprintf(title, sizeof title, "edict %s", process_names[id]);
	(void)prctl(PR_SET_NAME, title);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	drop_descriptors(sv, id);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		_exit(1);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C reaches the whole group; the supervisor ends us in order. */
	(void)signal(SIGINT, SIG_IGN);
	log_init(process_names[id], (enum log_level)sv->conf->log_level);
	_exit(process_run[id](sv));
}

static void
process_start(struct supervisor *sv, enum process_id id)
{
	struct process *p = &sv->processes[id];
	pid_t parent = getpid();
	pid_t pid = fork();

	p->started_ms = clock_mono_ms();
	if (pid == 0)
		process_main(sv, id, parent);
	if (pid < 0) {
		log_error("process.fork", "process=%s error=%s",
		    process_names[id], strerror(errno));
		p->restart_ms = p->started_ms + SUPERVISOR_BACKOFF_MAX_MS;
		return;
	}
	p->pid = pid;
	log_info("process.started", "process=%s pid=%d", process_names[id],
	    (int)pid);
}

/* ---- restarts ---- */

static void
tell_restarted(struct supervisor *sv, enum process_id id)
{
	json_t *payload = json_pack("{s:s}", "process", process_names[id]);
	struct err e = { 0 };

	/* Who misses it runs into its request's deadline instead. */
	if (id != PIPELINE &&
	    channel_send(sv->to_pipeline, SUPERVISOR_RESTARTED, 0, 0, payload,
		NULL, 0, 0, &e) != ERR_OK)
		log_warn("process.tell", "to=pipeline error=\"%s\"", e.text);
	if (id != HTTP &&
	    channel_send(sv->to_http, SUPERVISOR_RESTARTED, 0, 0, payload, NULL,
		0, 0, &e) != ERR_OK)
		log_warn("process.tell", "to=http error=\"%s\"", e.text);
	json_decref(payload);
}

static void
log_end(enum process_id id, int status)
{
	if (WIFSIGNALED(status))
		log_error("process.died", "process=%s signal=%d",
		    process_names[id], WTERMSIG(status));
	else if (WEXITSTATUS(status) == 0)
		log_info("process.renewed", "process=%s", process_names[id]);
	else
		log_error("process.died", "process=%s status=%d",
		    process_names[id], WEXITSTATUS(status));
}

static void
process_ended(struct supervisor *sv, enum process_id id, int status)
{
	struct process *p = &sv->processes[id];
	int64_t now = clock_mono_ms();

	p->pid = 0;
	if (id == PIPELINE)
		children_abandon(sv->children);
	if (sv->stopping) {
		log_info("process.ended", "process=%s", process_names[id]);
		return;
	}
	log_end(id, status);
	counters_add(sv->counters, COUNTER_RESTARTS, 1);
	/* One that lived a while starts from the shortest wait again. */
	if (now - p->started_ms > 30000 || p->backoff_ms == 0)
		p->backoff_ms = SUPERVISOR_BACKOFF_MIN_MS;
	else if (p->backoff_ms * 2 <= SUPERVISOR_BACKOFF_MAX_MS)
		p->backoff_ms *= 2;
	else
		p->backoff_ms = SUPERVISOR_BACKOFF_MAX_MS;
	p->restart_ms = now + p->backoff_ms;
	tell_restarted(sv, id);
}

static int64_t
restart_due(struct supervisor *sv)
{
	int64_t now = clock_mono_ms();
	int64_t next = -1;

	if (sv->stopping)
		return sv->stop_ms > now ? sv->stop_ms - now : 0;
	for (int id = 0; id < PROCESSES; id++) {
		struct process *p = &sv->processes[id];

		if (p->pid == 0 && p->restart_ms <= now)
			process_start(sv, (enum process_id)id);
		if (p->pid == 0 && (next < 0 || p->restart_ms - now < next))
			next = p->restart_ms > now ? p->restart_ms - now : 0;
	}
	return next;
}

static void
reap(struct supervisor *sv)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		if (children_reaped(sv->children, pid, status, &usage))
			continue;
		for (int id = 0; id < PROCESSES; id++)
			if (sv->processes[id].pid == pid)
				process_ended(sv, (enum process_id)id, status);
	}
}

/* ---- the end ---- */

static bool
all_ended(const struct supervisor *sv)
{
	for (int id = 0; id < PROCESSES; id++)
		if (sv->processes[id].pid != 0)
			return false;
	return true;
}

static void
signal_process(const struct supervisor *sv, enum process_id id, int number)
{
	if (sv->processes[id].pid != 0)
		(void)kill(sv->processes[id].pid, number);
}

/* First those that take work in; ledger and keeper once nobody asks them. */
static void
stop_next(struct supervisor *sv)
{
	if (clock_mono_ms() >= sv->stop_ms) {
		for (int id = 0; id < PROCESSES; id++)
			signal_process(sv, (enum process_id)id, SIGKILL);
	} else if (sv->processes[PIPELINE].pid == 0 &&
	    sv->processes[HTTP].pid == 0) {
		signal_process(sv, LEDGER, SIGTERM);
		signal_process(sv, KEEPER, SIGTERM);
	}
}

static void
stop_begin(struct supervisor *sv, int number)
{
	if (sv->stopping)
		return;
	log_info("server.stopping", "signal=%d", number);
	sv->stopping = true;
	sv->stop_ms = clock_mono_ms() + SUPERVISOR_STOP_MS;
	signal_process(sv, HTTP, SIGTERM);
	signal_process(sv, PIPELINE, SIGTERM);
}

/* ---- the loop ---- */

static void
take_signals(struct supervisor *sv)
{
	struct signalfd_siginfo info;

	while (read(sv->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGHUP)
			handover_all(sv->handover);
		else if (info.ssi_signo != SIGCHLD)
			stop_begin(sv, (int)info.ssi_signo);
	}
	reap(sv);
}

static void
take_request(struct supervisor *sv)
{
	struct message m = { 0 };
	struct err e = { 0 };
	enum err_code code =
	    channel_receive(sv->to_pipeline, &m, children_kinds, 0, &e);

	/* Nothing was asked of the pipeline, so it has nothing to reply. */
	if (code == ERR_OK && (m.kind & CHANNEL_REPLY) != 0)
		message_clear(&m);
	else if (code == ERR_OK)
		children_handle(sv->children, &m);
	else if (code != ERR_TIMEOUT && code != ERR_DENIED)
		log_warn("supervisor.request", "from=pipeline error=\"%s\"",
		    e.text);
}

/* It alone reads them, once; a request that meets it is made again. */
static void
take_keys(struct supervisor *sv)
{
	if (!key_watch_changed(sv->keys) || sv->stopping)
		return;
	log_info("keys.changed", "the keeper is started anew");
	signal_process(sv, KEEPER, SIGTERM);
}

static int64_t
sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static void
loop(struct supervisor *sv)
{
	while (!sv->stopping || !all_ended(sv)) {
		struct pollfd fds[] = {
			{ .fd = sv->signals, .events = POLLIN },
			{ .fd = channel_fd(sv->to_pipeline), .events = POLLIN },
			{ .fd = sv->keys, .events = POLLIN },
		};
		int64_t wait = sooner(restart_due(sv),
		    children_tick(sv->children, clock_mono_ms()));

		wait =
		    sooner(wait, handover_tick(sv->handover, clock_mono_ms()));
		if (wait > 60000)
			wait = 60000;
		if (poll(fds, 3, (int)wait) < 0 && errno != EINTR)
			assert(0 && "poll");
		take_signals(sv);
		if (fds[1].revents != 0)
			take_request(sv);
		if (fds[2].revents != 0)
			take_keys(sv);
		if (sv->stopping)
			stop_next(sv);
	}
}

/* ---- the beginning ---- */

static enum err_code
catch_signals(struct supervisor *sv, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(e, "signal mask");
	sv->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return sv->signals < 0 ? err_errno(e, "signalfd") : ERR_OK;
}

static struct counters *
make_counters(const struct conf *c)
{
	const struct conf_repository *r = c->repositories.items;
	const char **names = mem_array(c->repositories.count, sizeof *names);
	struct counters *counters;

	for (size_t i = 0; i < c->repositories.count; i++)
		names[i] = r[i].name;
	counters = counters_new(names, c->repositories.count);
	mem_free(names);
	return counters;
}

static enum err_code
set_up(struct supervisor *sv, struct err *e)
{
	const struct conf *c = sv->conf;

	TRY(prepare_lock(c, &sv->lock, e));
	TRY(prepare_data(c, e));
	TRY(listeners_open(&sv->listeners, c->listen, (size_t)c->http.threads,
	    e));
	TRY(catch_signals(sv, e));
	TRY(key_watch_open(&sv->keys, c->data_dir, e));
	for (int pair = 0; pair < PAIRS; pair++)
		TRY(channel_pair(sv->pairs[pair], e));
	sv->counters = make_counters(c);
	sv->engines = engines_new((size_t)c->engines.max);
	sv->to_pipeline =
	    channel_new(sv->pairs[PIPELINE_SUPERVISOR][1], "pipeline");
	sv->to_http = channel_new(sv->pairs[HTTP_SUPERVISOR][1], "http");
	sv->children = children_new(c, sv->to_pipeline);
	sv->handover = handover_new(c, sv->to_http);
	return greeting_print(c, sv->listeners.address, e);
}

int
supervisor_main(const struct conf *c, const struct conf_flags *flags)
{
	struct supervisor sv = { .conf = c,
		.signals = -1,
		.keys = -1,
		.lock = -1 };
	struct err e = { 0 };

	(void)flags;
	/* A log that nobody reads any more must not end the server. */
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("supervisor", (enum log_level)c->log_level);
	if (set_up(&sv, &e) != ERR_OK) {
		(void)fprintf(stderr, "edict serve: %s\n", e.text);
		return 1;
	}
	for (int id = 0; id < PROCESSES; id++)
		process_start(&sv, (enum process_id)id);
	loop(&sv);
	log_info("server.stopped", "pid=%d", (int)getpid());
	children_free(sv.children);
	handover_free(sv.handover);
	channel_free(sv.to_pipeline);
	channel_free(sv.to_http);
	counters_free(sv.counters);
	engines_free(sv.engines);
	listeners_close(&sv.listeners);
	return 0;
}
