#include <stdio.h>
#include <string.h>

#include "make.h"

static const char *const roots[] = { "c0", "c0", "c0/a", "c0/b", "/c0/",
	"c0/a/b", "c0/c", "q" };
static const char *const odd_roots[] = { "", "/", "//", "c0//a", "c0/x y",
	"c0/%61", "c0/\\u00e9", "c0/.", "C0", "c0/a/" };
static const char *const odd_values[] = { "1", "null", "\"x\"", "{}", "[]",
	"true", "[1]", "[null]", "{\"a\":1}", "[\"c0\",1]" };
static const char *const versions[] = { "0", "1", "1", "1", "2", "-1", "1.0",
	"1e0", "\"1\"", "null", "true" };
static const char *const patterns[] = { "/c0/p0.rego", "c0/p0.rego", "/c0/*",
	"*", "/*", "/c0/p?.rego", "/c0/a/*", "**", "/c0/**", "/q/*", "*.rego",
	"/c0/[pq]0.rego", "/c0/{p0,p1}.rego", "\\\\*", "" };
static const char *const metadata[] = { "{}", "{\"a\":1}", "null", "[]", "1",
	"{\"a\":{\"b\":[1,2.50,\"\\u2028\"]},\"c\":\"<&>\"}",
	"{\"owner\":\"x\",\"n\":1e400}", "{\"edict\":{}}", "{\"Edict\":1}",
	"{\"a\":\"\\b\"}" };
static const char *const revisions[] = { "\"r1\"", "\"\"", "\"\\u00e9\"", "1",
	"null", "\"a\\u0000b\"" };
static const char *const wasm[] = { "[]", "null",
	"[{\"entrypoint\":\"c0/a\",\"module\":\"/policy.wasm\"}]", "{}" };
static const char *const others[] = { "\"root\":[\"c0\"]", "\"x\":1",
	"\"Roots\":[\"c0\"]", "\"REVISION\":\"r\"", "\"rego_Version\":1",
	"\"roots\":[\"c0\"]", "\"metadata\":{}" };
static const char *const odd[] = { ",", "}", "{", "\"", "null", "1", "[", "]",
	"\xff", " ", "\\u0000", "\xef\xbb\xbf" };

static void
add_roots(struct buf *out, struct dice *d)
{
	size_t count = 1 + dice_roll(d, 3);

	if (dice_often(d, 5)) {
		buf_add_str(out, DICE_PICK(d, odd_values));
		return;
	}
	buf_add_char(out, '[');
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s\"%s\"", i > 0 ? "," : "",
		    dice_often(d, 8) ? DICE_PICK(d, odd_roots)
				     : DICE_PICK(d, roots));
	buf_add_char(out, ']');
}

static void
add_versions(struct buf *out, struct dice *d)
{
	size_t count = dice_roll(d, 3);

	if (dice_often(d, 5)) {
		buf_add_str(out, DICE_PICK(d, odd_values));
		return;
	}
	buf_add_char(out, '{');
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s\"%s\":%s", i > 0 ? "," : "",
		    DICE_PICK(d, patterns),
		    dice_often(d, 90) ? (dice_often(d, 50) ? "0" : "1")
				      : DICE_PICK(d, versions));
	buf_add_char(out, '}');
}

struct field {
	const char *name;
	unsigned int percent;
	void (*add)(struct buf *out, struct dice *d);
	const char *const *list; /* where add is NULL */
	size_t count;
};

#define LIST(list) NULL, list, sizeof(list) / sizeof *(list)
static const struct field fields[] = {
	{ "roots", 75, add_roots, NULL, 0 },
	{ "revision", 15, LIST(revisions) },
	{ "rego_version", 25, LIST(versions) },
	{ "file_rego_versions", 35, add_versions, NULL, 0 },
	{ "metadata", 30, LIST(metadata) },
	{ "wasm", 10, LIST(wasm) },
};

static void
add_manifest(struct buf *out, struct dice *d)
{
	const char *comma = "\n";

	buf_add_char(out, '{');
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const struct field *f = &fields[i];

		if (!dice_often(d, f->percent))
			continue;
		buf_printf(out, "%s\"%s\": ", comma, f->name);
		if (f->add != NULL)
			f->add(out, d);
		else
			buf_add_str(out, dice_pick(d, f->list, f->count));
		comma = ",\n";
	}
	if (dice_often(d, 8))
		buf_printf(out, "%s%s", comma, DICE_PICK(d, others));
	buf_add_str(out, "\n}\n");
	if (dice_often(d, 6))
		dice_break(d, out, odd, sizeof odd / sizeof *odd);
}

static void
add_module(struct make_file *f, struct dice *d, size_t i)
{
	static const char *const folders[] = { "", "", "a/" };
	/* Read by both syntaxes, by the old one, by the new one. */
	static const char *const rules[] = { "r := 1\n", "r := 1\n",
		"r = x { x := 1 }\n", "r contains 1 if true\n" };

	(void)snprintf(f->path, sizeof f->path, "c0/%sp%zu.rego",
	    DICE_PICK(d, folders), i);
	buf_printf(&f->text, "package c0.p%zu\n%s", i, DICE_PICK(d, rules));
}

void
make_manifest(struct make_tree *out, struct dice *d)
{
	size_t modules = 1 + dice_roll(d, 2);

	*out = (struct make_tree){ 0 };
	out->count = modules + 2;
	for (size_t i = 0; i < out->count; i++)
		buf_init(&out->files[i].text, MAKE_TEXT_MAX);
	(void)snprintf(out->files[0].path, MAKE_PATH_SIZE, ".manifest");
	add_manifest(&out->files[0].text, d);
	(void)snprintf(out->files[1].path, MAKE_PATH_SIZE, "c0/b/data.json");
	buf_add_str(&out->files[1].text, "{\"k\":[1.0,null]}\n");
	for (size_t i = 0; i < modules; i++)
		add_module(&out->files[i + 2], d, i);
}
