#include <signal.h>
#include <string.h>

#include "tests/daemon/fixture.h"

/* Signing keys change while engines run: one that knows only the old key, one
 * that knows both, one that knows only the new. */

static const char *
assigned_key(const char *cluster)
{
	return daemon_text(daemon_api("GET",
			       daemon_printf("/clusters/%s", cluster), NULL,
			       200),
	    "assignments.0.key");
}

struct wanted {
	const char *cluster, *key;
};

static bool
has_key(void *arg)
{
	const struct wanted *w = arg;

	return strcmp(assigned_key(w->cluster), w->key) == 0;
}

static void
wait_key(const char *cluster, const char *key)
{
	struct wanted w = { cluster, key };

	daemon_wait("the cluster's bundle is signed by its key", has_key, &w,
	    DAEMON_DEADLINE_MS);
}

static const json_t *
key_of(const char *id)
{
	const json_t *keys =
	    daemon_at(daemon_api("GET", "/keys", NULL, 200), "items");
	const json_t *key;
	size_t i;

	json_array_foreach(keys, i, key)
		if (strcmp(daemon_text(key, "id"), id) == 0)
			return key;
	fail_msg("no key %s is listed", id);
	return NULL;
}

struct running {
	const char *key;
	int64_t engines;
};

static bool
run_it(void *arg)
{
	const struct running *r = arg;

	return daemon_number(key_of(r->key), "engines.running") == r->engines;
}

static void
wait_running(const char *key, int64_t engines)
{
	struct running r = { key, engines };

	daemon_wait("so many engines run what the key signed", run_it, &r,
	    DAEMON_DEADLINE_MS);
}

static void
add_key(const char *id)
{
	daemon_sh("edict keygen %s && edict key add %s.key --id %s", id, id,
	    id);
}

/* engine-config, for an engine that need not wait long. */
static void
write_old(const char *cluster, const char *file)
{
	daemon_sh("edict engine-config %s --persist $PWD/%s.kept > %s && "
		  "sed -i 's/\\(m.._delay_seconds\\): .*/\\1: 1/' %s",
	    cluster, file, file, file);
}

/* The same with one more key, or in its place. Without keyid, an engine takes
 * the key that the signature names. */
static void
write_others(const char *old, const char *id)
{
	daemon_sh(
	    "{ printf '  \"%s\":\\n    algorithm: RS256\\n    key: |\\n'; "
	    "sed 's/^/      /' %s.pub; } > block",
	    id, id);
	daemon_sh("sed -e '/^keys:/r block' -e '/keyid:/d' "
		  "-e 's/old.yaml.kept/both.yaml.kept/' old.yaml > both.yaml");
	daemon_sh("sed -e '/^  \"%s\":/,/END PUBLIC/d' "
		  "-e 's/keyid: .*/keyid: \"%s\"/' "
		  "-e 's/old.yaml.kept/new.yaml.kept/' old.yaml | "
		  "sed -e '/^keys:/r block' > new.yaml",
	    old, id);
}

static struct engine *
start_with(const char *name)
{
	return engine_start_with(name,
	    daemon_path(daemon_printf("%s.yaml", name)));
}

static void
refused(const char *command, const char *says)
{
	struct shell s = daemon_try("%s", command);

	if (s.status != 1 || strstr(s.text, says) == NULL)
		fail_msg("%s: status %d: %s", command, s.status, s.text);
}

SCENARIO(a_new_key_comes_in_for_one_cluster)
{
	const char *one = daemon_estate(1);
	const char *first, *two;
	struct engine *old, *both, *new, *eu;
	const json_t *before, *after;

	daemon_start_estate(one);
	first = assigned_key("prod-us");
	add_key("new");
	assert_int_equal(daemon_get("/readyz", NULL, NULL).status, 200);
	write_old("prod-us", "old.yaml");
	write_old("prod-eu", "eu.yaml");
	write_others(first, "new");
	old = start_with("old");
	both = start_with("both");
	new = start_with("new");
	eu = start_with("eu");
	engine_wait(old, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(both, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(eu, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(new, "authz/level", NULL), "undefined");
	wait_running(first, 3);

	/* One cluster, the same revision, the next serial; who knows the new
	 * key has what it signed, and nobody loses anything. */
	before = daemon_at(daemon_api("GET", "/clusters/prod-us", NULL, 200),
	    "assignments.0");
	daemon_sh("edict key use new --cluster prod-us --reason rotation");
	wait_key("prod-us", "new");
	after = daemon_at(daemon_api("GET", "/clusters/prod-us", NULL, 200),
	    "assignments.0");
	assert_string_equal(daemon_text(after, "revision"), one);
	assert_int_equal(daemon_number(after, "serial"),
	    daemon_number(before, "serial") + 1);
	assert_string_equal(daemon_text(after, "mode"), "following");
	assert_string_equal(assigned_key("prod-eu"), first);
	engine_wait(new, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	wait_running("new", 2);
	wait_running(first, 2);
	assert_string_equal(engine_ask(old, "authz/level", NULL), "1");
	assert_string_equal(engine_ask(both, "authz/level", NULL), "1");
	assert_string_equal(engine_ask(eu, "authz/level", NULL), "1");
	/* Any signed variant of the content counts as converged. */
	assert_int_equal(daemon_number(daemon_api("GET", "/clusters/prod-us",
					   NULL, 200),
			     "assignments.0.engines.rejecting"),
	    0);

	/* What comes next is signed by it, there and nowhere else. */
	two = daemon_estate(2);
	daemon_wait_revision("prod-us", "authz", two, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-eu", "authz", two, DAEMON_DEADLINE_MS);
	assert_string_equal(assigned_key("prod-us"), "new");
	assert_string_equal(assigned_key("prod-eu"), first);
	engine_wait(new, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	engine_wait(both, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	engine_wait(eu, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(old, "authz/level", NULL), "1");
}

SCENARIO(a_key_that_is_needed_is_not_retired)
{
	const char *one = daemon_estate(1);
	const char *first;
	struct engine *e;

	daemon_start_estate(one);
	first = assigned_key("prod-us");
	add_key("new");
	add_key("third");
	daemon_sh("edict key use new --cluster prod-us");
	wait_key("prod-us", "new");
	write_old("prod-us", "old.yaml"); /* by now, with the new key */
	e = start_with("old");
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	wait_running("new", 1);

	refused("edict key retire new", "cluster prod-us uses it");
	refused(daemon_printf("edict key retire %s", first), "the default");
	refused("edict key retire none", "no key is called none");
	refused(daemon_printf("edict key retire audit-%s", first),
	    "of kind audit");
	refused(daemon_printf("edict key use discovery-%s --cluster prod-us",
		    first),
	    "never signs bundles");

	/* Nobody is given it any more, but an engine still runs it. */
	daemon_sh("edict key use third --cluster prod-us");
	wait_key("prod-us", "third");
	refused("edict key retire new", "1 engine runs what it signed");
	assert_int_equal(daemon_try("edict key retire new --force").status, 2);
	daemon_sh("edict key retire new --force --reason 'laptop lost'");
	assert_string_equal(daemon_text(key_of("new"), "retired_reason"),
	    "laptop lost");
	assert_non_null(daemon_text(key_of("new"), "public"));
	daemon_wait_log("keeper.retired key=new", 0);
	refused("edict key use new --cluster prod-us", "retired");
	refused("edict key retire new", "retired already");
	assert_string_equal(engine_ask(e, "authz/level", NULL), "1");

	/* By force from under a cluster: it goes to the default key. */
	daemon_sh("edict key retire third --force --reason 'that one too'");
	wait_key("prod-us", first);

	/* It stays so, whoever is started anew. */
	daemon_kill("keeper", SIGKILL);
	daemon_restart();
	refused("edict key use new --cluster prod-us", "retired");
	assert_non_null(strstr(daemon_sh("cat data/keys/new.json"),
	    "retired_at"));
	daemon_wait_revision("prod-us", "authz", daemon_estate(2),
	    DAEMON_DEADLINE_MS);
	assert_string_equal(assigned_key("prod-us"), first);
}

SCENARIO(a_rollback_after_a_rotation_needs_neither_git_nor_opa)
{
	const char *one = daemon_level(1);
	const char *opa = daemon_path("opa");
	const char *two, *first;
	struct engine *e;

	daemon_sh("cp '%s' opa", engine_opa());
	daemon_start(&(struct daemon_options){ .opa = opa });
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	first = assigned_key("default");
	add_key("new");
	daemon_sh("edict key use new --cluster default");
	wait_key("default", "new");
	write_old("default", "old.yaml");
	e = start_with("old"); /* which knows the new key only */
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);

	daemon_sh("mv remote.git away.git && mv opa opa.away");
	daemon_sh("edict rollback main --to %s --reason 'it broke'", one);
	daemon_wait_served(one);
	assert_string_equal(assigned_key("default"), "new");
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait_log("variant.unasked", 0);

	/* The signature is there now: with the pipeline at a stand, too. */
	daemon_sh("edict resume main");
	daemon_wait_served(two);
	daemon_kill("pipeline", SIGSTOP);
	daemon_sh("edict rollback main --to %s --reason 'again'", one);
	daemon_wait_served(one);
	daemon_sh("edict key use %s --cluster default", first);
	assert_string_equal(assigned_key("default"), first);
	daemon_sh("edict key use new --cluster default");
	assert_string_equal(assigned_key("default"), "new");
	daemon_kill("pipeline", SIGKILL);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);

	daemon_restart();
	daemon_wait_served(one);
	daemon_sh("edict resume main");
	daemon_wait_served(two);
	assert_string_equal(assigned_key("default"), "new");
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
}

static bool
has_signed_all(void *arg)
{
	return daemon_number(key_of(arg), "waiting") == 0;
}

/* The choice is made, the signature is not: it is made after the restart. */
SCENARIO(a_restart_in_the_middle)
{
	const char *one = daemon_level(1);
	const char *two;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	add_key("new");
	daemon_kill("pipeline", SIGSTOP);
	daemon_sh("edict key use new --cluster default");
	assert_string_not_equal(assigned_key("default"), "new");
	assert_int_equal(daemon_number(key_of("new"), "waiting"), 1);
	/* Nor is this one's: it waits as well. */
	daemon_api("POST", "/bundles/main/rollback",
	    daemon_printf("{\"to\":\"%s\",\"reason\":\"meanwhile\"}", one),
	    202);
	daemon_crash();
	daemon_restart();
	wait_key("default", "new");
	daemon_wait_served(one);
	wait_key("default", "new");
	daemon_wait("all is signed", has_signed_all, (char[]){ "new" },
	    DAEMON_DEADLINE_MS);

	daemon_sh("edict audit --verify");
	daemon_sh("edict resume main");
	daemon_wait_served(two);
	assert_string_equal(assigned_key("default"), "new");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(a_new_key_comes_in_for_one_cluster),
		PLAY(a_key_that_is_needed_is_not_retired),
		PLAY(a_rollback_after_a_rotation_needs_neither_git_nor_opa),
		PLAY(a_restart_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
