#include "server/keys_api.h"

#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_key.h"
#include "clusters/store_variant.h"
#include "clusters/store_view.h"
#include "clusters/tally.h"
#include "core/clock.h"
#include "server/operations_api.h"
#include "server/page.h"
#include "server/reply.h"
#include "server/sight.h"
#include "signing/key.h"

/* What is counted of each key. */
struct usage {
	struct store *store;
	const struct tally *tally;
	json_t *keys;  /* {"id": {…}}: what is answered */
	json_t *marks; /* the key of a mark's artifact, asked for once */
};

/* ---- what depends on a key ---- */

static json_t *
key_of_id(const struct usage *u, const char *id)
{
	return id != NULL ? json_object_get(u->keys, id) : NULL;
}

/* The key that signed what has this mark; NULL: not known here. */
static enum err_code
key_of_mark(struct usage *u, const struct engines_mark *mark, json_t **out,
    struct err *e)
{
	char text[ENGINES_MARK_TEXT];
	AUTO_JSON rows = NULL;
	const char *id;

	engines_mark_text(text, mark);
	if (json_object_get(u->marks, text) == NULL) {
		TRY(store_view_artifact(u->store, text, &rows, e));
		id = payload_text(json_array_get(rows, 0), "key");
		(void)json_object_set_new(u->marks, text,
		    id != NULL ? json_string(id) : json_null());
	}
	*out = key_of_id(u, payload_text(u->marks, text));
	return ERR_OK;
}

static void
add_number(json_t *object, const char *name, size_t n)
{
	json_int_t before = json_integer_value(json_object_get(object, name));

	(void)json_object_set_new(object, name,
	    json_integer(before + (json_int_t)n));
}

static void
count(json_t *key, const char *what, size_t n)
{
	if (key != NULL && n > 0)
		add_number(json_object_get(key, "engines"), what, n);
}

/* Running: what an engine activated last. Assigned: what it would be sent.
 * Unnamed: credentials whose polls carry no engine's name. */
static enum err_code
count_place(struct usage *u, const struct tally_place *p, struct err *e)
{
	size_t named = 0;
	json_t *key;

	for (size_t i = 0; i < p->run_count; i++) {
		TRY(key_of_mark(u, &p->runs[i].mark, &key, e));
		count(key, "running", p->runs[i].engines);
	}
	for (int i = 0; i < ENGINES_STATES; i++)
		if (i != ENGINES_STATE_SILENT)
			named += p->states[i];
	TRY(key_of_mark(u, &p->entry->mark, &key, e));
	count(key, "assigned", named);
	count(key, "unnamed", p->credentials);
	return ERR_OK;
}

static enum err_code
count_engines(struct usage *u, const struct request *r, struct err *e)
{
	for (size_t i = 0; i < u->tally->count; i++)
		if (sight_cluster(r, u->tally->places[i].entry->cluster))
			TRY(count_place(u, &u->tally->places[i], e));
	return ERR_OK;
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
read_usage(struct usage *u, const struct request *r, struct err *e)
{
	TRY(loop_store(&u->store, r->loop, e));
	TRY(read_keys(u, e));
	TRY(add_clusters(u, r, e));
	TRY(add_wanted(u, e));
	return count_engines(u, r, e);
}

/* *u is to be cleared in any case, and lives no longer than the request. */
static enum err_code
use_tally(struct usage *u, const struct request *r, struct err *e)
{
	AUTO(tally, t) = tally_new(r->service->engines, loop_catalog(r->loop),
	    clock_now_ms(), r->service->conf->engines.silent_after * 1000);
	enum err_code code;

	u->tally = t;
	code = read_usage(u, r, e);
	u->tally = NULL;
	return code;
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
	struct usage u = { 0 };
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = use_tally(&u, r, &e);

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

/* Engines that a new key would not reach are found here: the ledger does not
 * see them. */
static enum err_code
check_engines(const struct request *r, const char *id, struct err *e)
{
	struct usage u = { 0 };
	enum err_code code = use_tally(&u, r, e);
	json_int_t running = json_integer_value(json_object_get(
	    json_object_get(key_of_id(&u, id), "engines"), "running"));

	usage_clear(&u);
	if (code != ERR_OK || running == 0 || is_forced(r))
		return code;
	return err_set(e, ERR_CONFLICT,
	    "key %s is still needed: %" JSON_INTEGER_FORMAT
	    " engines run what it signed (see: edict key list). Wait until "
	    "they have what another key signed, or force it, with a reason",
	    id, running);
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
