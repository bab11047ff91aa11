#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "policies/join.h"
#include "policies/objects.h"
#include "server/pipeline/worker.h"

/* What goes wrong may go wrong for good, and an attempt may take an hour of a
 * processor: each wait is twice the one before. */
enum { JOIN_RETRY_MIN_MS = 600000, JOIN_RETRY_MAX_MS = 86400000 };

/* Fetches and builds go on meanwhile: the thread reads the old packs, which
 * nobody but the worker removes, and writes into a folder of its own. */
struct worker_join {
	struct desk *desk;
	const struct conf_repository *conf;
	struct join plan;
	char folder[24];
	char *mirror;
	char *incoming;
	pthread_t thread;
	atomic_bool given_up;
	atomic_bool done; /* then the thread touches nothing any more */
	enum err_code code;
	struct err fault;
};

static void
join_free(struct worker_join *j)
{
	struct err e = { 0 };

	if (j == NULL)
		return;
	if (file_remove_tree(j->incoming, &e) != ERR_OK)
		log_warn("join.remove", "repo=%s error=\"%s\"", j->conf->name,
		    e.text);
	join_clear(&j->plan);
	mem_free(j->mirror);
	mem_free(j->incoming);
	mem_free(j);
}

static bool
is_over(void *arg)
{
	struct worker_join *j = arg;

	return atomic_load(&j->given_up) || atomic_load(&j->desk->stopping);
}

static enum err_code
pack(struct worker_join *j, struct err *e)
{
	const struct desk_patience patience = { .over = is_over, .arg = j };
	const struct objects_patience same = { .over = is_over, .arg = j };

	TRY(desk_join(j->desk, j->conf, j->folder, &patience, e));
	return join_verify(&j->plan, j->mirror, j->incoming, &same, e);
}

static void *
run(void *arg)
{
	struct worker_join *j = arg;

	j->code = pack(j, &j->fault);
	atomic_store(&j->done, true);
	desk_news(j->desk);
	return NULL;
}

static enum err_code
start(struct worker *w, struct worker_join *j, struct err *e)
{
	int number;

	TRY(file_make_dirs(j->incoming, e));
	TRY(join_write(&j->plan, j->incoming, e));
	number = pthread_create(&j->thread, NULL, run, j);
	if (number != 0)
		return err_set(e, ERR_IO, "join: no thread: %s",
		    strerror(number));
	w->join = j;
	return ERR_OK;
}

static enum err_code
begin(struct worker *w, struct err *e)
{
	AUTO_STR mirror = mem_printf("%s/repos/%s/git", w->desk->conf->data_dir,
	    w->conf->name);
	struct join plan = { 0 };
	struct worker_join *j;
	enum err_code code;

	TRY(join_plan(&plan, mirror, e));
	if (join_is_empty(&plan))
		return ERR_OK;
	j = mem_zalloc(sizeof(*j));
	j->desk = w->desk;
	j->conf = w->conf;
	j->plan = plan;
	j->mirror = STEAL(mirror);
	desk_folder(w->desk, j->folder);
	j->incoming = mem_printf("%s/repos/%s/incoming/%s",
	    w->desk->conf->data_dir, w->conf->name, j->folder);
	code = start(w, j, e);
	if (code != ERR_OK)
		join_free(j);
	return code;
}

static enum err_code
end(struct worker *w, struct worker_join *j, struct err *e)
{
	if (pthread_join(j->thread, NULL) != 0)
		assert(0 && "pthread_join");
	if (j->code == ERR_OK)
		return repo_join(w->mirror, &j->plan, j->incoming, e);
	if (e != NULL)
		*e = j->fault;
	return j->code;
}

void
worker_join(struct worker *w)
{
	struct err e = { 0 };
	enum err_code code = ERR_OK;

	if (w->join != NULL) {
		struct worker_join *j = w->join;

		if (!atomic_load(&j->done))
			return;
		w->join = NULL;
		code = end(w, j, &e);
		if (code == ERR_OK)
			w->join_wait_ms = 0;
		/* There may be more than go into one. */
		w->join_due = true;
		join_free(j);
	} else if (w->join_due && clock_mono_ms() >= w->join_again_ms) {
		w->join_due = false;
		code = begin(w, &e);
	}
	if (code == ERR_OK)
		return;
	w->join_wait_ms = w->join_wait_ms == 0 ? JOIN_RETRY_MIN_MS
					       : w->join_wait_ms * 2;
	if (w->join_wait_ms > JOIN_RETRY_MAX_MS)
		w->join_wait_ms = JOIN_RETRY_MAX_MS;
	log_error("repository.join", "repo=%s again_s=%" PRId64 " error=\"%s\"",
	    w->conf->name, w->join_wait_ms / 1000, e.text);
	w->join_due = true;
	w->join_again_ms = clock_mono_ms() + w->join_wait_ms;
}

void
worker_join_end(struct worker *w)
{
	struct worker_join *j = w->join;

	if (j == NULL)
		return;
	w->join = NULL;
	atomic_store(&j->given_up, true);
	if (pthread_join(j->thread, NULL) != 0)
		assert(0 && "pthread_join");
	join_free(j);
}
