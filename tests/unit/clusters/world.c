#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusters/store_set.h"
#include "clusters/view.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/digest.h"

void
world_begin(struct world *w)
{
	struct err e = { 0 };
	AUTO_STR admin = file_path(w->dir, "admin-token");
	AUTO_STR engine = file_path(w->dir, "engine-token");

	if (store_open(&w->context.store, w->dir, &e) != ERR_OK ||
	    store_make_tokens(w->context.store, w->dir, &e) != ERR_OK ||
	    file_read_secret(&w->admin, admin, &e) != ERR_OK ||
	    file_read_secret(&w->engine, engine, &e) != ERR_OK)
		fail_msg("%s", e.text);
	w->context.repositories_left = 4;
}

void
world_end(struct world *w)
{
	store_free(w->context.store);
	mem_free(w->admin);
	mem_free(w->engine);
	w->context.store = NULL;
	w->admin = w->engine = NULL;
}

void
world_open(struct world *w)
{
	*w = (struct world){ .dir = "/tmp/edict-clusters-XXXXXX" };
	log_init("test", LOG_ERROR);
	assert_non_null(mkdtemp(w->dir));
	world_begin(w);
}

void
world_reopen(struct world *w)
{
	world_end(w);
	world_begin(w);
}

void
world_close(struct world *w)
{
	world_end(w);
	assert_int_equal(file_remove_tree(w->dir, NULL), ERR_OK);
}

void
world_id(char out[STORE_ID_SIZE], int commit)
{
	if (commit == 0)
		out[0] = '\0';
	else
		(void)snprintf(out, STORE_ID_SIZE, "%08x%032x",
		    0xabc00000u + (unsigned int)commit, 0u);
}

void
world_content(char out[STORE_DIGEST_SIZE], char letter)
{
	memset(out, letter, STORE_DIGEST_SIZE - 1);
	out[STORE_DIGEST_SIZE - 1] = '\0';
}

enum err_code
world_run(struct world *w, ledger_fn *run, json_t *payload, json_t **reply)
{
	struct store *s = w->context.store;
	json_t *answer = NULL;
	enum err_code code;

	assert_non_null(payload);
	w->e.text[0] = '\0';
	assert_int_equal(store_begin(s, &w->e), ERR_OK);
	code = run(&w->context, payload, &answer, &w->e);
	if (code == ERR_OK)
		assert_int_equal(store_commit(s, &w->e), ERR_OK);
	else
		store_rollback(s);
	json_decref(payload);
	if (reply != NULL)
		*reply = answer;
	else
		json_decref(answer);
	return code;
}

static void
must(struct world *w, ledger_fn *run, json_t *payload)
{
	if (world_run(w, run, payload, NULL) != ERR_OK)
		fail_msg("%s", w->e.text);
}

void
world_repository(struct world *w, const char *name, int line, int followed)
{
	char id[STORE_ID_SIZE];

	world_id(id, followed);
	must(w, ledger_repository,
	    json_pack("{s:s,s:s,s:s,s:s,s:n,s:s,s:s,s:i,s:i,s:i,s:n,s:s,s:s}",
		"name", name, "url", "/policies.git", "branch", "main", "state",
		"ok", "alarm", "head", id, "followed", id, "line", line,
		"last_fetch_ms", 1000, "last_success_ms", 1000, "last_error",
		"engine", "1.20.2", "sandbox", "none"));
}

void
world_commit(struct world *w, const char *repository, int line, int commit,
    int parent, int depth)
{
	char id[STORE_ID_SIZE], above[STORE_ID_SIZE];

	world_id(id, commit);
	world_id(above, parent);
	must(w, ledger_commits,
	    json_pack("{s:s, s:i, s:[{s:s,s:s,s:s,s:s,s:i,s:i,s:s,s:i}]}",
		"repository", repository, "line", line, "commits", "id", id,
		"parent", above, "tree", id, "author", "A <a@example.org>",
		"author_ms", 1000 * commit, "commit_ms", 1000 * commit,
		"subject", "change", "depth", depth));
}

void
world_line(struct world *w, const char *repository, int line, int first,
    int last)
{
	for (int i = first; i <= last; i++)
		world_commit(w, repository, line, i, i - 1, i);
}

json_t *
world_verdict_payload(const char *repository, int commit, const char *state,
    int attempt)
{
	char id[STORE_ID_SIZE];
	char identity[STORE_DIGEST_SIZE];

	world_id(id, commit);
	digest_hex(identity, id, strlen(id));
	return json_pack("{s:s, s:s, s:{s:s,s:n,s:n,s:s,s:i,s:n,s:s,s:s,s:i,"
			 "s:{s:i,s:i,s:i,s:i,s:i},s:s,"
			 "s:[{s:s,s:s,s:s,s:i,s:i,s:s,s:n}]}}",
	    "repository", repository, "commit", id, "verdict", "state", state,
	    "stage", "reason", "started_at", "2026-01-31T10:15:02.123Z",
	    "duration_ms", 512, "coverage", "engine", "1.20.2", "sandbox",
	    "none", "attempts", attempt, "tests", "passed", 1, "failed", 0,
	    "errors", 0, "skipped", 0, "total", 1, "identity", identity,
	    "results", "package", "data.authz", "name", "test_it", "file",
	    "authz_test.rego", "line", 3, "duration_ns", 1000, "outcome",
	    "passed", "text");
}

void
world_verdict(struct world *w, const char *repository, int commit,
    const char *state)
{
	static int attempt;

	must(w, ledger_verdict,
	    world_verdict_payload(repository, commit, state, ++attempt));
}

char *
world_bytes(const char *bundle, int commit, char content)
{
	return mem_printf("artifact of %s at %d with %c", bundle, commit,
	    content);
}

static json_t *
artifact_json(struct world *w, const struct world_publication *p,
    const struct world_bundle *b)
{
	AUTO_STR bytes = world_bytes(b->name, p->commit, b->content);
	char sha256[STORE_DIGEST_SIZE], content[STORE_DIGEST_SIZE];
	struct store_artifact known;

	world_content(content, b->content);
	if (store_has_content(w->context.store, b->name, content, &known,
		NULL) == ERR_OK)
		return json_null();
	digest_hex(sha256, bytes, strlen(bytes));
	if (p->files) {
		AUTO_STR path = store_artifact_path(w->dir, sha256);
		AUTO_STR dir = mem_strdup(path);

		*strrchr(dir, '/') = '\0';
		assert_int_equal(file_make_dirs(dir, NULL), ERR_OK);
		assert_int_equal(file_replace(path, bytes, strlen(bytes), 0600,
				     NULL),
		    ERR_OK);
	}
	return json_pack("{s:s, s:i, s:s, s:s}", "sha256", sha256, "size",
	    (int)strlen(bytes), "key", "k1", "content_sha256", content);
}

static json_t *
bundles_json(struct world *w, const struct world_publication *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < 4 && p->bundles[i].name != NULL; i++) {
		const struct world_bundle *b = &p->bundles[i];
		char content[STORE_DIGEST_SIZE];

		world_content(content, b->content);
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:i, s:[s], s:i, s:o}", "name",
			b->name, "content", content, "unpacked", 100, "roots",
			b->root != NULL ? b->root : b->name, "rego_version", 1,
			"artifact", artifact_json(w, p, b)));
	}
	return list;
}

static json_t *
words(const char *text)
{
	json_t *list = json_array();

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		json_array_append_new(list, json_stringn(text, len));
		text += len;
		text += strspn(text, " ");
	}
	return list;
}

json_t *
world_publish_payload(struct world *w, const struct world_publication *p)
{
	char id[STORE_ID_SIZE], identity[STORE_DIGEST_SIZE];
	json_t *clusters = json_array();

	world_id(id, p->commit);
	digest_hex(identity, id, strlen(id));
	for (size_t i = 0; i < 4 && p->clusters[i].name != NULL; i++)
		json_array_append_new(clusters,
		    json_pack("{s:s, s:{s:s}, s:o}", "name",
			p->clusters[i].name, "labels", "env", "test", "bundles",
			words(p->clusters[i].bundles)));
	return json_pack("{s:s, s:s, s:s, s:b, s:I, s:o, s:o}", "repository",
	    p->repository, "commit", id, "identity", identity, "owns_clusters",
	    !p->no_clusters, "operation", (json_int_t)p->operation, "bundles",
	    bundles_json(w, p), "clusters", clusters);
}

json_t *
world_set_answer(const json_t *set, const char *state)
{
	return json_pack("{s:O, s:s, s:s}", "digest",
	    json_object_get(set, "digest"), "engine", WORLD_ENGINE, "state",
	    state);
}

/* What the pipeline does before it publishes: the engine loads whatever it is
 * asked about. */
static void
load_sets(struct world *w, const struct world_publication *p)
{
	for (size_t count = 1; count > 0;) {
		json_t *reply = NULL;
		const json_t *sets;
		json_t *set;
		size_t i;

		if (world_run(w, ledger_sets,
			json_pack("{s:s, s:o}", "engine", WORLD_ENGINE,
			    "publication", world_publish_payload(w, p)),
			&reply) != ERR_OK)
			return; /* publishing says the same */
		sets = json_object_get(reply, "sets");
		count = json_array_size(sets);
		json_array_foreach(sets, i, set)
			must(w, ledger_set, world_set_answer(set, "loads"));
		json_decref(reply);
	}
}

size_t
world_answer_sets_once(struct world *w, const char *state)
{
	json_t *sets = NULL;
	json_t *set;
	size_t count;
	size_t i;

	assert_int_equal(store_sets_wanted(w->context.store, &sets, &w->e),
	    ERR_OK);
	count = json_array_size(sets);
	json_array_foreach(sets, i, set)
		must(w, ledger_set, world_set_answer(set, state));
	json_decref(sets);
	return count;
}

void
world_answer_sets(struct world *w, const char *state)
{
	while (world_answer_sets_once(w, state) > 0)
		continue;
}

enum err_code
world_publish(struct world *w, const struct world_publication *p)
{
	load_sets(w, p);
	return world_run(w, ledger_publish, world_publish_payload(w, p), NULL);
}

void
world_pass(struct world *w, int commit, char content)
{
	struct world_publication p = { .repository = "policies",
		.commit = commit,
		.bundles = { { "authz", content, NULL } },
		.clusters = { { "prod", "authz" } } };

	world_verdict(w, "policies", commit, "passed");
	if (world_publish(w, &p) != ERR_OK)
		fail_msg("%s", w->e.text);
}

json_t *
world_action_payload(struct world *w, const char *token, json_t *fields)
{
	json_object_set_new(fields, "token",
	    json_string(token != NULL ? token : w->admin));
	json_object_set_new(fields, "peer", json_string("127.0.0.1"));
	return fields;
}

enum err_code
world_action(struct world *w, json_t *fields, json_t **body)
{
	json_t *reply = NULL;
	enum err_code code;

	assert_non_null(fields);
	code = world_run(w, ledger_action,
	    world_action_payload(w, NULL, fields), &reply);
	if (code == ERR_OK && body != NULL)
		*body = json_incref(json_object_get(reply, "body"));
	json_decref(reply);
	return code;
}

static int
commit_of(const char *id)
{
	char digits[9] = "";

	memcpy(digits, id, 8);
	return (int)(strtoul(digits, NULL, 16) - 0xabc00000u);
}

void
world_assigned(struct world *w, char out[64], const char *cluster,
    const char *bundle)
{
	struct store_assignments list = { 0 };
	const struct assignment *a = NULL;

	assert_int_equal(store_assignments(w->context.store, cluster, bundle,
			     &list, &w->e),
	    ERR_OK);
	if (list.count > 0)
		a = &list.items[0];
	(void)snprintf(out, 64, "none");
	if (a != NULL)
		(void)snprintf(out, 64, "%d %s %lld", commit_of(a->revision),
		    assign_mode_name(a->mode), (long long)a->serial);
	store_assignments_clear(&list);
}
