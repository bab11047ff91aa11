/* A server's folder in one file, and a server from such a file. */

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

enum { EPOCH = 1000000, BLOCK = 512 };

/* ---- small things ---- */

static json_t *
run_json(const char *command)
{
	json_t *said = json_loads(daemon_sh("%s", command), 0, NULL);

	if (said == NULL)
		fail_msg("%s: no JSON", command);
	return said;
}

static int64_t
serial(void)
{
	return daemon_number(daemon_api("GET", "/clusters/default", NULL, 200),
	    "assignments.0.serial");
}

/* What of the folder a backup has to bring back, as text. */
static const char *
fingerprint(const char *dir)
{
	return daemon_sh("cd %s && find artifacts contents -name '*.tar.gz' | "
			 "sort | xargs sha256sum",
	    dir);
}

/* By a file: what it names may be away for a while. */
static void
serve(const char *dir)
{
	struct daemon_options o = {
		.data = dir,
		.config = daemon_printf("repositories:\n"
					"  remote: {url: '%s'}\n",
		    daemon_path("remote.git")),
	};

	daemon_start(&o);
}

/* Two revisions, the second one served. */
static const char *
begin(const char **two)
{
	const char *one = daemon_level(1);

	serve("data");
	daemon_wait_served(one);
	/* Its files are among those that are compared. */
	daemon_wait_settled("default");
	*two = daemon_level(2);
	daemon_wait_served(*two);
	return one;
}

/* Nothing is left of what was refused. */
static void
check_refused(const char *file, const char *why)
{
	struct shell s = daemon_try("edict restore %s --data-dir fresh", file);

	assert_int_equal(s.status, 1);
	if (strstr(s.text, why) == NULL)
		fail_msg("%s: expected \"%s\" in: %s", file, why, s.text);
	assert_string_equal(daemon_sh("ls -d fresh* 2>/dev/null || true"), "");
}

/* ---- scenarios ---- */

SCENARIO(a_backup_is_taken_while_it_serves_and_comes_back)
{
	const char *two, *three, *four, *before, *etag;
	const char *one = begin(&two);
	struct answer a;
	struct engine *e;
	int64_t last;
	json_t *said;

	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	etag = answer_header(&a, "ETag");
	said = run_json("edict backup b.tar --data-dir data --with-keys "
			"--json");
	assert_int_equal(json_array_size(json_object_get(said, "missing")), 0);
	json_decref(said);
	before = fingerprint("data");

	/* A tar like any other, with nothing else beside it. */
	daemon_sh("tar tf b.tar | grep -qx edict-backup/store/edict.db");
	daemon_sh("tar tf b.tar | grep -q 'edict-backup/keys/.*[.]key'");
	assert_string_equal(daemon_sh("ls -d b.tar*"), "b.tar");
	assert_string_equal(daemon_sh("stat -c %%a b.tar"), "600");

	/* What comes later is not in it: a commit, and moves of operators. */
	three = daemon_level(3);
	daemon_wait_served(three);
	engine_wait(e, "authz/level", NULL, "3", DAEMON_DEADLINE_MS);
	for (int i = 0; i < 3; i++) {
		daemon_sh("edict rollback main --to %s --reason x", one);
		daemon_sh("edict resume main");
	}
	daemon_wait_served(three);
	last = serial();
	daemon_stop();

	/* The disk is lost, and the host does not answer. */
	daemon_sh("mv data lost && mv remote.git away.git");
	said = run_json("edict restore b.tar --data-dir data --with-keys "
			"--json");
	assert_int_equal(daemon_number(said, "epoch"), EPOCH);
	json_decref(said);
	assert_string_equal(fingerprint("data"), before);
	daemon_sh("cmp data/keys/current lost/keys/current");
	daemon_restart();
	daemon_wait_served(two);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_string_equal(answer_header(&a, "ETag"), etag);
	assert_true(serial() > last);
	assert_true(serial() >= EPOCH);
	daemon_sh("edict audit --verify");
	said = daemon_api("GET", "/audit?kind=restore", NULL, 200);
	assert_int_equal(daemon_number(said, "items.0.detail.epoch"), EPOCH);

	/* The engines that were ahead get what is assigned. Their token is in
	 * the database, though its file was lost. */
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	daemon_sh("edict rollback main --to %s --reason 'from a backup'", one);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_sh("edict resume main");

	/* And it goes on from there. */
	daemon_sh("mv away.git remote.git");
	daemon_api("POST", "/repositories/remote/fetch", "{}", 202);
	daemon_wait_served(three);
	engine_wait(e, "authz/level", NULL, "3", DAEMON_DEADLINE_MS);
	assert_true(serial() > EPOCH + 3);

	/* So does what the backup did not know. */
	four = daemon_commit("Another cluster",
	    { "edict.yaml",
		"bundles:\n  main: {}\n"
		"clusters:\n"
		"  default: {bundles: [main]}\n"
		"  another: {bundles: [main]}\n" });
	daemon_wait_verdict(four, "passed", DAEMON_DEADLINE_MS);
	daemon_wait_revision("another", "main", three, DAEMON_DEADLINE_MS);
	assert_true(daemon_number(daemon_api("GET", "/clusters/another", NULL,
				      200),
			"assignments.0.serial") > EPOCH);
}

/* Commits land and operators move things while one backup after the other is
 * taken: each is whole, and as of one moment. */
SCENARIO(every_backup_is_of_one_moment)
{
	enum { ROUNDS = 6 };
	const char *two;
	const char *one = begin(&two);

	daemon_sh("mkdir backups");
	for (int i = 0; i < ROUNDS; i++) {
		const char *rev = daemon_level(10 + i);

		daemon_sh("edict backup backups/%d.tar --data-dir data", i);
		daemon_wait_served(rev);
		if (i % 2 == 0) {
			daemon_sh("edict rollback main --to %s --reason x",
			    one);
			daemon_sh("edict resume main");
		}
		daemon_sh("edict restore backups/%d.tar --data-dir r%d", i, i);
		daemon_sh("edict audit --verify --copy r%d", i);
	}
	/* A folder: named by the time; and one while nobody serves. */
	daemon_stop();
	daemon_sh("edict backup backups --data-dir data && "
		  "ls backups | grep -Ex 'edict-[0-9-]{17}.tar'");
	daemon_sh("edict restore backups/edict-*.tar --data-dir last");
	assert_string_equal(fingerprint("last"), fingerprint("data"));
}

SCENARIO(without_keys_a_new_one_has_a_new_name)
{
	const char *two, *three, *id, *fresh;

	(void)begin(&two);
	id = daemon_sh("cat data/keys/current");
	daemon_sh("edict backup b.tar --data-dir data");
	daemon_sh("! tar tf b.tar | grep '[.]key'");
	daemon_stop();
	daemon_sh("! edict restore b.tar --data-dir with --with-keys 2>said && "
		  "grep -q 'no private keys' said && ! test -e with");
	daemon_sh("edict restore b.tar --data-dir without | grep -q keys/");
	daemon_sh("! ls without/keys/*.key");
	serve("without");
	/* What was signed before is served, and what comes is signed anew. */
	daemon_wait_served(two);
	three = daemon_level(3);
	daemon_wait_served(three);
	fresh = daemon_sh("cat without/keys/current");
	assert_string_not_equal(id, fresh);
	daemon_stop();

	/* Private keys stay behind unless they are asked for. */
	daemon_sh("edict backup keys.tar --data-dir data --with-keys && "
		  "edict restore keys.tar --data-dir kept && "
		  "! ls kept/keys/*.key");
}

SCENARIO(a_restore_writes_over_nothing)
{
	const char *two;

	(void)begin(&two);
	daemon_sh("edict backup b.tar --data-dir data");
	daemon_sh("! edict restore b.tar --data-dir data 2>said && "
		  "grep -q 'something already' said");
	daemon_wait_served(two);
	daemon_sh("cp b.tar before.tar && "
		  "! edict backup b.tar --data-dir data 2>said && "
		  "grep -q 'there already' said && cmp b.tar before.tar && "
		  "edict backup b.tar --force --data-dir data");
	daemon_sh("mkdir empty && edict restore b.tar --data-dir empty/ && "
		  "test -s empty/store/edict.db");
	daemon_sh("touch file && ! edict restore b.tar --data-dir file");
	/* One that cannot be finished leaves the one before as it was. */
	daemon_sh("cp b.tar c.tar && mv data/keys away && "
		  "! edict backup c.tar --force --data-dir data && "
		  "mv away data/keys && "
		  "cmp b.tar c.tar && test \"$(ls -d c.tar*)\" = c.tar");
}

/* ---- files that are no backups, or not any more ---- */

/* Bytes at this place of a copy. */
static void
tamper(const char *file, off_t at, const void *bytes, size_t len)
{
	int fd;

	daemon_sh("cp b.tar %s", file);
	fd = open(daemon_path(file), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), len);
	(void)close(fd);
}

static void
flip(const char *file, off_t at)
{
	const char *path = daemon_path("b.tar");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	(void)close(fd);
	byte = (char)(byte ^ 1);
	tamper(file, at, &byte, 1);
}

/* Where the header of this file is. */
static off_t
place_of(const char *path)
{
	return (off_t)strtoll(
	    daemon_sh(
		"grep -abo 'edict-backup/%s' b.tar | head -1 | cut -d: -f1",
		path),
	    NULL, 10);
}

static off_t
size_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(daemon_path(file), &st), 0);
	return st.st_size;
}

/* The manifest says something else, and its own header agrees. */
static void
rewrite_manifest(const char *file, const char *script)
{
	daemon_sh("rm -rf t && mkdir t && tar xf b.tar -C t && "
		  "cp b.tar %s && "
		  "sed '%s' t/edict-backup/manifest.json >t/m && "
		  "test $(stat -c %%s t/m) = "
		  "$(stat -c %%s t/edict-backup/manifest.json) && "
		  "dd if=t/m of=%s bs=512 seek=1 conv=notrunc status=none",
	    file, script, file);
}

SCENARIO(what_is_no_whole_backup_is_refused)
{
	const char *two, *archive;
	off_t size;

	(void)begin(&two);
	daemon_sh("edict backup b.tar --data-dir data");
	daemon_stop();
	size = size_of("b.tar");
	archive = daemon_sh("tar tf b.tar | grep artifacts | head -1 | "
			    "cut -d/ -f2-");

	/* Every part, one bit of it. */
	flip("x.tar", BLOCK + 30);
	check_refused("x.tar", "x.tar: ");
	flip("x.tar", place_of("store") + BLOCK + 5000);
	check_refused("x.tar", "store/edict.db was changed");
	flip("x.tar", place_of(archive) + BLOCK + 100);
	check_refused("x.tar", archive);
	flip("x.tar", place_of(archive) + 3);
	check_refused("x.tar", "header of artifacts");
	flip("x.tar", size - 1);
	check_refused("x.tar", "behind its end");
	flip("x.tar", size - 4 * BLOCK + BLOCK + 5);
	check_refused("x.tar", "end is not the SHA-256");
	for (int i = 1; i < 40; i++) {
		flip("x.tar", size / 40 * i + i);
		check_refused("x.tar", "x.tar: ");
	}

	/* Cut short, anywhere; something added. */
	for (int i = 0; i < 20; i++) {
		daemon_sh("head -c %lld b.tar >x.tar",
		    (long long)(size / 20 * i + (i > 0)));
		check_refused("x.tar", "x.tar: ");
	}
	daemon_sh("(cat b.tar; echo more) >x.tar");
	check_refused("x.tar", "added to");

	/* Paths that lead elsewhere, links, sizes. */
	rewrite_manifest("x.tar", "s,\"store/edict.db\",\"../../edict.db\",");
	check_refused("x.tar", "../../edict.db");
	rewrite_manifest("x.tar", "s,\"store/edict.db\",\"/tmp/edict.db1\",");
	check_refused("x.tar", "/tmp/edict.db1");
	rewrite_manifest("x.tar",
	    "s,\"keys/current\",\"keys/../curr\",;s,\"keys/cu.*,&,");
	check_refused("x.tar", "x.tar: ");
	rewrite_manifest("x.tar", "s,\"size\": [0-9],\"size\": 9,");
	check_refused("x.tar", "x.tar: ");
	tamper("x.tar", place_of(archive) + 156, "2", 1);
	check_refused("x.tar", "links");
	daemon_sh("ln -s /etc/passwd link && tar cf x.tar link");
	check_refused("x.tar", "not a backup");
	daemon_sh("printf nothing >x.tar");
	check_refused("x.tar", "cut short");
	daemon_sh("mkfifo fifo");
	check_refused("fifo", "not a file");
	check_refused("none.tar", "none.tar");

	/* And as it was made, it is fine. */
	daemon_sh("edict restore b.tar --data-dir fresh");
}

static void
run_sql(const char *file, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(daemon_path(file), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Somebody who can make a whole backup still cannot change the audit. */
SCENARIO(a_changed_audit_is_refused)
{
	const char *two;

	(void)begin(&two);
	daemon_stop();
	daemon_sh("cp -r data forged && cp -r data trap");
	run_sql("forged/store/edict.db",
	    "UPDATE audit SET who = 'eve' WHERE seq = 2");
	daemon_sh("edict backup forged.tar --data-dir forged");
	check_refused("forged.tar", "event 2");
	run_sql("trap/store/edict.db",
	    "CREATE TRIGGER later AFTER INSERT ON audit"
	    " BEGIN DELETE FROM tokens; END");
	daemon_sh("edict backup trap.tar --data-dir trap");
	check_refused("trap.tar", "did not put there");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(a_backup_is_taken_while_it_serves_and_comes_back),
		PLAY(every_backup_is_of_one_moment),
		PLAY(without_keys_a_new_one_has_a_new_name),
		PLAY(a_restore_writes_over_nothing),
		PLAY(what_is_no_whole_backup_is_refused),
		PLAY(a_changed_audit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
