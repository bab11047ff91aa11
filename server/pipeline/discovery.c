#include "server/pipeline/discovery.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/discovery.h"
#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store_discovery.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/artifact.h"
#include "server/pipeline/discovery_build.h"
#include "server/pipeline/discovery_document.h"
#include "signing/keeper.h"

enum { RETRY_MIN_MS = 5000, RETRY_MAX_MS = 300000 };

/* The thread's own. */
struct state {
	struct discovery *d;
	struct store *store;
	int64_t version; /* of the database, when it was last looked at */
	json_t *keys;    /* as of then; NULL: never */
	/* Cluster → its rows, once what they say is served. */
	json_t *settled;
	json_t *failed;   /* the same, where it could not be done */
	json_t *faults;   /* cluster → what went wrong, said once */
	int64_t again_ms; /* monotonic: when that is tried again; 0: none */
	int64_t wait_ms;
};

static void
state_clear(struct state *s)
{
	store_free(s->store);
	json_decref(s->keys);
	json_decref(s->settled);
	json_decref(s->failed);
	json_decref(s->faults);
}

/* ---- one cluster ---- */

struct cluster {
	const char *name;
	const json_t *rows; /* of store_view_discovery_inputs */
	json_t *document;
	char *text; /* the same */
	struct bundle *bundle;
};

static void
cluster_clear(struct cluster *c)
{
	json_decref(c->document);
	free(c->text);
	bundle_free(c->bundle);
}

static enum err_code
describe(struct cluster *c, const struct state *s, struct err *e)
{
	TRY(discovery_document(&c->document,
	    &(struct discovery_input){ .cluster = c->name,
		.bundles = c->rows,
		.keys = s->keys,
		.settings = &s->d->desk->conf->discovery },
	    e));
	c->text = json_dumps(c->document, JSON_COMPACT | JSON_SORT_KEYS);
	assert(c->text != NULL);
	return discovery_bundle(&c->bundle, c->name, c->text, strlen(c->text),
	    e);
}

/* What the ledger knows says the same, and its file is there. */
static bool
is_served(const struct cluster *c, const struct state *s)
{
	const json_t *row = json_array_get(c->rows, 0);
	const char *revision = payload_text(row, "discovery");
	struct store_artifact stored = { 0 };

	if (revision == NULL || strcmp(revision, c->bundle->content) != 0)
		return false;
	(void)snprintf(stored.sha256, sizeof stored.sha256, "%s",
	    payload_text(row, "sha256"));
	stored.size = json_integer_value(json_object_get(row, "size"));
	return artifact_is_whole(s->d->desk, &stored);
}

/* Whose engine looks at it: that of the repository that defines the cluster, or,
 * where that is configured no more, of any. */
static const char *
repository_of(const struct cluster *c, const struct conf *conf)
{
	const char *name =
	    payload_text(json_array_get(c->rows, 0), "repository");
	const struct conf_repository *all = conf->repositories.items;

	return conf_repository(conf, name) != NULL ? name : all[0].name;
}

static enum err_code
publish(const struct cluster *c, struct state *s, struct err *e)
{
	struct desk *d = s->d->desk;
	json_t *artifact = NULL;

	TRY(discovery_build(&artifact,
	    &(struct discovery_build){ .desk = d,
		.repository = repository_of(c, d->conf),
		.cluster = c->name,
		.keys = s->keys,
		.bundle = c->bundle,
		.document = c->text },
	    e));
	TRY(desk_tell(d, LEDGER_DISCOVERY,
	    json_pack("{s:s, s:s, s:o}", "cluster", c->name, "revision",
		c->bundle->content, "artifact", artifact),
	    NULL, e));
	log_info("discovery.published",
	    "cluster=%s revision=%.12s bundles=%zu keys=%zu", c->name,
	    c->bundle->content,
	    json_object_size(json_object_get(c->document, "bundles")),
	    json_object_size(json_object_get(c->document, "keys")));
	return ERR_OK;
}

static enum err_code
look_at(struct cluster *c, struct state *s, struct err *e)
{
	TRY(describe(c, s, e));
	if (is_served(c, s))
		return ERR_OK;
	return publish(c, s, e);
}

/* ---- all of them ---- */

static void
note_fault(struct state *s, const char *cluster, json_t *rows,
    const struct err *e)
{
	const char *said = payload_text(s->faults, cluster);

	(void)json_object_set(s->failed, cluster, rows);
	if (s->again_ms == 0)
		s->again_ms = clock_mono_ms() + s->wait_ms;
	if (said != NULL && strcmp(said, e->text) == 0)
		return;
	log_warn("discovery.stale",
	    "cluster=%s error=\"%s\": its engines keep what they were told "
	    "before",
	    cluster, e->text);
	(void)json_object_set_new(s->faults, cluster, json_string(e->text));
}

static void
consider(struct state *s, const char *name, json_t *rows)
{
	struct cluster c = { .name = name, .rows = rows };
	struct err e = { 0 };

	if (json_equal(rows, json_object_get(s->settled, name)) ||
	    json_equal(rows, json_object_get(s->failed, name)))
		return;
	if (look_at(&c, s, &e) == ERR_OK) {
		(void)json_object_set(s->settled, name, rows);
		(void)json_object_del(s->faults, name);
	} else if (!atomic_load(&s->d->desk->stopping)) {
		note_fault(s, name, rows, &e);
	}
	cluster_clear(&c);
}

/* The rows of the cluster that row i is of, and where the next one's begin. */
static json_t *
slice(const json_t *all, size_t *i)
{
	const char *name = payload_text(json_array_get(all, *i), "cluster");
	json_t *rows = json_array();

	for (; *i < json_array_size(all); (*i)++) {
		json_t *row = json_array_get(all, *i);

		if (strcmp(payload_text(row, "cluster"), name) != 0)
			break;
		(void)json_array_append(rows, row);
	}
	return rows;
}

static enum err_code
consider_all(struct state *s, struct err *e)
{
	AUTO_JSON all = NULL;

	TRY(store_view_discovery_inputs(s->store, &all, e));
	for (size_t i = 0; i < json_array_size(all);) {
		const char *name =
		    payload_text(json_array_get(all, i), "cluster");
		AUTO_JSON rows = slice(all, &i);

		if (atomic_load(&s->d->desk->stopping))
			break;
		consider(s, name, rows);
	}
	return ERR_OK;
}

static enum err_code
ask_keys(json_t **out, struct desk *d, struct err *e)
{
	struct message m = { 0 };

	TRY(caller_call(d->keeper, KEEPER_KEYS, NULL, NULL, 0,
	    KEEPER_TIMEOUT_MS, &m, e));
	*out = json_incref(json_object_get(m.payload, "keys"));
	message_clear(&m);
	return ERR_OK;
}

/* Other keys are other discovery bundles, everywhere. */
static bool
take_keys(struct state *s, json_t *keys)
{
	if (json_equal(keys, s->keys)) {
		json_decref(keys);
		return false;
	}
	json_decref(s->keys);
	s->keys = keys;
	(void)json_object_clear(s->settled);
	(void)json_object_clear(s->failed);
	return true;
}

/* What failed is tried again later and later, until all goes well. */
static void
forget_failed(struct state *s)
{
	(void)json_object_clear(s->failed);
	s->again_ms = 0;
	s->wait_ms = s->wait_ms == 0        ? RETRY_MIN_MS
	    : s->wait_ms < RETRY_MAX_MS / 2 ? 2 * s->wait_ms
					    : RETRY_MAX_MS;
}

static enum err_code
look(struct state *s, struct err *e)
{
	const struct conf *conf = s->d->desk->conf;
	json_t *keys;
	int64_t version;
	bool due = s->again_ms != 0 && clock_mono_ms() >= s->again_ms;

	if (s->store == NULL)
		TRY(store_open_read(&s->store, conf->data_dir, e));
	TRY(ask_keys(&keys, s->d->desk, e));
	TRY(store_data_version(s->store, &version, e));
	if (!take_keys(s, keys) && version == s->version && !due)
		return ERR_OK;
	if (due || s->wait_ms == 0)
		forget_failed(s);
	TRY(consider_all(s, e));
	if (json_object_size(s->failed) == 0)
		s->wait_ms = 0;
	s->version = version;
	return ERR_OK;
}

/* Until there is news, but not before some time has passed. */
static void
rest(struct desk *d, uint64_t *seen)
{
	int64_t until = clock_mono_ms() + DISCOVERY_PAUSE_MS;
	uint64_t before = *seen;
	int64_t left;

	desk_wait(d, seen, DISCOVERY_LOOK_MS);
	while (*seen != before && !atomic_load(&d->stopping) &&
	    (left = until - clock_mono_ms()) > 0)
		desk_wait(d, seen, left);
}

void
discovery_run(struct discovery *d)
{
	struct state s = { .d = d,
		.version = -1,
		.settled = json_object(),
		.failed = json_object(),
		.faults = json_object() };
	uint64_t seen = 0;

	while (!atomic_load(&d->desk->stopping)) {
		struct err e = { 0 };

		if (look(&s, &e) != ERR_OK &&
		    !atomic_load(&d->desk->stopping)) {
			log_warn("discovery.look", "error=\"%s\"", e.text);
			store_free(STEAL(s.store));
		}
		rest(d->desk, &seen);
	}
	state_clear(&s);
}
