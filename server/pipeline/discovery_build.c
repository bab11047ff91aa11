#include "server/pipeline/discovery_build.h"

#include <assert.h>
#include <string.h>

#include "bundler/discovery.h"
#include "clusters/payload.h"
#include "clusters/store.h"
#include "core/canon.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/artifact.h"
#include "signing/digest.h"
#include "signing/keeper.h"

enum { DISCOVERY_LOAD_MS = 60000 }; /* it is small */

struct work {
	const struct discovery_build *b;
	struct gate_job job;
	struct buf content, jws, signed_bytes;
	char *key_id;
};

static enum err_code
sign(struct work *w, struct err *e)
{
	const struct discovery_build *b = w->b;
	struct jws_file *files = bundle_jws_files(b->bundle);
	enum err_code code;

	code = keeper_sign_discovery(b->desk->keeper, &w->jws, &w->key_id,
	    b->cluster, b->bundle->content, files, b->bundle->count, e);
	mem_free(files);
	if (code != ERR_OK)
		return code;
	TRY(bundle_pack(&w->content, b->bundle, e));
	return bundle_sign_pack(&w->signed_bytes, w->content.data,
	    w->content.len, w->jws.data, w->jws.len, e);
}

static enum err_code
find_key(const struct work *w, const json_t **out, struct err *e)
{
	size_t i;

	json_array_foreach(w->b->keys, i, *out)
		if (strcmp(payload_text(*out, "id"), w->key_id) == 0)
			return ERR_OK;
	return err_set(e, ERR_NOT_FOUND, "keeper: no key %s", w->key_id);
}

/* As an engine does: the signature, with the scope. */
static enum err_code
verify(const struct work *w, struct err *e)
{
	AUTO_STR scope = keeper_discovery_scope(w->b->cluster);
	const json_t *key;

	TRY(find_key(w, &key, e));
	if (payload_text(key, "public") == NULL)
		return err_set(e, ERR_UNSUPPORTED,
		    "key %s has no public part: discovery bundles are not "
		    "signed with shared secrets",
		    w->key_id);
	return gate_load(&w->job,
	    &(struct gate_artifact){ .data = w->signed_bytes.data,
		.len = w->signed_bytes.len,
		.bundle = scope,
		.key_id = w->key_id,
		.algorithm = payload_text(key, "algorithm"),
		.public_pem = payload_text(key, "public") },
	    e);
}

static enum err_code
canonical(struct buf *out, const char *name, const char *text, size_t len,
    struct err *e)
{
	struct document *read = NULL;

	TRY(canon_read(&read, name, text, len, e));
	canon_write(out, document_root(read));
	document_free(read);
	return buf_check(out, name, e);
}

/* What an engine makes of it is what it is meant to say. */
static enum err_code
evaluate(const struct work *w, struct err *e)
{
	AUTO_BUF said = { 0 };
	AUTO_BUF got = { 0 };
	AUTO_BUF wanted = { 0 };

	buf_init(&said, GATE_OUTPUT_MAX);
	buf_init(&got, GATE_OUTPUT_MAX);
	buf_init(&wanted, GATE_OUTPUT_MAX);
	TRY(gate_evaluate(&said, &w->job, DISCOVERY_QUERY, w->content.data,
	    w->content.len, e));
	TRY(canonical(&got, "opa's answer", said.data, said.len, e));
	TRY(canonical(&wanted, "discovery", w->b->document,
	    strlen(w->b->document), e));
	if (got.len == wanted.len &&
	    memcmp(got.data, wanted.data, got.len) == 0)
		return ERR_OK;
	return err_set(e, ERR_CORRUPT,
	    "the engine makes something else of it than it says");
}

static enum err_code
keep(json_t **out, const struct work *w, struct err *e)
{
	const char *data_dir = w->b->desk->conf->data_dir;
	char sha256[DIGEST_HEX_SIZE];
	char content_sha256[DIGEST_HEX_SIZE];

	digest_hex(sha256, w->signed_bytes.data, w->signed_bytes.len);
	digest_hex(content_sha256, w->content.data, w->content.len);
	AUTO_STR path = store_artifact_path(data_dir, sha256);
	AUTO_STR content = store_content_path(data_dir, content_sha256);

	TRY(artifact_put(content, content_sha256, &w->content, e));
	TRY(artifact_put(path, sha256, &w->signed_bytes, e));
	*out = json_pack("{s:s, s:I, s:s, s:s}", "sha256", sha256, "size",
	    (json_int_t)w->signed_bytes.len, "key", w->key_id, "content_sha256",
	    content_sha256);
	assert(*out != NULL);
	return ERR_OK;
}

static enum err_code
look(struct work *w, struct err *e)
{
	struct desk *d = w->b->desk;
	enum err_code code;

	if (!desk_gate_enter(d, false))
		return err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	code = verify(w, e);
	if (code == ERR_OK)
		code = evaluate(w, e);
	desk_gate_leave(d, false);
	return code;
}

static enum err_code
build(json_t **out, struct work *w, struct err *e)
{
	TRY(file_make_dirs(w->job.work, e));
	TRY(sign(w, e));
	TRY(look(w, e));
	return keep(out, w, e);
}

enum err_code
discovery_build(json_t **out, const struct discovery_build *b, struct err *e)
{
	struct desk_runner runner = { .desk = b->desk,
		.repository = b->repository };
	struct gate_runner gate = { .run = desk_run, .ctx = &runner };
	struct work w = { .b = b };
	struct err left = { 0 };
	char folder[24];
	enum err_code code;

	desk_folder(b->desk, folder);
	AUTO_STR dir =
	    mem_printf("%s/work/%s", b->desk->conf->data_dir, folder);
	w.job = (struct gate_job){ .repository = b->repository,
		.work = dir,
		.runner = &gate,
		.load_ms = DISCOVERY_LOAD_MS };
	buf_init(&w.content, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&w.signed_bytes, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&w.jws, JWS_SIZE_MAX);
	code = build(out, &w, e);
	if (file_remove_tree(dir, &left) != ERR_OK)
		log_warn("work.remove", "error=\"%s\"", left.text);
	buf_clear(&w.content);
	buf_clear(&w.signed_bytes);
	buf_clear(&w.jws);
	mem_free(w.key_id);
	return code;
}
