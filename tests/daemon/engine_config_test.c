/* What engine-config prints, for whom: the real engine runs it. */

#include <string.h>

#include "core/yaml.h"
#include "tests/daemon/fixture.h"

static bool
is_ready(void *arg)
{
	return engine_is_ready(arg);
}

static void
runs(const char *name)
{
	struct engine *e = engine_start_with(name, daemon_path(name));

	engine_wait(e, "billing/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait("the engine is ready", is_ready, e, DAEMON_DEADLINE_MS);
	engine_stop(e);
}

SCENARIO(plain_configurations_run)
{
	const char *text;

	daemon_start_estate(daemon_estate(1));
	daemon_wait_discovery("test", 0);
	/* By default engines keep bundles where they are started. */
	text = daemon_sh("edict engine-config test");
	assert_non_null(strstr(text, "persistence_directory: \".opa\""));
	assert_non_null(strstr(text, "    persist: true\n"));
	assert_non_null(strstr(text, "long_polling_timeout_seconds: 45"));
	daemon_sh("edict engine-config test --no-persist > a.yaml");
	assert_null(strstr(daemon_read("a.yaml"), "persist"));
	runs("a.yaml");
	daemon_sh("edict engine-config test --behind nginx --persist "
		  "$PWD/kept > b.yaml && test ! -e kept");
	assert_non_null(strstr(daemon_read("b.yaml"),
	    "# Long polls end after 45 s: nginx"));
	runs("b.yaml");
	daemon_sh("test -s kept/bundles/billing/bundle.tar.gz");
	text = daemon_sh("edict engine-config test --behind envoy");
	assert_non_null(strstr(text, "long_polling_timeout_seconds: 10\n"));
	text = daemon_sh("edict engine-config test --behind alb --wait 30");
	assert_non_null(strstr(text, "long_polling_timeout_seconds: 30\n"));
	text = daemon_sh("edict engine-config test --behind envoy --discovery");
	assert_non_null(strstr(text, "discovery.wait has to be 10 s or less"));
	assert_null(strstr(text, "long_polling_timeout_seconds"));
}

/* Plain OPA refuses the section of Envoy's image, and nothing else of it. */
SCENARIO(an_envoy_configuration_has_its_section)
{
	struct shell s;

	daemon_start_estate(daemon_estate(1));
	daemon_sh("edict engine-config test --for envoy --no-persist "
		  "--path billing/allow > envoy.yaml && "
		  "sed '/^plugins:/,/path:/d' envoy.yaml > rest.yaml && "
		  "! grep -q envoy rest.yaml");
	s = daemon_try("'%s' run --server -c envoy.yaml --addr 127.0.0.1:%d "
		       "--skip-version-check",
	    engine_opa(), daemon_free_port());
	assert_int_not_equal(s.status, 0);
	assert_non_null(strstr(s.text, "envoy_ext_authz_grpc"));
	assert_non_null(strstr(daemon_read("envoy.yaml"),
	    "    addr: \":9191\"\n    path: \"billing/allow\"\n"));
	runs("rest.yaml");
}

static struct document *
parse(const char *text, size_t len)
{
	struct document *d = NULL;
	struct err e = { 0 };

	if (yaml_read(&d, "kubernetes", text, len, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return d;
}

static const char *
member(const struct value *v, const char *key)
{
	const struct value *found = v != NULL ? value_get(v, key) : NULL;

	return found != NULL && found->text != NULL ? found->text : "";
}

/* Both documents are what they shall be, and the first one's configuration
 * runs, once its files are where a test may have them. */
SCENARIO(a_kubernetes_configuration_runs)
{
	static const char *const variants[] = { "", "--discovery" };

	daemon_start_estate(daemon_estate(1));
	daemon_write("token",
	    daemon_token("{\"role\":\"engine\",\"name\":\"e1\","
			 "\"clusters\":[\"test\"]}"));
	daemon_wait_discovery("test", 0);
	for (size_t i = 0; i < 2; i++) {
		const char *text = daemon_sh("edict engine-config test --for "
					     "kubernetes %s",
		    variants[i]);
		const char *second = strstr(text, "\n---\n");
		AUTO(document, map) = parse(text, (size_t)(second - text) + 1);
		AUTO(document, deployment) =
		    parse(second + 5, strlen(second + 5));

		assert_string_equal(member(document_root(map), "kind"),
		    "ConfigMap");
		assert_string_equal(member(document_root(deployment), "kind"),
		    "Deployment");
		assert_non_null(strstr(second, "\"/health?bundles\""));
		assert_non_null(strstr(second, "metadata.name"));
		assert_null(strstr(text, daemon_read("token")));
		daemon_write("map.yaml",
		    member(value_get(document_root(map), "data"), "opa.yaml"));
		daemon_sh("sed -i -e 's|/var/run/secrets/edict|'$PWD'|' "
			  "-e 's|/var/lib/opa|'$PWD/kept%zu'|' map.yaml",
		    i);
		runs("map.yaml");
		daemon_sh("test -s kept%zu/bundles/billing/bundle.tar.gz", i);
	}
}

SCENARIO(what_does_not_fit_is_said)
{
	static const struct {
		const char *args, *says;
	} rows[] = {
		{ "test --for docker", "opa, envoy or kubernetes" },
		{ "test --behind squid", "nginx, envoy or alb" },
		{ "test --behind nginx --wait 60", "45 is fine" },
		{ "test --behind envoy --wait 45", "10 is fine" },
		{ "test --wait 3601", "0 to 3600" },
		{ "test --discovery --wait 5", "discovery.wait" },
		{ "test --path a/b", "--for envoy" },
		{ "test --persist /x --no-persist", "not both" },
		{ "", "name one cluster" },
	};

	daemon_start(NULL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct shell s =
		    daemon_try("edict engine-config %s", rows[i].args);

		if (s.status != 2 || strstr(s.text, rows[i].says) == NULL)
			fail_msg("%s: %d: %s", rows[i].args, s.status, s.text);
	}
	assert_int_equal(daemon_try("edict engine-config none").status, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(plain_configurations_run),
		PLAY(an_envoy_configuration_has_its_section),
		PLAY(a_kubernetes_configuration_runs),
		PLAY(what_does_not_fit_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
