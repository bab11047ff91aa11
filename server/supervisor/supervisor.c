#include "server/supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/channel.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/supervisor/children.h"
#include "server/supervisor/greeting.h"
#include "server/supervisor/handover.h"
#include "server/supervisor/key_watch.h"
#include "server/supervisor/notify.h"
#include "server/supervisor/prepare.h"
#include "server/supervisor/processes.h"
#include "server/supervisor/reload.h"
#include "server/supervisor/roles.h"

/* Of roles.own; key_watch.h, notify.h, reload.h. */
enum { OWN_SIGNALS, OWN_KEYS, OWN_LOCK, OWN_NOTIFY, OWN_RELOAD };

struct supervisor {
	const struct conf *first; /* the caller's; later ones are ours */
	struct conf_flags flags;
	struct notify notify;
	bool changing; /* it was not told yet how all is */
	struct reload *reload;
	struct roles roles;
	struct processes *processes;
	struct channel *channels[PROCESSES_MAX]; /* pipeline, http; or NULL */
	struct children *children;
	/* For http that goes by the newest configuration; and, while there is
	 * some that goes by what served last, for that. */
	struct handover *handover, *handover_before;
	const struct conf *before; /* of that; or NULL */
	pid_t pid;
	bool stopping;
};

/* ---- what the processes are told ---- */

static enum err_code
tell(struct supervisor *sv, size_t id, uint32_t kind, const json_t *payload,
    const int *fds, size_t count, struct err *e)
{
	return channel_send(sv->channels[id], kind, 0, 0, payload, fds, count,
	    0, e);
}

/* To every http process that runs. The first that has no room is reported, and
 * the others are told all the same. */
static enum err_code
tell_http(void *arg, const json_t *payload, const int *fds, size_t count,
    struct err *e)
{
	struct supervisor *sv = arg;
	enum err_code first = ERR_OK;
	struct err other;

	for (size_t id = PROCESS_HTTP; id < processes_count(sv->processes);
	     id++) {
		enum err_code code;

		if (!processes_runs(sv->processes, id))
			continue;
		code = tell(sv, id, SUPERVISOR_HANDOVER, payload, fds, count,
		    first == ERR_OK ? e : &other);
		if (first == ERR_OK)
			first = code;
	}
	return first;
}

/* Who misses it runs into its request's deadline instead. */
static void
tell_restarted(struct supervisor *sv, size_t id)
{
	json_t *payload = json_pack("{s:s}", "process", processes_name(id));
	struct err e = { 0 };

	for (size_t to = PROCESS_PIPELINE; to < processes_count(sv->processes);
	     to++)
		if (to != id && processes_runs(sv->processes, to) &&
		    tell(sv, to, SUPERVISOR_RESTARTED, payload, NULL, 0, &e) !=
			ERR_OK)
			log_warn("process.tell", "to=%s error=\"%s\"",
			    processes_name(to), e.text);
	json_decref(payload);
}

/* ---- what the table of processes asks for ---- */

static void
on_starting(void *arg, size_t id, bool successor)
{
	struct supervisor *sv = arg;

	roles_starting(&sv->roles, id, successor);
}

static void __attribute__((noreturn))
on_run(void *arg, size_t id, bool successor)
{
	struct supervisor *sv = arg;

	roles_run(&sv->roles, id, successor, sv->pid);
}

static void
on_ended(void *arg, size_t id, bool lost)
{
	struct supervisor *sv = arg;

	if (id == PROCESS_PIPELINE)
		children_abandon(sv->children);
	if (id >= PROCESS_HTTP)
		counters_clear_process(sv->roles.counters, id - PROCESS_HTTP);
	if (sv->stopping)
		return;
	if (lost)
		counters_add(sv->roles.counters, COUNTER_RESTARTS, 1);
	/* A ledger that was told to end has answered what it read, and the next
	 * one reads the rest. */
	if (id < PROCESS_HTTP && (lost || id != PROCESS_LEDGER))
		tell_restarted(sv, id);
}

/* Has all of http what was read last? */
static bool
all_are_newest(const struct supervisor *sv)
{
	for (size_t id = PROCESS_HTTP; id < processes_count(sv->processes);
	     id++)
		if (processes_is_kept(sv->processes, id) &&
		    !roles_is_newest(&sv->roles, id))
			return false;
	return true;
}

/* Replaced for something else (SIGUSR2), it has the configuration that it should
 * have, whatever became of its successor. */
static void
on_failed(void *arg, size_t id)
{
	struct supervisor *sv = arg;
	struct roles *r = &sv->roles;
	AUTO_STR text = NULL;

	sv->changing = true;
	if (!roles_is_newest(r, id) ||
	    (all_are_newest(sv) &&
		r->served.generation == r->newest.generation))
		return;
	text = mem_printf("%s cannot serve with it (the log says why), goes on "
			  "with the one before, and is tried again every %d s",
	    processes_name(id), PROCESSES_AGAIN_MS / 1000);
	conf_state_failed(r->state, text);
}

/* ---- another configuration ---- */

static struct handover *
make_handover(struct supervisor *sv, const struct roles_conf *c)
{
	return handover_new(c->conf, c->generation, tell_http, sv);
}

/* Processes that were forked have copies of it. */
static void
let_go(struct supervisor *sv, const struct conf *c)
{
	if (c != sv->first && c != sv->before && c != sv->roles.newest.conf &&
	    c != sv->roles.served.conf)
		conf_free((struct conf *)(uintptr_t)c);
}

static void
adopt(struct supervisor *sv, struct conf *next, unsigned int needs)
{
	struct roles *r = &sv->roles;
	const struct roles_conf before = r->newest, served = r->served;

	roles_adopt(r, next, (needs & CONF_HTTP) != 0);
	children_adopt(sv->children, next);
	if (before.generation == served.generation &&
	    r->newest.generation != served.generation && sv->before == NULL) {
		sv->handover_before = STEAL(sv->handover);
		sv->before = before.conf;
	}
	handover_free(sv->handover);
	sv->handover = make_handover(sv, &r->newest);
	greeting_put_address(r->served.conf, r->listeners.address);
	log_init("supervisor", (enum log_level)next->log_level);
	let_go(sv, before.conf);
}

static void
end_before(struct supervisor *sv)
{
	const struct conf *c = sv->before;

	if (c == NULL)
		return;
	handover_free(STEAL(sv->handover_before));
	sv->before = NULL;
	let_go(sv, c);
}

static void
serves(struct supervisor *sv, size_t id)
{
	const struct conf *before = sv->roles.served.conf;
	struct conf_state_view v;

	processes_serves(sv->processes, id);
	roles_serves(&sv->roles, id);
	if (sv->roles.served.conf != before)
		greeting_put_address(sv->roles.served.conf,
		    sv->roles.listeners.address);
	let_go(sv, before);
	if (!all_are_newest(sv) || !processes_all_serve(sv->processes))
		return;
	end_before(sv);
	conf_state_read(sv->roles.state, &v);
	if (v.failed_ms == 0)
		return;
	log_info("reload.holds", "all of http serves with it after all");
	conf_state_holds(sv->roles.state);
	sv->changing = true;
}

static void
renew(struct supervisor *sv, unsigned int needs)
{
	static const struct {
		unsigned int need;
		size_t id;
	} others[] = {
		{ CONF_LEDGER, PROCESS_LEDGER },
		{ CONF_KEEPER, PROCESS_KEEPER },
		{ CONF_PIPELINE, PROCESS_PIPELINE },
	};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if ((needs & others[i].need) != 0)
			processes_renew(sv->processes, others[i].id);
	if ((needs & CONF_HTTP) != 0)
		processes_replace_http(sv->processes);
}

static void
ask_reload(struct supervisor *sv)
{
	if (sv->stopping)
		return;
	notify_reloading(&sv->notify);
	sv->changing = true;
	reload_ask(sv->reload);
}

static void
tick_reload(struct supervisor *sv)
{
	struct conf *next;
	unsigned int needs;
	enum reload_outcome o;

	while (!sv->stopping &&
	    (o = reload_step(sv->reload, &next, &needs,
		 sv->roles.newest.conf)) != RELOAD_NONE) {
		if (o == RELOAD_NEXT) {
			adopt(sv, next, needs);
			renew(sv, needs);
		}
		processes_retry_http(sv->processes);
		handover_all(sv->handover);
		if (sv->handover_before != NULL)
			handover_all(sv->handover_before);
	}
	sv->roles.own[OWN_RELOAD] = reload_fd(sv->reload);
}

/* Who started us is told when all that was asked for holds, or is known not
 * to. */
static void
tell_ready(struct supervisor *sv)
{
	struct conf_state_view v;

	if (!sv->changing || reload_is_busy(sv->reload) ||
	    !processes_is_settled(sv->processes))
		return;
	sv->changing = false;
	conf_state_read(sv->roles.state, &v);
	if (v.refused_ms != 0)
		notify_ready(&sv->notify, "the configuration is refused: %s",
		    v.fault);
	else if (v.failed_ms != 0)
		notify_ready(&sv->notify, "the configuration does not hold: %s",
		    v.failure);
	else if (v.pending[0] != '\0')
		notify_ready(&sv->notify,
		    "serving on %s; changed, and waiting for a restart: %s",
		    sv->roles.listeners.address, v.pending);
	else
		notify_ready(&sv->notify, "serving on %s",
		    sv->roles.listeners.address);
}

/* ---- the loop ---- */

static void
reap(struct supervisor *sv)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
		if (!children_reaped(sv->children, pid, status, &usage) &&
		    !reload_reaped(sv->reload, pid, status))
			(void)processes_reaped(sv->processes, pid, status);
}

static void
take_signal(struct supervisor *sv, int number)
{
	switch (number) {
	case SIGCHLD:
		break;
	case SIGHUP:
		ask_reload(sv);
		break;
	case SIGUSR2:
		log_info("http.replace", "signal=%d", number);
		processes_replace_http(sv->processes);
		break;
	default:
		if (!sv->stopping) {
			log_info("server.stopping", "signal=%d", number);
			notify_stopping(&sv->notify);
		}
		sv->stopping = true;
		processes_stop(sv->processes);
	}
}

static void
take_signals(struct supervisor *sv)
{
	struct signalfd_siginfo info;

	while (read(sv->roles.own[OWN_SIGNALS], &info, sizeof info) ==
	    (ssize_t)sizeof info)
		take_signal(sv, (int)info.ssi_signo);
	reap(sv);
}

static void
take_request(struct supervisor *sv)
{
	struct message m = { 0 };
	struct err e = { 0 };
	enum err_code code = channel_receive(sv->channels[PROCESS_PIPELINE], &m,
	    children_kinds, 0, &e);

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
	if (!key_watch_changed(sv->roles.own[OWN_KEYS]) || sv->stopping)
		return;
	log_info("keys.changed", "the keeper is started anew");
	processes_renew(sv->processes, PROCESS_KEEPER);
}

/* Of what an http process sends only the kind is looked at: it comes from who
 * reads the network. */
static void
take_serving(struct supervisor *sv, size_t id)
{
	uint32_t kind;

	if (!channel_take_kind(roles_end(&sv->roles, id), &kind))
		return;
	if (kind == SUPERVISOR_SERVING)
		serves(sv, id);
	else if (kind == SUPERVISOR_GETS_ON)
		processes_gets_on(sv->processes, id);
}

static int
patience(struct supervisor *sv)
{
	int64_t wait = processes_tick(sv->processes, clock_mono_ms());

	wait = clock_sooner(wait, children_tick(sv->children, clock_mono_ms()));
	wait = clock_sooner(wait, handover_tick(sv->handover, clock_mono_ms()));
	if (sv->handover_before != NULL)
		wait = clock_sooner(wait,
		    handover_tick(sv->handover_before, clock_mono_ms()));
	wait = clock_sooner(wait, notify_tick(&sv->notify, clock_mono_ms()));
	return wait < 0 || wait > 60000 ? 60000 : (int)wait;
}

static void
loop(struct supervisor *sv)
{
	while (!sv->stopping || !processes_are_gone(sv->processes)) {
		int wait;

		tick_reload(sv);
		wait = patience(sv);
		tell_ready(sv);
		struct pollfd fds[PROCESSES_MAX] = {
			{ .fd = sv->roles.own[OWN_SIGNALS], .events = POLLIN },
			{ .fd = roles_end(&sv->roles, PROCESS_PIPELINE),
			    .events = POLLIN },
			{ .fd = sv->roles.own[OWN_KEYS], .events = POLLIN },
		};
		size_t count = PROCESS_HTTP;

		for (; count < processes_count(sv->processes); count++)
			fds[count] = (struct pollfd){
				.fd = processes_is_awaited(sv->processes, count)
				    ? roles_end(&sv->roles, count)
				    : -1,
				.events = POLLIN,
			};
		if (poll(fds, count, wait) < 0 && errno != EINTR)
			assert(0 && "poll");
		take_signals(sv);
		if (fds[1].revents != 0)
			take_request(sv);
		if (fds[2].revents != 0)
			take_keys(sv);
		for (size_t id = PROCESS_HTTP; id < count; id++)
			if (fds[id].revents != 0)
				take_serving(sv, id);
	}
}

/* ---- the beginning ---- */

static enum err_code
catch_signals(struct supervisor *sv, struct err *e)
{
	static const int numbers[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP,
		SIGUSR2 };
	int *fd = &sv->roles.own[OWN_SIGNALS];
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaddset(&set, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(e, "signal mask");
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 ? err_errno(e, "signalfd") : ERR_OK;
}

static void
open_channels(struct supervisor *sv)
{
	for (size_t id = PROCESS_PIPELINE; id < processes_count(sv->processes);
	     id++)
		sv->channels[id] =
		    channel_new(roles_end(&sv->roles, id), processes_name(id));
}

static enum err_code
set_up(struct supervisor *sv, struct err *e)
{
	const struct conf *c = sv->first;
	const struct processes_owner owner = { sv, on_starting, on_run,
		on_ended, on_failed };
	int lock;

	TRY(prepare_lock(c, &lock, e));
	TRY(prepare_data(c, e));
	TRY(roles_open(&sv->roles, c, e));
	sv->roles.own[OWN_LOCK] = lock;
	notify_open(&sv->notify);
	sv->roles.own[OWN_NOTIFY] = sv->notify.fd;
	sv->changing = true;
	TRY(catch_signals(sv, e));
	TRY(key_watch_open(&sv->roles.own[OWN_KEYS], c->data_dir, e));
	sv->processes = processes_new(sv->roles.http_count, &owner);
	open_channels(sv);
	sv->children = children_new(c, sv->channels[PROCESS_PIPELINE]);
	sv->handover = make_handover(sv, &sv->roles.newest);
	sv->reload = reload_new(&sv->flags, sv->roles.state);
	return greeting_print(c, sv->roles.listeners.address, e);
}

static void
clean_up(struct supervisor *sv)
{
	const struct conf *newest = sv->roles.newest.conf;
	const struct conf *served = sv->roles.served.conf;

	reload_free(sv->reload);
	children_free(sv->children);
	handover_free(sv->handover);
	end_before(sv);
	for (size_t id = 0; id < PROCESSES_MAX; id++)
		channel_free(sv->channels[id]);
	processes_free(sv->processes);
	notify_close(&sv->notify);
	roles_close(&sv->roles);
	sv->roles.newest = sv->roles.served = (struct roles_conf){ 0 };
	let_go(sv, newest);
	if (served != newest)
		let_go(sv, served);
}

int
supervisor_main(const struct conf *c, const struct conf_flags *flags)
{
	struct supervisor sv = { .first = c,
		.flags = *flags,
		.notify = { .fd = -1 },
		.pid = getpid() };
	struct err e = { 0 };

	/* A log that nobody reads any more must not end the server. */
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("supervisor", (enum log_level)c->log_level);
	if (set_up(&sv, &e) != ERR_OK) {
		(void)fprintf(stderr, "edict serve: %s\n", e.text);
		return 1;
	}
	loop(&sv);
	log_info("server.stopped", "pid=%d", (int)getpid());
	clean_up(&sv);
	return 0;
}
