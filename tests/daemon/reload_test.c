/* server.yaml is changed and read again by SIGHUP, while engines go on polling:
 * none of them may notice more than what was changed. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

#define MAIN "/clusters/default/bundles/main"
#define OPEN_TO_ALL "access: { anonymous_cluster: default }\n"

static const char *
file_text(const char *repositories, const char *more)
{
	return daemon_printf("repositories:\n"
			     "  policies: { url: %s, clusters: true }\n%s%s",
	    daemon_path("remote.git"), repositories, more);
}

static void
reload(const char *text, const char *event)
{
	size_t from = strlen(daemon_log());

	daemon_write("server.yaml", text);
	assert_int_equal(kill(daemon_pid(), SIGHUP), 0);
	daemon_wait_log(event, from);
}

/* ---- those who poll all the time ---- */

/* Each poll is a connection of its own, as engines have it. */
static void
begin_polling(void)
{
	daemon_write("polls", "");
	(void)daemon_sh("(while [ ! -e stop ]; do curl -s -o /dev/null "
			"-w '%%{http_code} %%{exitcode}\\n' "
			"-H 'Authorization: Bearer %s' %s" MAIN
			" >> polls; done; touch stopped) > /dev/null 2>&1 &",
	    daemon_engine(), daemon_url());
}

static size_t
count_polls(void)
{
	size_t n = 0;

	for (const char *p = daemon_read("polls"); *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

static bool
more_polls(void *arg)
{
	const size_t *seen = arg;

	return count_polls() >= *seen + 5;
}

static void
wait_polls(void)
{
	size_t seen = count_polls();

	daemon_wait("polls go on", more_polls, &seen, DAEMON_DEADLINE_MS);
}

static bool
has_stopped(void *arg)
{
	(void)arg;
	return access(daemon_path("stopped"), F_OK) == 0;
}

static void
end_polling(void)
{
	struct shell other;

	wait_polls();
	daemon_write("stop", "");
	daemon_wait("polling ends", has_stopped, NULL, DAEMON_DEADLINE_MS);
	other = daemon_try("grep -v -x '200 0' polls");
	if (other.status != 1)
		fail_msg("failed polls: %s", other.text);
}

/* ---- conditions ---- */

static bool
has_status(void *arg)
{
	const long *status = arg;

	return daemon_get(MAIN, NULL, NULL).status == *status;
}

static void
wait_anonymous(long status)
{
	daemon_wait("what nobody may read", has_status, &status,
	    DAEMON_DEADLINE_MS);
}

static bool
is_ready_with(void *arg)
{
	return strstr(daemon_get("/readyz", NULL, NULL).body, arg) != NULL;
}

static void
wait_readyz(const char *text)
{
	daemon_wait(text, is_ready_with, (void *)(uintptr_t)text,
	    DAEMON_DEADLINE_MS);
}

static const char *
begin(const char *more)
{
	const char *rev = daemon_level(1);

	daemon_start(&(struct daemon_options){ .config = file_text("", more) });
	daemon_wait_served(rev);
	return rev;
}

SCENARIO(access_is_taken_away_and_given_without_a_failed_poll)
{
	pid_t ledger, keeper;

	begin(OPEN_TO_ALL);
	wait_anonymous(200);
	begin_polling();
	ledger = daemon_process("ledger");
	keeper = daemon_process("keeper");
	reload(file_text("", ""), "reload.applied");
	wait_anonymous(401);
	reload(file_text("", OPEN_TO_ALL "http: { wait_max: 7 }\n"),
	    "settings=\"access.anonymous_cluster, http.wait_max\"");
	wait_anonymous(200);
	/* What does not need to begin anew does not. */
	assert_int_equal(daemon_process("ledger"), ledger);
	assert_int_equal(daemon_process("keeper"), keeper);
	end_polling();
	daemon_stop();
}

SCENARIO(nothing_begins_anew_when_nothing_changed)
{
	pid_t http;

	begin("");
	http = daemon_process("http");
	reload(file_text("", "# a comment\n"), "reload.unchanged");
	assert_int_equal(daemon_process("http"), http);
	daemon_stop();
}

SCENARIO(a_bad_file_changes_nothing)
{
	size_t from = 0;
	pid_t http;

	begin(OPEN_TO_ALL);
	http = daemon_process("http");
	begin_polling();
	reload(file_text("", "http: { wait_max: soon }\n"), "reload.refused");
	daemon_wait_log("server.yaml:3:", from);
	wait_readyz("is refused");
	/* Its own text is right, what it names is not there. */
	from = strlen(daemon_log());
	reload(file_text("", "tls: { certificate: no.pem, key: no.key }\n"),
	    "reload.refused");
	daemon_wait_log("tls.key", from);
	assert_int_equal(daemon_process("http"), http);
	wait_anonymous(200);
	reload(file_text("", OPEN_TO_ALL), "reload.unchanged");
	wait_readyz("\"warnings\":[]");
	end_polling();
	daemon_stop();
}

SCENARIO(what_needs_a_restart_is_said_and_the_rest_applied)
{
	begin(OPEN_TO_ALL);
	reload(file_text("", "http: { threads: 3 }\nengines: { max: 9 }\n"),
	    "settings=\"http.threads, engines.max\"");
	wait_anonymous(401);
	wait_readyz("waits for a restart");
	daemon_restart();
	daemon_stop();
}

/* Its policies are tested and published; the other's stay. */
SCENARIO(a_repository_is_added)
{
	begin("");
	begin_polling();
	(void)daemon_sh("git init -q --bare -b main second.git");
	reload(file_text(daemon_printf("  second: { url: %s }\n",
			     daemon_path("second.git")),
		   ""),
	    "reload.applied");
	(void)daemon_wait_state("second", "alarm");
	reload(file_text("", ""), "settings=\"repositories.second\"");
	end_polling();
	daemon_stop();
}

SCENARIO(a_poll_that_waits_is_asked_to_come_again)
{
	const char *tag;
	struct answer a;
	struct poll *p;

	begin("");
	a = daemon_get(MAIN, daemon_engine(), NULL);
	tag = answer_header(&a, "ETag");
	p = poll_start_as("held", MAIN, daemon_engine(), tag, 40);
	reload(file_text("", "http: { wait_max: 33 }\n"), "process.replaced");
	a = poll_end(p);
	assert_int_equal(a.status, 304);
	daemon_stop();
}

SCENARIO(people_may_ask_whether_a_file_is_good)
{
	struct shell s;

	daemon_write("server.yaml", file_text("", ""));
	s = daemon_try("edict serve -c server.yaml --check --data-dir new");
	if (s.status != 0)
		fail_msg("%s", s.text);
	assert_non_null(strstr(s.text, "is good"));
	assert_int_equal(access(daemon_path("new"), F_OK), -1);
	daemon_write("server.yaml", file_text("", "http: { no: 1 }\n"));
	s = daemon_try("edict serve -c server.yaml --check --data-dir new");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "server.yaml:3:"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(access_is_taken_away_and_given_without_a_failed_poll),
		PLAY(nothing_begins_anew_when_nothing_changed),
		PLAY(a_bad_file_changes_nothing),
		PLAY(what_needs_a_restart_is_said_and_the_rest_applied),
		PLAY(a_repository_is_added),
		PLAY(a_poll_that_waits_is_asked_to_come_again),
		PLAY(people_may_ask_whether_a_file_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
