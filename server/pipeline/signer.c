#include "server/pipeline/signer.h"

#include <string.h>

#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store_key.h"
#include "clusters/store_variant.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/signer_build.h"
#include "signing/keeper.h"

enum { RETRY_MIN_MS = 1000, RETRY_MAX_MS = 60000 };

/* The thread's own. */
struct state {
	struct desk *desk;
	struct store *store;
	json_t *keys;     /* KEEPER_KEYS, as the ledger was told; NULL: never */
	int64_t again_ms; /* monotonic: when what failed is tried again */
	int64_t wait_ms;
};

/* ---- keys ---- */

static enum err_code
ask_keys(json_t **out, struct desk *d, struct err *e)
{
	struct message m = { 0 };

	TRY(caller_call(d->keeper, KEEPER_KEYS, NULL, NULL, 0,
	    KEEPER_TIMEOUT_MS, &m, e));
	*out = json_incref(m.payload);
	message_clear(&m);
	return ERR_OK;
}

static enum err_code
tell_keys(struct state *s, json_t *keys, struct err *e)
{
	if (json_equal(keys, s->keys))
		return ERR_OK;
	TRY(desk_tell(s->desk, LEDGER_KEYS, json_incref(keys), NULL, e));
	json_decref(s->keys);
	s->keys = json_incref(keys);
	log_info("keys.told", "keys=%zu",
	    json_array_size(json_object_get(keys, "keys")));
	return ERR_OK;
}

/* The ledger decides; here the keeper hears of it. */
static enum err_code
retire_keys(struct state *s, const json_t *keys, struct err *e)
{
	size_t i;
	json_t *key;

	json_array_foreach(json_object_get(keys, "keys"), i, key) {
		const char *id = payload_text(key, "id");
		struct store_key known = { 0 };

		if (payload_text(key, "retired_at") != NULL)
			continue;
		TRY(store_get_key(s->store, id, &known, e));
		if (known.retired_ms != 0)
			TRY(keeper_retire(s->desk->keeper, id, e));
	}
	return ERR_OK;
}

/* ---- signatures ---- */

static enum err_code
build(struct state *s, const struct store_artifact *source, const char *key,
    struct err *e)
{
	const struct conf *conf = s->desk->conf;
	struct store_owner owner;
	char sha256[STORE_DIGEST_SIZE];
	int64_t size;

	TRY(store_bundle_owner(s->store, source->bundle, &owner, e));
	TRY(signer_build(sha256, &size,
	    &(struct signer_build){ .desk = s->desk,
		.source = source,
		.repository = conf_repository(conf, owner.repository) != NULL
		    ? owner.repository
		    : NULL,
		.key = key,
		.keys = json_object_get(s->keys, "keys") },
	    e));
	TRY(desk_tell(s->desk, LEDGER_VARIANT,
	    json_pack("{s:s, s:s, s:s, s:I}", "of", source->sha256, "key", key,
		"sha256", sha256, "size", (json_int_t)size),
	    NULL, e));
	log_info("variant.signed", "bundle=%s revision=%s key=%s sha256=%s",
	    source->bundle, source->revision, key, sha256);
	return ERR_OK;
}

/* Said once, here and to operators. */
static void
tell_fault(struct state *s, const json_t *wanted, const struct err *why)
{
	const char *said = payload_text(wanted, "error");
	const char *key = payload_text(wanted, "key");
	struct err e = { 0 };

	if (said != NULL && strcmp(said, why->text) == 0)
		return;
	log_warn("variant.failed", "of=%s key=%s error=\"%s\"",
	    payload_text(wanted, "artifact"), key, why->text);
	if (desk_tell(s->desk, LEDGER_VARIANT,
		json_pack("{s:s, s:s, s:s}", "of",
		    payload_text(wanted, "artifact"), "key", key, "error",
		    why->text),
		NULL, &e) != ERR_OK)
		log_warn("variant.report", "error=\"%s\"", e.text);
}

static bool
make(struct state *s, const json_t *wanted)
{
	struct store_artifact source;
	struct err e = { 0 };
	enum err_code code = store_get_artifact(s->store,
	    payload_text(wanted, "artifact"), &source, &e);

	if (code == ERR_OK)
		code = build(s, &source, payload_text(wanted, "key"), &e);
	if (code != ERR_OK && !atomic_load(&s->desk->stopping))
		tell_fault(s, wanted, &e);
	return code == ERR_OK;
}

/* What failed waits; what came after it does not. */
static enum err_code
make_all(struct state *s, struct err *e)
{
	AUTO_JSON wanted = NULL;
	bool due = clock_mono_ms() >= s->again_ms;
	bool failed = false;
	size_t i;
	json_t *row;

	TRY(store_variants_wanted(s->store, &wanted, e));
	json_array_foreach(wanted, i, row) {
		if (atomic_load(&s->desk->stopping))
			return ERR_OK;
		if (payload_text(row, "error") == NULL || due)
			failed |= !make(s, row);
	}
	if (failed) {
		s->wait_ms = s->wait_ms == 0        ? RETRY_MIN_MS
		    : s->wait_ms < RETRY_MAX_MS / 2 ? 2 * s->wait_ms
						    : RETRY_MAX_MS;
		s->again_ms = clock_mono_ms() + s->wait_ms;
	} else if (due) {
		s->wait_ms = 0;
	}
	return ERR_OK;
}

static enum err_code
look(struct state *s, struct err *e)
{
	AUTO_JSON keys = NULL;

	if (s->store == NULL)
		TRY(store_open_read(&s->store, s->desk->conf->data_dir, e));
	TRY(ask_keys(&keys, s->desk, e));
	TRY(tell_keys(s, keys, e));
	TRY(retire_keys(s, keys, e));
	return make_all(s, e);
}

static int64_t
pause_ms(const struct state *s)
{
	int64_t left = s->again_ms - clock_mono_ms();

	return s->wait_ms > 0 && left < SIGNER_LOOK_MS ? (left > 0 ? left : 0)
						       : SIGNER_LOOK_MS;
}

void
signer_run(struct signer *g)
{
	struct state s = { .desk = g->desk };
	uint64_t seen = 0;

	while (!atomic_load(&g->desk->stopping)) {
		struct err e = { 0 };

		if (look(&s, &e) != ERR_OK &&
		    !atomic_load(&g->desk->stopping)) {
			log_warn("signer.look", "error=\"%s\"", e.text);
			store_free(STEAL(s.store));
			desk_wait(g->desk, &seen, RETRY_MIN_MS);
			continue;
		}
		desk_wait(g->desk, &seen, pause_ms(&s));
	}
	store_free(s.store);
	json_decref(s.keys);
}
