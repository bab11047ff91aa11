#include <string.h>

#include "bundler/bundle.h"
#include "bundler/cache_file.h"
#include "bundler/compile.h"
#include "bundler/known.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/artifact.h"
#include "server/pipeline/judge_steps.h"

/* Threads that read and compress one bundle: other repositories want to get on
 * as well. */
enum { WORKER_HANDS = 2 };

/* opa for compile and load. A commit whose results are known waits for no
 * slot. */
static enum err_code
run_in_slot(void *ctx, struct child_result *out, const struct gate_tool *tool,
    struct err *e)
{
	struct judging *j = ctx;
	struct desk *d = j->w->desk;
	bool alone = j->next_alone;
	enum err_code code;

	if (!desk_gate_enter(d, alone))
		return err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	code = desk_run(&j->w->runner, out, tool, e);
	desk_gate_leave(d, alone);
	j->next_alone = false;
	return code;
}

static void
run_next_alone(void *arg)
{
	struct judging *j = arg;

	log_warn("gate.retry", "repo=%s commit=%s", j->w->conf->name,
	    j->request->commit);
	j->next_alone = true;
}

json_t *
judge_strings(char *const *items, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, json_string(items[i]));
	return list;
}

static json_t *
bundle_json(const struct bundle *b, json_t *artifact)
{
	return json_pack("{s:s,s:s,s:I,s:o,s:i,s:o}", "name", b->name,
	    "content", b->content, "unpacked", (json_int_t)b->unpacked, "roots",
	    judge_strings(b->roots, b->root_count), "rego_version",
	    b->rego_version, "artifact",
	    artifact != NULL ? artifact : json_null());
}

static void
know_size(void *arg, const char *id, int64_t size)
{
	repo_know_size(arg, id, size);
}

void
judge_open_cache(struct worker *w)
{
	AUTO_STR path = NULL;

	if (w->cache != NULL)
		return;
	path = mem_printf("%s/repos/%s/cache", w->desk->conf->data_dir,
	    w->conf->name);
	w->cache = bundle_cache_new(BUNDLE_CACHE_MAX);
	w->cache_file = cache_file_new(path);
	cache_file_load(w->cache_file, w->cache, know_size, w->mirror);
}

/* The next commit is mostly this one again. */
static struct bundle_means
means_of(struct worker *w)
{
	return (struct bundle_means){ .threads = bundle_threads(WORKER_HANDS),
		.cache = w->cache };
}

/* What the store has for this content is as good, unless its file was lost or
 * damaged. */
static bool
is_stored(const struct judging *j, const struct bundle *b)
{
	struct store_artifact stored;

	if (store_has_content(j->w->store, b->name, b->content, &stored,
		NULL) != ERR_OK)
		return false;
	if (artifact_is_whole(j->w->desk, &stored))
		return true;
	log_warn("artifact.lost",
	    "repo=%s bundle=%s sha256=%s: missing or damaged; built again",
	    j->w->conf->name, b->name, stored.sha256);
	return false;
}

/* Puts *whole in a bare one's place. */
static enum err_code
plan_whole(struct judging *j, struct bundle **whole, const struct bundle **b,
    const struct bundle_means *means, struct err *e)
{
	const struct definition_bundle *d = j->definition->bundles.items;

	if (!known_is_bare(*b))
		return ERR_OK;
	while (strcmp(d->name, (*b)->name) != 0)
		d++;
	TRY(bundle_plan_with(whole, j->tree, d, means, e));
	*b = *whole;
	return ERR_OK;
}

static enum err_code
build_one(struct judging *j, const struct bundle *b,
    const struct bundle_means *means, struct err *e)
{
	AUTO(bundle, whole) = NULL;
	json_t *artifact = NULL;

	if (!is_stored(j, b)) {
		enum err_code code = plan_whole(j, &whole, &b, means, e);

		if (code == ERR_OK)
			code = artifact_build(&artifact, j->w->desk, &j->job, b,
			    means, e);
		counters_add(j->w->desk->counters,
		    code == ERR_OK ? COUNTER_BUILDS_DONE
				   : COUNTER_BUILDS_FAILED,
		    1);
		if (code != ERR_OK)
			return code;
	}
	(void)json_array_append_new(j->bundles, bundle_json(b, artifact));
	return ERR_OK;
}

/* What `compile` asks for. What opa made of the same input before, stands
 * beside the contents. */
static enum err_code
compile(struct judging *j, struct bundle_set *set,
    const struct bundle_means *means, struct err *e)
{
	AUTO_STR kept =
	    mem_printf("%s/contents/compiled", j->w->desk->conf->data_dir);
	struct compile_means how = { .job = &j->job,
		.pack = means,
		.kept = kept };
	enum err_code code = compile_all(set, j->definition, &how, e);

	if (how.built > 0)
		log_info("bundle.compiled",
		    "repo=%s commit=%s compiled=%zu version=%s",
		    j->w->conf->name, j->request->commit, how.built,
		    j->w->engine.version);
	return code;
}

/* Which modules nobody started here. */
static void
add_unstarted(struct buf *text, const struct bundle_set *set)
{
	const char *between = "not started, since this opa has no WebAssembly: "
			      "the modules of ";

	for (size_t i = 0; i < set->count; i++) {
		if (!compile_has_wasm(set->bundles[i]))
			continue;
		buf_printf(text, "%s%s", between, set->bundles[i]->name);
		between = ", ";
	}
}

static void
write_note(struct judging *j, const struct bundle_set *set)
{
	AUTO_BUF text = { 0 };

	mem_free(STEAL(j->verdict->note));
	buf_init(&text, GATE_REASON_MAX);
	if (!j->w->engine.wasm)
		add_unstarted(&text, set);
	definition_idle_excludes(&text, j->definition, j->tree);
	if (text.len > 0)
		j->verdict->note = mem_strdup(text.data);
}

static enum err_code
plan_all(struct judging *j, struct bundle_set *set,
    const struct bundle_means *means, struct err *e)
{
	enum err_code code =
	    known_plan_all(set, &j->planned, j->tree, j->definition, means, e);

	if (code != ERR_OK) {
		judge_refuse(j, "bundle", e);
		return code;
	}
	code = compile(j, set, means, e);
	if (code == ERR_OK)
		write_note(j, set);
	else
		judge_refuse(j, "compile", e);
	return code;
}

enum err_code
judge_build(struct judging *j, struct err *e)
{
	struct bundle_set set = { 0 };
	const struct bundle_means means = means_of(j->w);
	enum err_code code;

	j->builds = (struct gate_runner){ .run = run_in_slot, .ctx = j };
	j->job.runner = &j->builds;
	j->job.before_retry = run_next_alone;
	j->job.arg = j;
	code = plan_all(j, &set, &means, e);
	j->bundles = json_array();
	for (size_t i = 0; code == ERR_OK && i < set.count; i++) {
		if (j->only != NULL &&
		    strcmp(j->only, set.bundles[i]->name) != 0)
			continue;
		code = build_one(j, set.bundles[i], &means, e);
		if (code != ERR_OK) {
			if (strncmp(e->text, "bundle ", 7) != 0)
				(void)err_add(e, "bundle %s",
				    set.bundles[i]->name);
			judge_refuse(j, "load", e);
		}
	}
	bundle_set_clear(&set);
	return code;
}
