/* Signing keys: what the pipeline tells of them, and what admins decide. */

#include "clusters/ledger_key.h"

#include <stdio.h>
#include <string.h>

#include "clusters/cluster_key.h"
#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "clusters/selector.h"
#include "clusters/store_variant.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "signing/key.h"

enum { KEY_CLUSTERS_MAX = 10000, KEY_TEXT_MAX = 1000 };

/* ---- from the pipeline ---- */

enum err_code
ledger_keys(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	const json_t *current, *keys;
	json_error_t why;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0, "{s:o, s:o !}",
		"current", &current, "keys", &keys) != 0)
		return payload_error(&why, "keys", e);
	if (!json_is_array(keys) || json_array_size(keys) > KEY_RING_MAX)
		return err_set(e, ERR_INVALID,
		    "keys: has to be a list of at most %d", (int)KEY_RING_MAX);
	if (!json_is_string(current) && !json_is_null(current))
		return err_set(e, ERR_INVALID,
		    "keys: current has to be a key's id, or null");
	return store_put_keys(c->store, keys, json_string_value(current), e);
}

/* A LEDGER_VARIANT; texts are borrowed from its payload. */
struct signing {
	const char *of, *key, *sha256, *error;
	json_int_t size;
	struct store_artifact source;
};

static enum err_code
read_signing(struct signing *g, struct store *s, const json_t *payload,
    struct err *e)
{
	json_error_t why;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:s, s?s, s?I, s?s !}", "of", &g->of, "key", &g->key,
		"sha256", &g->sha256, "size", &g->size, "error",
		&g->error) != 0)
		return payload_error(&why, "variant", e);
	if (!key_id_is_valid(g->key) || !digest_is_hex(g->of))
		return err_set(e, ERR_INVALID,
		    "variant: its key or what it is of is malformed");
	if ((g->sha256 == NULL) == (g->error == NULL))
		return err_set(e, ERR_INVALID,
		    "variant: has to be a file, or an error");
	if (g->sha256 != NULL && (!digest_is_hex(g->sha256) || g->size <= 0))
		return err_set(e, ERR_INVALID,
		    "variant: its digest or its size is malformed");
	return store_get_artifact(s, g->of, &g->source, e);
}

static enum err_code
put_variant(struct store *s, const struct signing *g, struct err *e)
{
	struct store_artifact variant = g->source;
	int64_t now_ms = clock_now_ms();
	struct store_key k;

	TRY(store_get_key(s, g->key, &k, e));
	if (k.retired_ms != 0)
		return err_set(e, ERR_CONFLICT,
		    "variant: key %s is retired and signs nothing any more",
		    g->key);
	(void)snprintf(variant.sha256, sizeof variant.sha256, "%s", g->sha256);
	(void)snprintf(variant.key, sizeof variant.key, "%s", g->key);
	variant.size = g->size;
	TRY(store_put_artifact(s, &variant, now_ms, e));
	TRY(store_has_variant(s, &g->source, g->key, e));
	return cluster_key_signed(s, &variant, now_ms, e);
}

enum err_code
ledger_variant(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	struct signing g = { 0 };

	(void)reply;
	TRY(read_signing(&g, c->store, payload, e));
	if (g.error != NULL)
		return store_variant_fault(c->store, &g.source, g.key, g.error,
		    e);
	return put_variant(c->store, &g, e);
}

/* ---- from admins ---- */

/* Borrowed from the payload. */
struct wish {
	const char *token, *peer, *action; /* of every action */
	const char *key, *selector, *reason;
	const json_t *clusters, *expect;
	int force;
};

static enum err_code
check_texts(const struct wish *w, struct err *e)
{
	if (!key_id_is_valid(w->key))
		return err_set(e, ERR_INVALID, "\"%.80s\" is no key's id",
		    w->key);
	if (w->reason != NULL && strlen(w->reason) > KEY_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "reason: longer than %d bytes",
		    (int)KEY_TEXT_MAX);
	return ERR_OK;
}

/* The names, as an array of the caller's. */
static enum err_code
choose_clusters(struct store *s, const struct wish *w, json_t **out,
    struct err *e)
{
	if ((w->clusters != NULL) == (w->selector != NULL))
		return err_set(e, ERR_INVALID,
		    "clusters or selector: say where the key is to be used");
	if (w->selector != NULL)
		return selector_clusters(out, s, w->selector, NULL, NULL, e);
	if (!json_is_array(w->clusters) || json_array_size(w->clusters) == 0 ||
	    json_array_size(w->clusters) > KEY_CLUSTERS_MAX)
		return err_set(e, ERR_INVALID,
		    "clusters: has to be a list of 1 to %d names",
		    (int)KEY_CLUSTERS_MAX);
	*out = json_incref(payload_unconst(w->clusters));
	return ERR_OK;
}

enum err_code
ledger_key_use(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e)
{
	AUTO_JSON clusters = NULL;
	struct wish w = { 0 };
	json_error_t why;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s,s:s,s:s,s:s,s?o,s?s,s?o,s?s !}", "token", &w.token,
		"peer", &w.peer, "action", &w.action, "key", &w.key, "clusters",
		&w.clusters, "selector", &w.selector, "expect", &w.expect,
		"reason", &w.reason) != 0)
		return payload_error(&why, "key.use", e);
	TRY(check_texts(&w, e));
	if (w.expect != NULL && !json_is_object(w.expect))
		return err_set(e, ERR_INVALID,
		    "expect: has to give a key for each cluster");
	TRY(choose_clusters(s, &w, &clusters, e));
	return cluster_key_use(s,
	    &(struct cluster_key_change){ .key = w.key,
		.clusters = clusters,
		.expect = w.expect,
		.who = who->name,
		.peer = w.peer,
		.reason = w.reason,
		.now_ms = clock_now_ms() },
	    body, e);
}

/* What still needs it, for people; NULL: nothing. mem_ memory. */
static enum err_code
find_needs(struct store *s, const struct wish *w,
    const struct store_names *clusters, char **out, struct err *e)
{
	int64_t assigned;

	*out = NULL;
	TRY(store_count_signed(s, w->key, &assigned, e));
	if (clusters->count > 0)
		*out = mem_printf("cluster %s%s uses it", clusters->names[0],
		    clusters->count > 1 ? " (and others)" : "");
	else if (assigned > 0)
		*out = mem_printf("%" PRId64 " assigned bundles are signed by "
				  "it",
		    assigned);
	return ERR_OK;
}

static enum err_code
check_needs(struct store *s, const struct wish *w,
    const struct store_names *clusters, struct err *e)
{
	AUTO_STR needs = NULL;

	TRY(find_needs(s, w, clusters, &needs, e));
	if (w->force && (w->reason == NULL || *w->reason == '\0'))
		return err_set(e, ERR_INVALID,
		    "reason: say why the key is retired by force");
	if (needs != NULL && !w->force)
		return err_set(e, ERR_CONFLICT,
		    "key %s is still needed: %s (see: edict key list). Give "
		    "those clusters another key first (edict key use), or "
		    "force it, with a reason",
		    w->key, needs);
	return ERR_OK;
}

static enum err_code
check_retire(struct store *s, const struct wish *w, struct err *e)
{
	struct store_key k;

	TRY(store_get_key(s, w->key, &k, e));
	if (k.retired_ms != 0)
		return err_set(e, ERR_CONFLICT, "key %s is retired already",
		    w->key);
	if (strcmp(k.kind, key_kind_name(KEY_BUNDLE)) != 0)
		return err_set(e, ERR_CONFLICT,
		    "key %s is of kind %s: the server needs one, and makes it "
		    "itself",
		    w->key, k.kind);
	if (k.is_default)
		return err_set(e, ERR_CONFLICT,
		    "key %s is the default, which signs for every cluster "
		    "without a key of its own; name another in signing.use "
		    "first",
		    w->key);
	return ERR_OK;
}

/* Clusters that used it go to the default key. */
static enum err_code
move_clusters(struct store *s, const struct wish *w, const char *who,
    const struct store_names *clusters, json_t *names, json_t **moved,
    struct err *e)
{
	char key[STORE_KEY_SIZE];

	if (clusters->count == 0)
		return ERR_OK;
	for (size_t i = 0; i < clusters->count; i++)
		(void)json_array_append_new(names,
		    json_string(clusters->names[i]));
	TRY(store_default_key(s, key, e));
	TRY(cluster_key_use(s,
	    &(struct cluster_key_change){ .key = key,
		.clusters = names,
		.who = who,
		.peer = w->peer,
		.reason = w->reason,
		.now_ms = clock_now_ms() },
	    moved, e));
	for (size_t i = 0; i < clusters->count; i++)
		TRY(store_clear_cluster_key(s, clusters->names[i], e));
	return ERR_OK;
}

static enum err_code
retire(struct store *s, const struct wish *w, const char *who,
    const struct store_names *clusters, json_t **body, struct err *e)
{
	AUTO_JSON names = json_array();
	AUTO_JSON moved = NULL;
	AUTO_JSON detail = NULL;

	TRY(check_needs(s, w, clusters, e));
	TRY(store_retire_key(s, w->key, who, w->reason, clock_now_ms(), e));
	TRY(store_forget_variants(s, w->key, e));
	TRY(move_clusters(s, w, who, clusters, names, &moved, e));
	detail = json_pack("{s:s?, s:b, s:O}", "reason", w->reason, "force",
	    w->force, "clusters", names);
	log_info("key.retire", "id=%s by=%s force=%d", w->key, who, w->force);
	TRY(store_add_event(s,
	    &(struct store_event){ who, w->peer, "key.retire", w->key, detail },
	    e));
	*body = json_pack("{s:s, s:O}", "key", w->key, "clusters", names);
	return ERR_OK;
}

enum err_code
ledger_key_retire(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e)
{
	struct store_names clusters = { 0 };
	struct wish w = { 0 };
	enum err_code code;
	json_error_t why;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s,s:s,s:s,s:s,s?s,s?b !}", "token", &w.token, "peer",
		&w.peer, "action", &w.action, "key", &w.key, "reason",
		&w.reason, "force", &w.force) != 0)
		return payload_error(&why, "key.retire", e);
	TRY(check_texts(&w, e));
	TRY(check_retire(s, &w, e));
	TRY(store_clusters_of_key(s, w.key, &clusters, e));
	code = retire(s, &w, who->name, &clusters, body, e);
	store_names_clear(&clusters);
	return code;
}
