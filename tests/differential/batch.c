#include "batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/pack.h"
#include "core/canon.h"
#include "core/file.h"
#include "core/mem.h"
#include "signing/jws.h"
#include "signing/key.h"
#include "tests/unit/bundler/fixture.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static struct key *key; /* made once: they take time */

void
batch_start(struct batch *b, size_t count, bool with_roots)
{
	assert_true(count <= BATCH_MAX);
	*b = (struct batch){ .count = count, .with_roots = with_roots };
	b->cases = mem_array(count + 1, sizeof *b->cases);
	b->folder = fixture_folder();
}

void
batch_end(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		make_tree_clear(&b->cases[i].tree);
	mem_free(b->cases);
	fixture_folder_end(b->folder);
	key_free(STEAL(key));
}

void
batch_top(char out[MAKE_PATH_SIZE], size_t i)
{
	(void)snprintf(out, MAKE_PATH_SIZE, "c%zu", i);
}

/* -- trees of some of the cases ------------------------------------------- */

static void
add_roots(struct buf *out, const struct make_tree *t, const char **comma)
{
	for (size_t i = 0; i < t->root_count; i++) {
		buf_printf(out, "%s\"%s\"", *comma, t->roots[i]);
		*comma = ",";
	}
}

/* The roots and versions of all chosen cases. */
static void
write_manifest(struct buf *out, const struct batch *b,
    bool (*chosen)(const struct batch *b, size_t i, size_t only), size_t only)
{
	const char *comma = "";

	buf_add_str(out, "{\"roots\":[");
	for (size_t i = 0; i < b->count; i++) {
		if (chosen(b, i, only))
			add_roots(out, &b->cases[i].tree, &comma);
	}
	buf_add_str(out, "],\"file_rego_versions\":{");
	comma = "";
	for (size_t i = 0; i < b->count; i++) {
		if (!chosen(b, i, only) || !b->cases[i].tree.old)
			continue;
		buf_printf(out, "%s\"/c%zu/*\":0", comma, i);
		comma = ",";
	}
	buf_add_str(out, "}}");
}

static bool
is_only(const struct batch *b, size_t i, size_t only)
{
	(void)b;
	return i == only;
}

static bool
is_taken(const struct batch *b, size_t i, size_t only)
{
	(void)only;
	return b->cases[i].taken && b->cases[i].engine_takes;
}

static bool
is_any(const struct batch *b, size_t i, size_t only)
{
	(void)b;
	(void)i;
	(void)only;
	return true;
}

static enum err_code
make(struct tree **out, const struct batch *b,
    bool (*chosen)(const struct batch *b, size_t i, size_t only), size_t only,
    struct err *e)
{
	struct tree_file *files =
	    mem_array(b->count * MAKE_FILES_MAX + 1, sizeof *files);
	AUTO_BUF manifest = { 0 };
	size_t count = 0;
	enum err_code code;

	buf_init(&manifest, MAKE_TEXT_MAX);
	if (b->with_roots) {
		write_manifest(&manifest, b, chosen, only);
		files[count++] = (struct tree_file){ ".manifest", manifest.data,
			manifest.len };
	}
	for (size_t i = 0; i < b->count; i++) {
		const struct make_tree *t = &b->cases[i].tree;

		for (size_t f = 0; chosen(b, i, only) && f < t->count; f++)
			files[count++] = (struct tree_file){ t->files[f].path,
				t->files[f].text.data, t->files[f].text.len };
	}
	code = tree_from_memory(out, files, count, COMMIT, e);
	mem_free(files);
	return code;
}

void
batch_judge(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct batch_case *c = &b->cases[i];
		struct bundle *bundle = NULL;
		AUTO(tree, t) = NULL;
		struct err e = { 0 };
		enum err_code code = make(&t, b, is_only, i, &e);

		if (code == ERR_OK)
			code = bundle_plan(&bundle, t, &fixture_all, &e);
		c->taken = code == ERR_OK;
		c->engine_takes = true;
		(void)snprintf(c->error, sizeof c->error, "%s", e.text);
		bundle_free(bundle);
	}
}

/* -- the engine ----------------------------------------------------------- */

static bool
any(void *arg, const struct tree_entry *entry)
{
	(void)arg;
	(void)entry;
	return true;
}

static void
lay_out(const struct batch *b, const char *name, const struct tree *t)
{
	AUTO_STR path = file_path(b->folder, name);
	struct err e;

	if (file_remove_tree(path, &e) != ERR_OK ||
	    file_make_dirs(path, &e) != ERR_OK ||
	    tree_write(t, path, any, NULL, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
lay_out_some(const struct batch *b, const char *name,
    bool (*chosen)(const struct batch *b, size_t i, size_t only), size_t only)
{
	AUTO(tree, t) = NULL;
	struct err e;

	if (make(&t, b, chosen, only, &e) != ERR_OK)
		fail_msg("%s", e.text);
	lay_out(b, name, t);
}

void
batch_ask_files(struct batch *b)
{
	struct buf out = { 0 };

	lay_out_some(b, "all", is_any, 0);
	if (fixture_run(&out, "cd %s && %s eval -f raw -d all data", b->folder,
		fixture_opa()) != 0) {
		for (size_t i = 0; i < b->count; i++) {
			AUTO_STR name = mem_printf("all/c%zu/", i);

			/* It quotes what it refuses: NUL bytes too. */
			b->cases[i].engine_takes =
			    memmem(out.data, out.len, name, strlen(name)) ==
			    NULL;
		}
	}
	assert_false(out.overflow);
	buf_clear(&out);
}

/* Tests and hidden files belong to no bundle of ours. */
#define EVAL "eval -f raw --ignore '*_test.rego' --ignore '.hidden*'"

void
batch_ask_alone(struct batch *b, size_t i)
{
	struct buf out = { 0 };

	lay_out_some(b, "one", is_only, i);
	b->cases[i].engine_takes = fixture_run(&out,
				       "cd %s && %s " EVAL " -b one data",
				       b->folder, fixture_opa()) == 0;
	b->cases[i].rego_error = strstr(out.data, ": rego_") != NULL;
	buf_clear(&out);
}

bool
batch_any(const struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (is_taken(b, i, 0))
			return true;
	return false;
}

/* -- a bundle of many ----------------------------------------------------- */

static void
write_key(const struct batch *b)
{
	AUTO_BUF pem = { 0 };
	struct err e;

	if (key == NULL && key_generate(&key, "k1", KEY_ES256, &e) != ERR_OK)
		fail_msg("%s", e.text);
	buf_init(&pem, KEY_FILE_MAX);
	key_write_public(&pem, key);
	fixture_write(b->folder, "key.pem", pem.data, pem.len);
}

static enum err_code
sign(const struct batch *b, const struct bundle *bundle, struct err *e)
{
	AUTO_BUF content = { 0 }, jws = { 0 }, bytes = { 0 };
	struct jws_file *list = bundle_jws_files(bundle);
	enum err_code code;

	buf_init(&content, PACK_SIZE_MAX);
	buf_init(&jws, JWS_SIZE_MAX);
	buf_init(&bytes, PACK_SIZE_MAX);
	code = bundle_pack(&content, bundle, e);
	if (code == ERR_OK)
		code = jws_sign(&jws, key, "main", list, bundle->count, e);
	if (code == ERR_OK)
		code = bundle_sign_pack(&bytes, content.data, content.len,
		    jws.data, jws.len, e);
	mem_free(list);
	if (code == ERR_OK)
		fixture_write(b->folder, "b.tar.gz", bytes.data, bytes.len);
	return code;
}

/* The folder "source" and the file "b.tar.gz". */
static enum err_code
build(const struct batch *b, struct err *e)
{
	AUTO(tree, t) = NULL;
	AUTO(bundle, bundle) = NULL;

	TRY(make(&t, b, is_taken, 0, e));
	lay_out(b, "source", t);
	TRY(bundle_plan(&bundle, t, &fixture_all, e));
	write_key(b);
	return sign(b, bundle, e);
}

static const struct value *
case_value(const struct document *d, size_t i)
{
	char top[MAKE_PATH_SIZE];

	batch_top(top, i);
	return value_get(document_root(d), top);
}

static void
write_value(struct buf *out, const struct value *v)
{
	if (v != NULL)
		canon_write(out, v);
	else
		buf_add_str(out, "nothing");
}

static bool
same_value(const struct value *x, const struct value *y, struct buf *text)
{
	AUTO_BUF a = { 0 }, c = { 0 };

	buf_init(&a, MAKE_TEXT_MAX);
	buf_init(&c, MAKE_TEXT_MAX);
	write_value(&a, x);
	write_value(&c, y);
	if (a.len == c.len && memcmp(a.data, c.data, a.len) == 0)
		return true;
	buf_printf(text, "the folder gives %.1000s, the bundle %.1000s\n",
	    a.data, c.data);
	return false;
}

static void
explain(const struct batch *b, const struct buf *wanted, const struct buf *got,
    struct buf *text)
{
	AUTO(document, x) = NULL;
	AUTO(document, y) = NULL;
	struct err e;

	if (canon_read(&x, "the folder", wanted->data, wanted->len, &e) !=
		ERR_OK ||
	    canon_read(&y, "the bundle", got->data, got->len, &e) != ERR_OK) {
		buf_printf(text, "%s\n", e.text);
		return;
	}
	for (size_t i = 0; i < b->count; i++) {
		if (!same_value(case_value(x, i), case_value(y, i), text))
			buf_printf(text, "  (case %" PRIu64 ", c%zu)\n",
			    b->cases[i].number, i);
	}
}

bool
batch_same(struct batch *b, struct buf *text)
{
	struct buf wanted = { 0 }, got = { 0 };
	struct err e;
	bool same = false;

	buf_reset(text);
	if (build(b, &e) != ERR_OK)
		buf_printf(text, "taken one by one, not together: %s\n",
		    e.text);
	else if (fixture_run(&got,
		     "cd %s && %s build -b b.tar.gz --verification-key key.pem "
		     "--signing-alg ES256 --verification-key-id k1 --scope "
		     "main -o /dev/null",
		     b->folder, fixture_opa()) != 0)
		buf_printf(text, "not verified: %s\n", got.data);
	else if (fixture_run(&wanted, "cd %s && %s " EVAL " -b source data",
		     b->folder, fixture_opa()) != 0)
		buf_printf(text, "the folder is refused: %s\n", wanted.data);
	else if (fixture_run(&got, "cd %s && %s " EVAL " -b b.tar.gz data",
		     b->folder, fixture_opa()) != 0)
		buf_printf(text, "the bundle is refused: %s\n", got.data);
	else
		same = wanted.len == got.len && !wanted.overflow &&
		    memcmp(wanted.data, got.data, got.len) == 0;
	if (!same && text->len == 0)
		explain(b, &wanted, &got, text);
	buf_clear(&wanted);
	buf_clear(&got);
	return same;
}
