/* build: a bundle of a commit, without a server. */

#include <stdio.h>

#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_commit.h"
#include "server/cli/cli_key.h"
#include "server/cli/cli_table.h"
#include "signing/digest.h"
#include "signing/jws.h"

static const struct cli_option build_options[] = {
	{ "rev", 0, "REV", "the commit; default: HEAD" },
	{ "bundle", 0, "NAME", "which one; needed where there are several" },
	{ "output", 'o', "FILE", "default: NAME.tar.gz" },
	{ "signing-key", 0, "FILE", "private key; without it: unsigned" },
	{ "key-id", 0, "ID", "the key's id, as engines know it" },
	{ "signing-alg", 0, "NAME", "RS256 (default), ES256, ..." },
	CLI_COMMIT_OPTIONS,
	{ "json", 0, NULL, "for machines" },
	{ 0 },
};

static enum err_code
sign(struct buf *out, const struct bundle *b, const struct buf *content,
    const struct key *k, struct err *e)
{
	AUTO_BUF jws = { 0 };
	struct jws_file *files = bundle_jws_files(b);
	enum err_code code;

	buf_init(&jws, JWS_SIZE_MAX);
	code = jws_sign(&jws, k, b->name, files, b->count, e);
	mem_free(files);
	if (code != ERR_OK)
		return code;
	return bundle_sign_pack(out, content->data, content->len, jws.data,
	    jws.len, e);
}

static void
print_built(const struct cli_args *a, const struct bundle *b, const char *file,
    const struct buf *bytes)
{
	char sha256[DIGEST_HEX_SIZE];
	json_t *j;

	digest_hex(sha256, bytes->data, bytes->len);
	if (!cli_given(a, "json")) {
		(void)printf("%s: bundle %s of %.12s, %zu files, %zu bytes\n"
			     "content  %s\nsha256   %s\n",
		    file, b->name, b->revision, b->count, bytes->len,
		    b->content, sha256);
		return;
	}
	j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I}", "file", file, "bundle",
	    b->name, "revision", b->revision, "content", b->content, "sha256",
	    sha256, "size", (json_int_t)bytes->len, "files",
	    (json_int_t)b->count);
	(void)client_print_json(j);
	json_decref(j);
}

static enum err_code
write_bundle(const struct cli_args *a, const struct bundle *b, struct err *e)
{
	const char *key_file = cli_value(a, "signing-key");
	AUTO(key, k) = NULL;
	AUTO_BUF content = { 0 };
	AUTO_BUF signed_bytes = { 0 };
	AUTO_STR name = mem_printf("%s.tar.gz", b->name);
	const char *file = cli_value(a, "output");
	const struct bundle_means means = {
		.threads = bundle_threads(BUNDLE_THREADS_MAX)
	};

	if (file == NULL)
		file = name;
	buf_init(&content, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&signed_bytes, (size_t)BUNDLE_SIZE_MAX);
	TRY(bundle_pack_with(&content, b, &means, e));
	if (key_file != NULL) {
		TRY(cli_key_read(&k, key_file, cli_value(a, "key-id"),
		    cli_value(a, "signing-alg"), true, e));
		TRY(sign(&signed_bytes, b, &content, k, e));
	}
	TRY(file_replace(file, k != NULL ? signed_bytes.data : content.data,
	    k != NULL ? signed_bytes.len : content.len, 0644, e));
	print_built(a, b, file, k != NULL ? &signed_bytes : &content);
	return ERR_OK;
}

static enum err_code
build_from(const struct cli_args *a, const char *dir, struct err *e)
{
	const char *rev = cli_value(a, "rev");
	AUTO(bundle, b) = NULL;

	TRY(cli_commit_bundle(&b, a, dir, rev != NULL ? rev : "HEAD",
	    cli_value(a, "bundle"), e));
	return write_bundle(a, b, e);
}

static int
build(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	int n = cli_parse(&a, &cli_build, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 1)
		return cli_usage(&cli_build, "name one folder");
	if ((cli_value(&a, "signing-key") == NULL) !=
	    (cli_value(&a, "key-id") == NULL))
		return cli_usage(&cli_build,
		    "--signing-key and --key-id belong together");
	if (build_from(&a, a.rest_count == 1 ? a.rest[0] : ".", &e) != ERR_OK)
		return client_fail(&a, &e);
	return 0;
}

const struct cli_command cli_build = {
	.name = "build",
	.group = "Policies",
	.usage = "[DIR] [options]",
	.summary = "build a bundle from a commit, as a server does",
	.help =
	    "Builds from a commit, never from uncommitted files, and runs no\n"
	    "tests (`edict check` does). A bundle with `compile` in edict.yaml\n"
	    "goes through `opa build`, with this machine's opa. The same commit\n"
	    "gives the same content digest as on a server (if compiled: with\n"
	    "the same opa), and with the same RS or HS key the same bytes.\n"
	    "\n"
	    "  edict build --bundle authz -o authz.tar.gz\n"
	    "  edict build --bundle authz --signing-key ci.key --key-id ci",
	.options = build_options,
	.run = build,
};
