#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusters/catalog.h"
#include "clusters/counters.h"
#include "core/file.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "world.h"

static struct world w;
static struct shelf *shelf;

static void
publish(int commit, char authz, char infra)
{
	struct world_publication p = { .repository = "policies",
		.commit = commit,
		.files = true,
		.bundles = { { "authz", authz, NULL },
		    { "infra", infra, NULL } },
		.clusters = { { "east", "authz infra" },
		    { "west", "authz" } } };

	world_verdict(&w, "policies", commit, "passed");
	if (world_publish(&w, &p) != ERR_OK)
		fail_msg("%s", w.e.text);
}

static int
setup(void **state)
{
	(void)state;
	world_open(&w);
	shelf = shelf_new(w.dir, 1 << 20);
	world_repository(&w, "policies", 1, 5);
	world_line(&w, "policies", 1, 1, 5);
	publish(1, 'a', 'b');
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	shelf_free(shelf);
	world_close(&w);
	return 0;
}

static struct catalog *
load(struct catalog *previous)
{
	struct catalog *c = NULL;

	if (catalog_load(&c, w.context.store, shelf, previous, &w.e) != ERR_OK)
		fail_msg("%s", w.e.text);
	return c;
}

static void
assert_has(const struct catalog_entry *entry, const char *bytes)
{
	struct shelf_bytes *b = shelf_borrow(entry->item);

	assert_int_equal(entry->size, strlen(bytes));
	assert_memory_equal(shelf_data(b), bytes, entry->size);
	shelf_return(b);
}

static char *
path_of(const struct catalog_entry *entry)
{
	return store_artifact_path(w.dir, entry->sha256);
}

/* The same content under another key: an engine that has it has what is
 * assigned. And what changes nothing here gives no new catalog. */
static void
test_variants_are_the_same(void **state)
{
	struct catalog *c = load(NULL);
	const struct catalog_entry *entry = catalog_find(c, "east", "authz");
	struct store_artifact a = { .bundle = "authz", .key = "other" };
	struct engines_mark variant, foreign = engines_mark("\"x\"");
	struct catalog *next;
	AUTO_STR etag = NULL;

	(void)state;
	memset(a.sha256, 'e', sizeof a.sha256 - 1);
	memset(a.content_sha256, 'f', sizeof a.content_sha256 - 1);
	(void)snprintf(a.revision, sizeof a.revision, "%s", entry->revision);
	(void)snprintf(a.content, sizeof a.content, "%s", entry->content);
	etag = mem_printf("\"sha256:%s\"", a.sha256);
	variant = engines_mark(etag);
	assert_true(catalog_is_content(c, entry, &entry->mark));
	assert_false(catalog_is_content(c, entry, &variant));
	next = load(c);
	assert_ptr_equal(next, c);
	catalog_unref(next);
	assert_int_equal(store_begin(w.context.store, &w.e), ERR_OK);
	assert_int_equal(store_put_artifact(w.context.store, &a, 1, &w.e),
	    ERR_OK);
	assert_int_equal(store_commit(w.context.store, &w.e), ERR_OK);
	next = load(c);
	entry = catalog_find(next, "east", "authz");
	assert_true(catalog_is_content(next, entry, &variant));
	assert_true(catalog_is_content(next, entry, &entry->mark));
	assert_false(catalog_is_content(next, entry, &foreign));
	entry = catalog_find(next, "east", "infra");
	assert_false(catalog_is_content(next, entry, &variant));
	catalog_unref(next);
	catalog_unref(c);
}

static void
test_what_is_assigned_is_served(void **state)
{
	struct catalog *c = load(NULL);
	const struct catalog_entry *entry = catalog_find(c, "east", "authz");
	const struct catalog_entry *const *having;
	AUTO_STR bytes = world_bytes("authz", 1, 'a');
	AUTO_STR etag = NULL;
	size_t count;

	(void)state;
	assert_non_null(entry);
	assert_has(entry, bytes);
	etag = mem_printf("\"sha256:%s\"", entry->sha256);
	assert_string_equal(entry->etag, etag);
	assert_int_equal(entry->serial, 1);
	assert_null(catalog_find(c, "west", "infra"));
	assert_null(catalog_find(c, "north", "authz"));
	assert_null(catalog_find(c, "east", "auth"));
	assert_int_equal(catalog_count(c), 3);
	assert_int_equal(catalog_missing(c), 0);
	/* One artifact is in memory once. */
	assert_ptr_equal(entry->item, catalog_find(c, "west", "authz")->item);
	having = catalog_having(c, "authz", &count);
	assert_int_equal(count, 2);
	assert_string_equal(having[0]->cluster, "east");
	assert_string_equal(having[1]->cluster, "west");
	(void)catalog_having(c, "infra", &count);
	assert_int_equal(count, 1);
	(void)catalog_having(c, "zzz", &count);
	assert_int_equal(count, 0);
	catalog_unref(c);
}

static void
test_tokens(void **state)
{
	struct catalog *c = load(NULL);
	const struct catalog_token *t;
	char digest[DIGEST_HEX_SIZE];

	(void)state;
	digest_hex(digest, w.admin, strlen(w.admin));
	t = catalog_token(c, digest);
	assert_non_null(t);
	assert_int_equal(t->role, SCOPE_ADMIN);
	digest_hex(digest, w.engine, strlen(w.engine));
	t = catalog_token(c, digest);
	assert_non_null(t);
	assert_int_equal(t->role, SCOPE_ENGINE);
	assert_string_equal(t->cluster, "");
	assert_null(catalog_token(c, w.engine));
	assert_null(catalog_token(c, ""));
	catalog_unref(c);
}

static void
test_files_that_vanish_are_no_trouble(void **state)
{
	struct catalog *first = load(NULL);
	const struct catalog_entry *entry =
	    catalog_find(first, "east", "authz");
	const struct shelf_item *item = entry->item;
	AUTO_STR path = path_of(entry);
	struct catalog *second;

	(void)state;
	assert_int_equal(unlink(path), 0);
	publish(2, 'a', 'c');
	second = load(first);
	catalog_unref(first);
	assert_int_equal(catalog_missing(second), 0);
	assert_ptr_equal(catalog_find(second, "east", "authz")->item, item);
	catalog_unref(second);
	/* Without one before there is nothing to go on. */
	second = load(NULL);
	assert_int_equal(catalog_missing(second), 2);
	assert_null(catalog_find(second, "east", "authz"));
	assert_non_null(catalog_find(second, "east", "infra"));
	catalog_unref(second);
}

static void
test_damaged_files_are_not_served(void **state)
{
	static const char *const damages[] = { "",
		"artifact of authz at 1 with x",
		"artifact of authz at 1 with a and more" };
	struct catalog *c = load(NULL);
	AUTO_STR path = path_of(catalog_find(c, "east", "authz"));

	(void)state;
	catalog_unref(c);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(file_replace(path, damages[i],
				     strlen(damages[i]), 0600, NULL),
		    ERR_OK);
		c = load(NULL);
		assert_null(catalog_find(c, "east", "authz"));
		assert_null(catalog_find(c, "west", "authz"));
		assert_non_null(catalog_find(c, "east", "infra"));
		assert_int_equal(catalog_missing(c), 2);
		catalog_unref(c);
	}
}

static void
assert_serves(const struct catalog *c, int commit, char content)
{
	const struct catalog_entry *entry = catalog_find(c, "east", "authz");
	AUTO_STR bytes = world_bytes("authz", commit, content);
	char id[STORE_ID_SIZE];

	assert_non_null(entry);
	world_id(id, commit);
	assert_string_equal(entry->revision, id);
	assert_int_equal(entry->serial, commit);
	assert_has(entry, bytes);
}

/* What cannot be read now leaves what was served, for as long as it takes. */
static void
test_what_was_served_stays(void **state)
{
	AUTO_STR bytes = world_bytes("authz", 2, 'c');
	struct catalog *c = load(NULL);
	char sha256[DIGEST_HEX_SIZE];
	AUTO_STR path = NULL;

	(void)state;
	digest_hex(sha256, bytes, strlen(bytes));
	path = store_artifact_path(w.dir, sha256);
	publish(2, 'c', 'b');
	assert_int_equal(unlink(path), 0);
	for (int i = 0; i < 2; i++) {
		struct catalog *next = load(c);

		catalog_unref(c);
		c = next;
		assert_serves(c, 1, 'a');
		assert_non_null(catalog_find(c, "west", "authz"));
		assert_int_equal(catalog_count(c), 3);
		assert_int_equal(catalog_missing(c), 2);
	}
	assert_int_equal(file_replace(path, bytes, strlen(bytes), 0600, NULL),
	    ERR_OK);
	for (int i = 0; i < 2; i++) {
		struct catalog *next = load(c);

		catalog_unref(c);
		c = next;
		assert_serves(c, 2, 'c');
		assert_int_equal(catalog_missing(c), 0);
	}
	catalog_unref(c);
}

/* Threads take and give back references while newer ones are swapped in. */
struct shared {
	pthread_mutex_t lock;
	struct catalog *now; /* under lock */
	atomic_bool stop;
};

static void *
read_on(void *arg)
{
	struct shared *sh = arg;

	while (!atomic_load(&sh->stop)) {
		struct catalog *c;
		const struct catalog_entry *entry;
		struct shelf_bytes *bytes;
		char digest[DIGEST_HEX_SIZE];

		pthread_mutex_lock(&sh->lock);
		c = catalog_ref(sh->now);
		pthread_mutex_unlock(&sh->lock);
		entry = catalog_find(c, "east", "authz");
		bytes = shelf_borrow(entry->item);
		digest_hex(digest, shelf_data(bytes), entry->size);
		shelf_return(bytes);
		if (strcmp(digest, entry->sha256) != 0)
			abort();
		catalog_unref(c);
	}
	return NULL;
}

static void
test_threads(void **state)
{
	struct shared sh = { .lock = PTHREAD_MUTEX_INITIALIZER,
		.now = load(NULL) };
	pthread_t threads[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_on,
				     &sh),
		    0);
	for (int i = 0; i < 50; i++) {
		struct catalog *old = sh.now;
		struct catalog *next;

		if (i % 10 == 9)
			publish(1 + i / 10, "abcde"[i / 10], 'b');
		next = load(old);
		pthread_mutex_lock(&sh.lock);
		sh.now = next;
		pthread_mutex_unlock(&sh.lock);
		catalog_unref(old);
	}
	atomic_store(&sh.stop, true);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	catalog_unref(sh.now);
}

static void
test_counters_are_shared(void **state)
{
	static const char *const names[] = { "policies", "rules" };
	struct counters *c = counters_new(names, 2);
	int64_t at;
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		counters_add(c, COUNTER_POLLS_200, 3);
		counters_set_waiting(c, 1, 7);
		counters_set_success(c, "rules", 42);
		counters_set_success(c, "others", 43);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	counters_add(c, COUNTER_POLLS_200, 1);
	counters_set_waiting(c, 0, 2);
	counters_set_waiting(c, COUNTERS_HTTP_MAX, 100);
	assert_int_equal(counters_get(c, COUNTER_POLLS_200), 4);
	assert_int_equal(counters_waiting(c), 9);
	assert_int_equal(counters_repositories(c), 2);
	assert_string_equal(counters_repository(c, 1, &at), "rules");
	assert_int_equal(at, 42);
	assert_string_equal(counters_repository(c, 0, &at), "policies");
	assert_int_equal(at, 0);
	for (size_t i = 0; i < COUNTERS; i++)
		assert_non_null(counter_names[i].name);
	counters_free(c);
}

/* What one process makes of the names is no other's trouble. */
static void
test_names_are_not_shared(void **state)
{
	static const char *const names[] = { "policies", "rules" };
	struct counters *c = counters_new(names, 2);
	int64_t at;
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < 2; i++)
			memset((void *)(uintptr_t)counters_repository(c, i,
				   &at),
			    'x', 64);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(counters_repository(c, 0, &at), "policies");
	assert_string_equal(counters_repository(c, 1, &at), "rules");
	counters_free(c);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_variants_are_the_same),
		WORLD_TEST(test_what_is_assigned_is_served),
		WORLD_TEST(test_tokens),
		WORLD_TEST(test_files_that_vanish_are_no_trouble),
		WORLD_TEST(test_damaged_files_are_not_served),
		WORLD_TEST(test_what_was_served_stays),
		WORLD_TEST(test_threads),
		cmocka_unit_test(test_counters_are_shared),
		cmocka_unit_test(test_names_are_not_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
