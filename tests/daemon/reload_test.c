/* server.yaml is changed and read again by SIGHUP, while engines go on polling:
 * none of them may notice more than what was changed. */

#include <signal.h>
#include <stdint.h>
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
	(void)daemon_sh(
	    "(while [ -e work ] && [ ! -e stop ]; do curl -s -o /dev/null "
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
	struct engine *e;
	pid_t ledger, keeper;

	begin(OPEN_TO_ALL);
	wait_anonymous(200);
	begin_polling();
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
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
	(void)daemon_level(2);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
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

static const char *
second_repository(void)
{
	return daemon_sh(
	    "git init -q --bare -b main second.git && git init -q -b main two "
	    "&& cd two && mkdir more && printf 'package more\\n\\nx := 1\\n' "
	    ">more/more.rego && printf 'package more_test\\n\\n"
	    "test_x if data.more.x == 1\\n' >more/more_test.rego && "
	    "echo 'bundles: {more: {paths: [more]}}' >edict.yaml && "
	    "git add -A && git commit -q -m More && "
	    "git push -q ../second.git main && git rev-parse HEAD");
}

/* Its policies are tested and published, and engines get them; the other's
 * stay. */
SCENARIO(a_repository_is_added)
{
	const char *second = second_repository();
	struct engine *e;

	begin("");
	begin_polling();
	reload(file_text(daemon_printf("  second: { url: %s }\n",
			     daemon_path("second.git")),
		   ""),
	    "reload.applied");
	daemon_wait_log("commit.published repo=second", 0);
	(void)daemon_commit("Both",
	    { "edict.yaml",
		"bundles: {main: {paths: [authz]}}\n"
		"clusters: {default: {bundles: [main, more]}}\n" });
	daemon_wait_revision("default", "more", second, DAEMON_DEADLINE_MS);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "more/x", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
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

/* ---- issuers of JWTs, in another order ---- */

/* Signed by the issuer's own key, and by the other's. */
struct jwts {
	const char *own[2], *crossed[2];
};

static const char *
issuer(const char *name)
{
	return daemon_printf(
	    "  - issuer: https://%s.example.org\n"
	    "    audience: edict\n"
	    "    algorithms: ES256\n"
	    "    jwks_file: \"%s\"\n"
	    "    subjects: [{subject: \"system:serviceaccount:eu:*\", "
	    "cluster: default}]\n",
	    name, daemon_path(daemon_printf("%s.json", name)));
}

static const char *
issuers(const char *first, const char *second)
{
	/* Bad ones come faster here than one address may show them. */
	return daemon_printf("http: {limits: {failures_rate: 0}}\n"
			     "tls: {certificate: %s, key: %s}\n"
			     "access:\n  jwt:\n%s%s",
	    daemon_path("tls/ca.pem"), daemon_path("tls/ca.key"), issuer(first),
	    issuer(second));
}

static struct jwts
make_jwts(void)
{
	static const char one[] = ".iss=\"https://one.example.org\"";
	static const char two[] = ".iss=\"https://two.example.org\"";

	return (struct jwts){
		{ daemon_jwt("a", "ES256", one),
		    daemon_jwt("b", "ES256", two) },
		{ daemon_jwt("b", "ES256", one),
		    daemon_jwt("a", "ES256", two) },
	};
}

static void
check_jwts(const struct jwts *t)
{
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(daemon_get(MAIN, t->own[i], NULL).status, 200);
		assert_int_equal(daemon_get(MAIN, t->crossed[i], NULL).status,
		    401);
	}
}

/* They are asked all the time until the log says it. */
struct jwts_until {
	const struct jwts *t;
	const char *event;
	size_t from;
};

static bool
jwts_hold_until(void *arg)
{
	const struct jwts_until *u = arg;
	bool said = strstr(daemon_log() + u->from, u->event) != NULL;

	check_jwts(u->t);
	return said;
}

static void
check_jwts_until(const struct jwts *t, const char *event, size_t from)
{
	struct jwts_until u = { t, event, from };

	daemon_wait(event, jwts_hold_until, &u, DAEMON_DEADLINE_MS);
}

/* ---- an engine, by TLS and with a JWT ---- */

static void
make_certificate(void)
{
	daemon_sh("mkdir -p tls && openssl req -x509 -newkey ec -pkeyopt "
		  "ec_paramgen_curve:prime256v1 -nodes -keyout new.key -out "
		  "new.pem -days 2 -subj /CN=127.0.0.1 -addext "
		  "subjectAltName=IP:127.0.0.1 2>/dev/null && "
		  "chmod 600 new.key && cat new.pem >> trusted.pem && "
		  "mv new.key tls/ca.key && mv new.pem tls/ca.pem");
}

static bool
shows_the_new_one(void *arg)
{
	(void)arg;
	return daemon_try("curl -sf --cacert tls/ca.pem %s/healthz",
		   daemon_url())
		   .status == 0;
}

static struct engine *
start_engine(const char *token)
{
	const char *more = daemon_printf("    tls: {ca_cert: \"%s\"}",
	    daemon_path("trusted.pem"));

	daemon_write("token", token);
	daemon_sh("edict engine-config default --ca-file tls/ca.pem --persist "
		  "$PWD/kept > opa.yaml && sed -i -E "
		  "'s|token(_path)?: .*|token_path: \"%s\"|; /ca_cert/d; "
		  "/^ *tls:/d; s|^    url: .*|&\\n%s|; "
		  "s|(m.._delay_seconds): .*|\\1: 1|' opa.yaml",
	    daemon_path("token"), more);
	return engine_start_with("by-tls", daemon_path("opa.yaml"));
}

static void
expect_level(struct engine *e, int n)
{
	(void)daemon_level(n);
	engine_wait(e, "authz/level", NULL, daemon_printf("%d", n),
	    DAEMON_DEADLINE_MS);
}

/* Files that did not change by name are read at once when SIGHUP comes. */
static void
change_files(struct engine *e, const struct jwts *t)
{
	size_t from = strlen(daemon_log());
	const char *next =
	    daemon_jwt("c", "ES256", ".iss=\"https://one.example.org\"");

	daemon_sh("printf %%s '%s' > next && mv next token", next);
	(void)daemon_jose("keyset c; mv keys.json one.json");
	make_certificate();
	assert_int_equal(kill(daemon_pid(), SIGHUP), 0);
	daemon_wait_log("reload.unchanged", from);
	daemon_wait("the new certificate", shows_the_new_one, NULL,
	    DAEMON_DEADLINE_MS);
	assert_int_equal(daemon_get(MAIN, next, NULL).status, 200);
	assert_int_equal(daemon_get(MAIN, t->own[0], NULL).status, 401);
	assert_int_equal(daemon_get(MAIN, t->own[1], NULL).status, 200);
	expect_level(e, 3);
}

/* A process that has them in the order before is handed no keys in this one,
 * however long it serves: here its successor cannot read what is served. */
SCENARIO(issuers_in_another_order_keep_their_keys)
{
	struct engine *e;
	struct jwts t;
	size_t from;

	daemon_expect_deaths("status=1");
	make_certificate();
	(void)daemon_jose("key a ES256; key b ES256; key c ES256; "
			  "keyset a; mv keys.json one.json; "
			  "keyset b; mv keys.json two.json");
	begin(issuers("one", "two"));
	t = make_jwts();
	check_jwts(&t);
	e = start_engine(t.own[0]);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait_settled("default");
	(void)daemon_sh("mkdir away && mv data/artifacts/* away/");
	from = strlen(daemon_log());
	reload(file_text("", issuers("two", "one")), "reload.applied");
	check_jwts_until(&t, "credentials.not_taken", from);
	check_jwts_until(&t, "process.not_replaced", from);
	(void)daemon_sh("cp -rln away/. data/artifacts/");
	/* Asked again, it is tried again at once. */
	assert_int_equal(kill(daemon_pid(), SIGHUP), 0);
	check_jwts_until(&t, "process.left", from);
	check_jwts(&t);
	expect_level(e, 2);
	change_files(e, &t);
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
		PLAY(issuers_in_another_order_keep_their_keys),
		PLAY(people_may_ask_whether_a_file_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
