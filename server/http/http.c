#include "server/http/http.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bundler/bundle.h"
#include "clusters/ledger.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/api/study.h"
#include "server/http/access_load.h"
#include "server/http/access_log.h"
#include "server/http/engine_log.h"
#include "server/http/lead.h"
#include "server/http/lookout.h"
#include "server/http/loop.h"
#include "server/http/material.h"
#include "server/http/root_moves.h"
#include "server/http/service.h"
#include "server/http/waiters.h"
#include "server/supervisor/supervisor.h"

enum {
	HTTP_POLL_MS = 1000,   /* for who missed a LEDGER_CHANGED */
	HTTP_REPAIR_MS = 1000, /* looks again for artifacts that are missing */
	HTTP_SHARE_MORE = 8,   /* an eighth */
	HTTP_GETS_ON_MS = 1000 /* told so often, until it serves */
};

/* The process, as its first thread has it. */
struct http {
	const struct http_setup *setup;
	struct service service;
	struct channel *ledger;
	struct channel *supervisor;
	bool ledger_gone; /* the pair is closed */
	bool leads;
	bool leaving; /* a successor serves */
	struct loop *loops[SERVICE_LOOPS_MAX];
	size_t loop_count;
	struct engine_log engine_log;
	struct lookout lookout;
	struct root_moves root_moves;
	struct store *store;
	int64_t version; /* of the data, as of the catalog that is served */
	int64_t loaded_ms;
	int signals;
	struct shelf_figures shelf_told; /* as counted */
	struct material tls; /* as at the start, which the loops began with */
	bool outdated;       /* told: what is handed over is not for it */
	int64_t told_ms;     /* that it gets on */
};

static const uint32_t ledger_kinds[] = { LEDGER_CHANGED, 0 };
static const uint32_t supervisor_kinds[] = { SUPERVISOR_RESTARTED,
	SUPERVISOR_HANDOVER, 0 };

/* ---- the catalog ---- */

static enum err_code
load(struct http *h, bool *changed, struct err *e)
{
	struct service *s = &h->service;
	struct catalog *previous;
	struct catalog *next;
	int64_t version;
	enum err_code code;

	if (h->store == NULL) {
		TRY(store_open_read(&h->store, s->conf->data_dir, e));
		h->version = -1; /* numbers are each handle's own */
	}
	TRY(store_data_version(h->store, &version, e));
	previous = service_catalog(s);
	if (previous != NULL && version == h->version &&
	    (catalog_missing(previous) == 0 ||
		clock_mono_ms() - h->loaded_ms < HTTP_REPAIR_MS)) {
		catalog_unref(previous);
		return ERR_OK;
	}
	code = catalog_load(&next, h->store, s->shelf, previous, e);
	catalog_unref(previous);
	if (code != ERR_OK)
		return code;
	*changed = next != previous;
	service_publish(s, next);
	h->version = version;
	h->loaded_ms = clock_mono_ms();
	return ERR_OK;
}

/* What cannot be read now leaves what is served as it is. */
static void
refresh(struct http *h)
{
	struct err e = { 0 };
	bool changed = false;

	if (load(h, &changed, &e) == ERR_OK) {
		if (service_note(&h->service, NULL))
			log_info("catalog.readable", "the database again");
	} else {
		if (service_note(&h->service, e.text))
			log_error("catalog.unreadable", "code=%s error=\"%s\"",
			    err_name(e.code), e.text);
		store_free(h->store);
		h->store = NULL;
	}
	for (size_t i = 0; changed && i < h->loop_count; i++)
		loop_wake(h->loops[i]);
}

/* Memory for what is asked for now. Loops let go of what has left. */
static void
tick_shelf(struct http *h)
{
	struct counters *c = h->service.counters;
	struct shelf *shelf = h->service.shelf;
	struct shelf_figures was = h->shelf_told;
	struct shelf_figures is;

	shelf_tick(shelf, clock_mono_ms());
	shelf_figures(shelf, &is);
	if (is.evicted != was.evicted || is.promoted != was.promoted)
		for (size_t i = 0; i < h->loop_count; i++)
			loop_wake(h->loops[i]);
	counters_add(c, COUNTER_ARTIFACTS_EVICTED, is.evicted - was.evicted);
	counters_add(c, COUNTER_ARTIFACTS_PROMOTED, is.promoted - was.promoted);
	counters_set_level(c, LEVEL_ARTIFACTS_MEMORY, h->service.place,
	    is.memory);
	counters_set_level(c, LEVEL_ARTIFACTS_MAPPED, h->service.place,
	    is.mapped);
	h->shelf_told = is;
}

/* ---- messages ---- */

static void
deliver(struct http *h, struct message *m)
{
	bool taken = false;

	if ((m->kind & CHANNEL_REPLY) == 0)
		return;
	for (size_t i = 0; i < h->loop_count && !taken; i++)
		taken = loop_deliver(h->loops[i], m);
}

/* Everything that is there; false when the pair is closed. */
static bool
drain(struct http *h, struct channel *c, const uint32_t *kinds,
    void (*handle)(struct http *h, struct message *m))
{
	for (;;) {
		struct message m;
		struct err e = { 0 };
		enum err_code code = channel_receive(c, &m, kinds, 0, &e);

		if (code == ERR_TIMEOUT)
			return true;
		if (code == ERR_UNAVAILABLE || code == ERR_IO)
			return false;
		if (code != ERR_OK)
			continue; /* logged where it was found */
		handle(h, &m);
		message_clear(&m);
	}
}

static void
handle_ledger(struct http *h, struct message *m)
{
	service_ledger_silent(&h->service, 0);
	if (m->kind == (LEDGER_ENGINES | CHANNEL_REPLY)) {
		engine_log_reply(&h->engine_log, m);
		return;
	}
	if (m->kind == (LEDGER_HTTP_ALARMS | CHANNEL_REPLY)) {
		lookout_reply(&h->lookout, m);
		return;
	}
	deliver(h, m);
}

static void
forget_questions(struct http *h, int64_t silent_ms)
{
	service_ledger_silent(&h->service, silent_ms);
	for (size_t i = 0; i < h->loop_count; i++)
		(void)loop_deliver(h->loops[i], NULL);
}

/* Issuers are known by their place in the configuration, certificates by a map
 * that is in it: what is meant for another one would be taken for the wrong
 * thing. It happens while a successor is awaited. */
static bool
is_for_another(struct http *h, const struct message *m)
{
	const json_t *number = json_object_get(m->payload, "generation");

	if (json_integer_value(number) == h->setup->generation)
		return false;
	if (!h->outdated)
		log_info("credentials.not_taken",
		    "reason=\"they are for another configuration, which a "
		    "successor of this process takes\"");
	h->outdated = true;
	return true;
}

static void
take_access(struct http *h, const struct message *m)
{
	struct access *old;
	struct access *next;

	if (is_for_another(h, m))
		return;
	old = access_get(&h->service.access);
	access_take(&next, old, h->service.conf, m);
	access_unref(old);
	if (next == NULL)
		return;
	access_put(&h->service.access, next);
	for (size_t i = 0; i < h->loop_count; i++)
		loop_wake(h->loops[i]);
}

static void
handle_supervisor(struct http *h, struct message *m)
{
	const char *process = "";

	if (m->kind == SUPERVISOR_HANDOVER)
		take_access(h, m);
	else if (json_unpack(m->payload, "{s:s}", "process", &process) == 0 &&
	    strcmp(process, "ledger") == 0) {
		forget_questions(h, SERVICE_SILENT_MS);
		if (h->leads) {
			engine_log_reply(&h->engine_log, NULL);
			lookout_reply(&h->lookout, NULL);
		}
	}
}

/* ---- what only one does ---- */

static bool
take_lead(struct http *h)
{
	if (h->leads || h->leaving)
		return h->leads;
	h->leads = h->setup->lead_fd == 0 || lead_take(h->setup->lead_fd);
	if (h->leads)
		log_info("http.leads", "processes=%zu", h->setup->processes);
	return h->leads;
}

static void
lead(struct http *h)
{
	if (!take_lead(h))
		return;
	engine_log_tick(&h->engine_log);
	lookout_tick(&h->lookout);
	root_moves_tick(&h->root_moves, &h->service, h->store);
}

/* Whoever comes first reads what was remembered of engines, and the others wait
 * for it: what is not known yet would look new. */
static void
restore_engines(struct http *h)
{
	int fd = h->setup->lead_fd;

	if (fd != 0)
		lead_alone_begin(fd);
	engine_log_restore(&h->engine_log, h->store);
	if (fd != 0)
		lead_alone_end(fd);
}

/* ---- leaving ---- */

static void
leave(struct http *h)
{
	log_info("http.leaving", "waiting=%zu", atomic_load(&h->service.held));
	h->leaving = true;
	if (h->leads && h->setup->lead_fd != 0)
		lead_leave(h->setup->lead_fd);
	h->leads = false;
	for (size_t i = 0; i < h->loop_count; i++)
		loop_leave(h->loops[i]);
}

static bool
loops_are_busy(const struct http *h)
{
	for (size_t i = 0; i < h->loop_count; i++)
		if (loop_is_busy(h->loops[i]))
			return true;
	return false;
}

/* True: it is told to end. */
static bool
take_signals(struct http *h)
{
	struct signalfd_siginfo info;

	while (read(h->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo != SIGUSR2)
			return true;
		if (!h->leaving)
			leave(h);
	}
	return false;
}

/* ---- the first thread ---- */

static int
next_look_ms(const struct http *h)
{
	if (h->leaving)
		return WAITERS_BATCH_MS;
	return h->leads && h->root_moves.waiting ? ROOT_MOVES_LOOK_MS
						 : HTTP_POLL_MS;
}

/* Until SIGTERM, until the supervisor is gone, or until a successor has all that
 * there was. */
static void
control(struct http *h)
{
	struct pollfd fds[] = {
		{ .fd = h->signals, .events = POLLIN },
		{ .fd = channel_fd(h->supervisor), .events = POLLIN },
		{ .fd = channel_fd(h->ledger), .events = POLLIN },
	};

	while (!h->leaving || loops_are_busy(h)) {
		int n = poll(fds, 3, next_look_ms(h));

		assert(n >= 0 || errno == EINTR);
		if (n > 0 && fds[0].revents != 0 && take_signals(h))
			return;
		if (n > 0 && fds[1].revents != 0 &&
		    !drain(h, h->supervisor, supervisor_kinds,
			handle_supervisor))
			return;
		if (n > 0 && fds[2].revents != 0 &&
		    !drain(h, h->ledger, ledger_kinds, handle_ledger)) {
			log_error("ledger.gone", "its pair is closed");
			fds[2].fd = -1; /* poll passes over it */
			h->ledger_gone = true;
			forget_questions(h, INT64_MAX);
		}
		refresh(h);
		tick_shelf(h);
		lead(h);
		counters_set_waiting(h->service.counters, h->service.place,
		    atomic_load(&h->service.held));
	}
}

/* The same while the loops end: operators wait for answers still. */
static void
finish(struct http *h)
{
	int64_t end = clock_mono_ms() + SERVICE_DRAIN_MS;

	for (size_t i = 0; i < h->loop_count; i++)
		loop_stop(h->loops[i]);
	while (clock_mono_ms() < end && !h->ledger_gone && loops_are_busy(h)) {
		struct pollfd fd = { .fd = channel_fd(h->ledger),
			.events = POLLIN };

		if (poll(&fd, 1, WAITERS_BATCH_MS) > 0 &&
		    !drain(h, h->ledger, ledger_kinds, handle_ledger))
			h->ledger_gone = true;
	}
	for (size_t i = 0; i < h->loop_count; i++)
		loop_join(h->loops[i]);
	/* Who led may have died without saying what it knew. */
	if (!h->ledger_gone && take_lead(h))
		engine_log_end(&h->engine_log);
}

/* ---- preparing ---- */

/* This process's share of the connections. The kernel does not spread them quite
 * evenly, so that each may take a little more. */
static size_t
share_of(const struct http_setup *setup)
{
	size_t all = (size_t)setup->conf->http.engines_max;
	size_t each;

	if (setup->processes < 2)
		return all;
	each = (all + setup->processes - 1) / setup->processes;
	return each + each / HTTP_SHARE_MORE + 1;
}

/* As many descriptors as the system lets us have. The kernel spreads
 * connections as it likes, so that every thread gets an equal share, and all of
 * them together leave the reserve for artifacts. */
static void
count_room(struct http *h)
{
	struct service *s = &h->service;
	size_t threads = h->setup->listener_count;
	size_t engines = share_of(h->setup);
	size_t wanted = engines + engines / 8 + 512;
	size_t room = 1024;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		room = (size_t)limit.rlim_cur;
	}
	room = room > 2 * SERVICE_FDS_RESERVED ? room - SERVICE_FDS_RESERVED
					       : room / 2;
	room = room > threads ? room / threads : 1;
	s->connections_max = wanted < room ? wanted : room;
	/* Some places stay for those who do not wait. */
	s->held_each = s->connections_max - s->connections_max / 16;
	s->held_max = s->held_each * threads;
	if (s->held_max > engines)
		s->held_max = engines;
	if (s->held_max < engines)
		log_warn("http.room",
		    "engines_max=%" PRId64 " share=%zu held_max=%zu: the limit "
		    "of open files (RLIMIT_NOFILE) is too low for more in one "
		    "process; http.processes has more of them",
		    s->conf->http.engines_max, engines, s->held_max);
}

static enum err_code
block_signals(struct http *h, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR2);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
	    pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(e, "http: signals");
	h->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (h->signals < 0)
		return err_errno(e, "http: signalfd");
	return ERR_OK;
}

static enum err_code
confine(struct http *h, struct err *e)
{
	const struct conf *c = h->setup->conf;
	AUTO_STR store = file_path(c->data_dir, "store");
	AUTO_STR artifacts = file_path(c->data_dir, "artifacts");
	struct confine_path paths[] = {
		{ store, CONFINE_PATH_READ, false },
		{ artifacts, CONFINE_PATH_READ, true },
	};
	struct confine_rules rules = {
		.calls = CONFINE_READ_FILES | CONFINE_LOCK_FILES |
		    CONFINE_THREADS | CONFINE_ACCEPT | CONFINE_MESSAGES,
		.paths = paths,
		.path_count = 2,
		.best_effort = c->gate.sandbox == SANDBOX_BEST_EFFORT,
	};

	return confine_self(&rules, e);
}

static enum err_code
make_loops(struct http *h, struct err *e)
{
	const struct http_setup *setup = h->setup;
	struct loop_tls tls = {
		h->tls.parts[MATERIAL_CERTIFICATE].data,
		h->tls.parts[MATERIAL_KEY].data,
		h->tls.parts[MATERIAL_CLIENT_CA].data,
	};

	for (size_t i = 0; i < setup->listener_count; i++) {
		TRY(loop_new(&h->loops[i], &h->service, i, setup->listeners[i],
		    &tls, e));
		h->loop_count++;
	}
	return ERR_OK;
}

static enum err_code
read_access(struct http *h, struct err *e)
{
	const struct conf *c = h->setup->conf;
	struct access *a;

	TRY(material_read(&h->tls, c, e));
	TRY(access_load(&a, c, e));
	access_put(&h->service.access, a);
	return ERR_OK;
}

/* Who succeeds another takes over only with all that is assigned in its hands:
 * the other may have what cannot be read any more. */
static enum err_code
check_worthy(struct http *h, struct err *e)
{
	struct catalog *c = service_catalog(&h->service);
	bool whole = c != NULL && catalog_missing(c) == 0;

	catalog_unref(c);
	if (!whole)
		return err_set(e, ERR_UNAVAILABLE,
		    "not all that is assigned can be read: whoever serves now "
		    "goes on");
	return ERR_OK;
}

/* All that is assigned is read and checked before any of it is served: where
 * there is much of it, whoever waits for us is told that it goes on. */
static void
tell_progress(void *arg)
{
	struct http *h = arg;
	int64_t now = clock_mono_ms();
	struct err e;

	if (now < h->told_ms + HTTP_GETS_ON_MS)
		return;
	h->told_ms = now;
	if (channel_send(h->supervisor, SUPERVISOR_GETS_ON, 0, 0, NULL, NULL, 0,
		0, &e) != ERR_OK)
		log_debug("http.gets_on", "untold: error=\"%s\"", e.text);
}

static void
tell_serving(struct http *h)
{
	struct err e;

	if (channel_send(h->supervisor, SUPERVISOR_SERVING, 0, 0, NULL, NULL, 0,
		0, &e) != ERR_OK)
		log_warn("http.serving", "untold: error=\"%s\"", e.text);
}

/* All that needs rights which are given up comes first. The database is opened
 * after that: SQLite would open its log for writing if it could. The last good
 * state is in memory before the first connection is accepted. */
static enum err_code
prepare(struct http *h, struct err *e)
{
	const struct http_setup *setup = h->setup;

	if (setup->listener_count == 0 ||
	    setup->listener_count > SERVICE_LOOPS_MAX)
		return err_set(e, ERR_LIMIT, "http: 1 to %d listeners",
		    SERVICE_LOOPS_MAX);
	TRY(block_signals(h, e));
	TRY(read_access(h, e));
	count_room(h);
	TRY(bundle_get_ready(e));
	TRY(make_loops(h, e));
	TRY(confine(h, e));
	TRY(study_new(&h->service.study, e));
	TRY(access_log_new(&h->service.access_log,
	    h->setup->conf->http.access_log.sample, h->service.counters, e));
	shelf_on_piece(h->service.shelf, tell_progress, h);
	refresh(h);
	shelf_on_piece(h->service.shelf, NULL, NULL);
	tick_shelf(h);
	restore_engines(h);
	return h->setup->successor ? check_worthy(h, e) : ERR_OK;
}

static enum err_code
run(struct http *h, struct err *e)
{
	size_t started = 0;
	enum err_code code = prepare(h, e);

	while (code == ERR_OK && started < h->loop_count) {
		code = loop_start(h->loops[started], e);
		started += code == ERR_OK ? 1 : 0;
	}
	if (code == ERR_OK) {
		log_info("http.serving", "threads=%zu", h->loop_count);
		tell_serving(h);
		control(h);
		log_info("http.ending", "waiting=%zu",
		    atomic_load(&h->service.held));
		finish(h);
	} else if (started > 0) {
		_exit(1); /* threads cannot be taken back one by one */
	}
	return code;
}

static void
http_init(struct http *h, const struct http_setup *setup)
{
	int result = pthread_mutex_init(&h->service.lock, NULL);

	assert(result == 0);
	access_slot_init(&h->service.access);
	h->setup = setup;
	h->signals = -1;
	h->ledger = channel_new(setup->ledger_fd, "ledger");
	h->supervisor = channel_new(setup->supervisor_fd, "supervisor");
	h->service.conf = setup->conf;
	h->service.place = setup->place;
	h->service.shelf =
	    shelf_new(setup->conf->data_dir, setup->conf->http.memory_max);
	h->service.counters = setup->counters;
	h->service.engines = setup->engines;
	h->service.state = setup->state;
	h->service.ledger = h->ledger;
	h->service.started_ms = clock_now_ms();
	engine_log_init(&h->engine_log, &h->service);
	lookout_init(&h->lookout, &h->service);
}

static void
http_clear(struct http *h)
{
	study_free(h->service.study);
	for (size_t i = 0; i < h->loop_count; i++)
		loop_free(h->loops[i]);
	catalog_unref(h->service.catalog);
	shelf_free(h->service.shelf);
	access_log_free(h->service.access_log);
	pthread_mutex_destroy(&h->service.lock);
	lookout_clear(&h->lookout);
	store_free(h->store);
	channel_free(h->ledger);
	channel_free(h->supervisor);
	if (h->signals >= 0)
		close(h->signals);
	access_slot_clear(&h->service.access);
	material_clear(&h->tls);
}

int
http_main(const struct http_setup *setup)
{
	struct http h = { 0 };
	struct err e = { 0 };
	enum err_code code;

	http_init(&h, setup);
	code = run(&h, &e);
	if (code != ERR_OK)
		log_error("http.start", "code=%s error=\"%s\"", err_name(code),
		    e.text);
	http_clear(&h);
	return code == ERR_OK ? 0 : 1;
}
