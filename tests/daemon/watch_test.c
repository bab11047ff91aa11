#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

/* A change on this machine's disk is promised to be noticed within 1 s, by the
 * program as it is installed. */
#ifdef EDICT_SANITIZED
enum { NOTICE_MS = DAEMON_DEADLINE_MS };
#else
enum { NOTICE_MS = 1000 };
#endif

static const char *etag;

static void
begin_with(int level, const char *poll_interval)
{
	const char *rev;
	struct answer a;

	/* A commit that all histories have in common. */
	daemon_commit("Begin", { "README.md", "words\n" });
	rev = daemon_level(level);
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {remote: {url: \"%s\", "
				    "poll_interval: %s}}\n",
		daemon_path("remote.git"), poll_interval) });
	daemon_wait_served(rev);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	etag = answer_header(&a, "ETag");
}

static void
begin(int level)
{
	begin_with(level, "30s");
}

/* Whatever happens to the repository, engines do not notice. */
static void
check_same(void)
{
	struct answer a = daemon_get("/bundles/main", daemon_engine(), NULL);

	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "ETag"), etag);
}

static json_t *
wait_alarm(const char *kind)
{
	json_t *r = daemon_wait_state("remote", "alarm");

	assert_string_equal(daemon_text(r, "alarm.kind"), kind);
	assert_non_null(daemon_text(r, "alarm.message"));
	check_same();
	return r;
}

SCENARIO(a_change_on_disk_is_noticed)
{
	const char *rev;
	int64_t start;
	size_t from;

	begin_with(1, "1h");
	from = strlen(daemon_log());
	rev = daemon_level(2);
	start = daemon_now_ms();
	daemon_wait_log(daemon_printf("repository.followed repo=remote "
				      "commit=%s",
			    rev),
	    from);
	print_message("a change on disk was noticed after %lld ms\n",
	    (long long)(daemon_now_ms() - start));
	assert_true(daemon_now_ms() - start <= NOTICE_MS);
	daemon_wait_served(rev);
}

SCENARIO(a_rewritten_branch_is_not_followed)
{
	const char *old, *rewritten, *next;
	json_t *r;

	begin(1);
	old = daemon_sh("git -C work rev-parse HEAD");
	rewritten = daemon_sh(
	    "cd work && git commit -q --amend -m 'Another story' && "
	    "git push -q --force origin HEAD:main && git rev-parse HEAD");
	r = wait_alarm("rewritten");
	assert_string_equal(daemon_text(r, "followed"), old);
	assert_string_equal(daemon_text(r, "alarm.tip"), rewritten);
	/* What comes after it is not followed either. */
	next = daemon_level(3);
	daemon_api("POST", "/repositories/remote/fetch", "{}", 202);
	daemon_wait_log(daemon_printf("kind=rewritten tip=%s", next), 0);
	r = wait_alarm("rewritten");
	assert_string_equal(daemon_text(r, "followed"), old);
	assert_non_null(strstr(daemon_sh("edict status"), "edict accept"));

	daemon_sh("edict accept remote --reason 'we did this'");
	daemon_wait_served(next);
	r = daemon_wait_state("remote", "ok");
	assert_string_equal(daemon_text(r, "followed"), next);
	assert_null(daemon_at(r, "alarm"));
	/* Only an alarm can be accepted. */
	daemon_api("POST", "/repositories/remote/accept", "{}", 409);
	/* The commit that was rewritten away is still there to go back to. */
	daemon_sh("edict rollback main --to %s --reason 'the old story'", old);
	daemon_wait_served(old);
}

/* The rewriting is taken back: nothing was lost, nobody has to accept. */
SCENARIO(an_alarm_ends_by_itself_when_history_is_back)
{
	const char *rev;

	begin(1);
	daemon_sh("cd work && git tag keep && "
		  "git commit -q --amend -m 'Another story' && "
		  "git push -q --force origin HEAD:main");
	wait_alarm("rewritten");
	daemon_sh("cd work && git reset -q --hard keep && "
		  "git push -q --force origin HEAD:main");
	daemon_wait_state("remote", "ok");
	check_same();
	rev = daemon_level(2);
	daemon_wait_served(rev);
}

SCENARIO(an_unrelated_branch_is_not_followed)
{
	const char *rev;

	begin(1);
	rev = daemon_sh("cd work && git checkout -q --orphan new && "
			"sed -i 's/level := 1/level := 5/' authz/authz.rego && "
			"sed -i 's/level == 1/level == 5/' " LEVEL_TEST " && "
			"git add -A && git commit -q -m New && "
			"git push -q --force origin HEAD:main && "
			"git rev-parse HEAD");
	wait_alarm("unrelated");
	daemon_sh("edict accept remote");
	daemon_wait_served(rev);
	daemon_wait_state("remote", "ok");
}

SCENARIO(a_deleted_branch_leaves_all_as_it_is)
{
	const char *rev;

	begin(1);
	daemon_sh("cd work && git push -q origin HEAD:other && "
		  "git -C ../remote.git symbolic-ref HEAD refs/heads/other && "
		  "git push -q origin :main");
	wait_alarm("branch_missing");
	rev = daemon_level(2);
	daemon_wait_served(rev);
	daemon_wait_state("remote", "ok");
}

SCENARIO(an_emptied_repository_leaves_all_as_it_is)
{
	begin(1);
	daemon_sh("mv remote.git gone.git && "
		  "git init -q --bare -b main remote.git");
	wait_alarm("empty");
	daemon_sh("rm -r remote.git && mv gone.git remote.git");
	daemon_api("POST", "/repositories/remote/fetch", "{}", 202);
	daemon_wait_state("remote", "ok");
	daemon_wait_served(daemon_level(2));
}

SCENARIO(a_host_that_is_gone_comes_back)
{
	json_t *r;
	const char *before;

	begin(1);
	r = daemon_wait_state("remote", "ok");
	before = daemon_text(r, "last_success_at");
	assert_non_null(before);
	daemon_sh("mv remote.git gone.git");
	daemon_wait_operation(daemon_api("POST", "/repositories/remote/fetch",
				  "{}", 202),
	    "failed");
	r = daemon_wait_state("remote", "unreachable");
	assert_non_null(daemon_text(r, "last_error"));
	check_same();
	assert_int_equal(daemon_get("/healthz", NULL, NULL).status, 200);
	daemon_sh("mv gone.git remote.git");
	daemon_wait_operation(daemon_api("POST", "/repositories/remote/fetch",
				  "{}", 202),
	    "done");
	r = daemon_wait_state("remote", "ok");
	assert_null(daemon_at(r, "last_error"));
	daemon_wait_served(daemon_level(2));
}

SCENARIO(a_suspended_repository_rests)
{
	const char *rev;
	json_t *r;

	begin(1);
	daemon_sh("edict suspend remote --reason 'a freeze'");
	rev = daemon_level(2);
	/* Asked by hand it is fetched, but nothing is tested. */
	daemon_api("GET", "/repositories/remote", NULL, 200);
	r = daemon_wait_state("remote", "suspended");
	assert_true(json_is_true(daemon_at(r, "suspended")));
	check_same();
	daemon_sh("edict unsuspend remote");
	daemon_wait_served(rev);
	daemon_wait_state("remote", "ok");
}

/* Takes connections into its queue and never says a word. */
static int
deaf_host(int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 ||
	    listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		fail_msg("no port to listen on: %s", strerror(errno));
	*port = ntohs(a.sin_port);
	return fd;
}

SCENARIO(a_host_that_stalls_is_left_alone)
{
	const char *rev = daemon_level(1);
	const char *good =
	    daemon_printf("repositories:\n  remote: {url: \"%s\"}\n",
		daemon_path("remote.git"));
	json_t *r;
	struct answer a;
	int port;
	int fd;

	daemon_start(&(struct daemon_options){ .config = good });
	daemon_wait_served(rev);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	etag = answer_header(&a, "ETag");
	daemon_stop();
	fd = deaf_host(&port);
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf(
		"repositories:\n  remote: {url: \"http://127.0.0.1:%d/x.git\", "
		"fetch_timeout: 1s}\n",
		port) });
	check_same();
	r = daemon_wait_state("remote", "unreachable");
	assert_non_null(strstr(daemon_text(r, "last_error"), "timed_out"));
	check_same();
	close(fd);
	daemon_stop();
	daemon_start(&(struct daemon_options){ .config = good });
	daemon_wait_served(daemon_level(2));
}

/* A fetch that hangs is put off for an operator who wants something built. */
SCENARIO(an_operator_goes_before_a_host_that_stalls)
{
	const char *first = daemon_level(1);
	const char *rev = daemon_level(2);
	int64_t began;
	int port;
	int fd;

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories:\n  remote: {url: \"%s\"}\n",
		daemon_path("remote.git")) });
	daemon_wait_served(rev);
	daemon_stop();
	fd = deaf_host(&port);
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf(
		"repositories:\n  remote: {url: \"http://127.0.0.1:%d/x.git\", "
		"fetch_timeout: 10m}\n",
		port) });
	began = daemon_now_ms();
	daemon_sh("edict rollback main --to HEAD~1 --reason 'at night'");
	daemon_wait_served(first);
	/* The fetch would take ten minutes. */
	assert_true(daemon_now_ms() - began < 3 * DAEMON_DEADLINE_MS);
	close(fd);
}

/* -- the mirror ------------------------------------------------------------ */

static int
packs(void)
{
	const char *count =
	    daemon_sh("find data/repos/remote/git/objects/pack -name '*.pack' "
		      "2>/dev/null | wc -l");

	return (int)strtol(count, NULL, 10);
}

static bool
is_joined(void *arg)
{
	(void)arg;
	/* The folder of a join goes last; a fetch that found nothing leaves an
	 * empty one for the next. */
	return packs() <= 2 &&
	    strcmp(daemon_sh("find data/repos/remote/incoming -mindepth 2 "
			     "2>&1 | wc -l"),
		"0") == 0;
}

/* As many packs as many fetches leave, without the fetches. */
SCENARIO(many_packs_become_few_while_all_goes_on)
{
	const char *first = daemon_level(1);
	const char *rev = daemon_level(2);

	daemon_start(NULL);
	daemon_wait_served(rev);
	daemon_stop();
	daemon_sh("cd data/repos/remote/git; for i in $(seq 40); do\n"
		  "echo $i | git hash-object -w --stdin |\n"
		  "git pack-objects -q objects/pack/pack; done\n"
		  "git prune-packed -q");
	assert_true(packs() > 40);
	daemon_start(NULL);
	rev = daemon_level(3);
	daemon_wait("a join", is_joined, NULL, DAEMON_DEADLINE_MS);
	daemon_wait_served(rev);
	daemon_sh("git --git-dir=data/repos/remote/git fsck --full --strict");
	daemon_sh("edict rollback main --to HEAD~2 --reason back");
	daemon_wait_served(first);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(a_change_on_disk_is_noticed),
		PLAY(a_rewritten_branch_is_not_followed),
		PLAY(an_alarm_ends_by_itself_when_history_is_back),
		PLAY(an_unrelated_branch_is_not_followed),
		PLAY(a_deleted_branch_leaves_all_as_it_is),
		PLAY(an_emptied_repository_leaves_all_as_it_is),
		PLAY(a_host_that_is_gone_comes_back),
		PLAY(a_suspended_repository_rests),
		PLAY(a_host_that_stalls_is_left_alone),
		PLAY(an_operator_goes_before_a_host_that_stalls),
		PLAY(many_packs_become_few_while_all_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
