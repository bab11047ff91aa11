#include "server/pipeline/set_check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "clusters/cluster.h"
#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store.h"
#include "clusters/store_set.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "policies/gate_set.h"
#include "signing/digest.h"

enum {
	CHECK_ROUNDS_MAX = 100, /* an answer may raise the next question */
	CHECK_AGAIN_MIN_MS = 1000,
	CHECK_AGAIN_MAX_MS = 60000,
	CHECK_LOOK_MS = 5000
};

/* ---- one set ---- */

/* What the ledger wrote, read with care all the same: its texts become paths. */
static enum err_code
read_parts(struct gate_set_part *parts, char **paths, const struct desk *d,
    const json_t *members, struct err *e)
{
	size_t i;
	json_t *item;

	json_array_foreach(members, i, item) {
		const char *bundle = payload_text(item, "bundle");
		const char *sha256 = payload_text(item, "sha256");

		if (bundle == NULL || sha256 == NULL || !spec_is_name(bundle) ||
		    !digest_is_hex(sha256))
			return err_set(e, ERR_CORRUPT,
			    "a set of bundles: part %zu makes no sense", i);
		paths[i] = store_content_path(d->conf->data_dir, sha256);
		parts[i] = (struct gate_set_part){ bundle, paths[i] };
	}
	return ERR_OK;
}

static enum err_code
load(const struct desk *d, const struct gate_job *job, const json_t *members,
    struct err *e)
{
	size_t count = json_array_size(members);
	struct gate_set_part *parts = mem_array(count, sizeof *parts);
	char **paths = mem_array(count, sizeof *paths);
	enum err_code code;

	memset(paths, 0, count * sizeof *paths);
	code = read_parts(parts, paths, d, members, e);
	if (code == ERR_OK)
		code = gate_load_set(job, parts, count, e);
	for (size_t i = 0; i < count; i++)
		mem_free(paths[i]);
	mem_free(paths);
	mem_free(parts);
	return code;
}

static enum err_code
tell(struct desk *d, const char *digest, const char *engine, const char *state,
    const char *reason, struct err *e)
{
	return desk_tell(d, LEDGER_SET,
	    json_pack("{s:s,s:s,s:s,s:s*}", "digest", digest, "engine", engine,
		"state", state, "reason", reason),
	    NULL, e);
}

/* *asked: the engine gave an answer. */
static enum err_code
check(bool *asked, struct desk *d, const struct gate_job *job,
    const json_t *set, struct err *e)
{
	const char *digest = payload_text(set, "digest");
	const json_t *members = json_object_get(set, "members");
	int64_t from = clock_mono_ms();
	struct err why = { 0 };
	enum err_code code;
	const char *state;

	if (digest == NULL || !digest_is_hex(digest))
		return err_set(e, ERR_CORRUPT, "a set of bundles: no digest");
	code = load(d, job, members, &why);
	*asked = code == ERR_OK || code == ERR_INVALID;
	state = code == ERR_OK    ? "loads"
	    : code == ERR_INVALID ? "refused"
				  : "could_not_run";
	log_write(*asked ? LOG_INFO : LOG_WARN, "set.checked",
	    "digest=%.12s bundles=%zu state=%s ms=%" PRId64 " reason=%s",
	    digest, json_array_size(members), state, clock_mono_ms() - from,
	    code == ERR_OK ? "-" : why.text);
	return tell(d, digest, job->engine->digest, state,
	    code == ERR_OK ? NULL : why.text, e);
}

/* ---- before a publication ---- */

static enum err_code
ask_ledger(struct desk *d, const struct gate_job *job,
    const json_t *publication, json_t **out, struct err *e)
{
	return desk_tell(d, LEDGER_SETS,
	    json_pack("{s:s,s:O}", "engine", job->engine->digest, "publication",
		payload_unconst(publication)),
	    out, e);
}

enum err_code
set_check_publication(struct desk *d, const struct gate_job *job,
    const json_t *publication, struct err *e)
{
	for (int round = 0; round < CHECK_ROUNDS_MAX; round++) {
		AUTO_JSON reply = NULL;
		const json_t *sets;
		json_t *set;
		size_t i;

		TRY(ask_ledger(d, job, publication, &reply, e));
		sets = json_object_get(reply, "sets");
		if (json_array_size(sets) == 0)
			return ERR_OK;
		json_array_foreach(sets, i, set) {
			bool asked = false;

			/* Trouble of ours is no fault of the commit's. */
			if (check(&asked, d, job, set, e) != ERR_OK)
				return err_as(e, ERR_UNAVAILABLE);
			if (!asked)
				return ERR_OK; /* it waits, and says why */
		}
	}
	return ERR_OK;
}

/* ---- the thread ---- */

struct checker {
	struct desk *desk;
	struct store *store;
	struct gate_engine engine;
	struct timespec engine_changed;
	struct desk_runner runner;
	int64_t again_ms, again_wait_ms; /* after what could not be checked */
};

/* That of the repository that defines the clusters. */
static const struct conf_repository *
engine_owner(const struct conf *c)
{
	const struct conf_repository *r = c->repositories.items;

	for (size_t i = 0; i < c->repositories.count; i++)
		if (r[i].clusters)
			return &r[i];
	return r;
}

static enum err_code
know_engine(struct checker *k, const struct gate_job *job, struct err *e)
{
	const char *path = engine_owner(k->desk->conf)->engine.items[0];
	struct stat st;

	if (path[0] != '/')
		return err_set(e, ERR_UNAVAILABLE,
		    "engine %s was not found when the server started", path);
	if (stat(path, &st) != 0) {
		k->engine_changed = (struct timespec){ 0 };
		(void)err_errno(e, "engine %s", path);
		return err_as(e, ERR_UNAVAILABLE);
	}
	if (k->engine_changed.tv_sec == st.st_mtim.tv_sec &&
	    k->engine_changed.tv_nsec == st.st_mtim.tv_nsec)
		return ERR_OK;
	TRY(gate_ask_engine(&k->engine, path, job->runner, job->work, e));
	k->engine_changed = st.st_mtim;
	return ERR_OK;
}

static void
back_off(struct checker *k)
{
	k->again_wait_ms = k->again_wait_ms == 0 ? CHECK_AGAIN_MIN_MS
						 : k->again_wait_ms * 2;
	if (k->again_wait_ms > CHECK_AGAIN_MAX_MS)
		k->again_wait_ms = CHECK_AGAIN_MAX_MS;
	k->again_ms = clock_mono_ms() + k->again_wait_ms;
}

/* Without an engine that answers the ledger is told so: operators do not wait
 * then. */
static enum err_code
check_wanted(bool *asked, struct checker *k, const struct gate_job *job,
    const json_t *set, struct err *e)
{
	const char *digest = payload_text(set, "digest");
	struct err why = { 0 };

	if (know_engine(k, job, &why) != ERR_OK) {
		log_warn("set.checked",
		    "digest=%.12s state=could_not_run "
		    "reason=%s",
		    digest, why.text);
		return tell(k->desk, digest, k->engine.digest, "could_not_run",
		    why.text, e);
	}
	TRY(tell(k->desk, digest, k->engine.digest, "running", NULL, e));
	return check(asked, k->desk, job, set, e);
}

static void
check_one(struct checker *k, const json_t *set)
{
	char folder[24];
	const struct gate_runner runner = { .run = desk_run,
		.ctx = &k->runner };
	struct gate_job job = { .engine = &k->engine, .runner = &runner };
	AUTO_STR work = NULL;
	struct err e = { 0 };
	bool asked = false;
	enum err_code code;

	desk_folder(k->desk, folder);
	work = mem_printf("%s/work/%s", k->desk->conf->data_dir, folder);
	job.work = work;
	k->runner = (struct desk_runner){ .desk = k->desk,
		.repository = engine_owner(k->desk->conf)->name };
	code = file_make_dirs(work, &e);
	if (code == ERR_OK)
		code = check_wanted(&asked, k, &job, set, &e);
	if (code != ERR_OK)
		log_warn("set.check", "error=\"%s\"", e.text);
	if (asked)
		k->again_wait_ms = 0;
	else
		back_off(k);
	if (file_remove_tree(work, &e) != ERR_OK)
		log_warn("work.remove", "error=\"%s\"", e.text);
}

/* One that was never tried goes before those that wait for another try. True:
 * something was done. */
static bool
check_next(struct checker *k)
{
	AUTO_JSON wanted = NULL;
	bool due = clock_mono_ms() >= k->again_ms;
	struct err e = { 0 };
	json_t *set;
	size_t i;

	if ((k->store == NULL &&
		store_open_read(&k->store, k->desk->conf->data_dir, &e) !=
		    ERR_OK) ||
	    store_sets_wanted(k->store, &wanted, &e) != ERR_OK) {
		log_warn("set.wanted", "error=\"%s\"", e.text);
		return false;
	}
	json_array_foreach(wanted, i, set) {
		if (!due && strcmp(payload_text(set, "state"), "wanted") != 0)
			continue;
		check_one(k, set);
		return true;
	}
	return false;
}

void
set_check_run(struct desk *d)
{
	struct checker k = { .desk = d };
	uint64_t seen = 0;

	while (!atomic_load(&d->stopping)) {
		if (check_next(&k))
			continue;
		desk_wait(d, &seen,
		    k.again_wait_ms > 0 ? CHECK_AGAIN_MIN_MS : CHECK_LOOK_MS);
	}
	store_free(k.store);
}
