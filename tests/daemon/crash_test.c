#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/daemon/fixture.h"

enum { ROUNDS = 16, COMMITS_MAX = 64, PAUSE_MS = 500 };

static const char *const processes[] = { "ledger", "keeper", "pipeline",
	"http" };

/* Who may be served, and what was. */
static struct {
	const char *passing[COMMITS_MAX];
	size_t passing_count;
	const char *seen[COMMITS_MAX]; /* ETags that were verified */
	size_t seen_count;
	size_t answers;
} book;

static bool
is_listed(const char *const *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}

static const char *
passing(const char *rev)
{
	assert_true(book.passing_count < COMMITS_MAX);
	return book.passing[book.passing_count++] = rev;
}

/* A bundle with a good signature, of a commit that passed. */
static void
verify(const struct answer *a)
{
	json_t *said;
	const char *rev;

	daemon_save("got.tar.gz", a->body, a->len);
	said = json_loads(
	    daemon_sh(
		"edict verify got.tar.gz --json "
		"--key data/keys/$(cat data/keys/current).pub --scope main"),
	    0, NULL);
	assert_non_null(said);
	rev = daemon_text(said, "revision");
	if (!is_listed(book.passing, book.passing_count, rev))
		fail_msg("served, but never passed: %s", rev);
	json_decref(said);
}

/* Every answer is one that engines may have; none is fine, for a moment. */
static void
look(void)
{
	struct answer a =
	    daemon_get("/clusters/default/bundles/main", daemon_engine(), NULL);
	const char *etag;

	if (a.status == 0 || a.status == 503)
		return;
	if (a.status != 200)
		fail_msg("status %ld: %s", a.status, a.body);
	book.answers++;
	etag = answer_header(&a, "ETag");
	if (is_listed(book.seen, book.seen_count, etag))
		return;
	verify(&a);
	assert_true(book.seen_count < COMMITS_MAX);
	book.seen[book.seen_count++] = etag;
}

static bool
look_until(void *arg)
{
	look();
	return daemon_now_ms() >= *(int64_t *)arg;
}

static void
begin(void)
{
	memset(&book, 0, sizeof book);
	passing(daemon_level(1));
	daemon_start(NULL);
	daemon_wait_served(book.passing[0]);
	look();
}

static unsigned int
choose_seed(void)
{
	const char *given = getenv("EDICT_TEST_SEED");
	unsigned int seed = given != NULL
	    ? (unsigned int)strtoul(given, NULL, 10)
	    : (unsigned int)time(NULL);

	print_message("EDICT_TEST_SEED=%u plays the same again\n", seed);
	return seed;
}

static int
below(unsigned int *seed, int n)
{
	return rand_r(seed) % n;
}

SCENARIO(processes_die_while_commits_land)
{
	unsigned int seed = choose_seed();

	begin();
	for (int i = 0; i < ROUNDS; i++) {
		/* Each has its turn; who else, and when, is chance. */
		const char *name = processes[i % 4];
		const char *other = processes[below(&seed, 4)];
		bool bad = below(&seed, 4) == 0;
		int64_t until;
		const char *rev;

		if (bad)
			daemon_bad_level(1000 + i);
		rev = passing(daemon_level(2 + i));
		until = daemon_now_ms() + below(&seed, PAUSE_MS);
		daemon_wait("a moment by chance", look_until, &until,
		    DAEMON_DEADLINE_MS);
		daemon_kill(name, SIGKILL);
		if (below(&seed, 3) == 0)
			daemon_kill(other, SIGKILL);
		look();
		daemon_wait_served(rev);
		look();
	}
	print_message("%zu answers, %zu different bundles\n", book.answers,
	    book.seen_count);
	assert_in_range(book.seen_count, ROUNDS, COMMITS_MAX);
	/* And everything else works as before. */
	daemon_sh("edict rollback main --to %s --reason 'after all that'",
	    book.passing[0]);
	daemon_wait_served(book.passing[0]);
	look();
}

static pid_t pids[4];

static bool
are_gone(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < 4; i++)
		if (!daemon_is_gone(pids[i]))
			return false;
	return true;
}

/* All at once, and nobody is left to clean up. */
static void
crash_all(void)
{
	for (size_t i = 0; i < 4; i++)
		pids[i] = daemon_process(processes[i]);
	daemon_crash();
	daemon_wait("nobody outlives the supervisor", are_gone, NULL,
	    DAEMON_DEADLINE_MS);
}

/* One empty folder stays for the next poll. */
static bool
is_tidy(void *arg)
{
	(void)arg;
	return *daemon_sh("ls data/work; "
			  "find data/repos/remote/incoming -mindepth 2; "
			  "ls data/repos/remote/incoming | tail -n +2") == '\0';
}

SCENARIO(at_every_step_of_a_publication)
{
	static const char *const steps[] = { "repository.followed",
		"keeper.signed", "bundle.built", "gate.passed",
		"assign.changed", "commit.published" };

	begin();
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		size_t from = strlen(daemon_log());
		const char *rev = passing(daemon_level(2 + (int)i));

		daemon_wait_log(steps[i], from);
		crash_all();
		daemon_restart();
		look();
		daemon_wait_served(rev);
		look();
	}
	assert_int_equal(book.seen_count, 1 + sizeof steps / sizeof *steps);
	daemon_wait("what was begun and never ended is removed", is_tidy, NULL,
	    DAEMON_DEADLINE_MS);
}

SCENARIO(a_restart_serves_before_it_looks_at_git)
{
	struct answer a;

	begin();
	daemon_sh("mv remote.git away.git");
	crash_all();
	daemon_restart();
	/* The first answer is there at once; no repository, no engine's run. */
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "ETag"), book.seen[0]);
	daemon_wait_state("remote", "unreachable");
	daemon_sh("mv away.git remote.git");
	passing(daemon_level(2));
	daemon_api("POST", "/repositories/remote/fetch", "{}", 202);
	daemon_wait_served(book.passing[1]);
	look();
}

SCENARIO(serving_does_not_need_the_others)
{
	struct answer a;

	begin();
	/* Stopped, not dead: nobody starts another one. */
	daemon_kill("pipeline", SIGSTOP);
	daemon_kill("keeper", SIGSTOP);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	passing(daemon_level(2));
	daemon_kill("pipeline", SIGCONT);
	daemon_kill("keeper", SIGCONT);
	daemon_wait_served(book.passing[1]);
	/* Rollback needs neither. */
	daemon_kill("pipeline", SIGSTOP);
	daemon_kill("keeper", SIGSTOP);
	daemon_sh("edict rollback main --to %s --reason 'alone'",
	    book.passing[0]);
	daemon_wait_served(book.passing[0]);
	daemon_kill("ledger", SIGSTOP);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	for (size_t i = 0; i < 3; i++)
		daemon_kill(processes[i], SIGCONT);
	look();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(processes_die_while_commits_land),
		PLAY(at_every_step_of_a_publication),
		PLAY(a_restart_serves_before_it_looks_at_git),
		PLAY(serving_does_not_need_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
