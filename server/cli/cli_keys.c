/* key: which keys sign, for whom, and who still needs which. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_key.h"
#include "server/cli/cli_table.h"
#include "server/cli/cli_verb.h"

enum { KEY_TAKEN_MS = 10000, KEY_LOOK_NS = 100 * 1000000 };

static const struct cli_option key_options[] = {
	{ "id", 0, "ID", "add: what the key is called" },
	{ "signing-alg", 0, "NAME", "add: RS256 (default), PS*, ES* or HS*" },
	{ "cluster", 0, "NAMES", "use: in these clusters" },
	{ "selector", 0, "K=V,…", "use: in clusters with these labels" },
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	{ "force", 0, NULL, "retire: although it is needed; with --reason" },
	CLIENT_OPTIONS,
	{ 0 },
};

static void
sleep_a_little(void)
{
	struct timespec t = { .tv_nsec = KEY_LOOK_NS };

	(void)nanosleep(&t, NULL);
}

/* ---- list ---- */

/* "prod-eu, prod-us and 3 more"; mem_ memory. */
static char *
some_clusters(const json_t *list)
{
	size_t count = json_array_size(list);
	const char *first = json_string_value(json_array_get(list, 0));
	const char *second = json_string_value(json_array_get(list, 1));

	if (count == 0)
		return NULL;
	if (count == 1)
		return mem_strdup(first);
	if (count == 2)
		return mem_printf("%s, %s", first, second);
	return mem_printf("%s and %zu more", first, count - 1);
}

static const char *
state_of(const json_t *key)
{
	if (table_string(key, "retired_at") != NULL)
		return "retired";
	if (!json_is_true(json_object_get(key, "present")))
		return "missing";
	return json_is_true(json_object_get(key, "current")) ? "default" : "-";
}

static void
add_row(struct table *t, const json_t *key)
{
	const json_t *engines = json_object_get(key, "engines");
	AUTO_STR clusters = some_clusters(json_object_get(key, "clusters"));
	AUTO_STR running =
	    mem_printf("%" PRId64, table_number(engines, "running"));
	AUTO_STR assigned =
	    mem_printf("%" PRId64, table_number(engines, "assigned"));
	AUTO_STR age = table_age(table_string(key, "created_at"));
	const char *cells[] = { table_string(key, "id"),
		table_string(key, "kind"), table_string(key, "algorithm"), age,
		state_of(key), clusters, running, assigned };
	int64_t waiting = table_number(key, "waiting");
	int64_t unnamed = table_number(engines, "unnamed");
	const char *error = table_string(key, "error");

	table_row(t, cells);
	if (waiting > 0)
		table_note(t, TINT_FAINT,
		    "%" PRId64 " bundles are being signed by it%s%s", waiting,
		    error != NULL ? ": " : "", error != NULL ? error : "");
	if (unnamed > 0)
		table_note(t, TINT_FAINT,
		    "%" PRId64 " credentials ask for what it signed without "
		    "naming their engines",
		    unnamed);
}

static enum err_code
list(struct client *c, const struct cli_args *a, struct err *e)
{
	static const char *const headings[] = { "ID", "KIND", "ALG", "AGE",
		"STATE", "CLUSTERS", "RUNNING", "ASSIGNED", NULL };
	json_t *answer = NULL;
	const json_t *key;
	struct table *t;
	size_t i;

	TRY(client_call(c, "GET", "/keys", NULL, &answer, NULL, e));
	if (cli_given(a, "json")) {
		(void)client_print_json(answer);
	} else {
		t = table_new(headings);
		json_array_foreach(json_object_get(answer, "items"), i, key)
			add_row(t, key);
		table_print(t);
	}
	json_decref(answer);
	return ERR_OK;
}

/* ---- use and retire ---- */

static json_t *
split(const char *names)
{
	json_t *all = json_array();

	while (*names != '\0') {
		size_t len = strcspn(names, ",");

		if (len > 0)
			(void)json_array_append_new(all,
			    json_stringn(names, len));
		names += len + (names[len] == ',');
	}
	return all;
}

/* Takes body over. */
static enum err_code
post(struct client *c, const struct cli_args *a, const char *verb, json_t *body,
    json_t **answer, struct err *e)
{
	AUTO_STR segment = client_segment(a->rest[1]);
	AUTO_STR path = mem_printf("/keys/%s/%s", segment, verb);
	enum err_code code =
	    client_call(c, "POST", path, body, answer, NULL, e);

	json_decref(body);
	return code;
}

static void
show_use(const json_t *answer)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(answer, "clusters"), i, item) {
		int64_t waiting = table_number(item, "waiting");

		(void)printf("%s: key %s, before %s; %" PRId64
			     " bundles changed",
		    table_string(item, "cluster"), table_string(answer, "key"),
		    table_string(item, "previous"),
		    table_number(item, "changed"));
		if (waiting > 0)
			(void)printf(", %" PRId64 " as soon as they are signed",
			    waiting);
		(void)printf("\n");
	}
}

static enum err_code
use(struct client *c, const struct cli_args *a, struct err *e)
{
	const char *clusters = cli_value(a, "cluster");
	const char *selector = cli_value(a, "selector");
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s*, s:s*, s:o*}", "reason",
	    cli_value(a, "reason"), "selector", selector, "clusters",
	    clusters != NULL ? split(clusters) : NULL);

	if (body == NULL)
		return err_set(e, ERR_INVALID, "what was given is not UTF-8");
	TRY(post(c, a, "use", body, &answer, e));
	if (cli_given(a, "json"))
		(void)client_print_json(answer);
	else
		show_use(answer);
	json_decref(answer);
	return ERR_OK;
}

static enum err_code
retire(struct client *c, const struct cli_args *a, struct err *e)
{
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s*, s:b}", "reason",
	    cli_value(a, "reason"), "force", cli_given(a, "force"));
	AUTO_STR moved = NULL;

	if (body == NULL)
		return err_set(e, ERR_INVALID, "what was given is not UTF-8");
	TRY(post(c, a, "retire", body, &answer, e));
	moved = some_clusters(json_object_get(answer, "clusters"));
	if (cli_given(a, "json"))
		(void)client_print_json(answer);
	else
		(void)printf("key %s is retired and signs nothing any "
			     "more%s%s\n",
		    a->rest[1],
		    moved != NULL ? "; now with the default key: " : "",
		    moved != NULL ? moved : "");
	json_decref(answer);
	return ERR_OK;
}

/* ---- add ---- */

static bool
is_listed(const json_t *answer, const char *id)
{
	const json_t *key;
	size_t i;

	json_array_foreach(json_object_get(answer, "items"), i, key)
		if (strcmp(table_string(key, "id"), id) == 0)
			return true;
	return false;
}

/* The server takes it up by itself; it is waited for, so that `key use` can
 * come next. */
static enum err_code
await_key(struct client *c, const char *id, struct err *e)
{
	int64_t until = clock_mono_ms() + KEY_TAKEN_MS;

	for (;;) {
		json_t *answer = NULL;
		bool listed;

		TRY(client_call(c, "GET", "/keys", NULL, &answer, NULL, e));
		listed = is_listed(answer, id);
		json_decref(answer);
		if (listed)
			return ERR_OK;
		if (clock_mono_ms() > until)
			return err_set(e, ERR_TIMEOUT,
			    "key %s is in the folder, but the server does not "
			    "list it; see its log",
			    id);
		sleep_a_little();
	}
}

static enum err_code
put_key(const struct cli_args *a, const char *data_dir, struct err *e)
{
	AUTO_STR dir = file_path(data_dir, "keys");
	AUTO(key, k) = NULL;
	enum err_code code;

	TRY(cli_key_read(&k, a->rest[1], cli_value(a, "id"),
	    cli_value(a, "signing-alg"), true, e));
	code = key_ring_add(dir, k, KEY_BUNDLE, e);
	if (code == ERR_OK)
		(void)printf("key %s is in %s\n", cli_value(a, "id"), dir);
	return code;
}

static int
add(const struct cli_args *a)
{
	const char *dir = cli_value(a, "data-dir");
	AUTO(client, c) = NULL;
	struct err e = { 0 };

	if (dir == NULL)
		dir = getenv("EDICT_DATA_DIR");
	if (put_key(a, dir != NULL ? dir : "/var/lib/edict", &e) != ERR_OK)
		return client_fail(a, &e);
	if (client_open(&c, a, &e) != ERR_OK) {
		(void)printf("no server is running there: it will have the "
			     "key when it starts\n");
		return 0;
	}
	if (await_key(c, cli_value(a, "id"), &e) != ERR_OK)
		return client_fail(a, &e);
	(void)printf("the server has it; it signs for nobody yet: edict key "
		     "use %s --cluster NAMES\n",
	    cli_value(a, "id"));
	return 0;
}

/* ---- the command ---- */

static const struct cli_verb verbs[] = {
	{ "list", 1, list },
	{ "use", 2, use },
	{ "retire", 2, retire },
	{ "add", 2, NULL }, /* in the folder itself */
	{ 0 },
};

static int
check_options(const struct cli_args *a, const struct cli_verb *verb)
{
	bool named = cli_value(a, "cluster") != NULL;

	if (verb->run == NULL && cli_value(a, "id") == NULL)
		return cli_usage(&cli_keys, "--id ID is needed");
	if (verb->run == use && named == (cli_value(a, "selector") != NULL))
		return cli_usage(&cli_keys,
		    "say where: --cluster NAMES, or --selector K=V");
	if (verb->run == retire && cli_given(a, "force") &&
	    cli_value(a, "reason") == NULL)
		return cli_usage(&cli_keys, "--force needs --reason TEXT");
	return 0;
}

static int
key(int argc, char **argv)
{
	const struct cli_verb *verb;
	struct cli_args a;
	int n = cli_parse(&a, &cli_keys, argc, argv);

	if (n != 0)
		return n - 1;
	verb = cli_verb_find(verbs, &a);
	if (verb == NULL)
		return cli_usage(&cli_keys,
		    "say list, add FILE --id ID, use ID, or retire ID");
	n = check_options(&a, verb);
	if (n != 0)
		return n;
	if (verb->run == NULL)
		return add(&a);
	return cli_verb_run(verb, &a);
}

const struct cli_command cli_keys = {
	.name = "key",
	.group = "Server",
	.usage = "list | add FILE --id ID | use ID --cluster NAMES | retire ID",
	.summary = "rotate signing keys: who signs for whom, who needs which",
	.help =
	    "A new key comes in without a flag day. Add it, give its public part\n"
	    "to the engines (discovery does that by itself; others need a new\n"
	    "engine-config), use it for a few clusters, then for all, and retire\n"
	    "the old one when nobody needs it any more. What is assigned is signed\n"
	    "anew from what is stored: neither Git nor opa is needed.\n"
	    "\n"
	    "add puts a private key (from `edict keygen`) into the folder of a\n"
	    "server on this machine; a running one takes it up by itself. use\n"
	    "makes it the key of clusters: what they have is assigned as signed\n"
	    "by it, the same revision with the next serial. retire ends it for\n"
	    "ever; while clusters use it, or engines run what it signed, that\n"
	    "takes --force, and clusters then go to the default key. Clusters\n"
	    "without a key of their own use the default, which signing.use in\n"
	    "server.yaml names.\n"
	    "\n"
	    "In the list, RUNNING are engines that activated what the key signed\n"
	    "last, ASSIGNED those whose cluster is to have it now. Only engines\n"
	    "that say who they are can be counted, and which public keys an engine\n"
	    "without discovery was given, no server can know.\n"
	    "\n"
	    "  edict keygen 2027-01 && edict key add 2027-01.key --id 2027-01\n"
	    "  edict key use 2027-01 --selector env=test --reason 'rotation'\n"
	    "  edict key list\n"
	    "  edict key retire 2026-11 --reason 'rotated'",
	.options = key_options,
	.run = key,
};
