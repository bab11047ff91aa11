/* What the pipeline tells of discovery bundles. */

#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "clusters/store_discovery.h"
#include "core/clock.h"
#include "core/spec.h"
#include "signing/digest.h"
#include "signing/key.h"

static enum err_code
read_row(struct store_discovery_row *r, const json_t *payload, struct err *e)
{
	json_error_t why;
	json_int_t size;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:s, s:{s:s, s:I, s:s, s:s !} !}", "cluster",
		&r->cluster, "revision", &r->revision, "artifact", "sha256",
		&r->sha256, "size", &size, "key", &r->key_id, "content_sha256",
		&r->content_sha256) != 0)
		return payload_error(&why, "discovery", e);
	if (!spec_is_name(r->cluster) || !digest_is_hex(r->revision) ||
	    !digest_is_hex(r->sha256) || !digest_is_hex(r->content_sha256) ||
	    !key_id_is_valid(r->key_id) || size <= 0)
		return err_set(e, ERR_INVALID, "discovery: malformed");
	r->size = size;
	return ERR_OK;
}

enum err_code
ledger_discovery(struct ledger_context *c, const json_t *payload,
    json_t **reply, struct err *e)
{
	struct store_discovery_row r = { .at_ms = clock_now_ms() };
	struct store_owner owner;
	AUTO_JSON detail = NULL;
	bool changed;

	(void)reply;
	TRY(read_row(&r, payload, e));
	TRY(store_cluster_owner(c->store, r.cluster, &owner, e));
	TRY(store_put_discovery(c->store, &r, &changed, e));
	if (!changed)
		return ERR_OK;
	detail = json_pack("{s:s, s:s, s:s}", "revision", r.revision, "sha256",
	    r.sha256, "key", r.key_id);
	return store_add_event(c->store,
	    &(struct store_event){ "pipeline", "", "discovery", r.cluster,
		detail },
	    e);
}
