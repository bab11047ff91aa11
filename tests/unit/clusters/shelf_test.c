#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusters/shelf.h"
#include "clusters/store.h"
#include "core/file.h"
#include "core/mem.h"
#include "signing/digest.h"

/* Artifacts are called by a letter and full of it. */
enum { SIZE = 1000, T0 = 1000000 };

static char dir[64];
static struct shelf *shelf;

static char *
path_of(char letter, char sha256[DIGEST_HEX_SIZE], size_t size)
{
	AUTO_STR bytes = mem_alloc(size);

	memset(bytes, letter, size);
	digest_hex(sha256, bytes, size);
	return store_artifact_path(dir, sha256);
}

static void
put(char letter, size_t size)
{
	char sha256[DIGEST_HEX_SIZE];
	AUTO_STR path = path_of(letter, sha256, size);
	AUTO_STR folder =
	    mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	AUTO_STR bytes = mem_alloc(size);

	memset(bytes, letter, size);
	assert_int_equal(file_make_dirs(folder, NULL), ERR_OK);
	assert_int_equal(file_replace(path, bytes, size, 0600, NULL), ERR_OK);
}

static void
drop(char letter)
{
	char sha256[DIGEST_HEX_SIZE];
	AUTO_STR path = path_of(letter, sha256, SIZE);

	assert_int_equal(unlink(path), 0);
}

static struct shelf_item *
take_sized(char letter, size_t size)
{
	char sha256[DIGEST_HEX_SIZE];
	struct shelf_item *item;
	struct err e = { 0 };

	mem_free(path_of(letter, sha256, size));
	if (shelf_take(&item, shelf, sha256, (int64_t)size, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return item;
}

static struct shelf_item *
take(char letter)
{
	return take_sized(letter, SIZE);
}

static void
assert_bytes(const struct shelf_bytes *b, char letter)
{
	const char *data = shelf_data(b);

	for (size_t i = 0; i < SIZE; i++)
		if (data[i] != letter)
			fail_msg("byte %zu is %c, not %c", i, data[i], letter);
}

/* Whatever it is made of, it is whole. */
static bool
is_mapped(struct shelf_item *item, char letter)
{
	struct shelf_bytes *b = shelf_borrow(item);
	bool mapped = shelf_is_mapped(b);

	assert_true(shelf_is_current(item, b));
	assert_bytes(b, letter);
	shelf_return(b);
	return mapped;
}

static void
assert_figures(uint64_t memory, uint64_t mapped, uint64_t evicted,
    uint64_t promoted)
{
	struct shelf_figures f;

	shelf_figures(shelf, &f);
	assert_int_equal(f.memory, memory * SIZE);
	assert_int_equal(f.mapped, mapped * SIZE);
	assert_int_equal(f.evicted, evicted);
	assert_int_equal(f.promoted, promoted);
}

/* Room for three, and five files. */
static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/edict-shelf-XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (char c = 'a'; c <= 'e'; c++)
		put(c, SIZE);
	shelf = shelf_new(dir, 3 * SIZE + SIZE / 2);
	shelf_tick(shelf, T0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	shelf_free(shelf);
	assert_int_equal(file_remove_tree(dir, NULL), ERR_OK);
	return 0;
}

static void
each_is_there_once(void **state)
{
	struct shelf_item *one = take('a');
	struct shelf_item *two = take('a');
	struct shelf_bytes *b1 = shelf_borrow(one);
	struct shelf_bytes *b2 = shelf_borrow(two);

	(void)state;
	assert_ptr_equal(one, two);
	assert_ptr_equal(shelf_data(b1), shelf_data(b2));
	assert_int_equal(shelf_size(one), SIZE);
	assert_int_equal(strlen(shelf_etag(one)), 64 + 9);
	assert_figures(1, 0, 0, 0);
	shelf_item_unref(one);
	assert_figures(1, 0, 0, 0);
	shelf_item_unref(two);
	assert_figures(1, 0, 0, 0); /* it is being sent */
	assert_bytes(b1, 'a');
	shelf_return(b1);
	shelf_return(b2);
	assert_figures(0, 0, 0, 0);
}

static void
what_was_not_used_for_longest_goes(void **state)
{
	struct shelf_item *a = take('a'), *b = take('b'), *c = take('c');
	struct shelf_item *d, *e;
	uint64_t generation = shelf_generation(shelf);

	(void)state;
	shelf_tick(shelf, T0 + 1000);
	shelf_use(a);
	shelf_tick(shelf, T0 + 2000);
	shelf_use(c);
	shelf_tick(shelf, T0 + 1000 + SHELF_CALM_MS);
	assert_int_equal(shelf_generation(shelf), generation);
	d = take('d'); /* b goes */
	assert_int_not_equal(shelf_generation(shelf), generation);
	assert_false(is_mapped(a, 'a'));
	assert_true(is_mapped(b, 'b'));
	assert_false(is_mapped(d, 'd'));
	assert_figures(3, 1, 1, 0);
	e = take('e'); /* a goes; c was used too lately for more */
	assert_true(is_mapped(a, 'a'));
	assert_false(is_mapped(c, 'c'));
	assert_false(is_mapped(e, 'e'));
	assert_figures(3, 2, 2, 0);
	shelf_item_unref(a);
	shelf_item_unref(b);
	shelf_item_unref(c);
	shelf_item_unref(d);
	shelf_item_unref(e);
	assert_figures(0, 0, 2, 0);
}

/* At the start there is no order yet: nothing is thrown out for nothing. */
static void
what_comes_together_does_not_displace(void **state)
{
	struct shelf_item *items[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		items[i] = take((char)('a' + i));
	assert_figures(3, 2, 0, 0);
	assert_true(is_mapped(items[3], 'd'));
	/* Room that comes is used. */
	shelf_item_unref(items[0]);
	shelf_tick(shelf, T0 + 1000);
	assert_figures(3, 1, 0, 1);
	for (int i = 1; i < 5; i++)
		shelf_item_unref(items[i]);
}

static void
what_is_used_again_comes_back(void **state)
{
	struct shelf_item *items[4];
	uint64_t generation;

	(void)state;
	for (int i = 0; i < 4; i++)
		items[i] = take((char)('a' + i));
	assert_true(is_mapped(items[3], 'd'));
	shelf_tick(shelf, T0 + 5000);
	shelf_use(items[0]);
	shelf_use(items[1]);
	shelf_use(items[3]);
	generation = shelf_generation(shelf);
	/* c has not lain for long enough. */
	shelf_tick(shelf, T0 + SHELF_CALM_MS - 1);
	assert_true(is_mapped(items[3], 'd'));
	assert_int_equal(shelf_generation(shelf), generation);
	shelf_tick(shelf, T0 + SHELF_CALM_MS);
	assert_false(is_mapped(items[3], 'd'));
	assert_true(is_mapped(items[2], 'c'));
	assert_figures(3, 1, 1, 1);
	assert_true(shelf_generation(shelf) > generation);
	/* And it stays so, though c could come back for something. */
	shelf_tick(shelf, T0 + 3 * SHELF_CALM_MS);
	assert_figures(3, 1, 1, 1);
	for (int i = 0; i < 4; i++)
		shelf_item_unref(items[i]);
}

/* What is being sent stays as it is, and counts: the budget is kept. */
static void
what_is_sent_stays(void **state)
{
	struct shelf_item *a = take('a'), *b = take('b'), *c = take('c');
	struct shelf_bytes *sent = shelf_borrow(a);
	struct shelf_item *d;

	(void)state;
	shelf_tick(shelf, T0 + 1000);
	shelf_use(b);
	shelf_use(c);
	shelf_tick(shelf, T0 + SHELF_CALM_MS);
	d = take('d');
	assert_false(shelf_is_current(a, sent));
	assert_true(is_mapped(a, 'a'));
	assert_true(is_mapped(d, 'd')); /* no room yet */
	assert_bytes(sent, 'a');
	assert_figures(3, 2, 1, 0);
	shelf_tick(shelf, T0 + SHELF_CALM_MS + 1);
	assert_true(is_mapped(d, 'd'));
	shelf_return(sent);
	shelf_tick(shelf, T0 + SHELF_CALM_MS + 2);
	assert_false(is_mapped(d, 'd'));
	assert_figures(3, 1, 1, 1);
	shelf_item_unref(a);
	shelf_item_unref(b);
	shelf_item_unref(c);
	shelf_item_unref(d);
}

static void
files_that_vanish_are_no_trouble(void **state)
{
	struct shelf_item *items[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		items[i] = take((char)('a' + i));
		drop((char)('a' + i));
	}
	assert_false(is_mapped(items[0], 'a'));
	assert_true(is_mapped(items[3], 'd'));
	shelf_tick(shelf, T0 + SHELF_CALM_MS);
	shelf_use(items[3]); /* cannot come back: its file is gone */
	shelf_tick(shelf, T0 + SHELF_CALM_MS + 1);
	assert_true(is_mapped(items[3], 'd'));
	/* What left memory for it is whole as well. */
	for (int i = 0; i < 4; i++)
		(void)is_mapped(items[i], (char)('a' + i));
	for (int i = 0; i < 4; i++)
		shelf_item_unref(items[i]);
}

static void
what_is_too_large_is_mapped(void **state)
{
	struct shelf_item *large;

	(void)state;
	put('x', 3 * SIZE + SIZE / 2 + 1);
	put('y', 3 * SIZE + SIZE / 2);
	large = take_sized('x', 3 * SIZE + SIZE / 2 + 1);
	assert_true(is_mapped(large, 'x'));
	shelf_item_unref(large);
	large = take_sized('y', 3 * SIZE + SIZE / 2);
	assert_false(is_mapped(large, 'y'));
	shelf_item_unref(large);
}

static void
refuse(const char *sha256, int64_t size, enum err_code code)
{
	struct shelf_item *item;
	struct err e = { 0 };

	assert_int_equal(shelf_take(&item, shelf, sha256, size, &e), code);
	assert_true(e.text[0] != '\0');
}

static void
what_is_not_what_it_is_called_is_refused(void **state)
{
	char sha256[DIGEST_HEX_SIZE];
	AUTO_STR path = path_of('a', sha256, SIZE);
	AUTO_STR other = mem_alloc(SIZE);

	(void)state;
	refuse(sha256, SIZE - 1, ERR_CORRUPT);
	refuse(sha256, SIZE + 1, ERR_CORRUPT);
	refuse(sha256, 0, ERR_CORRUPT);
	refuse(sha256, -1, ERR_CORRUPT);
	refuse(sha256, SHELF_ARTIFACT_MAX + 1, ERR_CORRUPT);
	refuse("../../../etc/passwd", SIZE, ERR_CORRUPT);
	memset(other, 'a', SIZE);
	other[SIZE - 1] = 'b';
	assert_int_equal(file_replace(path, other, SIZE, 0600, NULL), ERR_OK);
	refuse(sha256, SIZE, ERR_CORRUPT);
	assert_int_equal(unlink(path), 0);
	refuse(sha256, SIZE, ERR_NOT_FOUND);
	assert_int_equal(symlink("/dev/zero", path), 0);
	refuse(sha256, SIZE, ERR_IO);
	assert_figures(0, 0, 0, 0);
}

/* Threads send while one brings things back and throws others out. */
struct readers {
	struct shelf_item *items[5];
	atomic_bool stop;
};

static void *
send_on(void *arg)
{
	struct readers *r = arg;
	unsigned int n = 0;

	while (!atomic_load(&r->stop)) {
		unsigned int i = n++ % 5;
		struct shelf_bytes *b = shelf_borrow(r->items[i]);

		shelf_use(r->items[i]);
		if (*(const char *)shelf_data(b) != (char)('a' + i))
			abort();
		shelf_return(b);
	}
	return NULL;
}

static void
threads(void **state)
{
	struct readers r = { 0 };
	struct shelf_figures f;
	pthread_t ids[3];
	int64_t now = T0;

	(void)state;
	for (int i = 0; i < 5; i++)
		r.items[i] = take((char)('a' + i));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, send_on, &r), 0);
	/* Two, three or none of them were used in between. */
	do {
		now += 2 * SHELF_CALM_MS;
		shelf_tick(shelf, now);
		shelf_figures(shelf, &f);
		assert_true(f.memory <= 3 * SIZE);
	} while (f.promoted < 20);
	atomic_store(&r.stop, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	for (int i = 0; i < 5; i++)
		shelf_item_unref(r.items[i]);
}

static void
count_piece(void *arg)
{
	size_t *pieces = arg;

	(*pieces)++;
}

/* Who loads much says so as it goes, and not only when it is there. */
static void
tells_of_every_piece(void **state)
{
	enum { MEBIBYTE = 1 << 20 };
	struct shelf_item *item;
	size_t pieces = 0;

	(void)state;
	put('a', MEBIBYTE);
	shelf_on_piece(shelf, count_piece, &pieces);
	item = take_sized('a', MEBIBYTE);
	assert_int_equal(pieces, 4);
	shelf_item_unref(item);
	shelf_on_piece(shelf, NULL, NULL);
	shelf_item_unref(take_sized('a', MEBIBYTE));
	assert_int_equal(pieces, 4);
}

int
main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(each_is_there_once),
		IN_A_FOLDER(what_was_not_used_for_longest_goes),
		IN_A_FOLDER(what_comes_together_does_not_displace),
		IN_A_FOLDER(what_is_used_again_comes_back),
		IN_A_FOLDER(what_is_sent_stays),
		IN_A_FOLDER(files_that_vanish_are_no_trouble),
		IN_A_FOLDER(what_is_too_large_is_mapped),
		IN_A_FOLDER(what_is_not_what_it_is_called_is_refused),
		IN_A_FOLDER(threads),
		IN_A_FOLDER(tells_of_every_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
