/* engine-config: what a real OPA needs to follow a cluster. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"
#include "server/pipeline/engine_config.h"

enum {
	ENGINE_BUNDLES_MAX = 1000,
	ENGINE_KEYS_MAX = 256,
	ENGINE_WAIT_SECONDS = 45,
	ENGINE_WAIT_MAX = 3600
};

static const char *const kinds[] = {
	[ENGINE_FOR_OPA] = "opa",
	[ENGINE_FOR_ENVOY] = "envoy",
	[ENGINE_FOR_KUBERNETES] = "kubernetes",
};

static const struct cli_option engine_options[] = {
	{ "engine-token-file", 0, "FILE",
	    "the engines' token; default: DIR/engine-token" },
	{ "url", 0, "URL", "the server as engines reach it" },
	{ "for", 0, "KIND", "opa (the default), envoy or kubernetes" },
	{ "discovery", 0, NULL,
	    "have the server tell engines their bundles and keys" },
	{ "behind", 0, "PROXY",
	    "nginx, envoy or alb: waits that it lets pass" },
	{ "wait", 0, "SECONDS",
	    "long polling; default 45, 0 for plain polling" },
	{ "persist", 0, "DIR",
	    "bundles are kept here over a restart; default .opa" },
	{ "no-persist", 0, NULL, "they do not keep them" },
	{ "path", 0, "DECISION",
	    "what Envoy asks for; default envoy/authz/allow" },
	CLIENT_OPTIONS,
	{ 0 },
};

/* What the API says that the configuration needs; borrowed from the two
 * answers. */
struct found {
	json_t *cluster;
	json_t *ring;
	struct engine_key keys[ENGINE_KEYS_MAX];
	size_t key_count;
	struct engine_bundle bundles[ENGINE_BUNDLES_MAX];
	size_t bundle_count;
	const char *discovery_key; /* or NULL */
};

/* What the command line says. */
struct wanted {
	const char *cluster;
	bool discovery;
	enum engine_for kind;
	const struct engine_proxy *proxy; /* or NULL */
	int wait;
	const char *persist_dir; /* or NULL */
	const char *decision;
};

static void
found_clear(struct found *f)
{
	json_decref(f->cluster);
	json_decref(f->ring);
}

static const json_t *
ring_key(const struct found *f, const char *id)
{
	const json_t *key;
	size_t i;

	json_array_foreach(json_object_get(f->ring, "items"), i, key) {
		const char *found = table_string(key, "id");

		if (found != NULL && strcmp(found, id) == 0)
			return key;
	}
	return NULL;
}

/* Each key once. */
static enum err_code
add_key(struct found *f, const char *id, struct err *e)
{
	const json_t *key = ring_key(f, id);

	for (size_t i = 0; i < f->key_count; i++)
		if (strcmp(f->keys[i].id, id) == 0)
			return ERR_OK;
	if (key == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "the server does not have key %s any more, with which "
		    "assigned bundles are signed; put its files back into the "
		    "server's keys folder",
		    id);
	if (f->key_count == ENGINE_KEYS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d keys",
		    ENGINE_KEYS_MAX);
	f->keys[f->key_count++] = (struct engine_key){
		.id = id,
		.algorithm = table_string(key, "algorithm"),
		.public_pem = table_string(key, "public"),
	};
	return ERR_OK;
}

/* The key that signs now need not be the one that signed what is assigned. */
static enum err_code
add_bundle(struct found *f, const json_t *assignment, struct err *e)
{
	const char *key_id = table_string(assignment, "key");
	const char *name = table_string(assignment, "bundle");

	if (key_id == NULL || name == NULL)
		return err_set(e, ERR_INVALID,
		    "the server does not say with which key a bundle is "
		    "signed; is it of the same version as this edict?");
	if (f->bundle_count == ENGINE_BUNDLES_MAX)
		return err_set(e, ERR_LIMIT,
		    "more than %d bundles for one engine", ENGINE_BUNDLES_MAX);
	TRY(add_key(f, key_id, e));
	f->bundles[f->bundle_count++] =
	    (struct engine_bundle){ .name = name, .key_id = key_id };
	return ERR_OK;
}

static enum err_code
add_bundles(struct found *f, const char *cluster, struct err *e)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(f->cluster, "assignments"), i, a)
		TRY(add_bundle(f, a, e));
	if (f->bundle_count > 0)
		return ERR_OK;
	return err_set(e, ERR_NOT_FOUND,
	    "cluster %s has no bundle yet: no commit has passed; see edict log",
	    cluster);
}

/* A bundle that discovery cannot tell of, or NULL. */
static const struct engine_bundle *
secret_bundle(const struct found *f)
{
	for (size_t i = 0; i < f->bundle_count; i++) {
		const json_t *key = ring_key(f, f->bundles[i].key_id);

		if (table_string(key, "public") == NULL)
			return &f->bundles[i];
	}
	return NULL;
}

/* The one key that engines have to be given. */
static enum err_code
use_discovery(struct found *f, const char *cluster, struct err *e)
{
	const json_t *d = json_object_get(f->cluster, "discovery");
	const struct engine_bundle *secret = secret_bundle(f);

	if (secret != NULL)
		return err_set(e, ERR_UNSUPPORTED,
		    "bundle %s is signed with key %s, a shared secret, which "
		    "discovery does not hand out; sign with an RS, PS or ES "
		    "key (signing.use), or leave out --discovery",
		    secret->name, secret->key_id);
	f->discovery_key = table_string(d, "key");
	if (f->discovery_key == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "cluster %s has no discovery bundle yet; try again in a "
		    "few seconds, and if it stays so, the server's log says "
		    "why (discovery.stale)",
		    cluster);
	f->key_count = 0;
	return add_key(f, f->discovery_key, e);
}

static enum err_code
look_up(struct client *c, const struct wanted *w, struct found *f,
    struct err *e)
{
	AUTO_STR segment = client_segment(w->cluster);
	AUTO_STR path = mem_printf("/clusters/%s", segment);

	TRY(client_call(c, "GET", path, NULL, &f->cluster, NULL, e));
	TRY(client_call(c, "GET", "/keys", NULL, &f->ring, NULL, e));
	TRY(add_bundles(f, w->cluster, e));
	return w->discovery ? use_discovery(f, w->cluster, e) : ERR_OK;
}

/* On the server's own machine the token is at hand. */
static enum err_code
engine_token(const struct cli_args *a, char **out, struct err *e)
{
	const char *file = cli_value(a, "engine-token-file");
	const char *dir = cli_value(a, "data-dir");
	AUTO_STR local = NULL;

	if (dir == NULL)
		dir = getenv("EDICT_DATA_DIR");
	if (file == NULL) {
		local = file_path(dir != NULL ? dir : "/var/lib/edict",
		    "engine-token");
		if (dir == NULL && access(local, F_OK) != 0)
			return ERR_OK;
		file = local;
	}
	return file_read_secret(out, file, e);
}

/* -1: not a number of seconds. */
static int
read_wait(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return end == text || *end != '\0' || n < 0 || n > ENGINE_WAIT_MAX
	    ? -1
	    : (int)n;
}

static bool
read_kind(enum engine_for *out, const char *name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		*out = (enum engine_for)i;
		if (name == NULL || strcmp(name, kinds[i]) == 0)
			return true;
	}
	return false;
}

static bool
read_proxy(const struct engine_proxy **out, const char *name)
{
	*out = NULL;
	if (name == NULL)
		return true;
	for (*out = engine_proxies; (*out)->name != NULL; (*out)++)
		if (strcmp(name, (*out)->name) == 0)
			return true;
	return false;
}

/* 0: all is well; else the exit status. */
static int
read_waiting(struct wanted *w, const struct cli_args *a)
{
	const char *wait = cli_value(a, "wait");

	if (!read_proxy(&w->proxy, cli_value(a, "behind")))
		return cli_usage(&cli_engine_config,
		    "--behind takes nginx, envoy or alb");
	w->wait = wait != NULL ? read_wait(wait)
	    : w->proxy != NULL ? w->proxy->wait_seconds
			       : ENGINE_WAIT_SECONDS;
	if (w->wait < 0)
		return cli_usage(&cli_engine_config,
		    "--wait takes seconds, 0 to %d", ENGINE_WAIT_MAX);
	if (wait != NULL && w->discovery)
		return cli_usage(&cli_engine_config,
		    "--wait: with --discovery the server tells how long "
		    "(discovery.wait in server.yaml)");
	if (w->proxy != NULL && w->wait >= w->proxy->limit_seconds)
		return cli_usage(&cli_engine_config,
		    "--wait %d is too long behind %s: %s; %d is fine", w->wait,
		    w->proxy->name, w->proxy->why, w->proxy->wait_seconds);
	return 0;
}

static int
read_wanted(struct wanted *w, const struct cli_args *a)
{
	*w = (struct wanted){ .cluster = a->rest[0],
		.discovery = cli_given(a, "discovery"),
		.persist_dir = cli_value(a, "persist"),
		.decision = cli_value(a, "path") };
	if (!read_kind(&w->kind, cli_value(a, "for")))
		return cli_usage(&cli_engine_config,
		    "--for takes opa, envoy or kubernetes");
	if (w->decision != NULL && w->kind != ENGINE_FOR_ENVOY)
		return cli_usage(&cli_engine_config,
		    "--path goes with --for envoy");
	if (w->persist_dir != NULL && cli_given(a, "no-persist"))
		return cli_usage(&cli_engine_config,
		    "--persist or --no-persist, not both");
	if (w->persist_dir == NULL && !cli_given(a, "no-persist"))
		w->persist_dir = w->kind == ENGINE_FOR_KUBERNETES
		    ? ENGINE_PERSIST_PATH
		    : ".opa";
	if (w->decision == NULL)
		w->decision = "envoy/authz/allow";
	return read_waiting(w, a);
}

static enum err_code
write_config(const struct cli_args *a, struct client *c, const struct wanted *w,
    struct found *f, struct buf *out, struct err *e)
{
	const char *url = cli_value(a, "url");
	char *token = NULL;

	TRY(look_up(c, w, f, e));
	if (w->kind != ENGINE_FOR_KUBERNETES)
		TRY(engine_token(a, &token, e));
	engine_config_write(out,
	    &(struct engine_config){
		.url = url != NULL ? url : client_public_url(c),
		.cluster = w->cluster,
		.token = token != NULL ? token : "<the engines' token>",
		.keys = f->keys,
		.key_count = f->key_count,
		.bundles = f->bundles,
		.bundle_count = f->bundle_count,
		.discovery_key = f->discovery_key,
		.wait_seconds = w->wait,
		.proxy = w->proxy,
		.persist_dir = w->persist_dir,
		.kind = w->kind,
		.decision = w->decision,
	    });
	if (token != NULL)
		mem_free_secret(token, strlen(token));
	return buf_check(out, "configuration", e);
}

static int
engine_config(int argc, char **argv)
{
	AUTO(client, c) = NULL;
	AUTO_BUF out = { 0 };
	struct found f = { 0 };
	struct wanted w;
	struct cli_args a;
	struct err e = { 0 };
	enum err_code code;
	int n = cli_parse(&a, &cli_engine_config, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_engine_config, "name one cluster");
	n = read_wanted(&w, &a);
	if (n != 0)
		return n;
	buf_init(&out, 1 << 20);
	code = client_open(&c, &a, &e);
	if (code == ERR_OK)
		code = write_config(&a, c, &w, &f, &out, &e);
	found_clear(&f);
	if (code != ERR_OK)
		return client_fail(&a, &e);
	(void)fwrite(out.data, 1, out.len, stdout);
	return 0;
}

const struct cli_command cli_engine_config = {
	.name = "engine-config",
	.group = "Engines",
	.usage = "CLUSTER [options]",
	.summary = "the configuration an OPA needs to follow a cluster",
	.help =
	    "Prints YAML for `opa run --server -c FILE`: where the bundles are,\n"
	    "the engines' token, the public keys, and for each bundle long\n"
	    "polling and signature verification. keyid and scope are always\n"
	    "set: without keyid an engine would take unsigned bundles, without\n"
	    "scope one bundle could stand in for another.\n"
	    "\n"
	    "With --discovery engines have nothing but the way to the server and\n"
	    "the key of its discovery bundle: which bundles there are, and the\n"
	    "keys that sign them, they are told by the server, and follow when\n"
	    "that changes. Without, engines need a new configuration when\n"
	    "bundles come or go, or after a change of signing.use.\n"
	    "\n"
	    "--for envoy adds the section that OPA's Envoy image reads; --for\n"
	    "kubernetes prints a ConfigMap and a Deployment with probes, and the\n"
	    "token comes from a Secret. --behind chooses a wait that the proxy\n"
	    "between engines and server lets pass.\n"
	    "\n"
	    "  edict engine-config prod-eu > opa.yaml\n"
	    "  opa run --server -c opa.yaml\n"
	    "  edict engine-config prod-eu --discovery --persist /var/lib/opa\n"
	    "  edict engine-config prod-eu --for envoy --path authz/allow\n"
	    "  edict engine-config prod-eu --for kubernetes --discovery \\\n"
	    "      --url https://edict.example.org | kubectl apply -f -\n"
	    "  edict engine-config prod-eu --behind nginx",
	.options = engine_options,
	.run = engine_config,
};
