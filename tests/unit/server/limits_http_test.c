/* How much one address may ask: what it ends, and whom it leaves alone. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_fixture.h"

static const char waiting[] = "edict_engines_waiting";

enum { WAIT_S = 10 * SITE_PATIENCE_MS / 1000 }; /* who asks for this, waits */

/* A poll of who has what is assigned; authorization is a header line, or "". */
static void
send_poll(int fd, const struct site *s, const char *authorization)
{
	wire_send(fd,
	    "GET /bundles/main HTTP/1.1\r\nHost: localhost\r\n%s"
	    "If-None-Match: %s\r\n"
	    "Prefer: modes=snapshot,delta;wait=%d\r\n\r\n",
	    authorization, s->etag, WAIT_S);
}

static void
expect_answer(int fd, int status, const char *part)
{
	struct wire_reply r;

	if (!wire_read(fd, &r, SITE_PATIENCE_MS, false))
		fail_msg("no answer");
	if (r.status != status)
		fail_msg("%d, not %d: %s%s", r.status, status, r.head, r.body);
	assert_non_null(strstr(r.body, part));
	wire_reply_clear(&r);
}

static void
release(struct site *s, const char *cluster, const char *text)
{
	site_assign(s, cluster, "main", text, strlen(text));
	site_tell_changed(s);
}

static void
stop(struct site *s)
{
	(void)site_stop(s);
	site_close(s);
}

/* ---- connections of an address ---- */

/* A fleet behind one address, none of which needs a credential: the silent ones
 * have to go, however late they came. */
static void
leaves_who_needs_no_credential(void **state)
{
	enum { MAY = 2, ENGINES = 3 * MAY };
	static char cluster[] = "lab";
	struct site s;
	int engines[ENGINES];
	int silent[MAY + 1];

	(void)state;
	site_open(&s, 1);
	site_assign(&s, cluster, "main", "one", 3);
	s.conf.access.anonymous_cluster = cluster;
	s.conf.http.limits.address_connections = MAY;
	s.conf.http.limits.headers_timeout = WAIT_S;
	site_start(&s);
	for (int i = 0; i < ENGINES; i++) {
		engines[i] = wire_open(&s);
		send_poll(engines[i], &s, "");
		site_wait_metric(&s, waiting, i + 1);
	}
	for (int i = 0; i < MAY + 1; i++)
		silent[i] = wire_open(&s);
	expect_answer(silent[0], 429, "http.limits.address_connections");
	release(&s, cluster, "two");
	for (int i = 0; i < ENGINES; i++) {
		expect_answer(engines[i], 200, "two");
		close(engines[i]);
	}
	for (int i = 0; i < MAY + 1; i++)
		close(silent[i]);
	stop(&s);
}

/* ---- credentials that are wrong ---- */

/* One a second, of which the first may come at once. */
static void
open_strict(struct site *s)
{
	site_open(s, 1);
	site_assign(s, "default", "main", "one", 3);
	s->conf.http.limits.failures_rate = 1;
	s->conf.http.limits.failures_burst = 1;
}

/* What it gets who shows what is wrong, with headers, until that is a 429: all
 * before is a status of its own. */
static void
be_refused(const struct site *s, const char *method, const char *path,
    const char *headers, int before)
{
	int64_t deadline = clock_mono_ms() + SITE_PATIENCE_MS;
	struct wire_reply r = { 0 };
	char value[256];

	while (r.status != 429) {
		wire_reply_clear(&r);
		if (clock_mono_ms() > deadline)
			fail_msg("%s %s: never 429", method, path);
		site_ask(s, method, "wrong", path, headers, NULL, &r);
		if (r.status != 429)
			assert_int_equal(r.status, before);
	}
	assert_non_null(strstr(r.body, "http.limits.failures_rate"));
	assert_non_null(wire_header(&r, "Retry-After", value));
	wire_reply_clear(&r);
}

/* Whose body is large is known before it comes. */
static void
limits_whoever_would_send_much(void **state)
{
	struct site s;
	struct wire_reply r;

	(void)state;
	open_strict(&s);
	site_start(&s);
	be_refused(&s, "POST", "/status", "Content-Length: 70000\r\n", 413);
	/* No wrong ones are looked at elsewhere because of it, either. */
	be_refused(&s, "GET", "/bundles/main", "", 401);
	site_get(&s, NULL, "/healthz", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_who_needs_no_credential),
		cmocka_unit_test(limits_whoever_would_send_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
