#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusters/catalog.h"
#include "clusters/ledger.h"
#include "clusters/store_set.h"
#include "clusters/store_view.h"
#include "clusters/view.h"
#include "core/channel.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/file.h"
#include "core/mem.h"
#include "world.h"

/* The real process on real pairs. This one keeps both ends, as the supervisor
 * does, and reads the database as http does. A reader is closed before the
 * ledger is started: SQLite's state must not be forked. */
static struct {
	struct world w; /* its store is the reader, or NULL */
	int pipeline[2], http[2];
	struct channel *as_pipeline, *as_http;
	pid_t pid;
	uint64_t next_id;
} l;

static const uint32_t nothing[] = { LEDGER_CHANGED, 0 };

enum { WAIT_MS = 20000 };

static void
start(void)
{
	l.pid = fork();
	assert_true(l.pid >= 0);
	if (l.pid == 0) {
		struct ledger_setup setup = { .data_dir = l.w.dir,
			.pipeline_fd = l.pipeline[1],
			.http_fds = { l.http[1] },
			.http_count = 1,
			.repositories_max = 4,
			.engines_max = 100,
			.handover_ms = 1000 };

		_exit(ledger_main(&setup));
	}
}

static int
finish(void)
{
	int status;

	assert_int_equal(waitpid(l.pid, &status, 0), l.pid);
	l.pid = 0;
	return status;
}

static void
end_ledger(int signal_number)
{
	assert_int_equal(kill(l.pid, signal_number), 0);
	(void)finish();
}

/* The reply to request id; what was changed meanwhile is only counted. */
static enum err_code
await(struct channel *c, uint64_t id, json_t **payload, struct err *e)
{
	for (;;) {
		struct message m = { 0 };
		enum err_code code =
		    channel_receive(c, &m, nothing, WAIT_MS, e);

		if (code != ERR_OK)
			return code;
		if ((m.kind & CHANNEL_REPLY) == 0 || m.id != id) {
			message_clear(&m);
			continue;
		}
		code = message_error(&m, e);
		if (code == ERR_OK && payload != NULL)
			*payload = json_incref(m.payload);
		message_clear(&m);
		return code;
	}
}

/* Takes payload over. */
static uint64_t
ask(struct channel *c, uint32_t kind, json_t *payload)
{
	uint64_t id = ++l.next_id;
	struct err e;

	assert_non_null(payload);
	if (channel_send(c, kind, id, 0, payload, NULL, 0, WAIT_MS, &e) !=
	    ERR_OK)
		fail_msg("%s", e.text);
	json_decref(payload);
	return id;
}

static enum err_code
call(struct channel *c, uint32_t kind, json_t *payload, struct err *e)
{
	return await(c, ask(c, kind, payload), NULL, e);
}

static void
must(uint32_t kind, json_t *payload)
{
	struct err e;

	if (call(l.as_pipeline, kind, payload, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
open_reader(void)
{
	struct err e;

	if (store_open_read(&l.w.context.store, l.w.dir, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
close_reader(void)
{
	store_free(l.w.context.store);
	l.w.context.store = NULL;
}

static json_t *
repository_payload(void)
{
	char id[STORE_ID_SIZE];

	world_id(id, 9);
	return json_pack("{s:s,s:s,s:s,s:s,s:n,s:s,s:s,s:i,s:i,s:i,s:n,s:s,"
			 "s:s}",
	    "name", "policies", "url", "/policies.git", "branch", "main",
	    "state", "ok", "alarm", "head", id, "followed", id, "line", 1,
	    "last_fetch_ms", 1, "last_success_ms", 1, "last_error", "engine",
	    "1.20.2", "sandbox", "none");
}

static json_t *
commits_payload(int count)
{
	json_t *list = json_array();

	for (int i = 1; i <= count; i++) {
		char id[STORE_ID_SIZE], parent[STORE_ID_SIZE];

		world_id(id, i);
		world_id(parent, i - 1);
		json_array_append_new(list,
		    json_pack("{s:s,s:s,s:s,s:s,s:i,s:i,s:s,s:i}", "id", id,
			"parent", parent, "tree", id, "author", "A <a@x>",
			"author_ms", 1, "commit_ms", 1, "subject", "x", "depth",
			i));
	}
	return json_pack("{s:s, s:i, s:o}", "repository", "policies", "line", 1,
	    "commits", list);
}

static json_t *
publish_payload(int commit, char content)
{
	struct world_publication p = { .repository = "policies",
		.commit = commit,
		.bundles = { { "authz", content, NULL },
		    { "infra", content, NULL } },
		.clusters = { { "east", "authz infra" },
		    { "west", "authz infra" } } };

	return world_publish_payload(&l.w, &p);
}

/* As the pipeline does it first. */
static void
load_sets(json_t *publication)
{
	json_t *reply = NULL;
	const json_t *sets;
	json_t *set;
	size_t i;
	struct err e;

	if (await(l.as_pipeline,
		ask(l.as_pipeline, LEDGER_SETS,
		    json_pack("{s:s, s:O}", "engine", WORLD_ENGINE,
			"publication", publication)),
		&reply, &e) != ERR_OK)
		fail_msg("%s", e.text);
	sets = json_object_get(reply, "sets");
	json_array_foreach(sets, i, set)
		must(LEDGER_SET, world_set_answer(set, "loads"));
	json_decref(reply);
}

static void
publish(int commit, char content)
{
	json_t *payload;

	must(LEDGER_VERDICT,
	    world_verdict_payload("policies", commit, "passed", 1));
	open_reader();
	payload = publish_payload(commit, content);
	close_reader();
	load_sets(payload);
	must(LEDGER_PUBLISH, payload);
}

static int
setup(void **state)
{
	struct err e;
	AUTO_STR admin = NULL;

	(void)state;
	memset(&l, 0, sizeof l);
	(void)snprintf(l.w.dir, sizeof l.w.dir, "/tmp/edict-ledger-XXXXXX");
	assert_non_null(mkdtemp(l.w.dir));
	assert_int_equal(store_prepare(l.w.dir, &e), ERR_OK);
	assert_int_equal(channel_pair(l.pipeline, &e), ERR_OK);
	assert_int_equal(channel_pair(l.http, &e), ERR_OK);
	l.as_pipeline = channel_new(l.pipeline[0], "ledger");
	l.as_http = channel_new(l.http[0], "ledger");
	start();
	must(LEDGER_REPOSITORY, repository_payload());
	must(LEDGER_COMMITS, commits_payload(9));
	admin = file_path(l.w.dir, "admin-token");
	assert_int_equal(file_read_secret(&l.w.admin, admin, &e), ERR_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (l.pid > 0) {
		assert_int_equal(kill(l.pid, SIGTERM), 0);
		assert_int_equal(finish(), 0);
	}
	channel_free(l.as_pipeline);
	channel_free(l.as_http);
	for (int i = 0; i < 2; i++) {
		close(l.pipeline[i]);
		close(l.http[i]);
	}
	mem_free(l.w.admin);
	assert_int_equal(file_remove_tree(l.w.dir, NULL), ERR_OK);
	return 0;
}

static json_t *
action(const char *token, json_t *fields)
{
	return world_action_payload(&l.w, token, fields);
}

static json_t *
rollback_action(int commit, int serial)
{
	char id[STORE_ID_SIZE];

	world_id(id, commit);
	return action(NULL,
	    json_pack("{s:s, s:s, s:s, s:s, s:[s], s:{s:i}}", "action",
		"rollback", "bundle", "authz", "to", id, "reason", "broke",
		"clusters", "east", "expect", "east", serial));
}

static void
check_assigned(const char *cluster, const char *expected)
{
	open_reader();
	assert_assigned(&l.w, cluster, "authz", expected);
	close_reader();
}

static void
test_a_commit_comes_through(void **state)
{
	struct message m = { 0 };
	struct err e;

	(void)state;
	publish(1, 'a');
	check_assigned("east", "1 following 1");
	/* http was told to look. */
	assert_int_equal(channel_receive(l.as_http, &m, nothing, WAIT_MS, &e),
	    ERR_OK);
	assert_int_equal(m.kind, LEDGER_CHANGED);
	message_clear(&m);
}

static void
test_http_cannot_judge_or_publish(void **state)
{
	static const uint32_t kinds[] = { LEDGER_REPOSITORY, LEDGER_COMMITS,
		LEDGER_VERDICT, LEDGER_PUBLISH, LEDGER_OPERATION };
	json_t *payload;
	struct err e;

	(void)state;
	publish(1, 'a');
	open_reader();
	payload = publish_payload(2, 'b');
	close_reader();
	assert_int_equal(call(l.as_http, LEDGER_VERDICT,
			     world_verdict_payload("policies", 2, "passed", 1),
			     &e),
	    ERR_DENIED);
	assert_int_equal(call(l.as_http, LEDGER_PUBLISH, payload, &e),
	    ERR_DENIED);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		assert_int_equal(call(l.as_http, kinds[i], json_object(), &e),
		    ERR_DENIED);
	/* And the pipeline is no operator, whatever token it has. */
	assert_int_equal(call(l.as_pipeline, LEDGER_ACTION,
			     rollback_action(1, 1), &e),
	    ERR_DENIED);
	check_assigned("east", "1 following 1");
}

static json_t *
engines_payload(int count, const char *name, int64_t forget_ms)
{
	json_t *list = json_array();

	for (int i = 0; i < count; i++)
		json_array_append_new(list,
		    json_pack("{s:s, s:o, s:i, s:{s:s}}", "cluster", "east",
			"name", json_sprintf("%s%d", name, i), "seen_ms",
			1000 + i, "facts", "version", "1.19.1"));
	return json_pack("{s:I, s:o}", "forget_before_ms",
	    (json_int_t)forget_ms, "engines", list);
}

static size_t
engines_known(void)
{
	struct err e;
	json_t *rows = NULL;
	size_t count;

	open_reader();
	if (store_view_engines(l.w.context.store, "", "", 1000, &rows, &e) !=
	    ERR_OK)
		fail_msg("%s", e.text);
	count = json_array_size(rows);
	json_decref(rows);
	close_reader();
	return count;
}

/* Limit and limit + 1 of all of it; start() gives room for 100. */
static void
test_engines_are_remembered(void **state)
{
	struct message m = { 0 };
	json_t *payload, *facts;
	struct err e;

	(void)state;
	while (channel_receive(l.as_http, &m, nothing, 0, &e) == ERR_OK)
		message_clear(&m);
	assert_int_equal(call(l.as_http, LEDGER_ENGINES,
			     engines_payload(99, "a", 0), &e),
	    ERR_OK);
	assert_int_equal(engines_known(), 99);
	/* Nobody has to look because of them. */
	assert_int_equal(channel_receive(l.as_http, &m, nothing, 0, &e),
	    ERR_TIMEOUT);
	assert_int_equal(call(l.as_http, LEDGER_ENGINES,
			     engines_payload(99, "a", 0), &e),
	    ERR_OK);
	assert_int_equal(call(l.as_http, LEDGER_ENGINES,
			     engines_payload(2, "b", 0), &e),
	    ERR_OK);
	assert_int_equal(engines_known(), 100);
	assert_int_equal(call(l.as_http, LEDGER_ENGINES,
			     engines_payload(0, "", 1050), &e),
	    ERR_OK);
	assert_int_equal(engines_known(), 49);
	assert_int_equal(call(l.as_pipeline, LEDGER_ENGINES,
			     engines_payload(1, "c", 0), &e),
	    ERR_DENIED);
	assert_int_equal(call(l.as_http, LEDGER_ENGINES,
			     engines_payload(LEDGER_ENGINES_MAX + 1, "d", 0),
			     &e),
	    ERR_LIMIT);
	assert_int_equal(call(l.as_http, LEDGER_ENGINES,
			     engines_payload(1, "not a name", 0), &e),
	    ERR_INVALID);
	payload = engines_payload(1, "e", 0);
	facts = json_object_get(
	    json_array_get(json_object_get(payload, "engines"), 0), "facts");
	for (int i = 0; i < LEDGER_ENGINE_FACTS_MAX / 8; i++)
		json_object_set_new(facts,
		    (char[]){ (char)('a' + i % 26), (char)('a' + i / 26 % 26),
			(char)('a' + i / 676), '\0' },
		    json_true());
	assert_int_equal(call(l.as_http, LEDGER_ENGINES, payload, &e),
	    ERR_LIMIT);
	assert_int_equal(engines_known(), 49);
}

/* A batch that comes with the end is not lost. */
static void
test_the_last_batch_is_written(void **state)
{
	(void)state;
	assert_int_equal(kill(l.pid, SIGSTOP), 0);
	(void)ask(l.as_http, LEDGER_ENGINES, engines_payload(3, "a", 0));
	assert_int_equal(kill(l.pid, SIGTERM), 0);
	assert_int_equal(kill(l.pid, SIGCONT), 0);
	assert_int_equal(finish(), 0);
	assert_int_equal(engines_known(), 3);
}

static void
test_tokens_are_checked_here(void **state)
{
	static const char *const tokens[] = { "", "edict_x", "admin" };
	struct err e;
	AUTO_STR path = file_path(l.w.dir, "engine-token");
	char *engine;

	(void)state;
	publish(1, 'a');
	assert_int_equal(file_read_secret(&engine, path, &e), ERR_OK);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(call(l.as_http, LEDGER_ACTION,
				     action(i < 3 ? tokens[i] : engine,
					 json_pack("{s:s, s:s, s:s}", "action",
					     "pin", "bundle", "authz", "reason",
					     "x")),
				     &e),
		    ERR_DENIED);
	mem_free(engine);
	check_assigned("east", "1 following 1");
}

static void
answer_wanted(void)
{
	json_t *sets = NULL;
	json_t *set;
	size_t i;
	struct err e;

	open_reader();
	assert_int_equal(store_sets_wanted(l.w.context.store, &sets, &e),
	    ERR_OK);
	close_reader();
	assert_true(json_array_size(sets) > 0);
	json_array_foreach(sets, i, set)
		must(LEDGER_SET, world_set_answer(set, "loads"));
	json_decref(sets);
}

static void
test_one_of_two_rollbacks_wins(void **state)
{
	uint64_t first, second;
	struct err e;

	(void)state;
	publish(1, 'a');
	publish(2, 'b');
	publish(3, 'c');
	first = ask(l.as_http, LEDGER_ACTION, rollback_action(1, 3));
	second = ask(l.as_http, LEDGER_ACTION, rollback_action(2, 3));
	/* Both wait for the engine: nobody had these contents together. */
	assert_int_equal(await(l.as_http, first, NULL, &e), ERR_OK);
	assert_int_equal(await(l.as_http, second, NULL, &e), ERR_OK);
	check_assigned("east", "3 following 3");
	answer_wanted();
	check_assigned("east", "1 held 4");
	assert_int_equal(call(l.as_http, LEDGER_ACTION, rollback_action(2, 3),
			     &e),
	    ERR_CONFLICT);
	check_assigned("east", "1 held 4");
	check_assigned("west", "3 following 3");
}

static void
test_refusals_change_nothing(void **state)
{
	json_t *payload;
	json_t *bundles;
	struct err e;

	(void)state;
	publish(1, 'a');
	must(LEDGER_VERDICT, world_verdict_payload("policies", 2, "passed", 1));
	open_reader();
	payload = publish_payload(2, 'b');
	close_reader();
	/* The first bundle is fine, the second is not. */
	bundles = json_object_get(payload, "bundles");
	json_object_set_new(json_array_get(bundles, 1), "content",
	    json_string("short"));
	assert_int_equal(call(l.as_pipeline, LEDGER_PUBLISH, payload, &e),
	    ERR_INVALID);
	check_assigned("east", "1 following 1");
	open_reader();
	assert_int_equal(view_revision(l.w.context.store, "authz", "abc00002",
			     &payload, &e),
	    ERR_NOT_FOUND);
	close_reader();
}

/* What must hold whenever the ledger is stopped, however it is. */
static void
check_whole(void)
{
	struct store_assignments all;
	struct err e;

	open_reader();
	if (store_verify_audit(l.w.context.store, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(store_assignments(l.w.context.store, NULL, NULL, &all,
			     &e),
	    ERR_OK);
	assert_true(all.count == 0 || all.count == 4);
	/* All moved together or none. */
	for (size_t i = 1; i < all.count; i++) {
		assert_string_equal(all.items[0].revision,
		    all.items[i].revision);
		assert_int_equal(all.items[0].serial, all.items[i].serial);
	}
	store_assignments_clear(&all);
	close_reader();
}

static void
test_killed_at_any_moment(void **state)
{
	enum { ROUNDS = 12, COMMITS = 9 };
	json_t *verdicts[COMMITS + 1], *publications[COMMITS + 1];
	char last[64];

	(void)state;
	open_reader();
	for (int i = 1; i <= COMMITS; i++) {
		verdicts[i] = world_verdict_payload("policies", i, "passed", 1);
		publications[i] = publish_payload(i, i % 2 == 0 ? 'a' : 'b');
	}
	close_reader();
	for (int i = 1; i <= 2; i++) { /* the contents that there are */
		must(LEDGER_VERDICT, json_incref(verdicts[i]));
		load_sets(publications[i]);
	}
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t ids[2 * COMMITS];
		struct err e;

		/* All is asked at once; it dies after some answers, in the
		 * middle of the rest. Then all is asked again. */
		for (int i = 1; i <= COMMITS; i++) {
			ids[2 * i - 2] = ask(l.as_pipeline, LEDGER_VERDICT,
			    json_incref(verdicts[i]));
			ids[2 * i - 1] = ask(l.as_pipeline, LEDGER_PUBLISH,
			    json_incref(publications[i]));
		}
		(void)await(l.as_pipeline, ids[round], NULL, &e);
		end_ledger(SIGKILL);
		check_whole();
		start();
	}
	for (int i = 1; i <= COMMITS; i++) {
		must(LEDGER_VERDICT, verdicts[i]);
		must(LEDGER_PUBLISH, publications[i]);
	}
	check_whole();
	/* How often it moved depends on what was lost, but not where to. */
	open_reader();
	world_assigned(&l.w, last, "west", "infra");
	close_reader();
	assert_memory_equal(last, "9 following ", 12);
}

static void
test_restart_takes_up_the_same_pair(void **state)
{
	uint64_t id;
	struct err e;

	(void)state;
	end_ledger(SIGKILL);
	id = ask(l.as_pipeline, LEDGER_VERDICT,
	    world_verdict_payload("policies", 1, "failed", 1));
	start();
	assert_int_equal(await(l.as_pipeline, id, NULL, &e), ERR_OK);
}

/* Neither a token that was moved away nor one with a wrong mode is a matter of
 * the ledger's, however often it starts. */
static void
test_restart_leaves_tokens_alone(void **state)
{
	AUTO_STR admin = file_path(l.w.dir, "admin-token");
	AUTO_STR engine = file_path(l.w.dir, "engine-token");
	struct err e;

	(void)state;
	publish(1, 'a');
	assert_int_equal(unlink(admin), 0);
	assert_int_equal(chmod(engine, 0640), 0);
	end_ledger(SIGKILL);
	start();
	assert_int_equal(call(l.as_http, LEDGER_ACTION, rollback_action(1, 1),
			     &e),
	    ERR_OK);
	assert_int_not_equal(access(admin, F_OK), 0);
}

static void
test_newer_schema_does_not_start(void **state)
{
	AUTO_STR path = mem_printf("%s/store/edict.db", l.w.dir);
	sqlite3 *db;

	(void)state;
	end_ledger(SIGTERM);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 1000", NULL,
			     NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(db);
	start();
	assert_true(WEXITSTATUS(finish()) == 1);
}

static void
test_it_is_confined(void **state)
{
	AUTO_STR path = mem_printf("/proc/%d/status", (int)l.pid);
	AUTO_BUF text;
	int fd;

	(void)state;
	publish(1, 'a'); /* so it has started */
	buf_init(&text, 1 << 16);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_read_fd(&text, fd, path, NULL), ERR_OK);
	close(fd);
	assert_non_null(strstr(text.data, "Seccomp:\t2"));
	assert_non_null(strstr(text.data, "NoNewPrivs:\t1"));
}

static void
test_hostile_messages(void **state)
{
	static const char *const texts[] = { "{}", "{\"token\":1}",
		"{\"token\":\"x\",\"peer\":\"y\",\"action\":{}}",
		"{\"token\":null,\"peer\":null,\"action\":null}" };
	struct err e;

	(void)state;
	publish(1, 'a');
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_int_equal(call(l.as_http, LEDGER_ACTION,
				     json_loads(texts[i], 0, NULL), &e),
		    ERR_INVALID);
	/* Not even a message. */
	assert_int_equal(write(l.http[0], "junk", 4), 4);
	assert_int_equal(call(l.as_http, LEDGER_ACTION, rollback_action(1, 1),
			     &e),
	    ERR_OK);
	check_assigned("east", "1 held 2");
}

#define LEDGER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(test_a_commit_comes_through),
		LEDGER_TEST(test_http_cannot_judge_or_publish),
		LEDGER_TEST(test_engines_are_remembered),
		LEDGER_TEST(test_the_last_batch_is_written),
		LEDGER_TEST(test_tokens_are_checked_here),
		LEDGER_TEST(test_one_of_two_rollbacks_wins),
		LEDGER_TEST(test_refusals_change_nothing),
		LEDGER_TEST(test_killed_at_any_moment),
		LEDGER_TEST(test_restart_takes_up_the_same_pair),
		LEDGER_TEST(test_restart_leaves_tokens_alone),
		LEDGER_TEST(test_newer_schema_does_not_start),
		LEDGER_TEST(test_it_is_confined),
		LEDGER_TEST(test_hostile_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
