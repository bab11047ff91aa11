#include "server/pipeline/signer_build.h"

#include <string.h>

#include "bundler/bundle.h"
#include "clusters/payload.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/artifact.h"
#include "signing/digest.h"
#include "signing/keeper.h"

enum { SIGNER_LOAD_MS = 20000 };

struct work {
	const struct signer_build *b;
	struct buf content, jws, bytes; /* bytes: content, signed */
	struct bundle_archive packed;   /* of content */
	const json_t *key;              /* one of b->keys */
	char *key_id;
};

static enum err_code
find_key(struct work *w, struct err *e)
{
	size_t i;
	json_t *key;

	json_array_foreach(w->b->keys, i, key)
		if (strcmp(payload_text(key, "id"), w->b->key) == 0) {
			w->key = key;
			return ERR_OK;
		}
	return err_set(e, ERR_NOT_FOUND,
	    "key %s is not in the server's folder of keys", w->b->key);
}

/* As it was when it was tested. */
static enum err_code
read_content(struct work *w, struct err *e)
{
	const struct store_artifact *a = w->b->source;
	AUTO_STR path =
	    store_content_path(w->b->desk->conf->data_dir, a->content_sha256);
	char digest[DIGEST_HEX_SIZE];

	TRY(file_read(&w->content, path, e));
	digest_hex(digest, w->content.data, w->content.len);
	if (strcmp(digest, a->content_sha256) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s: its SHA-256 is %s; it is not signed", path, digest);
	return bundle_read(&w->packed, a->bundle, w->content.data,
	    w->content.len, e);
}

static enum err_code
sign(struct work *w, struct err *e)
{
	const struct store_artifact *a = w->b->source;
	size_t count = w->packed.count;
	struct jws_file *files = mem_array(count, sizeof *files);
	enum err_code code;

	for (size_t i = 0; i < count; i++)
		files[i] = (struct jws_file){ w->packed.files[i].path,
			w->packed.files[i].hash };
	code = keeper_sign(w->b->desk->keeper, &w->jws, &w->key_id, w->b->key,
	    a->bundle, a->revision, files, count, e);
	mem_free(files);
	if (code != ERR_OK)
		return code;
	return bundle_sign_pack(&w->bytes, w->content.data, w->content.len,
	    w->jws.data, w->jws.len, e);
}

static enum err_code
check_files(const struct work *w, const struct bundle_archive *a, struct err *e)
{
	bool same = a->count == w->packed.count;

	for (size_t i = 0; same && i < a->count; i++)
		same = strcmp(a->files[i].path, w->packed.files[i].path) == 0 &&
		    strcmp(a->files[i].hash, w->packed.files[i].hash) == 0;
	return same ? ERR_OK
		    : err_set(e, ERR_CORRUPT,
			  "bundle %s: what was packed is not what was signed",
			  w->b->source->bundle);
}

/* As an engine will, with our own code. */
static enum err_code
check_signature(const struct work *w, const struct bundle_archive *a,
    struct err *e)
{
	const char *public = payload_text(w->key, "public");
	AUTO(key, k) = NULL;
	enum key_algorithm algorithm;

	if (public == NULL)
		return keeper_verify(w->b->desk->keeper, w->key_id, a->jws,
		    a->jws_len, e);
	TRY(key_algorithm_parse(&algorithm, payload_text(w->key, "algorithm"),
	    e));
	TRY(key_read_public(&k, w->key_id, algorithm, w->key_id, public,
	    strlen(public), e));
	return bundle_verify(a, k, w->b->source->bundle, e);
}

static enum err_code
verify(const struct work *w, struct err *e)
{
	struct bundle_archive a = { 0 };
	enum err_code code = bundle_read(&a, w->b->source->bundle,
	    w->bytes.data, w->bytes.len, e);

	if (code == ERR_OK)
		code = check_files(w, &a, e);
	if (code == ERR_OK)
		code = check_signature(w, &a, e);
	bundle_archive_clear(&a);
	return code;
}

/* The engine has loaded this content before; what is new is the signature. Who
 * asks for it may be in a hurry, and opa may be gone: only its No counts. */
static enum err_code
ask_engine(const struct work *w, const struct gate_job *job, struct err *e)
{
	struct err why = { 0 };
	enum err_code code;

	if (file_make_dirs(job->work, &why) != ERR_OK)
		return ERR_OK;
	code = gate_load(job,
	    &(struct gate_artifact){ .data = w->bytes.data,
		.len = w->bytes.len,
		.bundle = w->b->source->bundle,
		.key_id = w->key_id,
		.algorithm = payload_text(w->key, "algorithm"),
		.public_pem = payload_text(w->key, "public") },
	    &why);
	if (code == ERR_INVALID)
		return err_set(e, code, "%s", why.text);
	if (code != ERR_OK)
		log_warn("variant.unasked",
		    "bundle=%s key=%s error=\"%s\": verified without opa",
		    w->b->source->bundle, w->key_id, why.text);
	return ERR_OK;
}

/* opa cannot check what was signed with a shared secret. */
static enum err_code
look(const struct work *w, struct err *e)
{
	struct desk *d = w->b->desk;
	struct desk_runner runner = { .desk = d,
		.repository = w->b->repository };
	struct gate_runner gate = { .run = desk_run, .ctx = &runner };
	struct gate_job job = { .repository = w->b->repository,
		.runner = &gate,
		/* A rollback may wait: a hanging opa is like one that is gone. */
		.load_ms = SIGNER_LOAD_MS };
	struct err left = { 0 };
	char folder[24];
	enum err_code code;

	if (w->b->repository == NULL || payload_text(w->key, "public") == NULL)
		return ERR_OK;
	desk_folder(d, folder);
	AUTO_STR dir = mem_printf("%s/work/%s", d->conf->data_dir, folder);
	job.work = dir;
	code = ask_engine(w, &job, e);
	if (file_remove_tree(dir, &left) != ERR_OK)
		log_warn("work.remove", "error=\"%s\"", left.text);
	return code;
}

static enum err_code
build(struct work *w, char sha256[STORE_DIGEST_SIZE], struct err *e)
{
	AUTO_STR path = NULL;

	TRY(find_key(w, e));
	TRY(read_content(w, e));
	TRY(sign(w, e));
	TRY(verify(w, e));
	TRY(look(w, e));
	digest_hex(sha256, w->bytes.data, w->bytes.len);
	path = store_artifact_path(w->b->desk->conf->data_dir, sha256);
	return artifact_put(path, sha256, &w->bytes, e);
}

enum err_code
signer_build(char sha256[STORE_DIGEST_SIZE], int64_t *size,
    const struct signer_build *b, struct err *e)
{
	struct work w = { .b = b };
	enum err_code code;

	buf_init(&w.content, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&w.bytes, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&w.jws, JWS_SIZE_MAX);
	code = build(&w, sha256, e);
	*size = (int64_t)w.bytes.len;
	bundle_archive_clear(&w.packed);
	buf_clear(&w.content);
	buf_clear(&w.bytes);
	buf_clear(&w.jws);
	mem_free(w.key_id);
	return code;
}
