#include "server/supervisor/roles.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clusters/ledger.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/http.h"
#include "server/http/lead.h"
#include "server/pipeline/pipeline.h"
#include "server/supervisor/activation.h"
#include "signing/keeper.h"

static_assert((int)LEDGER_HTTP_MAX == PROCESSES_MAX - PROCESS_HTTP,
    "the ledger hears all of http");
static_assert((int)COUNTERS_HTTP_MAX == PROCESSES_MAX - PROCESS_HTTP,
    "each place of http counts for itself");

/* ---- what each process is ---- */

static size_t
place_of(size_t id)
{
	return id - PROCESS_HTTP;
}

static size_t
pair_with_ledger(size_t id)
{
	return PAIR_HTTP + 2 * place_of(id);
}

static size_t
pair_with_supervisor(size_t id)
{
	return PAIR_HTTP + 2 * place_of(id) + 1;
}

static int
run_ledger(struct roles *r)
{
	const struct conf *c = r->newest.conf;
	struct ledger_setup setup = {
		.data_dir = c->data_dir,
		.pipeline_fd = r->pairs[PAIR_PIPELINE_LEDGER][1],
		.http_count = 2 * r->http_count,
		.repositories_max = (int64_t)c->repositories.count,
		.engines_max = c->engines.max,
		.handover_ms =
		    (c->sets.handover_timeout + c->http.release_spread) * 1000,
		.keep =
		    conf_retention_keep(&c->retention, c->engines.forget_after),
		.best_effort = c->gate.sandbox == SANDBOX_BEST_EFFORT,
	};

	for (size_t i = 0; i < setup.http_count; i++)
		setup.http_fds[i] =
		    r->pairs[pair_with_ledger(PROCESS_HTTP + i)][1];
	return ledger_main(&setup);
}

static int
run_keeper(struct roles *r)
{
	const struct conf *c = r->newest.conf;
	AUTO_STR keys = file_path(c->data_dir, "keys");

	return keeper_main(keys, r->pairs[PAIR_PIPELINE_KEEPER][1],
	    c->gate.sandbox == SANDBOX_BEST_EFFORT);
}

static int
run_pipeline(struct roles *r)
{
	struct pipeline_setup setup = {
		.conf = r->newest.conf,
		.ledger_fd = r->pairs[PAIR_PIPELINE_LEDGER][0],
		.keeper_fd = r->pairs[PAIR_PIPELINE_KEEPER][0],
		.supervisor_fd = r->pairs[PAIR_PIPELINE_SUPERVISOR][0],
		.counters = r->counters,
	};

	return pipeline_main(&setup);
}

static const struct roles_conf *
conf_of(const struct roles *r, size_t id, bool successor)
{
	return id < PROCESS_HTTP || successor ? &r->newest : &r->served;
}

static int
run_http(struct roles *r, size_t id, bool successor)
{
	const struct roles_conf *c = conf_of(r, id, successor);
	size_t first = place_of(id) / 2 * r->threads;
	struct http_setup setup = {
		.conf = c->conf,
		.generation = c->generation,
		.place = place_of(id),
		.processes = r->http_count,
		.successor = successor,
		.lead_fd = r->lead,
		.listeners = r->listeners.fds + first,
		.listener_count = r->threads,
		.ledger_fd = r->pairs[pair_with_ledger(id)][0],
		.supervisor_fd = r->pairs[pair_with_supervisor(id)][0],
		.counters = r->counters,
		.engines = r->engines,
		.state = r->state,
	};

	return http_main(&setup);
}

static int (*const others_run[PROCESS_HTTP])(struct roles *) = {
	[PROCESS_LEDGER] = run_ledger,
	[PROCESS_KEEPER] = run_keeper,
	[PROCESS_PIPELINE] = run_pipeline,
};

/* Which ends the others hold: {pair, end}, ended by PAIRS_MAX. The ledger has
 * one of every http process besides. */
static const struct {
	int pair;
	int end;
} others_ends[PROCESS_HTTP][4] = {
	[PROCESS_LEDGER] = { { PAIR_PIPELINE_LEDGER, 1 }, { PAIRS_MAX, 0 } },
	[PROCESS_KEEPER] = { { PAIR_PIPELINE_KEEPER, 1 }, { PAIRS_MAX, 0 } },
	[PROCESS_PIPELINE] = { { PAIR_PIPELINE_LEDGER, 0 },
	    { PAIR_PIPELINE_KEEPER, 0 }, { PAIR_PIPELINE_SUPERVISOR, 0 },
	    { PAIRS_MAX, 0 } },
};

/* ---- what it holds ---- */

static bool
holds_end(size_t id, size_t pair, int end)
{
	bool with_ledger = pair >= PAIR_HTTP && (pair - PAIR_HTTP) % 2 == 0;

	if (id >= PROCESS_HTTP)
		return end == 0 &&
		    (pair == pair_with_ledger(id) ||
			pair == pair_with_supervisor(id));
	if (id == PROCESS_LEDGER && with_ledger)
		return end == 1;
	for (size_t i = 0; others_ends[id][i].pair != PAIRS_MAX; i++)
		if (others_ends[id][i].pair == (int)pair &&
		    others_ends[id][i].end == end)
			return true;
	return false;
}

static bool
holds_listener(const struct roles *r, size_t id, size_t listener)
{
	return id >= PROCESS_HTTP && listener / r->threads == place_of(id) / 2;
}

/* Everything that is another process's business goes. */
static void
drop_descriptors(struct roles *r, size_t id)
{
	for (size_t pair = 0; pair < r->pair_count; pair++)
		for (int end = 0; end < 2; end++)
			if (!holds_end(id, pair, end))
				close(r->pairs[pair][end]);
	for (size_t i = 0; i < r->listeners.count; i++)
		if (!holds_listener(r, id, i))
			close(r->listeners.fds[i]);
	if (id < PROCESS_HTTP) {
		engines_free(r->engines);
		r->engines = NULL;
		close(r->lead);
	}
	for (size_t i = 0; i < ROLES_OWN; i++)
		close(r->own[i]);
}

void
roles_run(struct roles *r, size_t id, bool successor, pid_t parent)
{
	sigset_t none;
	char title[16];

	(void)snprintf(title, sizeof title, "edict %s", processes_name(id));
	(void)prctl(PR_SET_NAME, title);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	drop_descriptors(r, id);
	conf_state_seal(r->state);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		_exit(1);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C reaches the whole group; the supervisor ends us in order. */
	(void)signal(SIGINT, SIG_IGN);
	log_init(processes_name(id),
	    (enum log_level)conf_of(r, id, successor)->conf->log_level);
	_exit(id < PROCESS_HTTP ? others_run[id](r)
				: run_http(r, id, successor));
}

/* ---- for the supervisor ---- */

int
roles_end(const struct roles *r, size_t id)
{
	assert(id >= PROCESS_PIPELINE);
	return r->pairs[id == PROCESS_PIPELINE ? PAIR_PIPELINE_SUPERVISOR
					       : pair_with_supervisor(id)][1];
}

static void
empty(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) > 0)
		continue;
}

void
roles_starting(struct roles *r, size_t id, bool successor)
{
	if (id < PROCESS_HTTP)
		return;
	r->has[id] = conf_of(r, id, successor)->generation;
	empty(r->pairs[pair_with_ledger(id)][0]);
	empty(r->pairs[pair_with_supervisor(id)][0]);
	empty(r->pairs[pair_with_supervisor(id)][1]);
}

static const char **
repository_names(const struct conf *c)
{
	const struct conf_repository *r = c->repositories.items;
	const char **names = mem_array(c->repositories.count, sizeof *names);

	for (size_t i = 0; i < c->repositories.count; i++)
		names[i] = r[i].name;
	return names;
}

static struct counters *
make_counters(const struct conf *c)
{
	const char **names = repository_names(c);
	struct counters *counters = counters_new(names, c->repositories.count);

	mem_free(names);
	return counters;
}

void
roles_adopt(struct roles *r, const struct conf *c, bool renews_http)
{
	const char **names = repository_names(c);

	counters_rename(r->counters, names, c->repositories.count);
	mem_free(names);
	if (!renews_http && r->served.generation == r->newest.generation)
		r->served.conf = c;
	r->newest.conf = c;
	if (renews_http)
		r->newest.generation++;
}

bool
roles_is_newest(const struct roles *r, size_t id)
{
	return r->has[id] == r->newest.generation;
}

void
roles_serves(struct roles *r, size_t id)
{
	if (roles_is_newest(r, id))
		r->served = r->newest;
}

/* Those that were handed over, else our own. */
static enum err_code
open_listeners(struct roles *r, struct err *e)
{
	size_t count = r->http_count * r->threads;

	TRY(activation_take(&r->listeners, count, e));
	if (r->listeners.count > 0)
		return ERR_OK;
	return listeners_open(&r->listeners, r->newest.conf->listen, count, e);
}

enum err_code
roles_open(struct roles *r, const struct conf *c, struct err *e)
{
	*r = (struct roles){
		.newest = { c, 1 },
		.served = { c, 1 },
		.http_count = (size_t)c->http.processes,
		.threads = (size_t)c->http.threads,
		.lead = -1,
		.own = { -1, -1, -1, -1, -1 },
	};
	TRY(open_listeners(r, e));
	TRY(lead_open(&r->lead, e));
	while (r->pair_count < PAIR_HTTP + 4 * r->http_count) {
		TRY(channel_pair(r->pairs[r->pair_count], e));
		r->pair_count++;
	}
	r->counters = make_counters(c);
	r->engines = engines_new((size_t)c->engines.max);
	r->state = conf_state_new();
	return ERR_OK;
}

void
roles_close(struct roles *r)
{
	counters_free(r->counters);
	engines_free(r->engines);
	conf_state_free(r->state);
	listeners_close(&r->listeners);
	for (size_t pair = 0; pair < r->pair_count; pair++)
		for (int end = 0; end < 2; end++)
			close(r->pairs[pair][end]);
	if (r->lead >= 0)
		close(r->lead);
}
