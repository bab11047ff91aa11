#include "server/supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/channel.h"
#include "core/clock.h"
#include "core/log.h"
#include "server/supervisor/children.h"
#include "server/supervisor/greeting.h"
#include "server/supervisor/handover.h"
#include "server/supervisor/key_watch.h"
#include "server/supervisor/notify.h"
#include "server/supervisor/prepare.h"
#include "server/supervisor/processes.h"
#include "server/supervisor/reload.h"
#include "server/supervisor/roles.h"

/* Of roles.own; key_watch.h, notify.h. */
enum { OWN_SIGNALS, OWN_KEYS, OWN_LOCK, OWN_NOTIFY };

struct supervisor {
	const struct conf *conf;
	struct conf *reread; /* the same, once it was read again; owned */
	struct conf_flags flags;
	struct notify notify;
	bool changing; /* it was not told yet that all is ready */
	struct roles roles;
	struct processes *processes;
	struct channel *channels[PROCESSES_MAX]; /* pipeline, http; or NULL */
	struct children *children;
	struct handover *handover;
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
on_starting(void *arg, size_t id)
{
	struct supervisor *sv = arg;

	roles_starting(&sv->roles, id);
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

/* ---- another configuration ---- */

/* Processes that were forked have copies of the old one. */
static void
adopt(struct supervisor *sv, struct conf *next, unsigned int needs)
{
	roles_adopt(&sv->roles, next, (needs & CONF_HTTP) != 0);
	children_adopt(sv->children, next);
	handover_free(sv->handover);
	sv->handover = handover_new(next, sv->roles.generation, tell_http, sv);
	greeting_put_address(next, sv->roles.listeners.address);
	log_init("supervisor", (enum log_level)next->log_level);
	conf_free(sv->reread);
	sv->reread = next;
	sv->conf = next;
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
reload(struct supervisor *sv)
{
	struct conf *next;
	unsigned int needs;

	if (sv->stopping)
		return;
	notify_reloading(&sv->notify);
	sv->changing = true;
	if (reload_read(&next, &needs, sv->conf, &sv->flags, sv->roles.state)) {
		adopt(sv, next, needs);
		renew(sv, needs);
	}
	handover_all(sv->handover);
}

/* Who started us is told when all that was asked for holds. */
static void
tell_ready(struct supervisor *sv)
{
	struct conf_state_view v;

	if (!sv->changing || !processes_is_settled(sv->processes))
		return;
	sv->changing = false;
	conf_state_read(sv->roles.state, &v);
	if (v.refused_ms != 0)
		notify_ready(&sv->notify, "the configuration is refused: %s",
		    v.fault);
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
		if (!children_reaped(sv->children, pid, status, &usage))
			(void)processes_reaped(sv->processes, pid, status);
}

static void
take_signal(struct supervisor *sv, int number)
{
	switch (number) {
	case SIGCHLD:
		break;
	case SIGHUP:
		reload(sv);
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

/* Whatever an http process sends means that it serves now. What it says is not
 * looked at: it comes from who reads the network. */
static void
take_serving(struct supervisor *sv, size_t id)
{
	char byte;

	if (recv(roles_end(&sv->roles, id), &byte, 1,
		MSG_DONTWAIT | MSG_TRUNC) > 0)
		processes_serves(sv->processes, id);
}

static int64_t
sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int
patience(struct supervisor *sv)
{
	int64_t wait = processes_tick(sv->processes, clock_mono_ms());

	wait = sooner(wait, children_tick(sv->children, clock_mono_ms()));
	wait = sooner(wait, handover_tick(sv->handover, clock_mono_ms()));
	wait = sooner(wait, notify_tick(&sv->notify, clock_mono_ms()));
	return wait < 0 || wait > 60000 ? 60000 : (int)wait;
}

static void
loop(struct supervisor *sv)
{
	while (!sv->stopping || !processes_are_gone(sv->processes)) {
		int wait = patience(sv);

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
	const struct conf *c = sv->conf;
	const struct processes_owner owner = { sv, on_starting, on_run,
		on_ended };
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
	sv->handover = handover_new(c, sv->roles.generation, tell_http, sv);
	return greeting_print(c, sv->roles.listeners.address, e);
}

static void
clean_up(struct supervisor *sv)
{
	children_free(sv->children);
	handover_free(sv->handover);
	for (size_t id = 0; id < PROCESSES_MAX; id++)
		channel_free(sv->channels[id]);
	processes_free(sv->processes);
	notify_close(&sv->notify);
	roles_close(&sv->roles);
	conf_free(sv->reread);
}

int
supervisor_main(const struct conf *c, const struct conf_flags *flags)
{
	struct supervisor sv = { .conf = c,
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
