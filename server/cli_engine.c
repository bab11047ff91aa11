/* engine-config: what a real OPA needs to follow a cluster. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_table.h"
#include "server/engine_config.h"

enum {
	ENGINE_BUNDLES_MAX = 1000,
	ENGINE_KEYS_MAX = 256,
	ENGINE_WAIT_SECONDS = 45,
	ENGINE_WAIT_MAX = 3600
};

static const struct cli_option engine_options[] = {
	{ "engine-token-file", 0, "FILE",
	    "the engines' token; default: DIR/engine-token" },
	{ "url", 0, "URL", "the server as engines reach it" },
	{ "wait", 0, "SECONDS",
	    "long polling; default 45, 0 for plain polling" },
	{ "persist", 0, "DIR", "engines keep bundles here over a restart" },
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
look_up(struct client *c, const char *cluster, struct found *f, struct err *e)
{
	AUTO_STR segment = client_segment(cluster);
	AUTO_STR path = mem_printf("/clusters/%s", segment);
	const json_t *a;
	size_t i;

	TRY(client_call(c, "GET", path, NULL, &f->cluster, NULL, e));
	TRY(client_call(c, "GET", "/keys", NULL, &f->ring, NULL, e));
	json_array_foreach(json_object_get(f->cluster, "assignments"), i, a)
		TRY(add_bundle(f, a, e));
	if (f->bundle_count == 0)
		return err_set(e, ERR_NOT_FOUND,
		    "cluster %s has no bundle yet: no commit has passed; see "
		    "edict log",
		    cluster);
	return ERR_OK;
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
wait_seconds(const struct cli_args *a)
{
	const char *text = cli_value(a, "wait");
	char *end;
	long n;

	if (text == NULL)
		return ENGINE_WAIT_SECONDS;
	n = strtol(text, &end, 10);
	return end == text || *end != '\0' || n < 0 || n > ENGINE_WAIT_MAX
	    ? -1
	    : (int)n;
}

static enum err_code
write_config(const struct cli_args *a, struct client *c, struct found *f,
    struct buf *out, struct err *e)
{
	char *token = NULL;

	TRY(look_up(c, a->rest[0], f, e));
	TRY(engine_token(a, &token, e));
	engine_config_write(out,
	    &(struct engine_config){
		.url = cli_value(a, "url") != NULL ? cli_value(a, "url")
						   : client_public_url(c),
		.cluster = a->rest[0],
		.token = token != NULL ? token : "<the engines' token>",
		.keys = f->keys,
		.key_count = f->key_count,
		.bundles = f->bundles,
		.bundle_count = f->bundle_count,
		.wait_seconds = wait_seconds(a),
		.persist_dir = cli_value(a, "persist"),
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
	struct cli_args a;
	struct err e = { 0 };
	enum err_code code;
	int n = cli_parse(&a, &cli_engine_config, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_engine_config, "name one cluster");
	if (wait_seconds(&a) < 0)
		return cli_usage(&cli_engine_config,
		    "--wait takes seconds, 0 to %d", ENGINE_WAIT_MAX);
	buf_init(&out, 1 << 20);
	code = client_open(&c, &a, &e);
	if (code == ERR_OK)
		code = write_config(&a, c, &f, &out, &e);
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
	    "polling and signature verification by the key that signed what is\n"
	    "assigned now: after a change of signing.use give engines a new\n"
	    "configuration. keyid and scope are always set: without keyid an\n"
	    "engine would take unsigned bundles, without scope one bundle could\n"
	    "stand in for another.\n"
	    "\n"
	    "  edict engine-config prod-eu > opa.yaml\n"
	    "  opa run --server -c opa.yaml",
	.options = engine_options,
	.run = engine_config,
};
