/* keygen, and the keys that other commands read. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_key.h"

enum err_code
cli_key_read(struct key **out, const char *file, const char *id,
    const char *algorithm, bool private_half, struct err *e)
{
	AUTO_BUF text = { 0 };
	enum key_algorithm n;
	enum err_code code;

	buf_init(&text, KEY_FILE_MAX);
	TRY(key_algorithm_parse(&n, algorithm != NULL ? algorithm : "RS256",
	    e));
	TRY(file_read(&text, file, e));
	if (private_half || n >= KEY_HS256)
		code =
		    key_read_private(out, id, n, file, text.data, text.len, e);
	else
		code =
		    key_read_public(out, id, n, file, text.data, text.len, e);
	explicit_bzero(text.data, text.len);
	return code;
}

static const struct cli_option keygen_options[] = {
	{ "signing-alg", 0, "NAME", "RS256 (default), PS*, ES* or HS*" },
	{ "output", 'o', "DIR", "where to; default: here" },
	{ 0 },
};

static enum err_code
put_new(const char *path, const struct buf *data, mode_t mode, struct err *e)
{
	if (access(path, F_OK) == 0)
		return err_set(e, ERR_CONFLICT,
		    "%s exists already; keys are not overwritten", path);
	return file_replace(path, data->data, data->len, mode, e);
}

static enum err_code
make_key(const struct cli_args *a, struct err *e)
{
	const char *id = a->rest[0];
	const char *dir = cli_value(a, "output");
	const char *name = cli_value(a, "signing-alg");
	AUTO_STR private_path =
	    mem_printf("%s/%s.key", dir != NULL ? dir : ".", id);
	AUTO_STR public_path =
	    mem_printf("%s/%s.pub", dir != NULL ? dir : ".", id);
	AUTO(key, k) = NULL;
	AUTO_BUF private_half = { 0 };
	AUTO_BUF public_half = { 0 };
	enum key_algorithm n;
	enum err_code code;

	buf_init(&private_half, KEY_FILE_MAX);
	buf_init(&public_half, KEY_FILE_MAX);
	TRY(key_algorithm_parse(&n, name != NULL ? name : "RS256", e));
	TRY(key_generate(&k, id, n, e));
	key_write_private(&private_half, k);
	key_write_public(&public_half, k);
	code = put_new(private_path, &private_half, 0600, e);
	explicit_bzero(private_half.data, private_half.len);
	if (code != ERR_OK)
		return code;
	(void)printf("private  %s (keep it secret)\n", private_path);
	if (key_is_symmetric(k))
		return ERR_OK;
	TRY(put_new(public_path, &public_half, 0644, e));
	(void)printf("public   %s\n", public_path);
	return ERR_OK;
}

static int
keygen(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	int n = cli_parse(&a, &cli_keygen, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_keygen, "name the key's id");
	return make_key(&a, &e) == ERR_OK ? 0 : client_fail(&a, &e);
}

const struct cli_command cli_keygen = {
	.name = "keygen",
	.group = "Policies",
	.usage = "ID [options]",
	.summary = "make a signing key",
	.help =
	    "Writes ID.key (mode 0600) and ID.pub. A server makes a key of its\n"
	    "own at its first start; this is for signing elsewhere, or for a\n"
	    "key that `signing.keys` in server.yaml imports.\n"
	    "\n"
	    "  edict keygen 2026-11\n"
	    "  edict keygen edge --signing-alg ES256",
	.options = keygen_options,
	.run = keygen,
};
