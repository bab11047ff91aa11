/* /metrics: that it is well-formed, and counts what happens. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "exposition.h"
#include "http_fixture.h"

enum { PATIENCE_MS = 30000 };

static const char waiting[] = "edict_engines_waiting";

#define KIND(kind) "edict_poll_answers_total{kind=\"" kind "\"}"

static const char good[] = "# HELP a_total A.\n# TYPE a_total counter\n"
			   "a_total{x=\"1\",y=\"\\\\ \\\" \\n\"} 1\n"
			   "a_total{x=\"2\"} 2e3\n"
			   "# HELP h H.\n# TYPE h histogram\n"
			   "h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1\"} 1\n"
			   "h_bucket{le=\"+Inf\"} 3\nh_sum 12.5\nh_count 3\n"
			   "# HELP g G.\n# TYPE g gauge\ng +Inf\n";

static void
the_check_checks(void **state)
{
	/* What is put in place of what. */
	static const char *const rows[][2] = {
		{ "# HELP a_total A.\n", "" },
		{ "# TYPE a_total counter\n", "" },
		{ "# TYPE g gauge\n", "# TYPE g number\n" },
		{ "# TYPE g gauge\n", "# TYPE g gauge\n# TYPE g gauge\n" },
		{ "# HELP g G.\n", "# HELP a_total A.\n" },
		{ "# HELP g G.\n", "\n# HELP g G.\n" },
		{ "g +Inf\n", "" },
		{ "g +Inf\n", "g +Inf" },
		{ "g +Inf\n", "g 1x\n" },
		{ "g +Inf\n", "g\n" },
		{ "g +Inf\n", "g  1\n" },
		{ "g +Inf\n", "g 1\ng 2\n" },
		{ "g +Inf\n", "g 1\nother 2\n" },
		{ "g +Inf\n", "gg 1\n" },
		{ "x=\"2\"", "x=2" },
		{ "x=\"2\"", "x=\"2" },
		{ "x=\"2\"", "x=\"\\t\"" },
		{ "x=\"2\"", "2=\"x\"" },
		{ "2e3", "-1" },
		{ "a_total counter\n", "a_total gauge\na_total_x 1\n" },
		{ "le=\"0.5\"", "le=\"1.5\"" },
		{ "le=\"0.5\"", "le=\"1\"" },
		{ "le=\"0.5\"", "ge=\"0.5\"" },
		{ "h_bucket{le=\"0.5\"} 1", "h_bucket{le=\"0.5\"} 2" },
		{ "h_bucket{le=\"+Inf\"} 3\n", "" },
		{ "h_sum 12.5\n", "" },
		{ "h_count 3\n", "" },
		{ "h_count 3\n", "h_count 4\n" },
		{ "h_count 3\n", "h_count 3\nh_more 1\n" },
	};
	char fault[256];

	(void)state;
	exposition_check(fault, sizeof fault, good);
	assert_string_equal(fault, "");
	assert_true(exposition_value(good, "h_sum") > 12);
	assert_true(exposition_value(good, "h_su") < 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *at = strstr(good, rows[i][0]);
		AUTO_STR bad = NULL;

		assert_non_null(at);
		bad = mem_printf("%.*s%s%s", (int)(at - good), good, rows[i][1],
		    at + strlen(rows[i][0]));
		exposition_check(fault, sizeof fault, bad);
		if (fault[0] == '\0')
			fail_msg("row %zu is not noticed", i);
	}
}

static void
assert_well_formed(const struct site *s, const char *token)
{
	struct wire_reply r;
	char fault[256];

	site_get(s, token, "/metrics", &r);
	assert_int_equal(r.status, 200);
	exposition_check(fault, sizeof fault, r.body);
	if (fault[0] != '\0')
		fail_msg("%s in:\n%s", fault, r.body);
	assert_true(exposition_value(r.body, "edict_wake_seconds_count") >= 0);
	assert_true(exposition_value(r.body,
			"edict_limits_hit_total{limit=\"body_size\"}") >= 0);
	wire_reply_clear(&r);
}

static void
send_poll(int fd, const struct site *s, const char *etag, int wait_s)
{
	wire_send(fd,
	    "GET /bundles/main HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: Bearer %s\r\nIf-None-Match: %s\r\n"
	    "Prefer: modes=snapshot,delta;wait=%d\r\n\r\n",
	    s->engine, etag, wait_s);
}

static void
expect(int fd, int status)
{
	struct wire_reply r;

	assert_true(wire_read(fd, &r, PATIENCE_MS, false));
	assert_int_equal(r.status, status);
	wire_reply_clear(&r);
}

static void
ask(const struct site *s, const char *token, const char *headers, int status)
{
	struct wire_reply r;

	site_ask(s, "GET", token, "/bundles/main", headers, NULL, &r);
	assert_int_equal(r.status, status);
	wire_reply_clear(&r);
}

/* Each kind of answer once, and twice what comes at once. */
static void
kinds_of_answers(void **state)
{
	struct site s;
	char match[128];
	int fd;

	(void)state;
	site_open(&s, 1);
	s.conf.http.engines_max = 1;
	site_assign(&s, "default", "main", "one", 3);
	site_start(&s);
	assert_well_formed(&s, NULL);
	(void)snprintf(match, sizeof match, "If-None-Match: %s\r\n", s.etag);
	ask(&s, s.engine, "", 200);
	ask(&s, s.engine, "", 200);
	ask(&s, s.engine, match, 304);
	ask(&s, "wrong", match, 401);
	fd = wire_open(&s);
	send_poll(fd, &s, s.etag, 1);
	expect(fd, 304);
	send_poll(fd, &s, s.etag, 25);
	site_wait_metric(&s, waiting, 1);
	(void)snprintf(match, sizeof match,
	    "If-None-Match: %s\r\nPrefer: wait=25\r\n", s.etag);
	ask(&s, s.engine, match, 503); /* there is room for one */
	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);
	expect(fd, 200);
	send_poll(fd, &s, s.etag, 25);
	site_wait_metric(&s, waiting, 1);
	close(fd);
	site_wait_metric(&s, KIND("held_gone"), 1);
	site_wait_metric(&s, KIND("sent"), 2);
	site_wait_metric(&s, KIND("unchanged"), 1);
	site_wait_metric(&s, KIND("held_sent"), 1);
	site_wait_metric(&s, KIND("held_unchanged"), 1);
	site_wait_metric(&s, KIND("held_other"), 0);
	site_wait_metric(&s, KIND("full"), 1);
	site_wait_metric(&s, KIND("refused"), 1);
	site_wait_metric(&s,
	    "edict_limits_hit_total{limit=\"http.engines_max\"}", 1);
	assert_well_formed(&s, NULL);
	assert_well_formed(&s, s.admin);
	(void)site_stop(&s);
	site_close(&s);
}

/* A number in each bucket, one above, and one from a clock that went back. */
static void
histograms(void **state)
{
	struct counters *c = counters_new(NULL, 0);
	struct counters_histogram h;
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < COUNTERS_BOUNDS; i++) {
		counters_observe(c, HISTOGRAM_WAKE, counters_bounds_ms[i]);
		sum += (uint64_t)counters_bounds_ms[i];
	}
	counters_observe(c, HISTOGRAM_WAKE,
	    counters_bounds_ms[COUNTERS_BOUNDS - 1] + 1);
	counters_observe(c, HISTOGRAM_WAKE, counters_bounds_ms[0] + 1);
	counters_observe(c, HISTOGRAM_WAKE, -5);
	counters_histogram(c, HISTOGRAM_WAKE, &h);
	for (int i = 0; i <= COUNTERS_BOUNDS; i++)
		assert_int_equal(h.counts[i], i < 2 ? 2 : 1);
	assert_int_equal(h.sum_ms,
	    sum + (uint64_t)counters_bounds_ms[COUNTERS_BOUNDS - 1] + 1 +
		(uint64_t)counters_bounds_ms[0] + 1);
	counters_free(c);
}

/* With room for none all is served from files, which may be gone. */
static void
files_that_are_mapped(void **state)
{
	struct site s;
	struct wire_reply r;
	AUTO_STR artifacts = NULL;

	(void)state;
	site_open(&s, 1);
	s.conf.http.memory_max = 4;
	site_assign(&s, "default", "main", "first", 5);
	site_assign(&s, "default", "small", "tiny", 4);
	site_start(&s);
	site_wait_metric(&s, "edict_artifacts_mapped_bytes", 5);
	site_wait_metric(&s, "edict_artifacts_memory_bytes", 4);
	artifacts = file_path(s.dir, "artifacts");
	assert_int_equal(file_remove_tree(artifacts, NULL), ERR_OK);
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "first");
	wire_reply_clear(&r);
	site_get(&s, s.engine, "/bundles/small", &r);
	assert_string_equal(r.body, "tiny");
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_checks),
		cmocka_unit_test(histograms),
		cmocka_unit_test(kinds_of_answers),
		cmocka_unit_test(files_that_are_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
