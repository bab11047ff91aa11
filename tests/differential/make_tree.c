#include <stdio.h>
#include <string.h>

#include "make.h"

static const char *const names[] = { "x", "_y", "Z9", "if", "in", "contains",
	"every", "import", "as", "with", "not", "some", "else", "false", "null",
	"set", "input", "data", "default", "package", "true" };

static const char *const brackets[] = { "[\"a b\"]", "[\"\"]", "[\"a/b\"]",
	"[\"\\u00e9\"]", "[\"\xc3\xa9\"]", "[`raw`]", "[ \"sp\" ]", "[\"x\"]",
	"[\"\\n\"]", "[\"a.b\"]", "[\"\\\"\"]", "[\"%41\"]", "[\n\"y\"\n]",
	"[\"\\ud83d\\ude00\"]", "[\"1\"]", "[\"a\"][\"b\"]", "[\"data\"]" };

static const char *const before[] = { "", "", "", "", "# c\n", "\n\n", "\t",
	"\xef\xbb\xbf", "# METADATA\n# title: x\n", "\r\n", " ", "#\n" };
static const char *const gaps[] = { " ", " ", " ", "  ", "\t", "\n", " # c\n",
	"\r\n", "\n\n" };
static const char *const after[] = { "\n", "\n\n", " # c\n", "\r\n", "\n" };

static const char *const odd[] = { ".", "[", "]", "\"", "`", "#", "\\", "\n",
	" ", "\xc3\xa9", "\xff", "-", "1", "[1]", "[x]", "[\"\\q\"]",
	"[\"\\ud800\"]", "..", ".if", "_", "package ", "import x\n", "\v",
	"\xc2\xa0", "\xef\xbb\xbf", ";", "[\"\n\"]", "[`a\nb`]", "[\"\\x41\"]",
	"[\"\\u12\"]", "{", "\x01", "\xe2\x80\xa8" };

void
make_module(struct buf *out, struct dice *d, const char *top)
{
	size_t count = dice_roll(d, 4);

	buf_add_str(out, DICE_PICK(d, before));
	buf_printf(out, "package%s%s", DICE_PICK(d, gaps), top);
	for (size_t i = 0; i < count; i++) {
		if (dice_often(d, 60))
			buf_printf(out, ".%s", DICE_PICK(d, names));
		else
			buf_add_str(out, DICE_PICK(d, brackets));
	}
	buf_add_str(out, DICE_PICK(d, after));
	if (dice_often(d, 40))
		dice_break(d, out, odd, sizeof odd / sizeof *odd);
	else if (dice_often(d, 60))
		buf_add_str(out, "p := 1\n");
}

/* -- several files -------------------------------------------------------- */

static const char *const folders[] = { "", "", "a/", "b/", "a/b/", "a/c/",
	"c-d/", "a/b/c/", "e.f/" };
static const char *const packages[] = { "a", "b", "a.b", "a.b.c", "c", "a.c",
	"a[\"x y\"]", "q", "b.r", "_" };
static const char *const roots[] = { "", "/a", "/b", "/a/b", "/c", "/a/c", "/q",
	"/b/" };
static const char *const keys[] = { "a", "b", "c", "d", "x y" };

static void
add_object(struct buf *out, struct dice *d, size_t depth)
{
	size_t count = dice_roll(d, 3);
	const char *last = "";

	buf_add_char(out, '{');
	for (size_t i = 0; i < count; i++) {
		const char *key = DICE_PICK(d, keys);

		if (strcmp(key, last) == 0)
			continue;
		buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", key);
		if (depth < 3 && dice_often(d, 70))
			add_object(out, d, depth + 1);
		else
			buf_printf(out, "%zu", dice_roll(d, 100));
		last = key;
	}
	buf_add_char(out, '}');
}

static void
add_data(struct make_file *f, struct dice *d, const char *top)
{
	static const char *const bases[] = { "data.json", "data.json",
		"data.yaml", "data.yml" };
	static const char *const leaves[] = { "1", "[1,2]", "\"x\"", "true",
		"null" };

	(void)snprintf(f->path, sizeof f->path, "%s/%s%s", top,
	    DICE_PICK(d, folders), DICE_PICK(d, bases));
	if (dice_often(d, 90))
		add_object(&f->text, d, 0);
	else
		buf_add_str(&f->text, DICE_PICK(d, leaves));
}

static void
add_policy(struct make_file *f, struct dice *d, const char *top, size_t i,
    bool old)
{
	size_t rule = dice_roll(d, 3);

	(void)snprintf(f->path, sizeof f->path, "%s/%sp%zu.rego", top,
	    DICE_PICK(d, folders), i);
	buf_printf(&f->text, "package %s.%s\n", top, DICE_PICK(d, packages));
	if (old)
		buf_printf(&f->text, "r%zu = x { x := %zu }\n", i, rule);
	else if (rule == 0)
		buf_printf(&f->text, "r%zu := %zu\n", i, i);
	else
		buf_printf(&f->text, "r%zu contains v if some v in [%zu]\n", i,
		    rule);
}

/* Files that no bundle holds. */
static void
add_other(struct make_file *f, struct dice *d, const char *top)
{
	static const char *const bases[] = { "README.md", "values.yaml",
		"config.json", "x.manifest.txt", "data.json.bak", "p_test.rego",
		".hidden.rego", "data.yaml.txt", "policy.wasm.txt" };

	(void)snprintf(f->path, sizeof f->path, "%s/%s%s", top,
	    DICE_PICK(d, folders), DICE_PICK(d, bases));
	buf_printf(&f->text, "package %s.other\nt := 1\n", top);
}

static bool
is_new(const struct make_tree *t, const char *path)
{
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->files[i].path, path) == 0)
			return false;
	}
	return true;
}

static void
choose_roots(struct make_tree *t, struct dice *d, const char *top)
{
	t->root_count = 1 + dice_roll(d, MAKE_ROOTS_MAX);
	for (size_t i = 0; i < t->root_count; i++)
		(void)snprintf(t->roots[i], sizeof t->roots[i], "%s%s", top,
		    i == 0 && dice_often(d, 60) ? "" : DICE_PICK(d, roots));
	if (dice_often(d, 60))
		t->root_count = 1;
	t->old = dice_often(d, 30);
}

void
make_tree(struct make_tree *out, struct dice *d, const char *top,
    bool with_roots)
{
	size_t count = 1 + dice_roll(d, 5);

	*out = (struct make_tree){ 0 };
	if (with_roots)
		choose_roots(out, d, top);
	for (size_t i = 0; i < count; i++) {
		struct make_file *f = &out->files[out->count];
		size_t kind = i == 0 ? dice_roll(d, 8) : dice_roll(d, 10);

		buf_init(&f->text, MAKE_TEXT_MAX);
		if (kind < 5)
			add_data(f, d, top);
		else if (kind < 8)
			add_policy(f, d, top, i, out->old);
		else
			add_other(f, d, top);
		if (is_new(out, f->path))
			out->count++;
		else
			buf_clear(&f->text);
	}
}

void
make_tree_clear(struct make_tree *t)
{
	for (size_t i = 0; i < t->count; i++)
		buf_clear(&t->files[i].text);
}
