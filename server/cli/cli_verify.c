/* verify: is a bundle file what it says it is? */

#include <stdio.h>
#include <string.h>

#include "bundler/bundle.h"
#include "bundler/delta.h"
#include "bundler/inspect.h"
#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_commit.h"
#include "server/cli/cli_key.h"
#include "server/cli/cli_table.h"
#include "signing/digest.h"
#include "signing/jws.h"

enum { FAULTS_MAX = 100 }; /* listed; the rest is counted */

static const struct cli_option verify_options[] = {
	{ "key", 0, "FILE", "public key, PEM (or the secret for HS)" },
	{ "key-id", 0, "ID", "refuse another key id; default: take any" },
	{ "signing-alg", 0, "NAME", "RS256 (default), ES256, ..." },
	{ "scope", 0, "NAME",
	    "it has to be signed for; default: its own name" },
	{ "repo", 0, "DIR", "build it anew from this repository and compare" },
	{ "bundle", 0, "NAME", "which bundle to build; default: its own name" },
	CLI_COMMIT_OPTIONS,
	{ "json", 0, NULL, "for machines" },
	{ 0 },
};

/* One file, and all that is found out about it. */
struct check {
	const struct cli_args *args;
	const char *file;
	struct buf bytes;
	struct bundle_archive archive;
	struct inspect_origin origin;
	struct key *key;
	struct jws_claims claims;
	char content[DIGEST_HEX_SIZE];
	const char *scope;
	bool rebuilt; /* --repo was given, and the bundle could be built */
	bool same_bytes;
	json_t *faults;
	size_t more; /* faults that are not listed */
};

static void
check_clear(struct check *c)
{
	buf_clear(&c->bytes);
	bundle_archive_clear(&c->archive);
	inspect_origin_clear(&c->origin);
	jws_claims_clear(&c->claims);
	key_free(c->key);
	json_decref(c->faults);
}

/* path, expected and found may be NULL. */
static void
fault(struct check *c, const char *kind, const char *path, const char *expected,
    const char *found, const char *message)
{
	if (json_array_size(c->faults) == FAULTS_MAX) {
		c->more++;
		return;
	}
	(void)json_array_append_new(c->faults,
	    json_pack("{s:s,s:s?,s:s?,s:s?,s:s}", "kind", kind, "path", path,
		"expected", expected, "found", found, "message", message));
}

/* ---- what was signed ---- */

static const char *
scope_wanted(const struct check *c)
{
	const char *scope = cli_value(c->args, "scope");

	return scope != NULL ? scope : c->origin.bundle;
}

static void
check_scope(struct check *c)
{
	const char *signed_for = c->claims.scope != NULL ? c->claims.scope : "";

	if (c->scope == NULL)
		fault(c, "scope", NULL, NULL, signed_for,
		    "the bundle does not say its name; say with --scope what "
		    "it has to be signed for");
	else if (strcmp(c->scope, signed_for) != 0)
		fault(c, "scope", NULL, c->scope, signed_for,
		    "signed for another bundle");
}

/* Both lists are sorted. */
static void
check_hashes(struct check *c)
{
	const struct bundle_archive *a = &c->archive;
	size_t i = 0;
	size_t j = 0;

	while (i < a->count || j < c->claims.count) {
		const struct bundle_file *f = i < a->count ? &a->files[i]
							   : NULL;
		const struct jws_file *s =
		    j < c->claims.count ? &c->claims.files[j] : NULL;
		int order = f == NULL ? 1
		    : s == NULL       ? -1
				      : strcmp(f->path, s->name);

		if (order < 0)
			fault(c, "file", f->path, NULL, f->hash,
			    "is in the bundle but was not signed");
		else if (order > 0)
			fault(c, "file", s->name, s->hash, NULL,
			    "was signed but is not in the bundle");
		else if (strcmp(f->hash, s->hash) != 0)
			fault(c, "file", f->path, s->hash, f->hash,
			    "is not what was signed");
		i += order <= 0 ? 1 : 0;
		j += order >= 0 ? 1 : 0;
	}
}

static void
check_signature(struct check *c)
{
	struct err e = { 0 };

	if (c->archive.jws == NULL) {
		fault(c, "signature", NULL, NULL, NULL,
		    "the bundle is not signed");
	} else if (jws_verify(&c->claims, c->archive.jws, c->archive.jws_len,
		       c->key, &e) != ERR_OK) {
		fault(c, "signature", NULL, NULL, NULL, e.text);
	} else {
		check_scope(c);
		check_hashes(c);
	}
}

/* ---- the same again from the repository ---- */

/* Ours is what is expected. */
static void
compare_files(struct check *c, const struct bundle *ours)
{
	const struct bundle_archive *a = &c->archive;
	size_t i = 0;
	size_t j = 0;

	while (i < a->count || j < ours->count) {
		const struct bundle_file *f = i < a->count ? &a->files[i]
							   : NULL;
		const struct bundle_file *o = j < ours->count ? &ours->files[j]
							      : NULL;
		int order = f == NULL ? 1
		    : o == NULL       ? -1
				      : strcmp(f->path, o->path);

		if (order < 0)
			fault(c, "repository", f->path, NULL, f->hash,
			    "is not made of this commit");
		else if (order > 0)
			fault(c, "repository", o->path, o->hash, NULL,
			    "of this commit is missing");
		else if (strcmp(f->hash, o->hash) != 0)
			fault(c, "repository", f->path, o->hash, f->hash,
			    "is not what this commit gives");
		i += order <= 0 ? 1 : 0;
		j += order >= 0 ? 1 : 0;
	}
	if (strcmp(c->content, ours->content) != 0)
		fault(c, "repository", NULL, ours->content, c->content,
		    "the content digest is not what this commit gives");
}

/* Before the content there is the signature's own gzip member, which differs
 * from one signing to the next unless the algorithm is RS or HS. */
static enum err_code
compare_bytes(struct check *c, const struct bundle *ours, struct err *e)
{
	const struct bundle_means means = {
		.threads = bundle_threads(BUNDLE_THREADS_MAX)
	};
	AUTO_BUF content = { 0 };

	buf_init(&content, (size_t)BUNDLE_SIZE_MAX);
	TRY(bundle_pack_with(&content, ours, &means, e));
	c->same_bytes = c->bytes.len >= content.len &&
	    memcmp(c->bytes.data + c->bytes.len - content.len, content.data,
		content.len) == 0;
	if (!c->same_bytes)
		fault(c, "repository", NULL, NULL, NULL,
		    "the files are the same, but not the bytes they are packed "
		    "in: another version of edict packed them");
	return ERR_OK;
}

static enum err_code
build_anew(struct check *c, struct bundle **out, struct err *e)
{
	const char *name = cli_value(c->args, "bundle");

	if (c->archive.revision == NULL)
		return err_set(e, ERR_INVALID,
		    "the bundle does not say which commit it is of");
	if (name == NULL)
		name = c->origin.bundle;
	return cli_commit_bundle(out, c->args, cli_value(c->args, "repo"),
	    c->archive.revision, name, e);
}

/* Another opa compiles to something else: then that is why. */
static void
compare_compilers(struct check *c, const struct bundle *ours)
{
	struct bundle_archive view = delta_view(ours);
	struct inspect_origin mine = { 0 };
	struct err e = { 0 };
	const char *theirs = c->origin.opa != NULL ? c->origin.opa : "none";

	if (inspect_origin_read(&mine, &view, &e) != ERR_OK)
		return; /* what we wrote ourselves can be read */
	if (strcmp(theirs, mine.opa != NULL ? mine.opa : "none") != 0)
		fault(c, "repository", NULL, mine.opa, c->origin.opa,
		    "was compiled by another opa; name that one with --opa");
	inspect_origin_clear(&mine);
}

static void
check_repository(struct check *c)
{
	AUTO(bundle, ours) = NULL;
	struct err e = { 0 };
	size_t before = json_array_size(c->faults) + c->more;

	if (cli_value(c->args, "repo") == NULL)
		return;
	if (build_anew(c, &ours, &e) != ERR_OK) {
		fault(c, "repository", NULL, NULL, NULL, e.text);
		return;
	}
	c->rebuilt = true;
	compare_compilers(c, ours);
	compare_files(c, ours);
	if (json_array_size(c->faults) + c->more == before &&
	    compare_bytes(c, ours, &e) != ERR_OK)
		fault(c, "repository", NULL, NULL, NULL, e.text);
}

/* ---- all of it ---- */

static void
check_layout(struct check *c)
{
	struct err e = { 0 };

	if (inspect_layout(&c->archive, &e) != ERR_OK)
		fault(c, "roots", NULL, NULL, NULL, e.text);
}

static enum err_code
run_checks(struct check *c, struct err *e)
{
	const struct cli_args *a = c->args;

	TRY(cli_key_read(&c->key, cli_value(a, "key"), cli_value(a, "key-id"),
	    cli_value(a, "signing-alg"), false, e));
	TRY(cli_commit_file(&c->archive, c->file, &c->bytes, e));
	TRY(inspect_origin_read(&c->origin, &c->archive, e));
	TRY(delta_content(c->content, &c->archive, e));
	c->scope = scope_wanted(c);
	check_signature(c);
	check_layout(c);
	check_repository(c);
	return ERR_OK;
}

/* ---- the answer ---- */

static const char *
or_dash(const char *text)
{
	return text != NULL ? text : "-";
}

static void __attribute__((format(printf, 2, 3)))
print_line(const char *label, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	(void)printf("%-12s", label);
	table_text(text, 0, 1);
	mem_free(text);
}

static void
print_fault(const json_t *f)
{
	const char *path = table_string(f, "path");
	const char *expected = table_string(f, "expected");
	const char *found = table_string(f, "found");
	AUTO_STR line = mem_printf("%s: %s%s%s", table_string(f, "kind"),
	    path != NULL ? path : "", path != NULL ? " " : "",
	    table_string(f, "message"));

	table_text(line, 2, 1);
	if (expected != NULL)
		print_line("", "expected %s", expected);
	if (found != NULL)
		print_line("", "found    %s", found);
}

static void
print_faults(const struct check *c)
{
	const json_t *f;
	size_t i;

	json_array_foreach(c->faults, i, f)
		print_fault(f);
	if (c->more > 0)
		(void)printf("  ... and %zu more\n", c->more);
}

static void
print_roots(const struct check *c)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, 4096);
	for (size_t i = 0; i < c->archive.root_count; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "",
		    c->archive.roots[i][0] != '\0' ? c->archive.roots[i]
						   : "(everything)");
	print_line("roots", "%s", text.data);
}

static void
print_repository(const struct check *c)
{
	const char *dir = cli_value(c->args, "repo");

	if (dir == NULL)
		return;
	if (!c->rebuilt)
		print_line("rebuilt", "could not be built from %s", dir);
	else if (c->same_bytes)
		print_line("rebuilt", "from %s: the same, byte for byte", dir);
	else
		print_line("rebuilt", "from %s: not the same", dir);
}

static void
print_text(const struct check *c)
{
	bool good = json_array_size(c->faults) == 0;

	(void)printf("%s: %s\n", c->file, good ? "good" : "NOT GOOD");
	print_faults(c);
	print_line("key", "%s, %s, id %s", cli_value(c->args, "key"),
	    key_algorithm_name(key_algorithm_of(c->key)),
	    or_dash(c->claims.key_id));
	print_line("scope", "%s (%s)", or_dash(c->scope),
	    cli_given(c->args, "scope") ? "--scope"
					: "the name it gives itself");
	print_line("bundle", "%s", or_dash(c->origin.bundle));
	print_line("revision", "%s", or_dash(c->archive.revision));
	print_line("author", "%s, %s", or_dash(c->origin.author),
	    or_dash(c->origin.date));
	if (c->origin.opa != NULL)
		print_line("compiled", "by opa %s", c->origin.opa);
	print_line("content", "%s", c->content);
	print_line("files", "%zu", c->archive.count);
	print_roots(c);
	print_repository(c);
}

static json_t *
roots_json(const struct check *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->archive.root_count; i++)
		(void)json_array_append_new(list,
		    json_string(c->archive.roots[i]));
	return list;
}

static void
print_json(const struct check *c)
{
	bool repo = cli_value(c->args, "repo") != NULL;
	json_t *j = json_pack("{s:s,s:b,s:{s:s,s:s?},s:s?,s:s,s:s?,s:s?,s:s?,"
			      "s:s?,s:s?,s:s,s:I,s:o,s:o,s:O,s:I}",
	    "file", c->file, "good", json_array_size(c->faults) == 0, "key",
	    "algorithm", key_algorithm_name(key_algorithm_of(c->key)), "id",
	    c->claims.key_id, "scope", c->scope, "scope_from",
	    cli_given(c->args, "scope") ? "option" : "manifest", "bundle",
	    c->origin.bundle, "revision", c->archive.revision, "author",
	    c->origin.author, "committed_at", c->origin.date, "compiled_by",
	    c->origin.opa, "content", c->content, "files",
	    (json_int_t)c->archive.count, "roots", roots_json(c), "same_bytes",
	    repo ? json_boolean(c->same_bytes) : json_null(), "faults",
	    c->faults, "more", (json_int_t)c->more);

	(void)client_print_json(j);
	json_decref(j);
}

/* Whatever stdout is used for. */
static int
fail(const struct check *c)
{
	const json_t *first = json_array_get(c->faults, 0);
	const char *path = table_string(first, "path");
	struct err e = { 0 };

	(void)err_set(&e, ERR_CRYPTO, "%s: %s%s%s", c->file,
	    path != NULL ? path : "", path != NULL ? " " : "",
	    table_string(first, "message"));
	return client_fail(c->args, &e);
}

static int
verify(int argc, char **argv)
{
	struct cli_args a;
	struct check c = { .args = &a };
	struct err e = { 0 };
	bool good;
	int n = cli_parse(&a, &cli_verify, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1 || cli_value(&a, "key") == NULL)
		return cli_usage(&cli_verify, "name one file, and --key FILE");
	if (cli_given(&a, "bundle") && !cli_given(&a, "repo"))
		return cli_usage(&cli_verify, "--bundle goes with --repo");
	c.file = a.rest[0];
	c.faults = json_array();
	if (run_checks(&c, &e) != ERR_OK) {
		check_clear(&c);
		return client_fail(&a, &e);
	}
	if (cli_given(&a, "json"))
		print_json(&c);
	else
		print_text(&c);
	good = json_array_size(c.faults) == 0;
	if (!good)
		(void)fail(&c);
	check_clear(&c);
	return good ? 0 : 1;
}

const struct cli_command cli_verify = {
	.name = "verify",
	.group = "Policies",
	.usage = "FILE --key FILE [options]",
	.summary = "check a bundle: signature, hashes, roots, origin",
	.help =
	    "Says whether the bundle was signed with this key for this name,\n"
	    "holds exactly the files that were signed, and keeps its packages\n"
	    "and data under its roots. Without --scope it has to be signed for\n"
	    "the name in its own manifest, which is shown: look at it. With\n"
	    "--repo it is built anew from the commit it names, and compared\n"
	    "file by file and then byte by byte. Ends with status 0 only when\n"
	    "all is well.\n"
	    "\n"
	    "  edict verify authz.tar.gz --key ci.pub --scope authz\n"
	    "  edict verify authz.tar.gz --key ci.pub --repo ~/policies",
	.options = verify_options,
	.run = verify,
};
