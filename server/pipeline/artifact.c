#include "server/pipeline/artifact.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundler/compile.h"
#include "clusters/store.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "signing/keeper.h"

enum { ARTIFACT_JWS_MAX = JWS_SIZE_MAX };

struct artifact {
	struct buf content; /* unsigned */
	struct buf signed_bytes;
	struct buf jws;
	char *key_id;
	char *algorithm;
	char *public_pem; /* NULL for HS */
};

static void
artifact_clear(struct artifact *a)
{
	buf_clear(&a->content);
	buf_clear(&a->signed_bytes);
	buf_clear(&a->jws);
	mem_free(a->key_id);
	mem_free(a->algorithm);
	mem_free(a->public_pem);
}

static enum err_code
take_key(struct artifact *a, const json_t *keys, struct err *e)
{
	size_t i;
	json_t *key;

	json_array_foreach(keys, i, key) {
		const char *id, *algorithm;
		const char *pem = NULL;

		if (json_unpack(key, "{s:s,s:s,s?s}", "id", &id, "algorithm",
			&algorithm, "public", &pem) != 0 ||
		    strcmp(id, a->key_id) != 0)
			continue;
		a->algorithm = mem_strdup(algorithm);
		a->public_pem = mem_strdup(pem);
		return ERR_OK;
	}
	return err_set(e, ERR_NOT_FOUND, "keeper: no key %s", a->key_id);
}

static enum err_code
ask_key(struct desk *d, struct artifact *a, struct err *e)
{
	struct message m = { 0 };
	enum err_code code;

	TRY(caller_call(d->keeper, KEEPER_KEYS, NULL, NULL, 0,
	    KEEPER_TIMEOUT_MS, &m, e));
	code = take_key(a, json_object_get(m.payload, "keys"), e);
	message_clear(&m);
	return code;
}

static enum err_code
sign(struct desk *d, struct artifact *a, const struct bundle *b,
    const struct bundle_means *means, struct err *e)
{
	struct jws_file *files = bundle_jws_files(b);
	enum err_code code = keeper_sign(d->keeper, &a->jws, &a->key_id, NULL,
	    b->name, b->revision, files, b->count, e);

	mem_free(files);
	if (code != ERR_OK)
		return code;
	TRY(ask_key(d, a, e));
	if (a->public_pem == NULL)
		TRY(keeper_verify(d->keeper, a->key_id, a->jws.data, a->jws.len,
		    e));
	return bundle_sign_pack_with(&a->signed_bytes, a->content.data,
	    a->content.len, a->jws.data, a->jws.len, means, e);
}

/* Are these bytes the files that were signed? Parts of them are from a cache. */
static enum err_code
check_packed(const struct artifact *a, const struct bundle *b, struct err *e)
{
	struct bundle_archive packed = { 0 };
	bool same;

	if (bundle_read(&packed, b->name, a->signed_bytes.data,
		a->signed_bytes.len, e) != ERR_OK)
		return err_as(e, ERR_CORRUPT);
	same = packed.count == b->count;
	for (size_t i = 0; same && i < b->count; i++)
		same = strcmp(packed.files[i].path, b->files[i].path) == 0 &&
		    strcmp(packed.files[i].hash, b->files[i].hash) == 0;
	bundle_archive_clear(&packed);
	if (same)
		return ERR_OK;
	return err_set(e, ERR_CORRUPT,
	    "bundle %s: what was packed is not what was signed", b->name);
}

/* The engine reads a copy in the work folder: what it refuses was never where
 * anything could serve it from. */
static enum err_code
look(const struct gate_job *job, const struct artifact *a,
    const struct bundle *b, struct err *e)
{
	/* The engine cannot check what was signed with a shared secret, and
	 * would refuse to load it unchecked: the keeper has verified it. */
	const struct buf *bytes = a->public_pem != NULL ? &a->signed_bytes
							: &a->content;
	enum err_code code;
	struct err why;

	if (a->public_pem == NULL)
		TRY(check_packed(a, b, e));
	code = gate_load(job,
	    &(struct gate_artifact){ .data = bytes->data,
		.len = bytes->len,
		.bundle = b->name,
		.key_id = a->key_id,
		.algorithm = a->algorithm,
		.public_pem = a->public_pem },
	    e);
	/* Whose fault is it? */
	return code == ERR_INVALID && check_packed(a, b, &why) != ERR_OK
	    ? err_as(e, ERR_CORRUPT)
	    : code;
}

/* `opa build` reads a module but does not start it. An engine that can, does it
 * here; one without WebAssembly loads the rest, and the verdict says so. */
static enum err_code
start_module(const struct gate_job *job, const struct artifact *a,
    const struct bundle *b, struct err *e)
{
	AUTO_BUF rest = { 0 };
	const struct buf *bytes = &a->content;
	enum err_code code;

	if (!compile_has_wasm(b))
		return ERR_OK;
	if (!job->engine->wasm) {
		buf_init(&rest, (size_t)BUNDLE_SIZE_MAX);
		TRY(compile_pack_without_wasm(&rest, b, e));
		bytes = &rest;
	}
	code = gate_activate(job, bytes->data, bytes->len, e);
	return code == ERR_OK ? ERR_OK : err_add(e, "bundle %s", b->name);
}

/* Missing, cut short, changed by a failing disk: all the same. */
static bool
is_there(const char *path, const char *sha256, size_t size)
{
	AUTO_BUF found = { 0 };
	char digest[DIGEST_HEX_SIZE];

	buf_init(&found, size + 1);
	if (file_read(&found, path, NULL) != ERR_OK || found.len != size)
		return false;
	digest_hex(digest, found.data, found.len);
	return strcmp(digest, sha256) == 0;
}

bool
artifact_is_whole(const struct desk *d, const struct store_artifact *stored)
{
	AUTO_STR path = store_artifact_path(d->conf->data_dir, stored->sha256);

	return is_there(path, stored->sha256, (size_t)stored->size);
}

/* Who puts down what is there already, and who removes what nobody names, take
 * turns: then either it is young, or it is written again. */
static pthread_mutex_t files_turn = PTHREAD_MUTEX_INITIALIZER;

static bool
is_there_and_young(const char *path, const char *sha256, size_t size)
{
	bool there;

	(void)pthread_mutex_lock(&files_turn);
	there = is_there(path, sha256, size) &&
	    utimensat(AT_FDCWD, path, NULL, 0) == 0;
	(void)pthread_mutex_unlock(&files_turn);
	return there;
}

bool
artifact_remove(const char *path, int64_t young_ms)
{
	struct stat st;
	bool gone;

	(void)pthread_mutex_lock(&files_turn);
	gone = lstat(path, &st) == 0 &&
	    clock_now_ms() - (int64_t)st.st_mtim.tv_sec * 1000 >= young_ms &&
	    unlink(path) == 0;
	(void)pthread_mutex_unlock(&files_turn);
	return gone;
}

enum err_code
artifact_put(char *path, const char *sha256, const struct buf *data,
    struct err *e)
{
	char *slash = strrchr(path, '/');
	enum err_code code;

	if (is_there_and_young(path, sha256, data->len))
		return ERR_OK;
	*slash = '\0';
	code = file_make_dirs(path, e);
	*slash = '/';
	if (code != ERR_OK)
		return code;
	TRY(file_replace(path, data->data, data->len, 0600, e));
	*slash = '\0';
	/* The folder itself may be new. */
	{
		char *parent = strrchr(path, '/');

		*parent = '\0';
		code = file_sync_dir(path, e);
		*parent = '/';
	}
	*slash = '/';
	return code;
}

static enum err_code
keep(json_t **out, const struct desk *d, const struct artifact *a,
    struct err *e)
{
	char sha256[DIGEST_HEX_SIZE];
	char content_sha256[DIGEST_HEX_SIZE];

	digest_hex(sha256, a->signed_bytes.data, a->signed_bytes.len);
	digest_hex(content_sha256, a->content.data, a->content.len);
	AUTO_STR path = store_artifact_path(d->conf->data_dir, sha256);
	AUTO_STR content_path =
	    store_content_path(d->conf->data_dir, content_sha256);

	TRY(artifact_put(content_path, content_sha256, &a->content, e));
	TRY(artifact_put(path, sha256, &a->signed_bytes, e));
	*out = json_pack("{s:s,s:I,s:s,s:s}", "sha256", sha256, "size",
	    (json_int_t)a->signed_bytes.len, "key", a->key_id, "content_sha256",
	    content_sha256);
	assert(*out != NULL);
	return ERR_OK;
}

static enum err_code
make(struct desk *d, const struct gate_job *job, const struct bundle *b,
    const struct bundle_means *means, struct artifact *a, struct err *e)
{
	TRY(bundle_pack_with(&a->content, b, means, e));
	/* Trouble with the keeper or with our files is no fault of the
	 * commit's; what the engine says of the bundle is. */
	if (sign(d, a, b, means, e) != ERR_OK)
		return err_as(e, ERR_UNAVAILABLE);
	return look(job, a, b, e);
}

static void
artifact_init(struct artifact *a)
{
	*a = (struct artifact){ 0 };
	buf_init(&a->content, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&a->signed_bytes, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&a->jws, ARTIFACT_JWS_MAX);
}

static enum err_code
build(json_t **out, struct desk *d, const struct gate_job *job,
    const struct bundle *b, const struct bundle_means *means,
    struct artifact *a, struct err *e)
{
	const struct bundle_means anew = { .threads = means->threads };
	enum err_code code = make(d, job, b, means, a, e);

	if (code == ERR_CORRUPT) {
		log_warn("bundle.damaged",
		    "repo=%s bundle=%s error=\"%s\": packed again without "
		    "what was kept",
		    job->repository, b->name, e->text);
		artifact_clear(a);
		artifact_init(a);
		code = make(d, job, b, &anew, a, e);
	}
	if (code != ERR_OK)
		return code;
	TRY(start_module(job, a, b, e));
	if (keep(out, d, a, e) != ERR_OK)
		return err_as(e, ERR_IO);
	return ERR_OK;
}

enum err_code
artifact_build(json_t **out, struct desk *d, const struct gate_job *job,
    const struct bundle *b, const struct bundle_means *means, struct err *e)
{
	struct artifact a;
	enum err_code code;

	artifact_init(&a);
	code = build(out, d, job, b, means, &a, e);
	if (code == ERR_OK)
		log_info("bundle.built",
		    "repo=%s bundle=%s revision=%s files=%zu bytes=%zu key=%s",
		    job->repository, b->name, b->revision, b->count,
		    a.signed_bytes.len, a.key_id);
	artifact_clear(&a);
	return code;
}
