#include "server/pipeline/courier.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store_outbox.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/event_body.h"
#include "server/supervisor/call.h"

enum {
	COURIER_LOOK_MS = 1000,  /* for who missed the news */
	COURIER_IDLE_MS = 60000, /* without news */
	COURIER_TELL_MS = 60000, /* how often a failure is told anew */
	COURIER_WATCH_MS = 1000, /* between looks at fetches */
	COURIER_BATCH = 100      /* events that are looked through at once */
};

struct courier {
	struct desk *desk;
	const struct conf_event_target *target;
	struct store *store; /* NULL: not open */
	bool placed;         /* position was read */
	int64_t position;    /* all up to this one are done with */
	int64_t told;        /* the position that the ledger knows */
	int64_t failing_ms;  /* wall clock; 0: all is well */
	int64_t told_ms;     /* when the ledger heard of a failure; monotonic */
	int64_t next_ms;     /* monotonic; no try before */
	unsigned int attempts;
	char error[OUTBOX_TEXT_MAX];
};

int64_t
courier_pause_ms(unsigned int attempts, int64_t retry_after_s, uint32_t chance)
{
	int64_t pause = COURIER_PAUSE_MS;
	int64_t asked = retry_after_s * 1000;

	for (unsigned int i = 1; i < attempts && pause < COURIER_PAUSE_MAX_MS;
	     i++)
		pause *= 2;
	if (pause > COURIER_PAUSE_MAX_MS)
		pause = COURIER_PAUSE_MAX_MS;
	pause = pause - pause / 4 + (int64_t)(chance % 1024) * pause / 4096;
	if (asked > COURIER_RETRY_MAX_S * INT64_C(1000))
		asked = COURIER_RETRY_MAX_S * INT64_C(1000);
	return pause > asked ? pause : asked;
}

static uint32_t
by_chance(void)
{
	uint32_t n = 0;

	/* Without any all wait equally long, which is no harm. */
	if (getrandom(&n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n)
		n = 0;
	return n;
}

static bool
is_stopping(void *arg)
{
	struct courier *c = arg;

	return atomic_load(&c->desk->stopping);
}

static bool
wants(const struct courier *c, const char *kind)
{
	const struct spec_strings *only = &c->target->only;

	for (size_t i = 0; i < only->count; i++)
		if (strcmp(only->items[i], kind) == 0)
			return true;
	return only->count == 0;
}

/* ---- what the ledger knows ---- */

static enum err_code
open_store(struct store **s, struct desk *d, struct err *e)
{
	return *s != NULL ? ERR_OK : store_open_read(s, d->conf->data_dir, e);
}

static enum err_code
find_place(struct courier *c, struct err *e)
{
	struct outbox_target t;

	TRY(open_store(&c->store, c->desk, e));
	if (c->placed)
		return ERR_OK;
	TRY(outbox_target(c->store, c->target->name, &t, e));
	c->position = t.position;
	c->told = t.position;
	c->failing_ms = t.failing_ms;
	c->placed = true;
	return ERR_OK;
}

/* dropped: how many of those since the last time were given up. */
static enum err_code
tell(struct courier *c, int64_t dropped, struct err *e)
{
	bool failing = c->failing_ms != 0;

	TRY(desk_tell(c->desk, LEDGER_DELIVERY,
	    json_pack("{s:s, s:I, s:I, s:I, s:s?}", "target", c->target->name,
		"position", (json_int_t)c->position, "failing_ms",
		(json_int_t)c->failing_ms, "dropped", (json_int_t)dropped,
		"error", failing || dropped > 0 ? c->error : NULL),
	    NULL, e));
	c->told = c->position;
	c->told_ms = clock_mono_ms();
	return ERR_OK;
}

/* What cannot be told now is told with what comes next: a delivery is at most
 * repeated. */
static void
try_tell(struct courier *c)
{
	struct err e = { 0 };

	if (tell(c, 0, &e) != ERR_OK)
		log_warn("event.place", "target=%s error=\"%s\"",
		    c->target->name, e.text);
}

/* ---- one event ---- */

static void
delivered(struct courier *c, const struct outbox_event *v)
{
	counters_add(c->desk->counters, COUNTER_EVENTS_DELIVERED, 1);
	if (c->failing_ms != 0)
		log_info("event.healed", "target=%s event=%s", c->target->name,
		    v->kind);
	else
		log_debug("event.delivered", "target=%s event=%s seq=%" PRId64,
		    c->target->name, v->kind, v->seq);
	c->position = v->seq;
	c->failing_ms = 0;
	c->attempts = 0;
	c->next_ms = 0;
	c->error[0] = '\0';
	try_tell(c);
}

static void
failed(struct courier *c, const struct outbox_event *v, int64_t retry_after_s,
    const char *why)
{
	int64_t pause =
	    courier_pause_ms(++c->attempts, retry_after_s, by_chance());
	bool first = c->failing_ms == 0;

	counters_add(c->desk->counters, COUNTER_EVENTS_FAILED, 1);
	err_copy(c->error, sizeof c->error, why);
	c->next_ms = clock_mono_ms() + pause;
	if (first)
		c->failing_ms = clock_now_ms();
	log_write(first ? LOG_WARN : LOG_DEBUG, "event.failed",
	    "target=%s event=%s seq=%" PRId64 " attempts=%u again_ms=%" PRId64
	    " error=\"%s\"",
	    c->target->name, v->kind, v->seq, c->attempts, pause, c->error);
	if (first || clock_mono_ms() - c->told_ms > COURIER_TELL_MS)
		try_tell(c);
}

static void
judge(struct courier *c, const struct outbox_event *v,
    const struct call_result *r)
{
	AUTO_STR status = NULL;

	/* What it said after its status does not matter. */
	if (r->status >= 200 && r->status < 300) {
		delivered(c, v);
		return;
	}
	if (r->outcome == CALL_ANSWERED)
		status = mem_printf(r->status >= 300 && r->status < 400
			? "it answers %d, a redirect, which is not followed"
			: "it answers %d",
		    r->status);
	failed(c, v, r->retry_after_s, status != NULL ? status : r->message);
}

static void
deliver(struct courier *c, const struct outbox_event *v)
{
	struct desk_patience patience = { is_stopping, c };
	AUTO_STR reference = mem_printf("events/%s", c->target->name);
	AUTO_STR body = event_body(v, (enum conf_event_kind)c->target->kind,
	    c->desk->conf->url);
	AUTO_JSON headers = NULL;
	struct call_result r = { 0 };
	struct err e = { 0 };
	char id[OUTBOX_ID_SIZE];

	outbox_event_id(id, v);
	headers = json_pack("{s:s, s:s}", "X-Edict-Delivery", id,
	    "X-Edict-Event", v->kind);
	if (desk_call(c->desk, reference, headers, body, strlen(body),
		&patience, &r, &e) == ERR_OK)
		judge(c, v, &r);
	else if (!is_stopping(c))
		failed(c, v, 0, e.text);
	call_result_clear(&r);
}

/* ---- giving up ---- */

static enum err_code
drop(struct courier *c, int64_t up_to, int64_t count, struct err *e)
{
	int64_t from = c->position;
	enum err_code code;

	c->position = up_to;
	code = tell(c, count, e);
	if (code != ERR_OK) {
		c->position = from;
		return code;
	}
	counters_add(c->desk->counters, COUNTER_EVENTS_DROPPED,
	    (uint64_t)count);
	log_error("event.dropped",
	    "target=%s events=%" PRId64 " after=%" PRId64 " up_to=%" PRId64
	    " error=\"%s\"",
	    c->target->name, count, from, up_to, c->error);
	return ERR_OK;
}

/* Those that are kept no more. */
static enum err_code
skip_missing(struct courier *c, struct err *e)
{
	int64_t first, last;

	TRY(outbox_range(c->store, &first, &last, e));
	if (first <= c->position + 1)
		return ERR_OK;
	return drop(c, first - 1, first - 1 - c->position, e);
}

static bool
is_too_old(const struct courier *c, const struct outbox_event *v)
{
	return c->attempts > 0 &&
	    clock_now_ms() - v->at_ms > c->target->give_up_after * 1000;
}

/* ---- the thread ---- */

/* The next event that is to be delivered; NOT_FOUND: none. Those that are not
 * wanted, or too old, are passed over. */
static enum err_code
next_event(struct courier *c, struct outbox_event *out, struct err *e)
{
	int64_t at = c->position;
	int64_t dropped = 0;
	enum err_code code;

	while ((code = outbox_next(c->store, at, out, e)) == ERR_OK) {
		bool old = wants(c, out->kind) && is_too_old(c, out);

		if (wants(c, out->kind) && !old)
			break;
		at = out->seq;
		dropped += old ? 1 : 0;
		outbox_event_clear(out);
	}
	if (dropped > 0) {
		if (code == ERR_OK)
			outbox_event_clear(out);
		TRY(drop(c, at, dropped, e));
		return ERR_TIMEOUT; /* look again */
	}
	c->position = at;
	return code;
}

/* How long to wait, in *wait_ms, for the next step. */
static enum err_code
step(struct courier *c, int64_t *wait_ms, struct err *e)
{
	struct outbox_event v;
	int64_t now = clock_mono_ms();
	enum err_code code;

	*wait_ms = COURIER_IDLE_MS;
	TRY(find_place(c, e));
	if (c->next_ms > now) {
		*wait_ms = c->next_ms - now;
		return ERR_OK;
	}
	TRY(skip_missing(c, e));
	code = next_event(c, &v, e);
	if (code == ERR_OK) {
		deliver(c, &v);
		outbox_event_clear(&v);
	} else if (code == ERR_NOT_FOUND) {
		if (c->position > c->told)
			try_tell(c);
		return ERR_OK;
	}
	*wait_ms = 0;
	return code == ERR_TIMEOUT ? ERR_OK : code;
}

static void *
run_courier(void *arg)
{
	struct courier *c = arg;
	uint64_t seen = desk_seen(c->desk);
	char title[16];

	(void)snprintf(title, sizeof title, "to %s", c->target->name);
	(void)prctl(PR_SET_NAME, title);
	while (!is_stopping(c)) {
		struct err e = { 0 };
		int64_t wait_ms;

		if (step(c, &wait_ms, &e) != ERR_OK) {
			log_debug("event.later", "target=%s error=\"%s\"",
			    c->target->name, e.text);
			store_free(c->store);
			c->store = NULL;
			wait_ms = COURIER_LOOK_MS;
		}
		if (wait_ms > 0)
			desk_wait(c->desk, &seen, wait_ms);
	}
	store_free(c->store);
	return NULL;
}

static void
start_thread(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg) != 0 ||
	    pthread_detach(thread) != 0)
		assert(0 && "pthread_create");
}

/* ---- keeping watch ---- */

struct watchman {
	struct desk *desk;
	struct store *store;
	int64_t started_ms; /* wall clock */
	char *told;         /* the alarms as the ledger knows them */
};

static int64_t
counted_success(const struct desk *d, const char *name)
{
	for (size_t i = 0; i < counters_repositories(d->counters); i++) {
		int64_t at;

		if (strcmp(counters_repository(d->counters, i, &at), name) == 0)
			return at;
	}
	return 0;
}

/* Since when a repository was not fetched; 0: it is not known yet. */
static enum err_code
last_success(struct watchman *w, const struct conf_repository *r,
    int64_t *since_ms, bool *suspended, struct err *e)
{
	int64_t counted = counted_success(w->desk, r->name);
	struct store_repository known;

	TRY(store_repository_state(w->store, r->name, &known, e));
	*since_ms = known.last_success_ms > counted ? known.last_success_ms
						    : counted;
	*suspended = known.suspended;
	store_repository_clear(&known);
	if (*since_ms == 0)
		*since_ms = w->started_ms;
	return ERR_OK;
}

static enum err_code
find_stale(struct watchman *w, json_t *all, struct err *e)
{
	const struct conf *c = w->desk->conf;
	const struct conf_repository *r = c->repositories.items;

	for (size_t i = 0; i < c->repositories.count; i++) {
		char since[CLOCK_TEXT_SIZE];
		int64_t since_ms;
		bool suspended;

		TRY(last_success(w, &r[i], &since_ms, &suspended, e));
		if (suspended ||
		    clock_now_ms() - since_ms <=
			r[i].stale_after * r[i].poll_interval * 1000)
			continue;
		clock_text(since, since_ms);
		json_object_set_new(all, r[i].name,
		    json_pack("{s:s, s:s}", "repository", r[i].name, "since",
			since));
	}
	return ERR_OK;
}

static enum err_code
watch(struct watchman *w, struct err *e)
{
	AUTO_JSON all = json_object();
	AUTO_STR text = NULL;
	char *dumped;

	TRY(open_store(&w->store, w->desk, e));
	TRY(find_stale(w, all, e));
	dumped = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
	text = mem_strdup(dumped);
	free(dumped);
	if (w->told != NULL && strcmp(w->told, text) == 0)
		return ERR_OK;
	TRY(desk_tell(w->desk, LEDGER_ALARMS,
	    json_pack("{s:s, s:O}", "kind", "fetch.stale", "alarms", all), NULL,
	    e));
	mem_free(w->told);
	w->told = STEAL(text);
	return ERR_OK;
}

/* Until the ledger knows who is to be told, nobody has a place. */
static void
tell_targets(struct desk *d)
{
	const struct conf_event_target *t = d->conf->events.items;
	uint64_t seen = desk_seen(d);
	struct err e = { 0 };
	enum err_code code;

	do {
		json_t *names = json_array();

		for (size_t i = 0; i < d->conf->events.count; i++)
			json_array_append_new(names, json_string(t[i].name));
		code = desk_tell(d, LEDGER_TARGETS,
		    json_pack("{s:o}", "names", names), NULL, &e);
		if (code != ERR_OK)
			desk_wait(d, &seen, COURIER_LOOK_MS);
	} while (code != ERR_OK && !atomic_load(&d->stopping));
}

static void *
run_watchman(void *arg)
{
	struct watchman w = { .desk = arg, .started_ms = clock_now_ms() };
	struct desk *d = w.desk;
	const struct conf_event_target *t = d->conf->events.items;

	(void)prctl(PR_SET_NAME, "watchman");
	tell_targets(d);
	for (size_t i = 0; i < d->conf->events.count; i++) {
		struct courier *c = mem_zalloc(sizeof *c);

		c->desk = d;
		c->target = &t[i];
		start_thread(run_courier, c);
	}
	while (!atomic_load(&d->stopping)) {
		uint64_t seen = desk_seen(d);
		struct err e = { 0 };

		if (watch(&w, &e) != ERR_OK) {
			log_debug("watch.later", "error=\"%s\"", e.text);
			store_free(w.store);
			w.store = NULL;
		}
		desk_wait(d, &seen, COURIER_WATCH_MS);
	}
	store_free(w.store);
	mem_free(w.told);
	return NULL;
}

void
couriers_start(struct desk *d)
{
	start_thread(run_watchman, d);
}
