/* Several http processes: they share the load, are replaced while engines poll,
 * and are killed. So are the others. */

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"
#include "tests/daemon/pollers.h"

#define MAIN "/clusters/default/bundles/main"

enum { PROCESSES = 3, HELD = 9 };

static const char *const http_names[PROCESSES] = { "http", "http-2", "http-3" };

static const struct pollers_habit habits[] = {
	{ .keep = 0, .wait_s = 0 },
	{ .keep = 1, .wait_s = 0 },
	{ .keep = 0, .wait_s = 1 },
	{ .keep = 1, .wait_s = 1 },
	{ .keep = 1, .wait_s = 1 },
};

enum { HABITS = sizeof habits / sizeof *habits };

static const char *
begin(const char *http, const char *more)
{
	const char *rev = daemon_level(1);

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories:\n"
				    "  remote: {url: '%s'}\n"
				    "http: {processes: 3, threads: 1%s}\n%s",
		daemon_path("remote.git"), http, more) });
	daemon_wait_served(rev);
	return rev;
}

/* ---- who they are ---- */

/* Of exactly this name, the oldest; 0: none. */
static pid_t
process(const char *name)
{
	const char *text = daemon_sh(
	    "for p in $(cat /proc/%d/task/%d/children); do "
	    "if [ \"$(cat /proc/$p/comm 2>/dev/null)\" = 'edict %s' ]; "
	    "then echo $p; fi; done",
	    (int)daemon_pid(), (int)daemon_pid(), name);

	return (pid_t)strtol(text, NULL, 10);
}

struct death {
	const char *name;
	pid_t pid;
};

static bool
is_back(void *arg)
{
	const struct death *d = arg;
	pid_t now = process(d->name);

	return now != 0 && now != d->pid;
}

static void
kill_and_wait(const char *name)
{
	struct death d = { name, process(name) };

	assert_int_not_equal(d.pid, 0);
	assert_int_equal(kill(d.pid, SIGKILL), 0);
	daemon_wait(daemon_printf("%s is back", name), is_back, &d,
	    DAEMON_DEADLINE_MS);
}

static size_t
count_in_log(const char *text, size_t from)
{
	size_t n = 0;

	for (const char *p = daemon_log() + from; (p = strstr(p, text)) != NULL;
	     p++)
		n++;
	return n;
}

struct often {
	const char *text;
	size_t from, times;
};

static bool
is_logged_often(void *arg)
{
	const struct often *o = arg;

	return count_in_log(o->text, o->from) >= o->times;
}

static void
wait_log_times(const char *text, size_t from, size_t times)
{
	struct often o = { text, from, times };

	daemon_wait(text, is_logged_often, &o, DAEMON_DEADLINE_MS);
}

/* ---- metrics ---- */

static double
metric(const char *name)
{
	struct answer a = daemon_get("/metrics", NULL, NULL);
	const char *key = daemon_printf("\n%s ", name);
	const char *line;

	assert_int_equal(a.status, 200);
	line = strstr(a.body, key);
	assert_non_null(line);
	return strtod(line + strlen(key), NULL);
}

struct level {
	const char *name;
	double least;
};

static bool
is_level(void *arg)
{
	const struct level *l = arg;

	return metric(l->name) >= l->least;
}

static void
wait_metric(const char *name, double least)
{
	struct level l = { name, least };

	daemon_wait(name, is_level, &l, DAEMON_DEADLINE_MS);
}

static bool
nobody_waits(void *arg)
{
	(void)arg;
	return metric("edict_engines_waiting") < 1;
}

/* ---- they share ---- */

/* Each poll is a connection; the log says who answered. */
static bool
have_all_answered(void *arg)
{
	(void)arg;
	assert_int_equal(daemon_get(MAIN, daemon_engine(), NULL).status, 200);
	for (size_t i = 0; i < PROCESSES; i++)
		if (strstr(daemon_log(),
			daemon_printf(" %s http.access method=GET route="
				      "/clusters/{cluster}/bundles/{bundle} "
				      "status=200",
			    http_names[i])) == NULL)
			return false;
	return true;
}

static void
hold(struct poll *polls[HELD])
{
	struct answer a = daemon_get(MAIN, daemon_engine(), NULL);
	const char *tag = answer_header(&a, "ETag");

	for (int i = 0; i < HELD; i++)
		polls[i] = poll_start_as(daemon_printf("held-%d", i), MAIN,
		    daemon_engine(), tag, 60);
	wait_metric("edict_engines_waiting", HELD);
}

static void
end_held(struct poll *polls[HELD], long status)
{
	for (int i = 0; i < HELD; i++)
		assert_int_equal(poll_end(polls[i]).status, status);
}

static void
all_answer_and_are_counted_together(void)
{
	struct poll *polls[HELD];
	double before, after;

	daemon_wait("each process answers", have_all_answered, NULL,
	    DAEMON_DEADLINE_MS);
	hold(polls);
	assert_true(metric("edict_engines_waiting") < HELD + 1);
	before = metric("edict_poll_answers_total{kind=\"sent\"}");
	for (int i = 0; i < 20; i++)
		assert_int_equal(daemon_get(MAIN, daemon_engine(), NULL).status,
		    200);
	wait_metric("edict_poll_answers_total{kind=\"sent\"}", before + 20);
	after = metric("edict_poll_answers_total{kind=\"sent\"}");
	assert_true(after < before + 21);
	/* A release reaches those who wait, wherever that is. */
	daemon_wait_served(daemon_level(2));
	end_held(polls, 200);
}

/* ---- replaced ---- */

static void
replace(void)
{
	pid_t before[PROCESSES];
	size_t from = strlen(daemon_log());

	for (size_t i = 0; i < PROCESSES; i++)
		before[i] = process(http_names[i]);
	assert_int_equal(kill(daemon_pid(), SIGUSR2), 0);
	wait_log_times("process.replaced", from, PROCESSES);
	wait_log_times("process.left", from, PROCESSES);
	for (size_t i = 0; i < PROCESSES; i++)
		assert_int_not_equal(process(http_names[i]), before[i]);
}

/* Who waits is asked to come again, and answered before the end. */
SCENARIO(they_share_and_tell_who_waits)
{
	struct poll *polls[HELD];

	begin(", access_log: {sample: 1}", "");
	all_answer_and_are_counted_together();
	hold(polls);
	replace();
	end_held(polls, 304);
	hold(polls);
	daemon_stop();
	end_held(polls, 304);
}

static struct pollers *
replace_under_load(int rounds)
{
	struct pollers *p = pollers_begin(MAIN, habits, HABITS, 2);

	pollers_wait(p, 3);
	while (rounds-- > 0) {
		replace();
		pollers_wait(p, 2);
		pollers_check(p);
	}
	daemon_wait_served(daemon_level(2));
	pollers_wait(p, 2);
	pollers_check(p);
	/* The lead went from who left to another. */
	wait_log_times(" http.leads ", 0, 2);
	assert_true(metric("edict_process_restarts_total") < 1);
	return p;
}

static void
end_load(struct pollers *p)
{
	struct pollers_seen seen = pollers_end(p);

	assert_int_equal(seen.broken + seen.wrong, 0);
	daemon_wait("nobody waits", nobody_waits, NULL, DAEMON_DEADLINE_MS);
}

static void
kill_the_others(struct pollers *p)
{
	static const char *const others[] = { "ledger", "keeper", "pipeline" };

	for (size_t i = 0; i < 3; i++) {
		kill_and_wait(others[i]);
		pollers_wait(p, 2);
	}
	daemon_wait_served(daemon_level(3));
	pollers_wait(p, 2);
	pollers_check(p);
}

/* Nor does one fail when one that is not http is killed. */
SCENARIO(replaced_without_a_failed_poll)
{
	struct pollers *p;

	begin("", "");
	p = replace_under_load(2);
	kill_the_others(p);
	end_load(p);
	daemon_stop();
}

SCENARIO(replaced_without_a_failed_poll_over_tls)
{
	daemon_sh(
	    "mkdir -p tls && cd tls && openssl req -x509 -newkey ec "
	    "-pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key "
	    "-out ca.pem -days 2 -subj /CN=127.0.0.1 -addext "
	    "subjectAltName=IP:127.0.0.1 2>/dev/null && chmod 600 ca.key");
	begin("",
	    daemon_printf("tls: {certificate: %s, key: %s}\n",
		daemon_path("tls/ca.pem"), daemon_path("tls/ca.key")));
	end_load(replace_under_load(1));
	daemon_stop();
}

/* ---- killed ---- */

/* The one that said so last. */
static const char *
leader(void)
{
	const char *last =
	    daemon_sh("grep ' http.leads ' server.log | tail -1");

	for (size_t i = 0; i < PROCESSES; i++)
		if (strstr(last,
			daemon_printf(" %s http.leads ", http_names[i])) !=
		    NULL)
			return http_names[i];
	fail_msg("nobody leads: %s", last);
	return NULL;
}

/* In the database is an engine of this name. */
static bool
is_saved(void *arg)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	bool found = false;

	if (sqlite3_open_v2(daemon_path("data/store/edict.db"), &db,
		SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, "SELECT 1 FROM engines WHERE name = ?", -1,
		&s, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(s, 1, arg, -1, SQLITE_STATIC) == SQLITE_OK)
		found = sqlite3_step(s) == SQLITE_ROW;
	sqlite3_finalize(s);
	sqlite3_close(db);
	return found;
}

/* What only one does goes on when that one is killed, each time. */
static void
the_lead_moves_on(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		const char *name = daemon_printf("after-%d", i);

		wait_log_times(" http.leads ", 0, (size_t)i + 1);
		kill_and_wait(leader());
		wait_log_times(" http.leads ", 0, (size_t)i + 2);
		assert_int_equal(daemon_send(&(struct request){ .path = MAIN,
						 .token = daemon_engine(),
						 .engine = name })
				     .status,
		    200);
		daemon_wait("the engine is remembered", is_saved,
		    (void *)(uintptr_t)name, DAEMON_DEADLINE_MS);
	}
}

static void
one_of_http_is_killed(const char *one)
{
	struct pollers *p;
	struct pollers_seen seen;

	daemon_wait_served(daemon_level(2));
	p = pollers_begin(MAIN, habits, HABITS, 2);
	for (size_t i = 0; i < PROCESSES; i++) {
		pollers_wait(p, 2);
		kill_and_wait(http_names[i]);
	}
	pollers_wait(p, 2);
	daemon_api("POST", "/bundles/main/rollback",
	    daemon_printf("{\"to\": \"%s\", \"reason\": \"killed\"}", one),
	    200);
	daemon_wait_served(one);
	pollers_wait(p, 2);
	seen = pollers_end(p);
	/* Only what was under way there; nobody is told anything wrong. */
	if (seen.wrong > 0)
		fail_msg("%s", seen.fault);
}

SCENARIO(killed_one_by_one)
{
	const char *one = begin("", "");

	the_lead_moves_on();
	one_of_http_is_killed(one);
	daemon_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(they_share_and_tell_who_waits),
		PLAY(replaced_without_a_failed_poll),
		PLAY(replaced_without_a_failed_poll_over_tls),
		PLAY(killed_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
