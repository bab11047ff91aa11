#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libdeflate.h>

#include "core/mem.h"
#include "server/http/inflate.h"

enum { ROOM = 8 << 20 };

/* Adds a member. */
static void
zip(struct buf *out, const char *data, size_t len)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(9);
	size_t size = libdeflate_gzip_compress_bound(c, len);
	char *to = buf_reserve(out, size);

	assert_non_null(to);
	buf_commit(out, libdeflate_gzip_compress(c, data, len, to, size));
	libdeflate_free_compressor(c);
}

static enum err_code
inflate(const struct buf *b, size_t len, size_t max, size_t *made)
{
	AUTO_BUF out = { 0 };
	struct err e = { 0 };
	enum err_code code = inflate_gzip(&out, b->data, len, max, &e);

	assert_true((code == ERR_OK) == (e.text[0] == '\0'));
	assert_true(out.len <= max);
	*made = out.len;
	return code;
}

static void
check(const struct buf *b, size_t max, enum err_code wanted, size_t len)
{
	size_t made;

	assert_int_equal(inflate(b, b->len, max, &made), wanted);
	if (wanted == ERR_OK)
		assert_int_equal(made, len);
}

/* What does not shrink much, so that the ratio has no say. */
static void
there_is_a_limit(void **state)
{
	char noise[70000];
	AUTO_BUF b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (char)(i * i >> 7);
	buf_init(&b, ROOM);
	zip(&b, noise, sizeof noise);
	check(&b, sizeof noise, ERR_OK, sizeof noise);
	check(&b, sizeof noise - 1, ERR_LIMIT, 0);
	/* Of all members together. */
	zip(&b, noise, 10);
	check(&b, sizeof noise + 10, ERR_OK, sizeof noise + 10);
	check(&b, sizeof noise + 9, ERR_LIMIT, 0);
}

static void
there_is_a_ratio(void **state)
{
	size_t len = 4 << 20;
	char *zeros = mem_zalloc(len);
	AUTO_BUF bomb = { 0 };
	AUTO_BUF small = { 0 };

	(void)state;
	buf_init(&bomb, ROOM);
	zip(&bomb, zeros, len);
	assert_true(INFLATE_FREE + bomb.len * INFLATE_RATIO_MAX < len);
	check(&bomb, len, ERR_LIMIT, 0);
	buf_init(&small, ROOM);
	zip(&small, zeros, INFLATE_FREE);
	check(&small, len, ERR_OK, INFLATE_FREE);
	mem_free(zeros);
}

static void
members_follow_each_other(void **state)
{
	AUTO_BUF b = { 0 };
	AUTO_BUF out = { 0 };
	struct err e = { 0 };

	(void)state;
	buf_init(&b, ROOM);
	zip(&b, "{\"a\":", 5);
	zip(&b, "", 0);
	zip(&b, "1}", 2);
	assert_int_equal(inflate_gzip(&out, b.data, b.len, ROOM, &e), ERR_OK);
	assert_int_equal(out.len, 7);
	assert_memory_equal(out.data, "{\"a\":1}", 7);
}

static void
what_is_broken_is_refused(void **state)
{
	static const char zeros[8];
	AUTO_BUF b = { 0 };
	size_t whole, made;

	(void)state;
	buf_init(&b, ROOM);
	zip(&b, "some text, some text", 20);
	whole = b.len;
	for (size_t len = 0; len < whole; len++)
		assert_int_equal(inflate(&b, len, ROOM, &made), ERR_INVALID);
	for (size_t i = whole - 8; i < whole; i++) { /* checksum and length */
		b.data[i] ^= 1;
		check(&b, ROOM, ERR_INVALID, 0);
		b.data[i] ^= 1;
	}
	check(&b, ROOM, ERR_OK, 20);
	buf_add(&b, zeros, sizeof zeros);
	check(&b, ROOM, ERR_INVALID, 0);
	b.len = whole;
	buf_add_str(&b, "x");
	check(&b, ROOM, ERR_INVALID, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_is_a_limit),
		cmocka_unit_test(there_is_a_ratio),
		cmocka_unit_test(members_follow_each_other),
		cmocka_unit_test(what_is_broken_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
