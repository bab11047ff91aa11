#include "server/api/keys_api.h"

#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_key.h"
#include "clusters/store_variant.h"
#include "clusters/store_view.h"
#include "clusters/tally.h"
#include "core/clock.h"
#include "server/api/operations_api.h"
#include "server/api/page.h"
#include "server/api/sight.h"
#include "server/http/reply.h"
#include "signing/key.h"

/* What is counted of each key. */
struct usage {
	const struct request *request;
	struct store *store;
	const struct tally_index *index;
	int64_t silent_before_ms;
	json_t *keys;       /* {"id": {…}}: what is answered */
	json_t *marks;      /* the key of a mark's artifact, asked for once */
	enum err_code code; /* of what went wrong while counting */
	struct err e;
};

/* ---- what depends on a key ---- */

static json_t *
key_of_id(const struct usage *u, const char *id)
{
	return id != NULL ? json_object_get(u->keys, id) : NULL;
}

/* The key that signed what has this mark; NULL: not known here. */
static json_t *
key_of_mark(struct usage *u, const struct engines_mark *mark)
{
	char text[ENGINES_MARK_TEXT];
	AUTO_JSON rows = NULL;
	const char *id;

	engines_mark_text(text, mark);
	if (json_object_get(u->marks, text) == NULL && u->code == ERR_OK) {
		u->code = store_view_artifact(u->store, text, &rows, &u->e);
		id = payload_text(json_array_get(rows, 0), "key");
		(void)json_object_set_new(u->marks, text,
		    id != NULL ? json_string(id) : json_null());
	}
	return key_of_id(u, payload_text(u->marks, text));
}

static void
add_number(json_t *object, const char *name, size_t n)
{
	json_int_t before = json_integer_value(json_object_get(object, name));

	(void)json_object_set_new(object, name,
	    json_integer(before + (json_int_t)n));
}

/* Keys that one engine needs, each once. */
struct needs {
	json_t *keys[ENGINES_BUNDLES_MAX];
	size_t count;
};

static void
need(struct needs *n, json_t *key)
{
	size_t i = 0;

	while (i < n->count && n->keys[i] != key)
		i++;
	if (key != NULL && i == n->count && i < ENGINES_BUNDLES_MAX)
		n->keys[n->count++] = key;
}

static void
count(const struct needs *n, const char *what)
{
	for (size_t i = 0; i < n->count; i++)
		add_number(json_object_get(n->keys[i], "engines"), what, 1);
}

/* Running: what it activated last. Assigned: what it would be sent. Unnamed: a
 * credential whose polls carry no engine's name. */
static void
count_engine(const struct engines_view *v, void *arg)
{
	struct usage *u = arg;
	bool anonymous = (v->engine->flags & ENGINES_ANONYMOUS) != 0;
	struct needs running = { 0 };
	struct needs assigned = { 0 };

	if (!anonymous && v->engine->seen_ms < u->silent_before_ms)
		return;
	for (size_t i = 0; i < v->bundle_count; i++) {
		const struct engines_bundle *b = v->bundles[i];
		const struct catalog_entry *entry =
		    tally_index_find(u->index, v->engine->cluster, b->bundle);

		if (entry == NULL || !sight_cluster(u->request, entry->cluster))
			continue;
		if (!anonymous && (b->flags & ENGINES_ACKED) != 0)
			need(&running, key_of_mark(u, &b->acked));
		need(&assigned, key_of_mark(u, &entry->mark));
	}
	count(&running, "running");
	count(&assigned, anonymous ? "unnamed" : "assigned");
}

static const char *
default_key(const struct usage *u)
{
	const char *id;
	json_t *key;

	json_object_foreach(u->keys, id, key)
		if (json_is_true(json_object_get(key, "current")))
			return id;
	return NULL;
}

static enum err_code
add_clusters(struct usage *u, const struct request *r, struct err *e)
{
	AUTO_JSON rows = NULL;
	size_t i;
	json_t *row;

	TRY(store_view_cluster_keys(u->store, &rows, e));
	json_array_foreach(rows, i, row) {
		const char *cluster = payload_text(row, "cluster");
		const char *id = payload_text(row, "key");
		json_t *key = key_of_id(u, id != NULL ? id : default_key(u));

		if (key != NULL && sight_cluster(r, cluster))
			(void)json_array_append_new(json_object_get(key,
							"clusters"),
			    json_string(cluster));
	}
	return ERR_OK;
}

/* Signatures that are wanted and not there yet, and why the last try failed. */
static enum err_code
add_wanted(struct usage *u, struct err *e)
{
	AUTO_JSON rows = NULL;
	size_t i;
	json_t *row;

	TRY(store_variants_wanted(u->store, &rows, e));
	json_array_foreach(rows, i, row) {
		json_t *key = key_of_id(u, payload_text(row, "key"));
		json_t *error = json_object_get(row, "error");

		if (key == NULL)
			continue;
		add_number(key, "waiting", 1);
		if (json_is_string(error))
			(void)json_object_set(key, "error", error);
	}
	return ERR_OK;
}

static enum err_code
read_keys(struct usage *u, struct err *e)
{
	AUTO_JSON rows = NULL;
	size_t i;
	json_t *row;

	u->keys = json_object();
	u->marks = json_object();
	TRY(store_view_keys(u->store, &rows, e));
	json_array_foreach(rows, i, row) {
		AUTO_JSON counts =
		    json_pack("{s:[], s:{s:i, s:i, s:i}, s:i, s:n}", "clusters",
			"engines", "running", 0, "assigned", 0, "unnamed", 0,
			"waiting", 0, "error");

		(void)json_object_update(row, counts);
		(void)json_object_set(u->keys, payload_text(row, "id"), row);
	}
	return ERR_OK;
}

static enum err_code
read_usage(struct usage *u, struct err *e)
{
	const struct request *r = u->request;
	AUTO(tally_index, index) =
	    tally_index_new(r->service->engines, loop_catalog(r->loop));

	TRY(loop_store(&u->store, r->loop, e));
	TRY(read_keys(u, e));
	TRY(add_clusters(u, r, e));
	TRY(add_wanted(u, e));
	u->index = index;
	u->silent_before_ms =
	    clock_now_ms() - r->service->conf->engines.silent_after * 1000;
	engines_each(r->service->engines, count_engine, u);
	u->index = NULL;
	return u->code == ERR_OK ? ERR_OK
				 : err_set(e, u->code, "%s", u->e.text);
}

static void
usage_clear(struct usage *u)
{
	json_decref(u->keys);
	json_decref(u->marks);
}

/* ---- routes ---- */

void
keys_api_list(struct request *r)
{
	struct usage u = { .request = r };
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = read_usage(&u, &e);

	if (code == ERR_OK) {
		json_t *items = json_array();
		const char *id;
		json_t *key;

		json_object_foreach(u.keys, id, key)
			(void)json_array_append(items, key);
		body = json_pack("{s:o, s:n}", "items", items, "next");
	}
	usage_clear(&u);
	page_reply(r, code, body, &e);
}

static bool
is_forced(const struct request *r)
{
	AUTO_JSON body = r->body == NULL
	    ? NULL
	    : json_loadb(r->body->data, r->body->len, 0, NULL);

	return json_is_true(json_object_get(body, "force"));
}

/* Engines that run what it signed are known here and not to the ledger, which
 * knows of clusters, and says so itself. */
static enum err_code
check_engines(const struct request *r, const char *id, struct err *e)
{
	struct usage u = { .request = r };
	enum err_code code = read_usage(&u, e);
	const json_t *key = key_of_id(&u, id);
	json_int_t running =
	    json_integer_value(json_object_get(json_object_get(key, "engines"),
		"running"));
	bool refused = json_array_size(json_object_get(key, "clusters")) > 0 ||
	    payload_text(key, "retired_at") != NULL;

	usage_clear(&u);
	if (code != ERR_OK || running == 0 || refused || is_forced(r))
		return code;
	return err_set(e, ERR_CONFLICT,
	    "key %s is still needed: %" JSON_INTEGER_FORMAT
	    " %s what it signed (see: edict key list). Wait until no engine "
	    "does, or force it, with a reason",
	    id, running, running == 1 ? "engine runs" : "engines run");
}

void
keys_api_retire(struct request *r)
{
	struct err e = { 0 };

	if (r->waited ||
	    check_engines(r, route_param(r->match, "key"), &e) == ERR_OK)
		operations_api_ask(r);
	else
		reply_error(r, &e);
}
