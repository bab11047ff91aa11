#include "server/pipeline/discovery_document.h"

#include <assert.h>
#include <string.h>

#include "clusters/payload.h"
#include "core/mem.h"
#include "server/pipeline/engine_config.h"

static const json_t *
find_key(const struct discovery_input *in, const char *id)
{
	const json_t *key;
	size_t i;

	json_array_foreach(in->keys, i, key) {
		const char *found = payload_text(key, "id");

		if (found != NULL && strcmp(found, id) == 0)
			return key;
	}
	return NULL;
}

static bool
signs_bundles(const json_t *key)
{
	const char *kind = payload_text(key, "kind");

	return kind == NULL || strcmp(kind, "bundle") == 0;
}

/* Shared secrets are left out: whoever reads a discovery bundle could sign with
 * them. */
static void
add_key(json_t *keys, const json_t *key)
{
	const char *public = payload_text(key, "public");

	if (public == NULL)
		return;
	(void)json_object_set_new(keys, payload_text(key, "id"),
	    json_pack("{s:s, s:s}", "algorithm", payload_text(key, "algorithm"),
		"key", public));
}

/* Those that may sign later, too. */
static void
add_keys(json_t *keys, const struct discovery_input *in)
{
	const json_t *key;
	size_t i;

	json_array_foreach(in->keys, i, key)
		if (signs_bundles(key) &&
		    payload_text(key, "retired_at") == NULL)
			add_key(keys, key);
}

static json_t *
polling(const struct conf_discovery *c)
{
	json_t *j = json_pack("{s:I, s:I}", "min_delay_seconds",
	    (json_int_t)c->min_delay, "max_delay_seconds",
	    (json_int_t)c->max_delay);

	/* Engines refuse a 0 here. */
	if (c->wait > 0)
		(void)json_object_set_new(j, "long_polling_timeout_seconds",
		    json_integer(c->wait));
	return j;
}

static json_t *
describe(const struct discovery_input *in, const char *bundle, const char *key)
{
	AUTO_STR resource =
	    mem_printf("clusters/%s/bundles/%s", in->cluster, bundle);

	/* Without keyid engines would accept unsigned bundles, and without
	 * scope one bundle could stand in for another. */
	return json_pack("{s:s, s:s, s:b, s:o, s:{s:s, s:s}}", "service",
	    ENGINE_SERVICE, "resource", resource, "persist",
	    in->settings->persist, "polling", polling(in->settings), "signing",
	    "keyid", key, "scope", bundle);
}

static enum err_code
add_bundle(json_t *bundles, json_t *keys, const struct discovery_input *in,
    const json_t *row, struct err *e)
{
	const char *bundle = payload_text(row, "bundle");
	const char *id = payload_text(row, "key");
	const json_t *key = id != NULL ? find_key(in, id) : NULL;

	if (bundle == NULL)
		return ERR_OK;
	if (key == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "bundle %s is signed with key %s, which is not in the "
		    "keys folder any more; put its files back",
		    bundle, id != NULL ? id : "?");
	if (payload_text(key, "public") == NULL)
		return err_set(e, ERR_UNSUPPORTED,
		    "bundle %s is signed with key %s, a shared secret (%s), "
		    "which discovery must not hand out; sign with an RS, PS or "
		    "ES key, or configure engines without discovery",
		    bundle, id, payload_text(key, "algorithm"));
	add_key(keys, key);
	(void)json_object_set_new(bundles, bundle, describe(in, bundle, id));
	return ERR_OK;
}

enum err_code
discovery_document(json_t **out, const struct discovery_input *in,
    struct err *e)
{
	AUTO_JSON bundles = json_object();
	AUTO_JSON keys = json_object();
	const json_t *row;
	size_t i;

	add_keys(keys, in);
	json_array_foreach(in->bundles, i, row)
		TRY(add_bundle(bundles, keys, in, row, e));
	*out = json_pack("{s:O, s:O, s:{s:s}}", "bundles", bundles, "keys",
	    keys, "status", "service", ENGINE_SERVICE);
	assert(*out != NULL);
	return ERR_OK;
}
