#include "server/conf/conf_change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/supervisor/reload.h"

/* A server.yaml in a folder of its own. */
static char dir[64];

static int
begin(void **state)
{
	(void)state;
	log_init("test", LOG_ERROR);
	(void)snprintf(dir, sizeof dir, "/tmp/edict-conf-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int
end(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(dir, &e) == ERR_OK ? 0 : -1;
}

#define REPOSITORIES                                                   \
	"repositories:\n"                                              \
	"  one: { url: https://git.example/one, engine: [/bin/true], " \
	"clusters: true }\n"                                           \
	"  two: { url: https://git.example/two, engine: [/bin/true] }\n"

static enum err_code
read_text(struct conf **out, const char *text, bool trial, struct err *e)
{
	AUTO_STR file = file_path(dir, "server.yaml");
	AUTO_STR data = file_path(dir, "data");
	struct conf_flags flags = { .file = file,
		.data_dir = data,
		.trial = trial };

	if (file_replace(file, text, strlen(text), 0600, e) != ERR_OK)
		fail_msg("%s", e->text);
	return conf_read(out, &flags, e);
}

static struct conf *
conf(const char *text)
{
	struct conf *c = NULL;
	struct err e;

	if (read_text(&c, text, false, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return c;
}

static const struct {
	const char *text; /* after that of the first, REPOSITORIES if NULL */
	const char *whole;
	const char *applied, *fixed;
	unsigned int needs;
} rows[] = {
	{ "", NULL, "", "", 0 },
	{ "http: { wait_max: 20 }\n", NULL, "http.wait_max", "", CONF_HTTP },
	{ "http: { threads: 7 }\n", NULL, "", "http.threads", 0 },
	{ "listen: 127.0.0.1:1\nhttp: { threads: 7, wait_max: 7 }\n"
	  "engines: { max: 7 }\n",
	    NULL, "http.wait_max", "listen, http.threads, engines.max",
	    CONF_HTTP },
	{ "log_level: debug\n", NULL, "log_level", "", CONF_EVERYBODY },
	{ "access: { anonymous_cluster: test }\n", NULL,
	    "access.anonymous_cluster", "", CONF_HTTP },
	{ "sets: { handover_timeout: 9 }\n", NULL, "sets.handover_timeout", "",
	    CONF_LEDGER },
	{ "retention: { artifacts: { count: 9 } }\n", NULL,
	    "retention.artifacts.count", "", CONF_LEDGER | CONF_PIPELINE },
	{ "gate: { minimum: { coverage: 9 } }\n", NULL, "gate.minimum.coverage",
	    "", CONF_PIPELINE },
	{ "signing: { use: other }\n", NULL, "signing.use", "", 0 },
	{ "events: { ops: { url: https://hooks.example/1 , kind: slack } }\n",
	    NULL, "events.ops", "", CONF_PIPELINE },
	/* Another order is no difference; another, or one less, is. */
	{ NULL,
	    "repositories:\n"
	    "  two: { url: https://git.example/two, engine: [/bin/true] }\n"
	    "  one: { url: https://git.example/one, engine: [/bin/true], "
	    "clusters: true }\n",
	    "", "", 0 },
	{ NULL,
	    "repositories:\n"
	    "  one: { url: https://git.example/one, engine: [/bin/true], "
	    "clusters: true }\n"
	    "  three: { url: https://git.example/two, engine: [/bin/true] }\n",
	    "repositories.two, repositories.three", "",
	    CONF_LEDGER | CONF_PIPELINE | CONF_HTTP },
	{ NULL,
	    "repositories:\n"
	    "  one: { url: https://git.example/one, engine: [/bin/true], "
	    "clusters: true }\n"
	    "  two: { url: https://git.example/two, engine: [/bin/true], "
	    "branch: next }\n",
	    "repositories.two", "", CONF_LEDGER | CONF_PIPELINE | CONF_HTTP },
};

static void
each_setting_has_its_processes(void **state)
{
	AUTO(conf, now) = conf(REPOSITORIES);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_STR text = rows[i].whole != NULL
		    ? mem_strdup(rows[i].whole)
		    : mem_printf("%s%s", REPOSITORIES, rows[i].text);
		AUTO(conf, next) = conf(text);
		struct conf_change c;

		conf_change_find(&c, now, next);
		assert_string_equal(c.applied.data, rows[i].applied);
		assert_string_equal(c.fixed.data, rows[i].fixed);
		assert_int_equal(c.needs, rows[i].needs);
		conf_change_clear(&c);
	}
}

static void
what_is_fixed_stays(void **state)
{
	AUTO(conf, now) = conf(REPOSITORIES);
	AUTO(conf, next) = conf(REPOSITORIES
	    "listen: 127.0.0.1:1\nhttp: { threads: 7, wait_max: 7 }\n"
	    "engines: { max: 7 }\n");
	struct conf_change c;

	(void)state;
	conf_change_keep(now, next);
	assert_string_equal(next->listen, now->listen);
	assert_int_equal(next->http.threads, now->http.threads);
	assert_int_equal(next->engines.max, now->engines.max);
	assert_int_equal(next->http.wait_max, 7);
	conf_change_find(&c, now, next);
	assert_string_equal(c.applied.data, "http.wait_max");
	assert_string_equal(c.fixed.data, "");
	conf_change_clear(&c);
}

/* No folder, where a start makes one. */
static void
a_trial_changes_nothing(void **state)
{
	AUTO_STR data = file_path(dir, "data");
	AUTO(conf, c) = NULL;
	struct err e;

	(void)state;
	assert_int_equal(read_text(&c, REPOSITORIES, true, &e), ERR_OK);
	assert_int_equal(access(data, F_OK), -1);
}

/* ---- files that are named ---- */

static const struct {
	const char *text, *fault;
} broken[] = {
	{ "http: { wait_max: soon }\n", "server.yaml:4:" },
	{ "tls: { certificate: missing.pem, key: missing.key }\n", "tls.key" },
	{ "signing: { use: other }\n", "signing.use" },
	{ "signing: { keys: [ { id: a, private_key_file: missing.key } ] }\n",
	    "signing.keys[0]" },
	{ "events: { ops: { url: https://hooks.example/1, "
	  "secret_files: [missing] } }\n",
	    "events.ops" },
	{ "access: { jwt: [ { issuer: i, audience: a, jwks_file: missing, "
	  "subjects: [ { subject: s, cluster: c } ] } ] }\n",
	    "access.jwt[0]" },
};

static void
files_are_checked_as_well(void **state)
{
	AUTO_STR file = file_path(dir, "server.yaml");
	AUTO_STR data = file_path(dir, "data");
	struct conf_flags flags = { .file = file, .data_dir = data };
	struct err e;

	(void)state;
	conf_free(conf(REPOSITORIES)); /* the file is there */
	if (reload_check(&flags, &e) != ERR_OK)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		AUTO_STR text =
		    mem_printf("%s%s", REPOSITORIES, broken[i].text);

		assert_int_equal(file_replace(file, text, strlen(text), 0600,
				     &e),
		    ERR_OK);
		assert_int_not_equal(reload_check(&flags, &e), ERR_OK);
		if (strstr(e.text, broken[i].fault) == NULL ||
		    strstr(e.text, "server.yaml") == NULL)
			fail_msg("row %zu: %s", i, e.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_setting_has_its_processes,
		    begin, end),
		cmocka_unit_test_setup_teardown(what_is_fixed_stays, begin,
		    end),
		cmocka_unit_test_setup_teardown(a_trial_changes_nothing, begin,
		    end),
		cmocka_unit_test_setup_teardown(files_are_checked_as_well,
		    begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
