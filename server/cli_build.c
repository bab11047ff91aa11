/* build, verify, keygen: bundles and keys without a server. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bundler/bundle.h"
#include "core/file.h"
#include "core/mem.h"
#include "policies/repo.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_table.h"
#include "signing/digest.h"
#include "signing/jws.h"
#include "signing/key.h"

static enum err_code
read_key(struct key **out, const char *file, const char *id,
    const char *algorithm, bool private_half, struct err *e)
{
	AUTO_BUF text = { 0 };
	enum key_algorithm n;
	enum err_code code;

	buf_init(&text, KEY_FILE_MAX);
	TRY(key_algorithm_parse(&n, algorithm != NULL ? algorithm : "RS256",
	    e));
	TRY(file_read(&text, file, e));
	/* A shared secret has one half only. */
	if (private_half || n >= KEY_HS256)
		code =
		    key_read_private(out, id, n, file, text.data, text.len, e);
	else
		code =
		    key_read_public(out, id, n, file, text.data, text.len, e);
	explicit_bzero(text.data, text.len);
	return code;
}

/* ---- build ---- */

static const struct cli_option build_options[] = {
	{ "rev", 0, "REV", "the commit; default: HEAD" },
	{ "bundle", 0, "NAME", "which one; needed where there are several" },
	{ "output", 'o', "FILE", "default: NAME.tar.gz" },
	{ "signing-key", 0, "FILE", "private key; without it: unsigned" },
	{ "key-id", 0, "ID", "the key's id, as engines know it" },
	{ "signing-alg", 0, "NAME", "RS256 (default), ES256, ..." },
	{ "json", 0, NULL, "for machines" },
	{ 0 },
};

static enum err_code
read_commit(struct tree **out, const char *dir, const char *rev, struct err *e)
{
	AUTO(repo, r) = NULL;
	char commit[TREE_ID_SIZE];

	TRY(repo_discover(&r, dir, e));
	TRY(repo_resolve(r, rev != NULL ? rev : "HEAD", commit, e));
	return repo_tree(r, commit, out, e);
}

static enum err_code
choose(const struct definition *d, const char *name,
    const struct definition_bundle **out, struct err *e)
{
	const struct definition_bundle *b = d->bundles.items;

	for (size_t i = 0; name != NULL && i < d->bundles.count; i++)
		if (strcmp(b[i].name, name) == 0) {
			*out = &b[i];
			return ERR_OK;
		}
	if (name != NULL)
		return err_set(e, ERR_NOT_FOUND,
		    DEFINITION_FILE ": no bundle %s is defined", name);
	if (d->bundles.count != 1)
		return err_set(e, ERR_INVALID,
		    "%zu bundles are defined; choose one with --bundle",
		    d->bundles.count);
	*out = b;
	return ERR_OK;
}

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
		TRY(read_key(&k, key_file, cli_value(a, "key-id"),
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
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	AUTO(bundle, b) = NULL;
	const struct definition_bundle *chosen;
	const struct bundle_means means = {
		.threads = bundle_threads(BUNDLE_THREADS_MAX)
	};

	TRY(read_commit(&t, dir, cli_value(a, "rev"), e));
	TRY(definition_read(&d, t, e));
	TRY(choose(d, cli_value(a, "bundle"), &chosen, e));
	TRY(bundle_plan_with(&b, t, chosen, &means, e));
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
	    "tests (`edict check` does). The same commit gives the same content\n"
	    "digest as on a server, and with the same RS or HS key the same\n"
	    "bytes.\n"
	    "\n"
	    "  edict build --bundle authz -o authz.tar.gz\n"
	    "  edict build --bundle authz --signing-key ci.key --key-id ci",
	.options = build_options,
	.run = build,
};

/* ---- verify ---- */

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
	TRY(read_key(&k, cli_value(a, "key"), cli_value(a, "key-id"),
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

/* ---- keygen ---- */

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
