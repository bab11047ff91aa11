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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_who_needs_no_credential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
