/* What is kept, what goes, and what never goes. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

enum { LEVELS = 6, ROUNDS = 10, ORPHANS = 1500 };

static const char *revs[LEVELS + 1];

static void
serve(const char *retention)
{
	struct daemon_options o = {
		.config = daemon_printf("repositories:\n"
					"  remote: {url: '%s'}\n"
					"retention: %s\n",
		    daemon_path("remote.git"), retention),
	};

	daemon_start(&o);
}

static void
publish(int from, int to)
{
	for (int i = from; i <= to; i++) {
		revs[i] = daemon_level(i);
		if (daemon_pid() != 0)
			daemon_wait_served(revs[i]);
	}
	/* Its files are among those that are counted below. */
	daemon_wait_settled("default");
}

/* Files are as old as nobody's work is. */
static void
grow_old(void)
{
	daemon_sh("find data/artifacts data/contents -type f "
		  "-exec touch -d '2 hours ago' {} +");
}

static json_t *
gc(const char *options)
{
	json_t *said =
	    json_loads(daemon_sh("edict gc --json %s", options), 0, NULL);

	assert_non_null(said);
	return said;
}

static int64_t
gc_count(const char *options, const char *what)
{
	json_t *said = gc(options);
	int64_t n = daemon_number(said, what);

	json_decref(said);
	return n;
}

static const char *
files(void)
{
	return daemon_sh("cd data && find artifacts contents -type f | sort | "
			 "xargs sha256sum");
}

/* Rows without their files, and files without a row. */
static void
check_whole(void)
{
	json_t *said;

	daemon_sh("rm -f whole.tar");
	said = json_loads(daemon_sh("edict backup whole.tar --data-dir data "
				    "--json"),
	    0, NULL);
	assert_non_null(said);
	if (json_array_size(json_object_get(said, "missing")) > 0)
		fail_msg("missing: %s", json_dumps(said, 0));
	json_decref(said);
	grow_old();
	assert_int_equal(gc_count("--dry-run", "files"), 0);
}

static json_t *
revision(const char *rev)
{
	return daemon_api("GET",
	    daemon_printf("/bundles/main/revisions/%s", rev), NULL, 200);
}

static bool
is_stored(const char *rev)
{
	return json_is_true(daemon_at(revision(rev), "stored"));
}

/* ---- scenarios ---- */

SCENARIO(what_is_kept_no_longer_goes)
{
	const char *before;
	json_t *said, *commit;
	int64_t n;

	serve(
	    "{every: 0s, artifacts: {count: 2, age: 0s},"
	    " reports: {count: 2, age: 0s}, operations: {count: 1, age: 0s}}");
	publish(1, LEVELS);
	daemon_sh("edict retest %s", revs[1]);
	daemon_sh("edict retest %s", revs[1]);
	/* Held at 2, and 6 is what it was rolled back from. */
	daemon_sh("edict rollback main --to %s --reason held", revs[2]);
	daemon_wait_served(revs[2]);
	grow_old();
	daemon_sh("mkdir -p data/artifacts/00 data/contents/00 data/work/1 && "
		  "name=$(printf '%%064d' 7).tar.gz && "
		  "touch -d '2 hours ago' data/artifacts/00/$name "
		  "data/contents/00/$name data/contents/00/$name.tmp.1.a && "
		  "touch data/artifacts/00/$(printf '%%064d' 8).tar.gz && "
		  "touch -d '2 days ago' data/work/1");

	/* Looking changes nothing. */
	before = files();
	said = gc("--dry-run");
	assert_int_equal(daemon_number(said, "artifacts"), 3);
	assert_int_equal(daemon_number(said, "files"), 9);
	assert_true(daemon_number(said, "file_bytes") > 1000);
	assert_int_equal(daemon_number(said, "leftovers"), 1);
	assert_string_equal(files(), before);
	assert_true(is_stored(revs[3]));

	n = daemon_number(said, "file_bytes");
	json_decref(said);
	said = gc("--reason 'too much'");
	assert_int_equal(daemon_number(said, "artifacts"), 3);
	assert_int_equal(daemon_number(said, "files"), 9);
	assert_int_equal(daemon_number(said, "file_bytes"), n);
	assert_true(daemon_number(said, "operations") > 0);
	assert_true(daemon_number(said, "reports") > 0);
	json_decref(said);
	for (int i = 1; i <= LEVELS; i++)
		assert_int_equal(is_stored(revs[i]),
		    i != 1 && i != 3 && i != 4);
	daemon_sh("test -e data/artifacts/00/*8.tar.gz && ! ls data/work/1");
	assert_int_equal(gc_count("", "files"), 0);

	/* The verdict stays, its tests go; those of what is served stay. */
	commit =
	    daemon_api("GET", daemon_printf("/commits/%s", revs[3]), NULL, 200);
	assert_string_equal(daemon_text(commit, "verdict.state"), "passed");
	assert_non_null(daemon_text(commit, "verdicts.0.results_removed_at"));
	assert_null(daemon_at(commit, "verdicts.0.results"));
	daemon_sh("edict show %s", revs[3]);
	commit =
	    daemon_api("GET", daemon_printf("/commits/%s", revs[2]), NULL, 200);
	assert_non_null(daemon_at(commit, "verdicts.0.results.0"));

	/* All is served, over a restart too; what went is built again. */
	daemon_restart();
	daemon_wait_served(revs[2]);
	daemon_sh("edict rollback main --to %s --reason 'long ago'", revs[3]);
	daemon_wait_served(revs[3]);
	assert_true(is_stored(revs[3]));
	daemon_sh("edict resume main");
	daemon_wait_served(revs[LEVELS]);
	daemon_sh("edict audit --verify");
	daemon_sh("edict audit --kind collect --json | "
		  "grep -q '\"artifacts\": 3'");
	said = daemon_api("GET", "/audit?kind=gc", NULL, 200);
	assert_string_equal(daemon_text(said, "items.0.who"), "admin");
	grow_old();
	(void)gc_count("", "files");
	check_whole();
}

static bool
is_collected(void *arg)
{
	return !is_stored(arg);
}

SCENARIO(the_server_does_it_by_itself)
{
	char first[64];

	serve("{every: 1s, artifacts: {count: 1, age: 0s}}");
	publish(1, 3);
	(void)snprintf(first, sizeof first, "%s", revs[1]);
	daemon_wait("the first one goes", is_collected, first,
	    DAEMON_DEADLINE_MS);
	assert_true(is_stored(revs[3]));
	daemon_wait_served(revs[3]);
	assert_int_equal(daemon_get("/readyz", NULL, NULL).status, 200);
}

/* Within a year, nothing does. */
SCENARIO(by_default_all_of_this_stays)
{
	const char *before;

	serve("{}");
	publish(1, 3);
	grow_old();
	before = files();
	assert_int_equal(gc_count("", "artifacts"), 0);
	assert_string_equal(files(), before);
}

SCENARIO(a_backup_is_not_disturbed)
{
	const char *before;
	json_t *said;
	int fd;

	serve("{every: 0s, artifacts: {count: 1, age: 0s}}");
	publish(1, 3);
	grow_old();
	before = files();
	fd = open(daemon_path("data/contents"), O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_SH), 0); /* as a backup does */
	said = gc("");
	assert_true(json_is_true(json_object_get(said, "postponed")));
	json_decref(said);
	assert_string_equal(files(), before);
	(void)close(fd);
	assert_true(gc_count("", "files") >= 4);
	check_whole();
}

/* Whoever dies, whenever: nothing that is served is lost, and nothing stays
 * that is not named. */
SCENARIO(killed_in_the_middle)
{
	static const char *const victims[] = { "pipeline", "ledger" };

	serve("{every: 0s, artifacts: {count: 1, age: 0s}}");
	publish(1, 2);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t until;
		json_t *operation;
		const char *last = daemon_level(10 + 2 * i);

		daemon_wait_served(last);
		last = daemon_level(11 + 2 * i);
		daemon_wait_served(last);
		daemon_sh(
		    "mkdir -p data/artifacts/ff && "
		    "for i in $(seq %d); do "
		    "echo >data/artifacts/ff/$(printf '%%064d' $i).tar.gz;"
		    " done",
		    (int)ORPHANS);
		grow_old();
		operation = daemon_api("POST", "/gc", "{}", 202);
		until = daemon_now_ms() + i * 7;
		while (daemon_now_ms() < until)
			(void)daemon_get("/healthz", NULL, NULL);
		if (i % 3 == 2) {
			daemon_crash();
			daemon_restart();
		} else {
			daemon_kill(victims[i % 3], SIGKILL);
		}
		/* It is taken up again. */
		(void)daemon_wait_operation(operation, "done");
		daemon_wait_served(last);
		check_whole();
		assert_true(is_stored(last));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(what_is_kept_no_longer_goes),
		PLAY(the_server_does_it_by_itself),
		PLAY(by_default_all_of_this_stays),
		PLAY(a_backup_is_not_disturbed),
		PLAY(killed_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
