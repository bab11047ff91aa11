#include "bundler/compile.h"

#include <stdio.h>
#include <string.h>

#include "bundler/compile_kept.h"
#include "bundler/compile_order.h"
#include "bundler/compile_read.h"
#include "core/mem.h"
#include "core/names.h"
#include "core/text.h"
#include "signing/digest.h"

/* Work in hand for one bundle. */
struct compiling {
	const struct definition *d;
	const struct definition_bundle *of;
	struct compile_means *means;
	const char *capabilities; /* or NULL */
	char *namespace;
};

static char *
namespace_of(const struct definition_bundle *of)
{
	char *text;

	if (of->compile.partial_namespace != NULL)
		return mem_strdup(of->compile.partial_namespace);
	text = mem_printf("partial_%s", of->name);
	/* opa gives its own, changing names to files of other packages. */
	for (char *s = text; *s != '\0'; s++) {
		if (*s == '.' || *s == '-')
			*s = '_';
	}
	return text;
}

/* ---- which input it was ---- */

static void
add_text(struct digest *g, const char *text)
{
	digest_add_piece(g, text, strlen(text));
}

static void
add_settings(struct digest *g, const struct definition_compile *s)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%d %d %d %d %zu", s->target,
	    (int)s->optimize, s->prune_unused, s->wasm_include_print,
	    s->entrypoints.count);
	add_text(g, text);
	for (size_t i = 0; i < s->entrypoints.count; i++)
		add_text(g, s->entrypoints.items[i]);
}

static enum err_code
add_capabilities(struct digest *g, const struct tree *t, const char *name,
    struct err *e)
{
	const struct tree_entry *file = NULL;
	AUTO_BUF text = { 0 };

	add_text(g, name != NULL ? name : "");
	if (name != NULL && !definition_capabilities_is_version(name))
		file = tree_find(t, name);
	if (file == NULL)
		return ERR_OK;
	buf_init(&text, DEFINITION_CAPABILITIES_MAX);
	TRY(tree_read(t, file, &text, e));
	TRY(buf_check(&text, name, e));
	digest_add_piece(g, text.data, text.len);
	return ERR_OK;
}

static enum err_code
key_of(char out[DIGEST_HEX_SIZE], const struct compiling *c,
    const struct bundle *plain, struct err *e)
{
	const struct gate_engine *engine = c->means->job->engine;
	struct digest *g = digest_new();
	enum err_code code;

	add_text(g, "compile 3");
	add_text(g, plain->content);
	add_settings(g, &c->of->compile);
	add_text(g, c->namespace);
	add_text(g, engine->version);
	add_text(g, engine->digest);
	code = add_capabilities(g, c->means->job->tree, c->capabilities, e);
	digest_end(g, out);
	return code;
}

/* ---- opa ---- */

static enum err_code
run_opa(struct buf *out, const struct compiling *c, const struct bundle *from,
    const struct definition_compile *settings, struct err *e)
{
	struct gate_compile g = { .settings = settings,
		.partial_namespace = c->namespace,
		.capabilities = c->capabilities,
		.rego_version = from->rego_version };
	AUTO_BUF packed = { 0 };

	buf_init(&packed, (size_t)BUNDLE_SIZE_MAX);
	TRY(bundle_pack_with(&packed, from, c->means->pack, e));
	g.bundle = packed.data;
	g.len = packed.len;
	return gate_compile(out, c->means->job, &g, e);
}

static enum err_code
read_result(struct bundle **out, const struct compiling *c,
    const struct bundle *from, const struct buf *result, size_t turn,
    struct err *e)
{
	const struct compile_reading r = { .from = from,
		.commit = &c->means->job->tree->commit,
		.engine = c->means->job->engine->version,
		.namespace = c->of->compile.optimize > 0 ? c->namespace : NULL,
		.turn = turn };

	return compile_read(out, &r, result->data, result->len, e);
}

static size_t
last_turn(const struct definition_compile *s)
{
	return s->optimize > 0 && s->entrypoints.count > 0
	    ? s->entrypoints.count - 1
	    : 0;
}

/* A comment that may be an annotation `entrypoint: true`. */
static bool
is_annotated(const struct bundle_file *f)
{
	const char *end = f->data + f->len;
	const char *s = f->data;

	if (!text_ends_with(f->path, ".rego") ||
	    memmem(s, f->len, "METADATA", 8) == NULL)
		return false;
	while ((s = memchr(s, '#', (size_t)(end - s))) != NULL) {
		const char *line = memchr(s, '\n', (size_t)(end - s));

		if (line == NULL)
			line = end;
		if (memmem(s, (size_t)(line - s), "entrypoint", 10) != NULL)
			return true;
		s = line;
	}
	return false;
}

/* Annotations make entrypoints of the same turn. */
static enum err_code
check_annotations(const struct bundle *plain, const struct bundle *made,
    struct err *e)
{
	bool helpers = false;

	for (size_t i = 0; i < made->count; i++)
		helpers = helpers ||
		    memmem(made->files[i].data, made->files[i].len,
			COMPILE_HELPER_PREFIX,
			strlen(COMPILE_HELPER_PREFIX)) != NULL;
	for (size_t i = 0; helpers && i < plain->count; i++) {
		if (is_annotated(&plain->files[i]))
			return err_set(e, ERR_INVALID,
			    "%s: opa build mixes up the negations of policies "
			    "that are optimised for several entrypoints at "
			    "once; take the annotation `entrypoint` out, list "
			    "it in compile.entrypoints, or set optimize: 0",
			    plain->files[i].path);
	}
	return ERR_OK;
}

/* Given several entrypoints at once, opa counts the helpers of each from the
 * beginning: those of one take the names, and so the places, of another's
 * (v1/compile/compile.go, merge). So each entrypoint has a turn, which begins
 * with what came of the one before. */
static enum err_code
optimise(struct bundle **out, struct buf *result, const struct compiling *c,
    const struct bundle *plain, struct err *e)
{
	struct definition_compile settings = c->of->compile;
	const struct spec_strings all = settings.entrypoints;
	AUTO(bundle, made) = NULL;

	settings.target = TARGET_REGO;
	settings.prune_unused = false;
	settings.wasm_include_print = false;
	settings.entrypoints.count = 1;
	for (size_t i = 0; i < all.count; i++) {
		struct bundle *next = NULL;

		settings.entrypoints.items = &all.items[i];
		TRY(run_opa(result, c, made != NULL ? made : plain, &settings,
		    e));
		TRY(read_result(&next, c, plain, result, i, e));
		bundle_free(made);
		made = next;
		TRY(check_annotations(plain, made, e));
	}
	*out = STEAL(made);
	return ERR_OK;
}

/* A module is made from the optimised policies after they were put in order:
 * what opa would make of them in one go holds its names in an order of its own
 * choice. */
static enum err_code
build_once(struct bundle **out, struct buf *result, const struct compiling *c,
    const struct bundle *plain, struct err *e)
{
	struct definition_compile settings = c->of->compile;
	AUTO(bundle, optimised) = NULL;

	if (settings.optimize > 0) {
		TRY(optimise(&optimised, result, c, plain, e));
		if (settings.target == TARGET_REGO) {
			*out = STEAL(optimised);
			return ERR_OK;
		}
		settings.optimize = 0;
	}
	TRY(run_opa(result, c, optimised != NULL ? optimised : plain, &settings,
	    e));
	return read_result(out, c, plain, result, last_turn(&c->of->compile),
	    e);
}

/* Of the first only the digest stays, since both may be large. */
static enum err_code
build_twice(struct bundle **out, struct buf *result, const struct compiling *c,
    const struct bundle *plain, struct err *e)
{
	char content[DIGEST_HEX_SIZE];
	AUTO(bundle, made) = NULL;

	TRY(build_once(&made, result, c, plain, e));
	memcpy(content, made->content, sizeof content);
	bundle_free(STEAL(made));
	buf_clear(result);
	TRY(build_once(&made, result, c, plain, e));
	if (strcmp(content, made->content) != 0)
		return err_set(e, ERR_INVALID,
		    "opa build made two different bundles of the same files, as "
		    "it may with several entrypoints and optimize; give each "
		    "entrypoint a bundle of its own, or set optimize: 0");
	*out = STEAL(made);
	return ERR_OK;
}

static enum err_code
build(struct bundle **out, const struct compiling *c,
    const struct bundle *plain, struct err *e)
{
	AUTO_BUF result = { 0 };
	char key[DIGEST_HEX_SIZE];

	TRY(key_of(key, c, plain, e));
	if (compile_kept_get(&result, c->means->kept, key) &&
	    read_result(out, c, plain, &result, last_turn(&c->of->compile),
		NULL) == ERR_OK)
		return ERR_OK;
	TRY(build_twice(out, &result, c, plain, e));
	c->means->built++;
	compile_kept_put(c->means->kept, key, &result);
	return ERR_OK;
}

enum err_code
compile_bundle(struct bundle **b, const struct definition *d,
    const struct definition_bundle *of, struct compile_means *means,
    struct err *e)
{
	struct compiling c = { .d = d,
		.of = of,
		.means = means,
		.capabilities = definition_capabilities(d, of) };
	struct bundle *compiled = NULL;
	enum err_code code;

	if (!definition_is_compiled(of))
		return ERR_OK;
	c.namespace = namespace_of(of);
	code = build(&compiled, &c, *b, e);
	mem_free(c.namespace);
	if (code != ERR_OK)
		return err_add(e, "bundle %s", of->name);
	bundle_free(*b);
	*b = compiled;
	return ERR_OK;
}

enum err_code
compile_all(struct bundle_set *set, const struct definition *d,
    struct compile_means *means, struct err *e)
{
	const struct definition_bundle *bundles = d->bundles.items;

	for (size_t i = 0; i < set->count; i++)
		TRY(compile_bundle(&set->bundles[i], d, &bundles[i], means, e));
	return bundle_set_check(set, d, e);
}

/* ---- afterwards ---- */

bool
compile_has_wasm(const struct bundle *b)
{
	for (size_t i = 0; i < b->count; i++) {
		if (strcmp(b->files[i].path, COMPILE_WASM_FILE) == 0)
			return true;
	}
	return false;
}

enum err_code
compile_pack_without_wasm(struct buf *out, const struct bundle *b,
    struct err *e)
{
	struct bundle rest = *b;
	AUTO_BUF manifest = { 0 };
	enum err_code code = ERR_OK;

	rest.count = 0;
	rest.files = mem_array(b->count, sizeof *rest.files);
	buf_init(&manifest, (size_t)BUNDLE_SIZE_MAX);
	for (size_t i = 0; i < b->count; i++) {
		struct bundle_file f = b->files[i];

		if (strcmp(f.path, COMPILE_WASM_FILE) == 0)
			continue;
		if (strcmp(f.path, MANIFEST_FILE) == 0) {
			code = compile_strip_manifest(&manifest, &f, e);
			f.data = manifest.data;
			f.len = manifest.len;
		}
		rest.files[rest.count++] = f;
	}
	if (code == ERR_OK)
		code = bundle_pack(out, &rest, e);
	mem_free(rest.files);
	return code;
}
