#include "server/pipeline/pipeline.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundler/bundle.h"
#include "clusters/ledger.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "policies/gate_local.h"
#include "server/pipeline/courier.h"
#include "server/pipeline/desk.h"
#include "server/pipeline/discovery.h"
#include "server/pipeline/gc.h"
#include "server/pipeline/heads.h"
#include "server/pipeline/jwks_refresh.h"
#include "server/pipeline/set_check.h"
#include "server/pipeline/signer.h"
#include "server/pipeline/worker.h"
#include "server/supervisor/supervisor.h"
#include "signing/digest.h"

enum { PIPELINE_PROGRAM_MAX = 512 << 20, PIPELINE_LOOK_MS = 1000 };

/* One channel, and who waits for its replies. */
struct line {
	const char *name;
	struct channel *channel;
	struct caller **caller;
};

struct pipeline {
	struct desk desk;
	struct line lines[3];
	struct worker *workers;
	pthread_t *threads;
	size_t count;
	struct discovery discovery;
	struct gc gc;
	pthread_t gc_thread;
	pthread_t discovery_thread;
	pthread_t jwks_thread;
	struct signer signer;
	pthread_t signer_thread;
	pthread_t heads_thread;
	pthread_t set_thread;
	int signals;
	char sandbox[64];          /* of the gate: confine_describe */
	struct desk_place *places; /* engines and commands */
	size_t place_count;
};

static const uint32_t pipeline_kinds[] = { LEDGER_CHANGED, SUPERVISOR_RESTARTED,
	0 };

/* ---- messages ---- */

static void
restarted(struct pipeline *p, const struct message *m)
{
	const char *name =
	    json_string_value(json_object_get(m->payload, "process"));

	for (size_t i = 0; name != NULL && i < 3; i++)
		if (strcmp(p->lines[i].name, name) == 0)
			caller_reset(*p->lines[i].caller);
	/* A new keeper may have other keys. */
	desk_news(&p->desk);
}

/* False when the pair is closed: the supervisor is gone. */
static bool
take(struct pipeline *p, struct line *l)
{
	struct message m = { 0 };
	struct err e = { 0 };
	enum err_code code =
	    channel_receive(l->channel, &m, pipeline_kinds, 0, &e);

	if (code == ERR_UNAVAILABLE)
		return false;
	if (code != ERR_OK) {
		if (code != ERR_TIMEOUT)
			log_warn("pipeline.message", "from=%s error=\"%s\"",
			    l->name, e.text);
		return true;
	}
	if (m.kind == LEDGER_CHANGED)
		desk_news(&p->desk);
	else if (m.kind == SUPERVISOR_RESTARTED)
		restarted(p, &m);
	else if (caller_dispatch(*l->caller, &m))
		return true;
	message_clear(&m);
	return true;
}

static bool
is_replaced(const struct pipeline *p)
{
	for (size_t i = 0; i < p->place_count; i++)
		if (desk_place_replaced(&p->places[i]))
			return true;
	return atomic_load(&p->desk.renew);
}

static void
serve(struct pipeline *p)
{
	while (!is_replaced(p)) {
		struct pollfd fds[4];

		for (size_t i = 0; i < 3; i++)
			fds[i] = (struct pollfd){
				.fd = channel_fd(p->lines[i].channel),
				.events = POLLIN
			};
		fds[3] = (struct pollfd){ .fd = p->signals, .events = POLLIN };
		if (poll(fds, 4, PIPELINE_LOOK_MS) < 0 && errno != EINTR)
			assert(0 && "poll");
		if (fds[3].revents != 0)
			return;
		for (size_t i = 0; i < 3; i++)
			if (fds[i].revents != 0 && !take(p, &p->lines[i]))
				return;
	}
}

/* ---- threads ---- */

static void *
run_worker(void *arg)
{
	struct worker *w = arg;
	char title[16];

	(void)snprintf(title, sizeof title, "repo %s", w->conf->name);
	(void)prctl(PR_SET_NAME, title);
	worker_run(w);
	return NULL;
}

static void *
run_discovery(void *arg)
{
	(void)prctl(PR_SET_NAME, "discovery");
	discovery_run(arg);
	return NULL;
}

static void *
run_jwks(void *arg)
{
	(void)prctl(PR_SET_NAME, "jwks");
	jwks_refresh_run(arg);
	return NULL;
}

static void *
run_signer(void *arg)
{
	(void)prctl(PR_SET_NAME, "signer");
	signer_run(arg);
	return NULL;
}

static void
start_signer(struct pipeline *p)
{
	p->signer.desk = &p->desk;
	if (pthread_create(&p->signer_thread, NULL, run_signer, &p->signer) !=
	    0)
		assert(0 && "pthread_create");
}

static void *
run_heads(void *arg)
{
	(void)prctl(PR_SET_NAME, "heads");
	heads_run(arg);
	return NULL;
}

static void *
run_set_check(void *arg)
{
	(void)prctl(PR_SET_NAME, "sets");
	set_check_run(arg);
	return NULL;
}

static void *
run_gc(void *arg)
{
	(void)prctl(PR_SET_NAME, "gc");
	gc_run(arg);
	return NULL;
}

static void
start_gc(struct pipeline *p)
{
	p->gc.desk = &p->desk;
	if (pthread_create(&p->gc_thread, NULL, run_gc, &p->gc) != 0)
		assert(0 && "pthread_create");
}

static void
start_heads(struct pipeline *p)
{
	if (pthread_create(&p->heads_thread, NULL, run_heads, &p->desk) != 0)
		assert(0 && "pthread_create");
}

static void
start_workers(struct pipeline *p)
{
	const struct conf_repository *r = p->desk.conf->repositories.items;

	for (size_t i = 0; i < p->count; i++) {
		struct worker *w = &p->workers[i];

		w->desk = &p->desk;
		w->conf = &r[i];
		(void)snprintf(w->sandbox, sizeof w->sandbox, "%s", p->sandbox);
		w->runner = (struct desk_runner){ .desk = &p->desk,
			.repository = r[i].name };
		if (pthread_create(&p->threads[i], NULL, run_worker, w) != 0)
			assert(0 && "pthread_create");
	}
	p->discovery.desk = &p->desk;
	if (pthread_create(&p->discovery_thread, NULL, run_discovery,
		&p->discovery) != 0)
		assert(0 && "pthread_create");
	if (pthread_create(&p->set_thread, NULL, run_set_check, &p->desk) != 0)
		assert(0 && "pthread_create");
	if (jwks_refresh_needed(p->desk.conf) &&
	    pthread_create(&p->jwks_thread, NULL, run_jwks, &p->desk) != 0)
		assert(0 && "pthread_create");
}

static void
stop_workers(struct pipeline *p)
{
	atomic_store(&p->desk.stopping, true);
	desk_news(&p->desk);
	for (size_t i = 0; i < 3; i++)
		caller_reset(*p->lines[i].caller);
}

/* ---- the beginning ---- */

static void
clean_work(const struct conf *c)
{
	AUTO_STR work = file_path(c->data_dir, "work");
	struct file_names names = { 0 };
	struct err e = { 0 };

	if (file_list(&names, work, SIZE_MAX, &e) != ERR_OK) {
		log_warn("work.list", "error=\"%s\"", e.text);
		return;
	}
	for (size_t i = 0; i < names.count; i++) {
		AUTO_STR path = file_path(work, names.names[i]);

		if (file_remove_tree(path, &e) != ERR_OK)
			log_warn("work.remove", "error=\"%s\"", e.text);
	}
	file_names_clear(&names);
}

/* Another program, or other limits, are another question to the gate. */
static void
digest_commands(const struct conf *c, char out[DIGEST_HEX_SIZE])
{
	const struct conf_command *k = c->gate.commands.items;
	struct digest *d = digest_new();

	for (size_t i = 0; i < c->gate.commands.count; i++) {
		AUTO_BUF program = { 0 };
		AUTO_STR limits = mem_printf("%s %" PRId64 " %" PRId64
					     " %" PRId64 " %" PRId64,
		    k[i].name, k[i].scratch, k[i].processes, k[i].memory,
		    k[i].timeout);

		buf_init(&program, PIPELINE_PROGRAM_MAX);
		/* One that cannot be read cannot be run either. */
		if (file_read(&program, k[i].path, NULL) != ERR_OK)
			buf_reset(&program);
		digest_add_piece(d, limits, strlen(limits));
		digest_add_piece(d, program.data, program.len);
	}
	digest_end(d, out);
}

/* A local repository is for its worker to look at: it may be on a disk that
 * hangs. */
static void
note_places(struct pipeline *p)
{
	const struct conf *c = p->desk.conf;
	const struct conf_repository *r = c->repositories.items;
	const struct conf_command *k = c->gate.commands.items;

	p->places = mem_array(c->repositories.count + c->gate.commands.count,
	    sizeof *p->places);
	for (size_t i = 0; i < c->repositories.count; i++) {
		if (r[i].engine.items[0][0] == '/')
			desk_place_note(&p->places[p->place_count++],
			    r[i].engine.items[0]);
		if (fetch_is_local(r[i].url))
			desk_place_note(&p->workers[i].place,
			    fetch_local_path(r[i].url));
	}
	for (size_t i = 0; i < c->gate.commands.count; i++)
		desk_place_note(&p->places[p->place_count++], k[i].path);
}

static enum err_code
confine(struct pipeline *p, struct err *e)
{
	const struct conf *c = p->desk.conf;
	const struct conf_repository *r = c->repositories.items;
	size_t room = 7 + 2 * c->repositories.count;
	struct confine_path *paths = mem_array(room, sizeof *paths);
	AUTO_STR repos = file_path(c->data_dir, "repos");
	AUTO_STR artifacts = file_path(c->data_dir, "artifacts");
	AUTO_STR contents = file_path(c->data_dir, "contents");
	AUTO_STR work = file_path(c->data_dir, "work");
	AUTO_STR jwks = file_path(c->data_dir, "jwks");
	AUTO_STR store = file_path(c->data_dir, "store");
	const unsigned int write = CONFINE_PATH_READ | CONFINE_PATH_WRITE;
	struct confine_rules rules = {
		.calls = CONFINE_READ_FILES | CONFINE_WRITE_FILES |
		    CONFINE_LOCK_FILES | CONFINE_THREADS | CONFINE_MESSAGES,
		.paths = paths,
		.best_effort = c->gate.sandbox == SANDBOX_BEST_EFFORT,
	};
	enum err_code code;
	size_t n = 0;

	note_places(p);
	paths[n++] = (struct confine_path){ repos, write, false };
	paths[n++] = (struct confine_path){ artifacts, write, false };
	paths[n++] = (struct confine_path){ contents, write, false };
	paths[n++] = (struct confine_path){ work, write, false };
	paths[n++] = (struct confine_path){ jwks, write, false };
	paths[n++] = (struct confine_path){ store, CONFINE_PATH_READ, false };
	paths[n++] = (struct confine_path){ "/dev/null", write, true };
	for (size_t i = 0; i < c->repositories.count; i++) {
		if (r[i].engine.items[0][0] == '/')
			paths[n++] =
			    (struct confine_path){ r[i].engine.items[0],
				    CONFINE_PATH_READ, true };
		if (fetch_is_local(r[i].url))
			paths[n++] =
			    (struct confine_path){ fetch_local_path(r[i].url),
				    CONFINE_PATH_READ, true };
	}
	rules.path_count = n;
	code = confine_self(&rules, e);
	mem_free(paths);
	return code;
}

static enum err_code
catch_term(struct pipeline *p, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(e, "signal mask");
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return p->signals < 0 ? err_errno(e, "signalfd") : ERR_OK;
}

static void
open_lines(struct pipeline *p, const struct pipeline_setup *s)
{
	p->lines[0] = (struct line){ "ledger",
		channel_new(s->ledger_fd, "ledger"), &p->desk.ledger };
	p->lines[1] = (struct line){ "keeper",
		channel_new(s->keeper_fd, "keeper"), &p->desk.keeper };
	p->lines[2] = (struct line){ "supervisor",
		channel_new(s->supervisor_fd, "supervisor"),
		&p->desk.supervisor };
	for (size_t i = 0; i < 3; i++)
		*p->lines[i].caller = caller_new(p->lines[i].channel);
}

int
pipeline_main(const struct pipeline_setup *setup)
{
	/* Threads may still look at it while the process ends. */
	static struct pipeline p;
	struct err e = { 0 };

	p.count = setup->conf->repositories.count;
	p.desk.conf = setup->conf;
	p.desk.counters = setup->counters;
	p.workers = mem_array(p.count, sizeof *p.workers);
	clean_work(setup->conf);
	digest_commands(setup->conf, p.desk.commands);
	/* The supervisor starts the gate's children. What holds for them can be
	 * asked only while this process may still ask. */
	gate_local_sandbox(p.sandbox);
	if (catch_term(&p, &e) != ERR_OK || bundle_get_ready(&e) != ERR_OK ||
	    confine(&p, &e) != ERR_OK) {
		log_error("pipeline.start", "error=\"%s\"", e.text);
		return 1;
	}
	desk_init(&p.desk);
	open_lines(&p, setup);
	p.threads = mem_array(p.count, sizeof *p.threads);
	start_workers(&p);
	start_heads(&p);
	start_signer(&p);
	couriers_start(&p.desk);
	start_gc(&p);
	serve(&p);
	stop_workers(&p);
	/* A thread may be inside a gate run: the supervisor ends those children
	 * when we are gone, and what was not published is done again. */
	log_info("pipeline.stopping", "repositories=%zu", p.count);
	return 0;
}
