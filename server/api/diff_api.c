#include "server/api/diff_api.h"

#include <inttypes.h>
#include <string.h>

#include "bundler/delta.h"
#include "clusters/view.h"
#include "core/file.h"
#include "core/mem.h"
#include "server/api/study.h"
#include "server/http/reply.h"
#include "signing/digest.h"

enum { DIFF_WAIT_MS = 120000 };

struct side {
	char rev[DIFF_API_REV_MAX]; /* as it was asked for */
	struct store_artifact artifact;
	struct bundle_archive archive;
};

/* What the study is given. */
struct comparison {
	const char *data_dir;
	char bundle[STORE_NAME_SIZE];
	struct side from, to;
};

/* ---- in the study ---- */

static enum err_code
read_side(struct side *s, const struct comparison *c, struct err *e)
{
	AUTO_STR path = store_artifact_path(c->data_dir, s->artifact.sha256);
	AUTO_BUF bytes = { 0 };
	char found[DIGEST_HEX_SIZE];

	buf_init(&bytes, (size_t)s->artifact.size);
	if (file_read(&bytes, path, e) != ERR_OK)
		return err_as(e, ERR_CORRUPT); /* the store says it is there */
	digest_hex(found, bytes.data, bytes.len);
	if (strcmp(found, s->artifact.sha256) != 0)
		return err_set(e, ERR_CORRUPT, "%s: not what the store says",
		    path);
	return bundle_read(&s->archive, s->rev, bytes.data, bytes.len, e);
}

static void
add_rev(json_t *delta, const char *key, const struct side *s)
{
	(void)json_object_set_new(json_object_get(delta, key), "rev",
	    json_string(s->rev));
}

static enum err_code
compare(void *arg, json_t **out, struct err *e)
{
	struct comparison *c = arg;
	enum err_code code;

	TRY(read_side(&c->from, c, e));
	TRY(read_side(&c->to, c, e));
	code = delta_make(out, &c->from.archive, &c->to.archive,
	    DIFF_API_VALUES_MAX, e);
	if (code == ERR_LIMIT) {
		struct err why = *e;

		return err_set(e, code,
		    "%s; download both and compare them with: edict diff A B",
		    why.text);
	}
	if (code != ERR_OK)
		return code;
	(void)json_object_set_new(*out, "bundle", json_string(c->bundle));
	add_rev(*out, "from", &c->from);
	add_rev(*out, "to", &c->to);
	return ERR_OK;
}

static void
comparison_clear(void *arg)
{
	struct comparison *c = arg;

	bundle_archive_clear(&c->from.archive);
	bundle_archive_clear(&c->to.archive);
	mem_free(c);
}

/* ---- in the serving thread ---- */

static enum err_code
read_rev(struct side *s, const struct request *r, const char *name,
    struct err *e)
{
	enum err_code code = request_query(r, name, s->rev, sizeof s->rev, e);

	if (code == ERR_NOT_FOUND)
		return err_set(e, ERR_INVALID,
		    "from and to are needed: two revisions of the bundle");
	return code;
}

static enum err_code
find_side(struct side *s, struct store *store, const char *bundle,
    struct err *e)
{
	int64_t unpacked;
	enum err_code code =
	    view_artifact(store, bundle, s->rev, &s->artifact, e);

	if (code == ERR_NOT_FOUND) {
		struct err why = *e;

		return err_set(e, code,
		    "%s; what this server never built can be compared in a "
		    "clone: edict diff FROM TO --bundle %s",
		    why.text, bundle);
	}
	if (code != ERR_OK)
		return code;
	TRY(store_unpacked_size(store, &s->artifact, &unpacked, e));
	if (unpacked <= DIFF_API_SIZE_MAX)
		return ERR_OK;
	return err_set(e, ERR_LIMIT,
	    "bundle %s at %s unpacks to %" PRId64 " bytes; the server compares "
	    "up to %d. Download both and compare them with: edict diff A B",
	    bundle, s->rev, unpacked, (int)DIFF_API_SIZE_MAX);
}

static enum err_code
prepare(struct comparison *c, struct request *r, struct err *e)
{
	const char *bundle = route_param(r->match, "bundle");
	struct store *s = NULL;
	enum err_code code;

	err_copy(c->bundle, sizeof c->bundle, bundle);
	c->data_dir = r->service->conf->data_dir;
	TRY(read_rev(&c->from, r, "from", e));
	TRY(read_rev(&c->to, r, "to", e));
	TRY(loop_store(&s, r->loop, e));
	code = find_side(&c->from, s, bundle, e);
	if (code == ERR_OK)
		code = find_side(&c->to, s, bundle, e);
	loop_store_failed(r->loop, code);
	return code;
}

static enum err_code
ask(struct request *r, struct err *e)
{
	struct comparison *c = mem_zalloc(sizeof *c);
	struct study_job job = {
		.run = compare,
		.clear = comparison_clear,
		.arg = c,
		.loop = r->loop,
	};
	enum err_code code = prepare(c, r, e);

	if (code == ERR_OK)
		code = loop_expect(r->loop, r, DIFF_WAIT_MS, &job.id, e);
	if (code != ERR_OK) {
		comparison_clear(c);
		return code;
	}
	study_add(r->service->study, &job);
	return ERR_OK;
}

static void
answer(struct request *r)
{
	struct err e = { 0 };

	if (r->reply == NULL)
		reply_fault(r, 503, "unavailable",
		    "the comparison was not finished; try again");
	else if (message_error(r->reply, &e) != ERR_OK)
		reply_error(r, &e);
	else
		reply_json(r, 200,
		    json_incref(json_object_get(r->reply->payload, "body")));
}

void
diff_api_get(struct request *r)
{
	struct err e = { 0 };

	if (r->waited)
		answer(r);
	else if (ask(r, &e) != ERR_OK)
		reply_error(r, &e);
}
