#include "server/api/engines_api.h"

#include <string.h>

#include "clusters/store_view.h"
#include "clusters/tally.h"
#include "core/clock.h"
#include "core/mem.h"
#include "server/api/engine_version.h"
#include "server/api/page.h"
#include "server/http/reply.h"

enum { ENGINES_ANONYMOUS_MAX = 100 };

static int64_t
silent_ms(const struct request *r)
{
	return r->service->conf->engines.silent_after * 1000;
}

static json_t *
time_json(int64_t ms)
{
	char text[CLOCK_TEXT_SIZE];

	if (ms <= 0)
		return json_null();
	clock_text(text, ms);
	return json_string(text);
}

static json_t *
states_json(const size_t states[ENGINES_STATES])
{
	json_t *j = json_object();

	for (int i = 0; i < ENGINES_STATES; i++)
		json_object_set_new(j, engines_state_names[i],
		    json_integer((json_int_t)states[i]));
	return j;
}

/* What has this mark: {"etag","revision"}, of any bundle that was ever
 * published here; nulls for what was not. */
static enum err_code
add_artifact(struct store *s, json_t *to, const struct engines_mark *mark,
    struct err *e)
{
	char text[ENGINES_MARK_TEXT];
	json_t *rows = NULL;
	json_t *row;

	engines_mark_text(text, mark);
	TRY(store_view_artifact(s, text, &rows, e));
	row = json_array_get(rows, 0);
	if (row == NULL)
		json_object_set_new(to, "etag", json_null());
	else
		json_object_set_new(to, "etag",
		    json_sprintf("\"sha256:%s\"",
			json_string_value(json_object_get(row, "sha256"))));
	json_object_set_new(to, "revision",
	    row == NULL ? json_null()
			: json_incref(json_object_get(row, "revision")));
	json_decref(rows);
	return ERR_OK;
}

/* ---- clusters ---- */

static json_t *
anonymous_json(const struct tally_place *p)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "credentials",
	    (json_int_t)p->credentials, "current", (json_int_t)p->had, "other",
	    (json_int_t)p->had_other, "none", (json_int_t)p->had_none);
}

static enum err_code
add_running(struct store *s, json_t *assignment, const struct tally_place *p,
    struct err *e)
{
	json_t *list = json_array();

	json_object_set_new(assignment, "running", list);
	for (size_t i = 0; i < p->run_count; i++) {
		const struct tally_run *run = &p->runs[i];
		json_t *item = json_pack("{s:I, s:o}", "engines",
		    (json_int_t)run->engines, "since",
		    time_json(run->since_ms));

		json_array_append_new(list, item);
		TRY(add_artifact(s, item, &run->mark, e));
	}
	return ERR_OK;
}

static enum err_code
add_to_assignment(const struct tally *t, struct store *s, json_t *assignment,
    struct err *e)
{
	static const struct tally_place nothing;
	const struct tally_place *p = tally_find(t,
	    json_string_value(json_object_get(assignment, "cluster")),
	    json_string_value(json_object_get(assignment, "bundle")));
	json_t *engines;

	if (p == NULL)
		p = &nothing;
	engines = states_json(p->states);
	json_object_set_new(engines, "regressed",
	    json_integer((json_int_t)p->back));
	json_object_set_new(engines, "anonymous", anonymous_json(p));
	json_object_set_new(assignment, "engines", engines);
	return add_running(s, assignment, p, e);
}

static enum err_code
add_to_cluster(const struct tally *t, struct store *s, json_t *cluster,
    struct err *e)
{
	static const size_t nothing[ENGINES_STATES];
	const struct tally_cluster *c = tally_cluster(t,
	    json_string_value(json_object_get(cluster, "name")));
	json_t *assignment;
	size_t i;

	json_object_set_new(cluster, "engines",
	    states_json(c != NULL ? c->states : nothing));
	json_array_foreach(json_object_get(cluster, "assignments"), i,
	    assignment)
		TRY(add_to_assignment(t, s, assignment, e));
	return ERR_OK;
}

static void
add_decided(const char *revision, uint64_t ok, uint64_t errors, void *arg)
{
	json_array_append_new(arg,
	    json_pack("{s:s, s:I, s:I}", "revision", revision, "ok",
		(json_int_t)ok, "errors", (json_int_t)errors));
}

void
engines_api_add_decisions(struct request *r, json_t *cluster)
{
	json_t *list = json_array();

	engines_each_decided(r->service->engines,
	    json_string_value(json_object_get(cluster, "name")), add_decided,
	    list);
	json_object_set_new(cluster, "decisions", list);
}

enum err_code
engines_api_add(struct request *r, struct store *s, json_t *clusters,
    struct err *e)
{
	AUTO(tally, t) = tally_new(r->service->engines, loop_catalog(r->loop),
	    clock_now_ms(), silent_ms(r));
	json_t *cluster;
	size_t i;

	if (json_is_object(clusters))
		return add_to_cluster(t, s, clusters, e);
	json_array_foreach(clusters, i, cluster)
		TRY(add_to_cluster(t, s, cluster, e));
	return ERR_OK;
}

/* ---- the engines of one cluster ---- */

struct listing {
	const struct catalog *catalog;
	const struct tally_index *index;
	uint64_t cluster;
	const char *after; /* NULL: from the first */
	const char *state; /* NULL: all */
	size_t limit;
	int64_t now_ms, silent_ms;
	json_t *items; /* sorted by name, one more than the limit */
	json_t *anonymous;
};

/* The mark stays in the object until it is known which are shown. */
static json_t *
known_json(bool known, const struct engines_mark *mark, int64_t serial)
{
	char text[ENGINES_MARK_TEXT];

	if (!known)
		return json_null();
	engines_mark_text(text, mark);
	return json_pack("{s:s, s:o}", "mark", text, "serial",
	    serial > 0 ? json_integer(serial) : json_null());
}

static json_t *
report_json(const struct engines_view *v, uint64_t bundle)
{
	for (size_t i = 0; i < v->report_count; i++) {
		const struct engines_report *r = v->reports[i];

		if (r->bundle != bundle)
			continue;
		return json_pack("{s:s, s:s%, s:s?, s:o, s:o}", "code", r->code,
		    "message", r->message, strlen(r->message), "file",
		    r->file[0] != '\0' ? r->file : NULL, "row",
		    r->row > 0 ? json_integer(r->row) : json_null(), "at",
		    time_json(r->at_ms));
	}
	return json_null();
}

static json_t *
regressed_json(const struct engines_bundle *b)
{
	if ((b->flags & ENGINES_BACK) == 0)
		return json_null();
	return json_pack("{s:o, s:I, s:o}", "at",
	    time_json((int64_t)b->back_s * 1000), "from_serial",
	    (json_int_t)b->before_serial, "to_serial",
	    b->acked_serial > 0 ? json_integer(b->acked_serial) : json_null());
}

static json_t *
bundle_json(const struct engines_view *v, const struct engines_bundle *b,
    const struct catalog_entry *entry, enum engines_state state)
{
	bool acked = (b->flags & ENGINES_ACKED) != 0;
	bool was_sent = (b->flags & ENGINES_SENT) != 0;
	json_t *has = known_json(acked, &b->acked, b->acked_serial);
	json_t *sent = known_json(was_sent, &b->sent, b->sent_serial);

	if (acked)
		json_object_set_new(has, "since",
		    time_json((int64_t)b->acked_s * 1000));
	if (was_sent) {
		json_object_set_new(sent, "times", json_integer(b->sent_count));
		json_object_set_new(sent, "since",
		    time_json((int64_t)b->first_sent_s * 1000));
		json_object_set_new(sent, "at",
		    time_json((int64_t)b->sent_s * 1000));
	}
	return json_pack("{s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "bundle",
	    entry->bundle, "serial", (json_int_t)entry->serial, "state",
	    engines_state_names[state], "has", has, "sent", sent, "retry_at",
	    state == ENGINES_STATE_REJECTING
		? time_json(engines_retry_ms(v->engine, b))
		: json_null(),
	    "regressed", regressed_json(b), "error", report_json(v, b->bundle));
}

static json_t *
engine_json(const struct listing *l, const struct engines_view *v)
{
	const struct engines_engine *e = v->engine;
	enum engines_state worst = ENGINES_STATE_CONVERGED;
	json_t *bundles = json_array();

	for (size_t i = 0; i < v->bundle_count; i++) {
		const struct engines_bundle *b = v->bundles[i];
		const struct catalog_entry *entry =
		    tally_index_find(l->index, e->cluster, b->bundle);
		bool same;
		enum engines_state state;

		if (entry == NULL)
			continue;
		same = (b->flags & ENGINES_ACKED) != 0 &&
		    catalog_is_content(l->catalog, entry, &b->acked);
		state = engines_state(e, b, same, l->now_ms, l->silent_ms);
		worst = tally_worse(worst, state);
		json_array_append_new(bundles, bundle_json(v, b, entry, state));
	}
	if (json_array_size(bundles) == 0) {
		json_decref(bundles);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:o, s:s?, s:s?, s:o, s:o}", "engine",
	    e->name, "state", engines_state_names[worst], "seen_at",
	    time_json(e->seen_ms), "version",
	    e->version[0] != '\0' ? e->version : NULL, "version_note",
	    engine_version_note(e->version), "plugins", report_json(v, 0),
	    "bundles", bundles);
}

static const char *
name_at(const json_t *items, size_t i)
{
	return json_string_value(json_object_get(json_array_get(items, i),
	    "engine"));
}

/* Where this name belongs among those that are kept; the size: nowhere. */
static size_t
place_of(const struct listing *l, const char *name)
{
	size_t low = 0;
	size_t high = json_array_size(l->items);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(name_at(l->items, middle), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
list_anonymous(struct listing *l, const struct engines_view *v)
{
	json_t *bundles = json_array();

	for (size_t i = 0; i < v->bundle_count; i++) {
		const struct engines_bundle *b = v->bundles[i];
		const struct catalog_entry *entry =
		    tally_index_find(l->index, v->engine->cluster, b->bundle);

		if (entry != NULL)
			json_array_append_new(bundles,
			    json_pack("{s:s, s:I, s:I, s:I}", "bundle",
				entry->bundle, "current", (json_int_t)b->had,
				"other", (json_int_t)b->had_other, "none",
				(json_int_t)b->had_none));
	}
	json_array_append_new(l->anonymous,
	    json_pack("{s:s?, s:o, s:o}", "credential",
		v->engine->name[0] != '\0' ? v->engine->name : NULL, "seen_at",
		time_json(v->engine->seen_ms), "bundles", bundles));
}

static void
list_one(const struct engines_view *v, void *arg)
{
	struct listing *l = arg;
	const struct engines_engine *e = v->engine;
	size_t at;
	json_t *item;

	if (e->cluster != l->cluster)
		return;
	if ((e->flags & ENGINES_ANONYMOUS) != 0) {
		if (json_array_size(l->anonymous) < ENGINES_ANONYMOUS_MAX)
			list_anonymous(l, v);
		return;
	}
	if (!engines_is_name(e->name) ||
	    (l->after != NULL && strcmp(e->name, l->after) <= 0))
		return;
	at = place_of(l, e->name);
	if (at > l->limit)
		return;
	item = engine_json(l, v);
	if (item == NULL)
		return;
	if (l->state != NULL &&
	    strcmp(json_string_value(json_object_get(item, "state")),
		l->state) != 0) {
		json_decref(item);
		return;
	}
	json_array_insert_new(l->items, at, item);
	if (json_array_size(l->items) > l->limit + 1)
		json_array_remove(l->items, l->limit + 1);
}

static enum err_code
resolve_known(struct store *s, json_t *known, struct err *e)
{
	struct engines_mark mark;
	const char *text = json_string_value(json_object_get(known, "mark"));

	if (text == NULL || !engines_mark_read(&mark, text))
		return ERR_OK;
	json_object_del(known, "mark");
	return add_artifact(s, known, &mark, e);
}

static enum err_code
resolve(struct store *s, json_t *items, struct err *e)
{
	json_t *item, *bundle;
	size_t i, k;

	json_array_foreach(items, i, item) {
		json_array_foreach(json_object_get(item, "bundles"), k,
		    bundle) {
			TRY(resolve_known(s, json_object_get(bundle, "has"),
			    e));
			TRY(resolve_known(s, json_object_get(bundle, "sent"),
			    e));
		}
	}
	return ERR_OK;
}

static json_t *
cut_page(struct listing *l)
{
	json_t *next = json_null();

	if (json_array_size(l->items) > l->limit) {
		json_array_remove(l->items, l->limit);
		next = json_string(name_at(l->items, l->limit - 1));
	}
	return json_pack("{s:O, s:o, s:O}", "items", l->items, "next", next,
	    "anonymous", l->anonymous);
}

static enum err_code
read_state(struct listing *l, const struct request *r, char *out, size_t size,
    struct err *e)
{
	enum err_code code = request_query(r, "state", out, size, e);

	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	l->state = out;
	for (int i = 0; i < ENGINES_STATES; i++)
		if (strcmp(engines_state_names[i], out) == 0)
			return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "state: has to be converged, behind, rejecting, fresh or silent");
}

static enum err_code
list(struct request *r, struct listing *l, json_t **out, struct err *e)
{
	const char *cluster = route_param(r->match, "cluster");
	struct page page = { 0 };
	char state[32];
	struct store *s = NULL;
	json_t *known = NULL;

	TRY(page_read(&page, r, e));
	TRY(read_state(l, r, state, sizeof state, e));
	if (page.view.next != NULL && !engines_is_name(page.view.next))
		return err_set(e, ERR_INVALID,
		    "next: not one that this list has given; start without it");
	TRY(loop_store(&s, r->loop, e));
	TRY(view_cluster(s, cluster, &known, e));
	json_decref(known);
	AUTO(tally_index, index) =
	    tally_index_new(r->service->engines, l->catalog);
	l->index = index;
	l->cluster = engines_hash(r->service->engines, cluster);
	l->after = page.view.next;
	l->limit = (size_t)page.view.limit;
	engines_each(r->service->engines, list_one, l);
	*out = cut_page(l);
	return resolve(s, l->items, e);
}

void
engines_api_list(struct request *r)
{
	struct listing l = {
		.catalog = loop_catalog(r->loop),
		.now_ms = clock_now_ms(),
		.silent_ms = silent_ms(r),
		.items = json_array(),
		.anonymous = json_array(),
	};
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = list(r, &l, &body, &e);

	json_decref(l.items);
	json_decref(l.anonymous);
	if (code != ERR_OK) {
		json_decref(body);
		body = NULL;
	}
	page_reply(r, code, body, &e);
}
