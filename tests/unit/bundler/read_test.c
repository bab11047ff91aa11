/* Finished bundle files of hostile origin. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/bundle.h"
#include "bundler/pack.h"
#include "core/mem.h"
#include "fixture.h"

enum { BLOCK = 512, FILES = 6 };

/* Tar by hand: what no writer would write. */
struct entry {
	const char *name, *text;
	char type;
	const char *link;
};

static void
add_entry(struct buf *tar, const struct entry *t)
{
	char head[BLOCK] = { 0 };
	size_t len = t->text != NULL ? strlen(t->text) : 0;
	unsigned int sum = 0;

	(void)snprintf(head, 100, "%s", t->name);
	(void)snprintf(head + 100, 8, "%07o", 0644U);
	(void)snprintf(head + 108, 8, "%07o", 0U);
	(void)snprintf(head + 116, 8, "%07o", 0U);
	(void)snprintf(head + 124, 12, "%011zo", len);
	(void)snprintf(head + 136, 12, "%011o", 0U);
	memset(head + 148, ' ', 8);
	head[156] = t->type != '\0' ? t->type : '0';
	if (t->link != NULL)
		(void)snprintf(head + 157, 100, "%s", t->link);
	memcpy(head + 257, "ustar\00000", 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)head[i];
	(void)snprintf(head + 148, 8, "%06o", sum);
	buf_add(tar, head, BLOCK);
	buf_add(tar, t->text != NULL ? t->text : "", len);
	while (tar->len % BLOCK != 0)
		buf_add_char(tar, '\0');
}

static void
end_tar(struct buf *tar)
{
	for (size_t i = 0; i < 2 * (size_t)BLOCK; i++)
		buf_add_char(tar, '\0');
}

static void
gzip(struct buf *out, const void *data, size_t len)
{
	struct err e;

	if (pack_gzip(out, data, len, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static enum err_code
read_bytes(struct bundle_archive *a, const struct buf *bytes, struct err *e)
{
	/* In memory of exactly this size, so that a step too far is seen. */
	char *exact = mem_alloc(bytes->len > 0 ? bytes->len : 1);
	enum err_code code;

	memcpy(exact, bytes->data, bytes->len);
	code = bundle_read(a, "b.tar.gz", exact, bytes->len, e);
	mem_free(exact);
	return code;
}

static enum err_code
read_entries(struct bundle_archive *a, const struct entry *list, struct err *e)
{
	AUTO_BUF tar, bytes;

	buf_init(&tar, 1 << 20);
	buf_init(&bytes, 1 << 20);
	for (; list->name != NULL; list++)
		add_entry(&tar, list);
	end_tar(&tar);
	gzip(&bytes, tar.data, tar.len);
	return read_bytes(a, &bytes, e);
}

static const struct row {
	const char *says; /* NULL: fine */
	struct entry list[FILES];
} rows[] = {
	{ NULL, { { "a.rego", "package a", 0, NULL } } },
	{ NULL, { { "d/", NULL, '5', NULL }, { "d/a.rego", "x", 0, NULL } } },
	{ "holds a.rego twice",
	    { { "a.rego", "1", 0, NULL }, { "b", "", 0, NULL },
		{ "a.rego", "1", 0, NULL } } },
	{ "name \"/a.rego\"", { { "/a.rego", "", 0, NULL } } },
	{ "name \"../a\"", { { "../a", "", 0, NULL } } },
	{ "name \"a/../b\"", { { "a/../b", "", 0, NULL } } },
	{ "name \"./a\"", { { "./a", "", 0, NULL } } },
	{ "name \"a//b\"", { { "a//b", "", 0, NULL } } },
	{ "name \"a\\b\"", { { "a\\b", "", 0, NULL } } },
	{ "name \"a\nb\"", { { "a\nb", "", 0, NULL } } },
	{ "not a regular file", { { "a", NULL, '2', "b" } } },
	{ "not a regular file",
	    { { "b", "", 0, NULL }, { "a", NULL, '1', "b" } } },
	{ "not a regular file", { { "a", NULL, '6', NULL } } },
	{ "not a regular file", { { "a", NULL, '3', NULL } } },
	{ "x/.manifest: engines take", { { "x/.manifest", "{}", 0, NULL } } },
	{ "x.manifest: engines take", { { "x.manifest", "{}", 0, NULL } } },
	{ ".manifest.pb: engines take", { { ".manifest.pb", "", 0, NULL } } },
	{ "x/.signatures.json: engines take",
	    { { "x/.signatures.json", "{}", 0, NULL } } },
	{ "my-signatures.json: engines take",
	    { { "my-signatures.json", "{}", 0, NULL } } },
	{ "a/patch.json: engines take", { { "a/patch.json", "{}", 0, NULL } } },
	{ "two .signatures.json",
	    { { ".signatures.json", "{\"signatures\":[\"a.b.c\"]}", 0, NULL },
		{ ".signatures.json", "{\"signatures\":[\"a.b.c\"]}", 0,
		    NULL } } },
	{ "b.tar.gz",
	    { { ".signatures.json", "{\"signatures\":[]}", 0, NULL } } },
	{ "b.tar.gz: .manifest:1",
	    { { ".manifest", "{\"roots\":", 0, NULL } } },
	{ "overlap",
	    { { ".manifest", "{\"roots\":[\"a\",\"a/b\"]}", 0, NULL } } },
	{ NULL, { { ".manifest", "{\"unknown\":1,\"wasm\":[{}]}", 0, NULL } } },
};

static void
takes_and_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct bundle_archive a = { 0 };
		struct err e = { 0 };
		enum err_code code = read_entries(&a, rows[i].list, &e);

		if (rows[i].says == NULL && code != ERR_OK)
			fail_msg("row %zu: %s", i, e.text);
		if (rows[i].says != NULL &&
		    (code != ERR_INVALID ||
			strstr(e.text, rows[i].says) == NULL))
			fail_msg("row %zu: wanted \"%s\", got \"%s\"", i,
			    rows[i].says, e.text);
		bundle_archive_clear(&a);
	}
}

static void
owns_everything_without_a_manifest(void **state)
{
	struct bundle_archive a = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(read_entries(&a, rows[0].list, &e), ERR_OK);
	assert_null(a.revision);
	assert_int_equal(a.root_count, 1);
	assert_string_equal(a.roots[0], "");
	bundle_archive_clear(&a);
}

/* One archive over several gzip members, cut anywhere. */
static void
reads_members(void **state)
{
	struct bundle_archive a = { 0 };
	struct entry file = { "a.rego", "package a\n", 0, NULL };
	struct err e;
	AUTO_BUF tar, bytes;

	(void)state;
	buf_init(&tar, 1 << 20);
	buf_init(&bytes, 1 << 20);
	add_entry(&tar, &file);
	end_tar(&tar);
	for (size_t at = 0; at < tar.len; at += 100)
		gzip(&bytes, tar.data + at,
		    tar.len - at < 100 ? tar.len - at : 100);
	if (read_bytes(&a, &bytes, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(a.count, 1);
	assert_string_equal(a.files[0].data, "package a\n");
	bundle_archive_clear(&a);
}

static void
refuses_what_is_cut_or_not_gzip(void **state)
{
	struct bundle_archive a = { 0 };
	struct entry file = { "a.rego", "package a\n# with some text\n", 0,
		NULL };
	struct err e;
	AUTO_BUF tar, bytes;

	(void)state;
	buf_init(&tar, 1 << 20);
	buf_init(&bytes, 1 << 20);
	add_entry(&tar, &file);
	end_tar(&tar);
	assert_int_equal(read_bytes(&a, &tar, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "not compressed by gzip"));
	gzip(&bytes, tar.data, tar.len);
	for (size_t len = 0; len < bytes.len; len++) {
		struct buf cut = bytes;

		cut.len = len;
		if (read_bytes(&a, &cut, &e) == ERR_OK)
			bundle_archive_clear(&a);
		else
			assert_int_equal(e.code, ERR_INVALID);
	}
	/* Gzip in gzip is no bundle to an engine. */
	buf_reset(&tar);
	buf_add(&tar, bytes.data, bytes.len);
	buf_reset(&bytes);
	gzip(&bytes, tar.data, tar.len);
	assert_int_equal(read_bytes(&a, &bytes, &e), ERR_INVALID);
}

/* Every byte of a good file flipped: an error or a bundle, never a crash. */
static void
survives_damage(void **state)
{
	struct entry list[] = {
		{ ".manifest", "{\"revision\":\"r\",\"roots\":[\"a\"]}", 0,
		    NULL },
		{ "a.rego", "package a\n", 0, NULL },
	};
	AUTO_BUF tar, bytes;

	(void)state;
	buf_init(&tar, 1 << 20);
	buf_init(&bytes, 1 << 20);
	add_entry(&tar, &list[0]);
	add_entry(&tar, &list[1]);
	end_tar(&tar);
	for (size_t i = 0; i < tar.len; i++) {
		struct bundle_archive a = { 0 };
		struct err e;

		buf_reset(&bytes);
		tar.data[i] = (char)(tar.data[i] ^ 0x15);
		gzip(&bytes, tar.data, tar.len);
		tar.data[i] = (char)(tar.data[i] ^ 0x15);
		if (read_bytes(&a, &bytes, &e) == ERR_OK)
			bundle_archive_clear(&a);
	}
}

/* A header that claims more than the limit costs no memory. */
static void
stops_at_the_size_limit(void **state)
{
	struct bundle_archive a = { 0 };
	char big[BLOCK] = { 0 };
	unsigned int sum = 0;
	struct err e;
	AUTO_BUF tar, bytes;

	(void)state;
	buf_init(&tar, 1 << 20);
	buf_init(&bytes, 1 << 20);
	add_entry(&tar, &(struct entry){ "a.rego", NULL, 0, NULL });
	memcpy(big, tar.data, BLOCK);
	(void)snprintf(big + 124, 12, "%011llo",
	    (unsigned long long)BUNDLE_SIZE_MAX + 1);
	memset(big + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)big[i];
	(void)snprintf(big + 148, 8, "%06o", sum);
	buf_reset(&tar);
	buf_add(&tar, big, BLOCK);
	end_tar(&tar);
	gzip(&bytes, tar.data, tar.len);
	assert_int_equal(read_bytes(&a, &bytes, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "unpacks to more than"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_and_refuses),
		cmocka_unit_test(owns_everything_without_a_manifest),
		cmocka_unit_test(reads_members),
		cmocka_unit_test(refuses_what_is_cut_or_not_gzip),
		cmocka_unit_test(survives_damage),
		cmocka_unit_test(stops_at_the_size_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
