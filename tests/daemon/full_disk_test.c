/* A data_dir on a file system of 64 MiB that is full to the last byte. It is
 * mounted in a namespace of this program's own, so that nobody else sees it and
 * it ends with it. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

enum { DISK_SIZE = 64 << 20, RESERVE_SIZE = 32 << 20, STEP = 64 * 1024 };

/* ---- the namespace ---- */

static bool
write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 &&
	    write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		(void)close(fd);
	return written;
}

/* The user stays who it is, and may mount there. */
static bool
enter_own_user(void)
{
	char uid[64], gid[64];

	(void)snprintf(uid, sizeof uid, "%u %u 1", (unsigned int)geteuid(),
	    (unsigned int)geteuid());
	(void)snprintf(gid, sizeof gid, "%u %u 1", (unsigned int)getegid(),
	    (unsigned int)getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	    write_text("/proc/self/uid_map", uid) &&
	    write_text("/proc/self/setgroups", "deny") &&
	    write_text("/proc/self/gid_map", gid);
}

static bool
enter_namespace(void)
{
	if (unshare(CLONE_NEWNS) != 0 && !enter_own_user())
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* ---- the disk ---- */

static void
mount_disk(void)
{
	const char *dir = daemon_path("data");
	const char *size = daemon_printf("size=%d,mode=0700", DISK_SIZE);

	daemon_sh("mkdir data");
	if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, size) != 0)
		fail_msg("mount of 64 MiB on %s: %s: this machine lets no user "
			 "mount in a namespace (look at "
			 "/proc/sys/user/max_user_namespaces and at AppArmor)",
		    dir, strerror(errno));
}

static void
unmount_disk(void)
{
	daemon_stop();
	assert_int_equal(umount2(daemon_path("data"), MNT_DETACH), 0);
}

static uint64_t
bytes_left(void)
{
	struct statvfs fs;

	assert_int_equal(statvfs(daemon_path("data"), &fs), 0);
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* The server may write a little meanwhile, and free a little. */
static bool
is_filled(void *arg)
{
	static const char zeros[STEP];
	int fd = open(arg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	size_t step = STEP;

	assert_true(fd >= 0);
	while (step > 0)
		if (write(fd, zeros, step) < 0) {
			assert_int_equal(errno, ENOSPC);
			step /= 2;
		}
	(void)close(fd);
	return bytes_left() == 0;
}

static void
fill_disk(const char *name)
{
	char path[4096];

	(void)snprintf(path, sizeof path, "%s", daemon_path(name));
	daemon_wait("the disk is full", is_filled, path, DAEMON_DEADLINE_MS);
}

static int64_t
reserve_size(void)
{
	struct stat st;

	if (stat(daemon_path("data/store/reserve"), &st) != 0)
		return -1;
	/* Space that is really taken, not a size alone. */
	assert_true(st.st_blocks * 512 >= st.st_size);
	return st.st_size;
}

/* ---- what the server says ---- */

static bool
is_ready(void *arg)
{
	struct answer a = daemon_get("/readyz", NULL, NULL);

	if (a.status == 200)
		*(const char **)arg = a.body;
	return a.status == 200;
}

/* A process that was killed is missed for a while. */
static json_t *
ready(void)
{
	const char *body = NULL;

	daemon_wait("it is ready", is_ready, &body, DAEMON_DEADLINE_MS);
	return json_loads(body, 0, NULL);
}

/* Engines are served, so it is ready, but says what is wrong. */
static void
check_warning(bool wanted)
{
	json_t *said = ready();
	const char *warning = daemon_text(said, "warnings.0");

	if (wanted) {
		assert_non_null(warning);
		assert_non_null(strstr(warning, "the disk is full"));
	} else {
		assert_null(warning);
	}
	json_decref(said);
}

static void
check_polls(const char *rev)
{
	struct answer a;

	daemon_wait_served(rev);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(daemon_get("/bundles/main", daemon_engine(),
			     daemon_printf("If-None-Match: %s",
				 answer_header(&a, "ETag")))
			     .status,
	    304);
}

/* Room comes back: everything that was there is found, and what waited is
 * done. */
static void
check_recovery(const char *waiting, size_t from)
{
	daemon_sh("rm data/fill*");
	daemon_wait_log("reserve.made", from);
	assert_int_equal(reserve_size(), RESERVE_SIZE);
	check_warning(false);
	daemon_wait_verdict(waiting, "passed", DAEMON_DEADLINE_MS);
	daemon_sh("edict resume main");
	check_polls(waiting);
	daemon_sh("edict audit --verify");
	daemon_sh("edict audit --kind rollback --json | grep -q 'on a full "
		  "disk'");
}

/* ---- scenarios ---- */

SCENARIO(a_full_disk_serves_and_rolls_back)
{
	const char *one, *two, *three;
	struct engine *e;
	size_t from;

	mount_disk();
	one = daemon_level(1);
	daemon_start(NULL);
	check_polls(one);
	/* A head of the audit would be worth the reserve. */
	daemon_wait_settled("default");
	two = daemon_level(2);
	check_polls(two);
	assert_int_equal(reserve_size(), RESERVE_SIZE);
	check_warning(false);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);

	from = strlen(daemon_log());
	fill_disk("data/fill");
	three = daemon_level(3);
	daemon_wait_log("disk.full", from);
	check_warning(true);
	check_polls(two);
	assert_int_equal(reserve_size(), RESERVE_SIZE);

	daemon_sh("edict rollback main --to %s --reason 'on a full disk'", one);
	check_polls(one);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait_log("reserve.given_up", from);
	assert_int_equal(reserve_size(), -1);
	/* What it gave is for such decisions, and for nothing else. */
	assert_in_range(bytes_left(), RESERVE_SIZE / 2, RESERVE_SIZE);
	check_warning(true);
	assert_null(daemon_text(
	    daemon_api("GET", daemon_printf("/commits/%s", three), NULL, 0),
	    "verdict.state"));

	daemon_crash();
	daemon_restart();
	check_polls(one);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	check_recovery(three, from);
	engine_wait(e, "authz/level", NULL, "3", DAEMON_DEADLINE_MS);
	unmount_disk();
}

/* A start writes a little itself. */
SCENARIO(a_full_disk_lets_it_start)
{
	const char *one, *two, *three;
	size_t from;

	mount_disk();
	one = daemon_level(1);
	daemon_start(NULL);
	check_polls(one);
	daemon_wait_settled("default");
	two = daemon_level(2);
	check_polls(two);
	daemon_crash();
	from = strlen(daemon_log());
	fill_disk("data/fill");
	daemon_restart();
	daemon_wait_log("reserve.given_up", from);
	check_polls(two);
	check_warning(true);
	three = daemon_level(3);
	daemon_sh("edict rollback main --to %s --reason 'on a full disk'", one);
	check_polls(one);

	/* Somebody else takes what was given up: no decision can be written
	 * down any more, and it says so; engines do not notice. */
	fill_disk("data/fill2");
	daemon_sh("! edict resume main >said 2>&1 && grep -q full said");
	check_polls(one);
	daemon_kill("ledger", SIGKILL);
	daemon_kill("http", SIGKILL);
	check_polls(one);
	check_recovery(three, from);
	unmount_disk();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(a_full_disk_serves_and_rolls_back),
		PLAY(a_full_disk_lets_it_start),
	};

	if (!enter_namespace()) {
		(void)fprintf(stderr,
		    "full_disk: no mount namespace: %s. This test mounts a "
		    "tmpfs of 64 MiB; it has to run as root or where users may "
		    "make namespaces.\n",
		    strerror(errno));
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
