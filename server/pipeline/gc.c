#include "server/pipeline/gc.h"

#include <string.h>

#include "clusters/ledger.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum { GC_AGAIN_MS = 1000, GC_LOOK_MS = 60 * 1000 };

struct gc_sum {
	struct store_waste rows;
	struct gc_files files;
	bool dry_run;
};

/* ---- what is told ---- */

static json_t *
sum_json(const struct gc_sum *s)
{
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I,"
			 " s:I, s:b}",
	    "dry_run", s->dry_run, "artifacts", (json_int_t)s->rows.artifacts,
	    "files", (json_int_t)s->files.files, "file_bytes",
	    (json_int_t)s->files.bytes, "reports", (json_int_t)s->rows.reports,
	    "report_bytes", (json_int_t)s->rows.report_bytes, "operations",
	    (json_int_t)s->rows.operations, "engines",
	    (json_int_t)s->rows.engines, "compiled",
	    (json_int_t)s->files.compiled, "compiled_bytes",
	    (json_int_t)s->files.compiled_bytes, "leftovers",
	    (json_int_t)s->files.leftovers, "postponed", s->files.postponed);
}

/* id 0: nobody asked. A lost one is only carried out twice. */
static void
tell(struct gc *g, int64_t id, json_t *payload)
{
	struct err e = { 0 };

	if (id == 0) {
		json_decref(payload);
		return;
	}
	(void)json_object_set_new(payload, "id", json_integer(id));
	if (desk_tell(g->desk, LEDGER_OPERATION, payload, NULL, &e) != ERR_OK)
		log_warn("gc.report", "operation=%" PRId64 " error=\"%s\"", id,
		    e.text);
}

static void
tell_progress(struct gc *g, int64_t id, const struct gc_sum *s)
{
	AUTO_STR text = mem_printf("removed %lld artifacts and %lld reports",
	    (long long)s->rows.artifacts, (long long)s->rows.reports);

	tell(g, id,
	    json_pack("{s:s, s:s}", "state", "running", "progress", text));
}

/* ---- the work ---- */

static enum err_code
collect_some(struct gc *g, struct store_waste *sum, bool *more, struct err *e)
{
	json_int_t artifacts, reports, report_bytes, operations, engines;
	json_t *reply = NULL;
	int left, n;

	TRY(desk_tell(g->desk, LEDGER_COLLECT, json_object(), &reply, e));
	n = json_unpack(reply, "{s:I, s:I, s:I, s:I, s:I, s:b}", "artifacts",
	    &artifacts, "reports", &reports, "report_bytes", &report_bytes,
	    "operations", &operations, "engines", &engines, "more", &left);
	json_decref(reply);
	if (n != 0)
		return err_set(e, ERR_UNAVAILABLE, "ledger: bad answer");
	sum->artifacts += artifacts;
	sum->reports += reports;
	sum->report_bytes += report_bytes;
	sum->operations += operations;
	sum->engines += engines;
	*more = left != 0;
	return ERR_OK;
}

static enum err_code
collect(struct gc *g, int64_t id, struct gc_sum *s, struct err *e)
{
	bool more = true;

	while (more && !atomic_load(&g->desk->stopping)) {
		TRY(collect_some(g, &s->rows, &more, e));
		if (more)
			tell_progress(g, id, s);
	}
	return ERR_OK;
}

static enum err_code
sweep(struct gc *g, const struct store_files *named, struct gc_sum *s,
    struct err *e)
{
	const struct conf *c = g->desk->conf;
	const struct gc_sweep how = {
		.data_dir = c->data_dir,
		.named = named,
		.compiled_ms = c->retention.compiled * 1000,
		.dry_run = s->dry_run,
	};

	return gc_sweep(&s->files, &how, e);
}

static enum err_code
look(struct gc *g, struct gc_sum *s, struct err *e)
{
	const struct conf *c = g->desk->conf;
	const struct store_keep keep =
	    conf_retention_keep(&c->retention, c->engines.forget_after);
	int64_t now_ms = clock_now_ms();
	struct store_files named = { 0 };
	enum err_code code;

	TRY(store_gc_look(g->store, &keep, now_ms, &s->rows, e));
	TRY(store_gc_files(g->store, &keep, now_ms, &named, e));
	code = sweep(g, &named, s, e);
	store_files_clear(&named);
	return code;
}

/* Rows first. What is named is read after that, and what is published from then
 * on is young. */
static enum err_code
clean(struct gc *g, int64_t id, struct gc_sum *s, struct err *e)
{
	struct store_files named = { 0 };
	enum err_code code;

	TRY(collect(g, id, s, e));
	if (atomic_load(&g->desk->stopping))
		return err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	TRY(store_files(g->store, &named, e));
	code = sweep(g, &named, s, e);
	store_files_clear(&named);
	return code;
}

/* False: to be tried again. */
static bool
carry_out(struct gc *g, int64_t id, bool dry_run)
{
	struct gc_sum s = { .dry_run = dry_run };
	struct err e = { 0 };
	enum err_code code = dry_run ? look(g, &s, &e) : clean(g, id, &s, &e);

	if (code != ERR_OK)
		log_warn("gc.failed", "operation=%" PRId64 " error=\"%s\"", id,
		    e.text);
	else
		log_info("gc.done",
		    "operation=%" PRId64 " dry_run=%d artifacts=%" PRId64
		    " files=%" PRId64 " bytes=%" PRId64 " reports=%" PRId64,
		    id, dry_run, s.rows.artifacts, s.files.files, s.files.bytes,
		    s.rows.reports);
	if (code == ERR_OK)
		tell(g, id,
		    json_pack("{s:s, s:o}", "state", "done", "result",
			sum_json(&s)));
	else if (code != ERR_UNAVAILABLE)
		tell(g, id,
		    json_pack("{s:s, s:{s:s, s:s}}", "state", "failed", "error",
			"code", err_name(code), "message", e.text));
	return code == ERR_OK;
}

/* ---- when ---- */

/* Milliseconds until it is due; -1: never by itself. */
static int64_t
due_ms(struct gc *g)
{
	int64_t every = g->desk->conf->retention.every * 1000;
	int64_t last, due;

	if (every == 0)
		return -1;
	if (store_gc_last(g->store, &last, NULL) != ERR_OK)
		return GC_AGAIN_MS;
	if (last > 0)
		due = last + every;
	else
		due = g->start_ms + (every < GC_FIRST_MS ? every : GC_FIRST_MS);
	due -= clock_now_ms();
	return due > 0 ? due : 0;
}

/* True: somebody asked, and was answered. */
static bool
do_operation(struct gc *g)
{
	struct store_operation op;
	bool done;

	if (store_next_gc(g->store, &op, NULL) != ERR_OK)
		return false;
	done = carry_out(g, op.id, op.to != NULL);
	store_operation_clear(&op);
	return done;
}

static void
step(struct gc *g)
{
	int64_t wait = GC_AGAIN_MS;

	if (g->store != NULL ||
	    store_open_read(&g->store, g->desk->conf->data_dir, NULL) ==
		ERR_OK) {
		if (do_operation(g))
			return;
		wait = due_ms(g);
		if (wait == 0)
			wait = carry_out(g, 0, false) ? 0 : GC_AGAIN_MS;
	}
	if (wait < 0 || wait > GC_LOOK_MS)
		wait = GC_LOOK_MS;
	desk_wait(g->desk, &g->seen, wait);
}

void
gc_run(struct gc *g)
{
	g->start_ms = clock_now_ms();
	while (!atomic_load(&g->desk->stopping))
		step(g);
	store_free(g->store);
}
