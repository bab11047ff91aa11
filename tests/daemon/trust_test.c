#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusters/ledger.h"
#include "clusters/store.h"
#include "core/channel.h"
#include "core/clock.h"
#include "core/log.h"
#include "server/supervisor/supervisor.h"
#include "signing/keeper.h"
#include "tests/daemon/fixture.h"

/* A ledger as the supervisor starts it, and we are http that was taken over:
 * all we have is http's end of the pair. */
static struct {
	pid_t pid;
	int pipeline[2], http[2];
	struct channel *channel;
	uint64_t id;
} ledger;

static void
ledger_begin(void)
{
	struct err e;
	const char *data = daemon_path("data");
	struct ledger_setup setup = { .data_dir = data, .repositories_max = 1 };

	log_init("test", LOG_ERROR);
	daemon_sh("mkdir -m 700 data");
	if (store_prepare(data, &e) != ERR_OK ||
	    channel_pair(ledger.pipeline, &e) != ERR_OK ||
	    channel_pair(ledger.http, &e) != ERR_OK)
		fail_msg("%s", e.text);
	setup.pipeline_fd = ledger.pipeline[1];
	setup.http_fds[0] = ledger.http[1];
	setup.http_count = 1;
	ledger.pid = fork();
	if (ledger.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		log_init("ledger", LOG_ERROR);
		_exit(ledger_main(&setup));
	}
	assert_true(ledger.pid > 0);
	ledger.channel = channel_new(ledger.http[0], "ledger");
}

static void
ledger_end(void)
{
	int status = 0;

	channel_free(ledger.channel);
	(void)kill(ledger.pid, SIGTERM);
	(void)waitpid(ledger.pid, &status, 0);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < 2; i++) {
		close(ledger.pipeline[i]);
		close(ledger.http[i]);
	}
}

/* What the ledger says to it. */
static enum err_code
ask(uint32_t kind, json_t *payload, struct err *e)
{
	static const uint32_t accepts[] = { LEDGER_CHANGED, 0 };
	struct message m = { 0 };
	enum err_code code;

	assert_non_null(payload);
	ledger.id++;
	if (channel_send(ledger.channel, kind, ledger.id,
		clock_mono_ms() + DAEMON_DEADLINE_MS, payload, NULL, 0, 1000,
		e) != ERR_OK)
		fail_msg("%s", e->text);
	json_decref(payload);
	do {
		message_clear(&m);
		if (channel_receive(ledger.channel, &m, accepts,
			DAEMON_DEADLINE_MS, e) != ERR_OK)
			fail_msg("%s", e->text);
	} while (m.id != ledger.id);
	code = message_error(&m, e);
	message_clear(&m);
	return code;
}

static json_t *
verdict(void)
{
	return json_pack("{s:s,s:s,s:{s:s,s:s,s:i}}", "repository", "policies",
	    "commit", "1111111111111111111111111111111111111111", "verdict",
	    "state", "passed", "identity",
	    "2222222222222222222222222222222222222222222222222222222222222222",
	    "attempts", 1);
}

/* A number that the store answers with. */
static int
count_of(sqlite3 *db, const char *query)
{
	sqlite3_stmt *s = NULL;
	int n;

	if (sqlite3_prepare_v2(db, query, -1, &s, NULL) != SQLITE_OK ||
	    sqlite3_step(s) != SQLITE_ROW)
		fail_msg("%s: %s", query, sqlite3_errmsg(db));
	n = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return n;
}

/* Every table with verdicts in its name is empty, and there is one. */
static void
assert_no_verdict(void)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	size_t tables = 0;

	assert_int_equal(sqlite3_open_v2(daemon_path("data/store/edict.db"),
			     &db, SQLITE_OPEN_READONLY, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
			     "SELECT name FROM sqlite_master WHERE "
			     "type = 'table' AND name LIKE '%verdict%'",
			     -1, &s, NULL),
	    SQLITE_OK);
	for (; sqlite3_step(s) == SQLITE_ROW; tables++)
		assert_int_equal(
		    count_of(db,
			daemon_printf("SELECT count(*) FROM \"%s\"",
			    (const char *)sqlite3_column_text(s, 0))),
		    0);
	assert_true(tables > 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
}

SCENARIO(with_https_rights_nothing_is_made_up)
{
	static const uint32_t kinds[] = { LEDGER_REPOSITORY, LEDGER_COMMITS,
		LEDGER_VERDICT, LEDGER_PUBLISH, LEDGER_OPERATION,
		LEDGER_CHANGED, KEEPER_SIGN_BUNDLE, KEEPER_VERIFY, KEEPER_KEYS,
		SUPERVISOR_RUN, SUPERVISOR_FETCH, SUPERVISOR_STOP, 0, 9999 };
	struct err e;

	ledger_begin();
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		enum err_code code = ask(kinds[i],
		    kinds[i] == LEDGER_VERDICT ? verdict() : json_object(), &e);

		if (code != ERR_DENIED)
			fail_msg("kind %u: %s: %s", kinds[i], err_name(code),
			    e.text);
	}
	ledger_end();
	/* No trace of it. */
	assert_no_verdict();
}

static json_t *
action(const char *name, const char *token)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "action", name, "token",
	    token, "peer", "127.0.0.1", "bundle", "main", "to", "HEAD",
	    "reason", "none");
}

/* Nor is an operator's action taken without the operator's own token. */
SCENARIO(with_https_rights_no_operator_is_made_up)
{
	const char *tokens[4] = { "", "edict_made_up", "admin", NULL };
	struct err e;

	ledger_begin();
	tokens[3] = daemon_sh("cat data/engine-token");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(ask(LEDGER_ACTION,
				     action("rollback", tokens[i]), &e),
		    ERR_DENIED);
	/* With the right one it is looked at: there is no such bundle. */
	assert_int_equal(
	    ask(LEDGER_ACTION,
		action("rollback", daemon_sh("cat data/admin-token")), &e),
	    ERR_NOT_FOUND);
	/* No SQL, no paths, no other fields pass either. */
	assert_int_equal(ask(LEDGER_ACTION,
			     json_pack("{s:s}", "action", "rollback"), &e),
	    ERR_INVALID);
	ledger_end();
}

static const char *
status_line(pid_t pid, const char *name)
{
	return daemon_sh("sed -n 's/^%s:[[:space:]]*//p' /proc/%d/status", name,
	    (int)pid);
}

/* What each process of a real server holds: nothing of the others' business. */
SCENARIO(every_process_is_confined)
{
	static const char *const names[] = { "ledger", "keeper", "pipeline",
		"http" };
	const char *rev = daemon_level(1);

	daemon_start(NULL);
	daemon_wait_served(rev);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		pid_t pid = daemon_process(names[i]);
		const char *open;

		assert_true(pid != 0);
		assert_string_equal(status_line(pid, "NoNewPrivs"), "1");
		assert_string_equal(status_line(pid, "Seccomp"), "2");
		/* Some are closed while one looks. */
		open =
		    daemon_try("ls -l /proc/%d/fd 2>/dev/null", (int)pid).text;
		assert_non_null(strstr(open, "socket:"));
		assert_null(strstr(open, "/data/keys"));
		assert_null(strstr(open, "-token"));
		if (strcmp(names[i], "keeper") == 0)
			assert_null(strstr(open, "edict.db"));
	}
	/* The database is open for writing in one of them only. */
	daemon_sh("for pid in %d %d %d; do for fd in /proc/$pid/fd/*; do "
		  "case $(readlink $fd) in */edict.db*) "
		  "flags=$(sed -n 's/^flags:.*\\(.\\)$/\\1/p' "
		  "/proc/$pid/fdinfo/${fd##*/}); test $((${flags:-0} & 3)) = 0 "
		  "|| exit 1;; esac; done; done",
	    (int)daemon_process("keeper"), (int)daemon_process("pipeline"),
	    (int)daemon_process("http"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(with_https_rights_nothing_is_made_up),
		PLAY(with_https_rights_no_operator_is_made_up),
		PLAY(every_process_is_confined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
