/* Others are told what happens: signed, in order, after restarts too, and nobody
 * waits for them. */

#include "tests/daemon/fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/server/receiver.h"

enum { EVENTS_MAX = 40 }; /* of any scenario */

static struct receiver ops, chat;

static void
start_receiver(struct receiver *r, const char *dir)
{
	daemon_write(daemon_printf("%s/.keep", dir), "");
	receiver_start(r, daemon_path(dir), 0);
}

/* Relative to the server's folder, which is this program's. */
static const char *
from_here(const char *name)
{
	char here[4096];

	assert_non_null(getcwd(here, sizeof here));
	return daemon_sh("realpath --relative-to='%s' %s", here, name);
}

/* The server with these two as targets; more goes below `ops`. */
static void
start(const char *path, const char *more)
{
	start_receiver(&ops, "ops");
	start_receiver(&chat, "chat");
	daemon_sh("openssl rand -hex 32 > secret; openssl rand -hex 32 > next\n"
		  "echo http://127.0.0.1:%d/ok > chat.url\n"
		  "chmod 600 secret next chat.url",
	    chat.port);
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf(
		"repositories: {remote: {url: \"%s\", poll_interval: 1s, "
		"stale_after: 30}}\n"
		"events:\n"
		"  chat: {kind: slack, url_file: %s}\n"
		"  ops:\n"
		"    url: http://127.0.0.1:%d%s\n"
		"    secret_files: [%s, %s]\n%s",
		daemon_path("remote.git"), daemon_path("chat.url"), ops.port,
		path, daemon_path("secret"), from_here("next"), more) });
}

static void
end(void)
{
	receiver_stop(&ops);
	receiver_stop(&chat);
}

/* ---- what was received ---- */

static bool
is_there(void *arg)
{
	return access(arg, R_OK) == 0;
}

/* Body number n, when it has come; lives as long as the scenario. */
static const char *
body_of(const char *dir, int n)
{
	const char *head = daemon_path(daemon_printf("%s/%d.head", dir, n));
	char path[4096];

	(void)snprintf(path, sizeof path, "%s", head);
	daemon_wait(head, is_there, path, DAEMON_DEADLINE_MS);
	return daemon_read(daemon_printf("%s/%d.body", dir, n));
}

/* "EVENT SUBJECT" */
static const char *
told(int n)
{
	json_t *j = json_loads(body_of("ops", n), 0, NULL);
	const char *text;

	assert_non_null(j);
	text = daemon_printf("%s %s", daemon_text(j, "event"),
	    daemon_text(j, "subject"));
	json_decref(j);
	return text;
}

static void
expect(int n, const char *event, const char *subject)
{
	const char *wanted = daemon_printf("%s %s", event, subject);

	assert_string_equal(told(n), wanted);
}

/* Its number, after others perhaps: a bundle may be blocked for another cause
 * meanwhile, or more be published. */
static int
find(int from, const char *event, const char *subject)
{
	const char *wanted = daemon_printf("%s %s", event, subject);

	while (strcmp(told(from), wanted) != 0)
		assert_true(++from < EVENTS_MAX);
	return from;
}

static const char *
remote_at(const char *rev)
{
	return daemon_printf("remote@%s", rev);
}

/* The way docs/events.md shows it, with both secrets. */
static void
check_signatures(int count)
{
	daemon_sh(
	    "for n in $(seq %d); do\n"
	    "S=$(sed -n 's/^X-Edict-Signature: //p' ops/$n.head | tr -d '\\r')\n"
	    "T=$(echo \"$S\" | sed 's/^t=\\([0-9]*\\),.*/\\1/')\n"
	    "for key in secret next; do\n"
	    "M=$({ printf '%%s.' \"$T\"; cat ops/$n.body; } | openssl dgst "
	    "-sha256 -hmac \"$(cat $key)\" -r | cut -d' ' -f1)\n"
	    "case \",$S,\" in *\",v1=$M,\"*) ;; *) echo \"$n $S\"; exit 1;; "
	    "esac; done\n"
	    "I=$(sed -n 's/^X-Edict-Delivery: //p' ops/$n.head | tr -d '\\r')\n"
	    "grep -q \"\\\"id\\\":\\\"$I\\\"\" ops/$n.body\n"
	    "E=$(sed -n 's/^X-Edict-Event: //p' ops/$n.head | tr -d '\\r')\n"
	    "grep -q \"\\\"event\\\":\\\"$E\\\"\" ops/$n.body\n"
	    "done",
	    count);
}

static const char *
extra(int level)
{
	return daemon_printf("package extra\n\nlevel := %d\n", level);
}

static void
change(const char *bundle, const char *what, const char *body)
{
	daemon_api("POST", daemon_printf("/bundles/%s/%s", bundle, what), body,
	    200);
}

/* An engine that is sent what is assigned, and never takes it. */
static void
reject(const char *token, const char *old)
{
	for (int i = 0; i < 3; i++) {
		struct answer a =
		    daemon_send(&(struct request){ .path = "/bundles/authz",
			.token = token,
			.header = "X-Edict-Engine: stubborn",
			.header2 = daemon_printf("If-None-Match: %s", old) });

		assert_true(a.status == 200 || a.status == 304);
	}
}

static bool
is_let_in(void *token)
{
	return daemon_get("/bundles/authz", token, "X-Edict-Engine: stubborn")
		   .status == 200;
}

/* Every kind, each by what really causes it. */
SCENARIO(events_tell_what_happens)
{
	const char *one, *two, *bad, *token, *old;
	struct answer a;
	int n, held;

	(void)daemon_estate(1);
	one = daemon_commit("one", { "authz/extra.rego", extra(1) });
	start("/ok", "");
	expect(1, "published", remote_at(one));

	token = daemon_token("{\"name\":\"us\",\"role\":\"engine\","
			     "\"clusters\":[\"prod-us\"]}");
	daemon_wait("the token", is_let_in, (void *)(uintptr_t)token,
	    DAEMON_DEADLINE_MS);
	a = daemon_get("/bundles/authz", token, "X-Edict-Engine: stubborn");
	old = answer_header(&a, "ETag");

	bad = daemon_commit("breaks <!channel> & \\\"all\\\"",
	    { "authz/authz.rego", "package authz\n\nlevel := 77\n" });
	n = find(2, "verdict.failed", remote_at(bad));
	assert_non_null(strstr(body_of("ops", n), "\"state\":\"failed\""));
	(void)body_of("chat", n);
	daemon_sh("grep -q 'lt;!channel&gt;' chat/%d.body", n);

	change("authz", "pin",
	    "{\"clusters\":[\"prod-eu\"],\"reason\":\"<!channel> @all & "
	    "[x](http://evil)\"}");
	held = find(n, "held", "prod-eu/authz");

	/* The held bundle keeps the root that the other one now has. */
	(void)daemon_estate(2);
	two = daemon_commit("moves", { "billing/extra.rego", extra(2) },
	    { "authz/extra.rego", NULL });
	daemon_wait_revision("prod-us", "authz", two, DAEMON_DEADLINE_MS);
	n = find(held, "blocked", "prod-eu/billing");
	change("authz", "resume", "{\"clusters\":[\"prod-eu\"]}");
	n = find(n, "resumed", "prod-eu/authz");
	reject(token, old);
	n = find(n, "rejecting", "prod-us/authz");
	a = daemon_get("/bundles/authz", token, NULL);
	(void)daemon_send(&(struct request){ .path = "/bundles/authz",
	    .token = token,
	    .header = "X-Edict-Engine: stubborn",
	    .header2 = daemon_printf("If-None-Match: %s",
		answer_header(&a, "ETag")) });
	n = find(n, "healed", "prod-us/authz");
	daemon_sh("mv remote.git gone.git");
	n = find(n, "fetch.stale", "remote");
	daemon_sh("mv gone.git remote.git");
	n = find(n, "fetch.fresh", "remote");
	check_signatures(n);
	(void)body_of("chat", n);
	/* Nothing of what anybody wrote is a mention, a link or markup. */
	daemon_sh("! grep '<' chat/*.body && ! grep -i Signature chat/*.head &&"
		  " ! grep '@all' chat/*.body && ! grep '](' chat/*.body && "
		  "! grep 'http:/' chat/*.body");
	/* No policies, and nothing secret, in any of them. */
	daemon_sh("! grep 'level\\|package' ops/*.body chat/*.body && "
		  "! grep -q \"$(cat secret)\" ops/* chat/* server.log && "
		  "! grep -q \"$(cat chat.url)\" server.log");
	end();
}

/* One that is down gets everything later, in order, though the server was
 * restarted; the other has it at once, and engines are served. */
SCENARIO(who_was_down_misses_nothing)
{
	const char *rev[4];
	const char *status;
	int n = 1;

	daemon_write("ops/down", "");
	rev[0] = daemon_estate(1);
	start("/ok", "");
	(void)body_of("chat", 1);
	for (int i = 1; i < 4; i++) {
		rev[i] = daemon_estate(1 + i);
		daemon_wait_revision("prod-eu", "authz", rev[i],
		    DAEMON_DEADLINE_MS);
		(void)body_of("chat", i + 1);
		if (i == 2)
			daemon_restart();
	}
	change("authz", "pin", "{\"clusters\":[\"prod-eu\"],\"reason\":\"r\"}");
	(void)body_of("chat", 5);
	daemon_wait_log("event.failed", 0);
	status = daemon_sh("edict status");
	assert_non_null(strstr(status, "events.ops"));
	assert_non_null(strstr(status, "waiting: "));
	daemon_kill("pipeline", SIGKILL);
	daemon_sh("test ! -e ops/1.head && rm ops/down");
	for (int i = 0; i < 4; i++)
		n = find(n, "published", remote_at(rev[i]));
	n = find(n, "held", "prod-eu/authz");
	check_signatures(n);
	daemon_wait_log("event.healed", 0);
	end();
}

static bool
was_dropped(void *arg)
{
	const json_t *j = daemon_api("GET", "/audit?kind=delivery", NULL, 200);

	(void)arg;
	return daemon_at(j, "items.0") != NULL;
}

static bool
is_counted(void *arg)
{
	(void)arg;
	return strstr(daemon_get("/metrics", NULL, NULL).body,
		   "edict_event_deliveries_total{result=\"dropped\"} 1") !=
	    NULL;
}

static bool
is_told(void *rev)
{
	return daemon_try("grep -q %s ops/*.body", (const char *)rev).status ==
	    0;
}

/* What cannot be delivered is given up in the end, and that is written down. */
SCENARIO(giving_up_is_audited)
{
	const char *rev = daemon_estate(1);
	const json_t *j;

	start("/status/500", "    give_up_after: 2s\n    only: [published]\n");
	(void)told(1);
	daemon_wait("drop", was_dropped, NULL, DAEMON_DEADLINE_MS);
	j = daemon_api("GET", "/audit?kind=delivery", NULL, 200);
	assert_string_equal(daemon_text(j, "items.0.subject"), "ops");
	assert_int_equal(daemon_number(j, "items.0.detail.events"), 1);
	assert_non_null(strstr(daemon_text(j, "items.0.detail.error"), "500"));
	daemon_wait("it is counted", is_counted, NULL, DAEMON_DEADLINE_MS);
	/* A target that wants only some is told of no others. */
	change("authz", "pin", "{\"clusters\":[\"prod-eu\"],\"reason\":\"r\"}");
	(void)body_of("chat", 2);
	rev = daemon_estate(2);
	daemon_wait_revision("prod-us", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait("the next one is told", is_told, (void *)(uintptr_t)rev,
	    DAEMON_DEADLINE_MS);
	daemon_sh("! grep -l held ops/*.body");
	end();
}

static struct answer
stream(const char *query, const char *header)
{
	struct answer a = daemon_get(daemon_printf("/v1/events%s", query),
	    daemon_admin(), header);

	assert_int_equal(a.status, 200);
	assert_memory_equal(a.body, "retry: 2000\n", 12);
	return a;
}

/* The same for who asks: from where they are, or from now on. */
SCENARIO(events_are_there_for_who_asks)
{
	const char *rev = daemon_estate(1);
	struct answer a;

	daemon_start_estate(rev);
	a = stream("?after=0", NULL);
	assert_non_null(strstr(answer_header(&a, "Content-Type"),
	    "text/event-stream"));
	assert_non_null(strstr(a.body, "\nid: 1\nevent: published\ndata: {"));
	assert_non_null(strstr(a.body, remote_at(rev)));
	a = stream("", NULL);
	assert_string_equal(a.body, "retry: 2000\nid: 1\n\n");
	a = stream("", "Last-Event-ID: 1");
	assert_string_equal(a.body, "retry: 2000\n\n");
	change("authz", "pin", "{\"clusters\":[\"prod-eu\"],\"reason\":\"r\"}");
	a = stream("", "Last-Event-ID: 1");
	assert_non_null(strstr(a.body, "\nid: 2\nevent: held\ndata: {"));
	assert_null(strstr(a.body, "published"));
	/* Of a database that is not here any more. */
	a = stream("?after=77", NULL);
	assert_string_equal(a.body, "retry: 2000\nid: 2\n\n");
	a = daemon_get("/v1/events?after=x", daemon_admin(), NULL);
	assert_int_equal(a.status, 400);
}

static bool
is_calm(void *arg)
{
	const json_t *j = daemon_api("GET", "/alarms", NULL, 200);

	(void)arg;
	return json_array_size(json_object_get(j, "items")) == 0;
}

/* All that happened is delivered, and that stands in the database. */
static bool
is_done(void *arg)
{
	const json_t *j = daemon_api("GET", "/events/targets", NULL, 200);

	(void)arg;
	return daemon_number(j, "items.0.pending") == 0 &&
	    daemon_number(j, "items.1.pending") == 0;
}

/* A certificate's last two weeks; one that is renewed is quiet. */
SCENARIO(certificates_that_run_out_are_told)
{
	static const char make[] =
	    "openssl req -x509 -new -key tls/ca.key -subj /CN=127.0.0.1 "
	    "-addext subjectAltName=IP:127.0.0.1 -days %d -out tls/new.pem\n"
	    "mv tls/new.pem tls/ca.pem";
	const char *rev;

	daemon_sh("mkdir -p tls; openssl ecparam -genkey -name prime256v1 "
		  "-noout -out tls/ca.key; chmod 600 tls/ca.key");
	daemon_sh(make, 13);
	rev = daemon_estate(1);
	start("/ok",
	    daemon_printf("    only: [certificate.expiring]\n"
			  "tls: {certificate: %s, key: %s}\n",
		daemon_path("tls/ca.pem"), daemon_path("tls/ca.key")));
	expect(1, "certificate.expiring", "tls.certificate");
	assert_non_null(strstr(body_of("ops", 1), "\"expires\":\"20"));
	daemon_sh(make, 60);
	daemon_wait("renewal", is_calm, NULL, DAEMON_DEADLINE_MS);
	daemon_sh(make, 3);
	expect(2, "certificate.expiring", "tls.certificate");
	daemon_wait("deliveries", is_done, NULL, DAEMON_DEADLINE_MS);
	daemon_restart();
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	/* Told already. */
	daemon_sh("test ! -e ops/3.head");
	end();
}

/* Mistakes in the configuration are told at the start. */
SCENARIO(wrong_targets_are_refused)
{
	static const struct {
		const char *target, *why;
	} rows[] = {
		{ "{url: \"https://h/\"}", "secret_files" },
		{ "{kind: slack}", "needs a url" },
		{ "{kind: slack, url: \"ftp://h/\"}", "https://" },
		{ "{kind: slack, url: \"http://h/\"}", "https" },
		{ "{kind: slack, url: \"https://u:p@h/\"}", "user" },
		{ "{kind: slack, url: \"https://h/\", only: [published, sold]}",
		    "no event \"sold\"" },
		{ "{kind: slack, url: \"https://h/\", url_file: x}",
		    "not both" },
		{ "{kind: mail, url: \"https://h/\"}", "kind" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct shell s;

		daemon_write("bad.yaml",
		    daemon_printf("repositories: {r: {url: %s}}\n"
				  "data_dir: %s\nevents: {one: %s}\n",
			daemon_path("remote.git"), daemon_path("d"),
			rows[i].target));
		s = daemon_try("edict serve -c bad.yaml");
		assert_int_not_equal(s.status, 0);
		if (strstr(s.text, rows[i].why) == NULL ||
		    strstr(s.text, "events.one") == NULL)
			fail_msg("%s: %s", rows[i].target, s.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(events_tell_what_happens),
		PLAY(who_was_down_misses_nothing),
		PLAY(giving_up_is_audited),
		PLAY(events_are_there_for_who_asks),
		PLAY(certificates_that_run_out_are_told),
		PLAY(wrong_targets_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
