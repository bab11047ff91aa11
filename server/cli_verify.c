/* verify: is a bundle file what it says it is? */

#include <stdio.h>
#include <string.h>

#include "bundler/bundle.h"
#include "core/file.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_key.h"

static const struct cli_option verify_options[] = {
	{ "key", 0, "FILE", "public key, PEM (or the secret for HS)" },
	{ "key-id", 0, "ID", "refuse another key id; default: take any" },
	{ "signing-alg", 0, "NAME", "RS256 (default), ES256, ..." },
	{ "scope", 0, "NAME", "the bundle's name, as engines are told it" },
	{ "json", 0, NULL, "for machines" },
	{ 0 },
};

static void
print_verified(const struct cli_args *a, const struct bundle_archive *b)
{
	json_t *j;

	if (!cli_given(a, "json")) {
		(void)printf("%s: the signature is good, and so are all %zu "
			     "files\nrevision %s\n",
		    a->rest[0], b->count,
		    b->revision != NULL ? b->revision : "-");
		return;
	}
	j = json_pack("{s:s,s:s?,s:I}", "file", a->rest[0], "revision",
	    b->revision, "files", (json_int_t)b->count);
	(void)client_print_json(j);
	json_decref(j);
}

static enum err_code
verify_file(const struct cli_args *a, struct err *e)
{
	AUTO(key, k) = NULL;
	AUTO_BUF bytes = { 0 };
	struct bundle_archive archive = { 0 };
	enum err_code code;

	buf_init(&bytes, (size_t)BUNDLE_SIZE_MAX);
	TRY(cli_key_read(&k, cli_value(a, "key"), cli_value(a, "key-id"),
	    cli_value(a, "signing-alg"), false, e));
	TRY(file_read(&bytes, a->rest[0], e));
	TRY(bundle_read(&archive, a->rest[0], bytes.data, bytes.len, e));
	code = bundle_verify(&archive, k, cli_value(a, "scope"), e);
	if (code == ERR_OK)
		print_verified(a, &archive);
	else
		(void)err_add(e, "%s", a->rest[0]);
	bundle_archive_clear(&archive);
	return code;
}

static int
verify(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	int n = cli_parse(&a, &cli_verify, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1 || cli_value(&a, "key") == NULL)
		return cli_usage(&cli_verify, "name one file, and --key FILE");
	if (cli_value(&a, "scope") == NULL)
		return cli_usage(&cli_verify,
		    "--scope NAME is needed: the bundle's name");
	return verify_file(&a, &e) == ERR_OK ? 0 : client_fail(&a, &e);
}

const struct cli_command cli_verify = {
	.name = "verify",
	.group = "Policies",
	.usage = "FILE --key FILE --scope NAME [options]",
	.summary = "check a bundle's signature and every file's hash",
	.help =
	    "Says whether the bundle was signed with this key for this name,\n"
	    "and whether it holds exactly the files that were signed. Ends with\n"
	    "status 0 only when all is well.\n"
	    "\n"
	    "  edict verify authz.tar.gz --key ci.pub --scope authz",
	.options = verify_options,
	.run = verify,
};
