/* Blobs straight from packs: what libgit2 gives for them, or nothing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "git_fixture.h"
#include "policies/packs.h"

enum { BLOBS_MAX = 1000, DAMAGES = 300 };

struct blobs {
	git_odb *odb;
	git_oid ids[BLOBS_MAX];
	struct buf texts[BLOBS_MAX];
	size_t count;
};

static int
note_blob(const git_oid *id, void *arg)
{
	struct blobs *b = arg;
	GITLIB_AUTO(odb_object, object);

	assert_int_equal(git_odb_read(&object, b->odb, id), 0);
	if (git_odb_object_type(object) != GIT_OBJECT_BLOB)
		return 0;
	assert_true(b->count < BLOBS_MAX);
	b->ids[b->count] = *id;
	buf_init(&b->texts[b->count], SIZE_MAX / 2);
	buf_add(&b->texts[b->count++], git_odb_object_data(object),
	    git_odb_object_size(object));
	return 0;
}

/* By libgit2. */
static void
list_blobs(struct blobs *b, const char *objects)
{
	struct err e = { 0 };

	*b = (struct blobs){ 0 };
	assert_int_equal(gitlib_init(&e), ERR_OK);
	assert_int_equal(git_odb_open(&b->odb, objects), 0);
	assert_int_equal(git_odb_foreach(b->odb, note_blob, b), 0);
}

static void
blobs_clear(struct blobs *b)
{
	for (size_t i = 0; i < b->count; i++)
		buf_clear(&b->texts[i]);
	git_odb_free(b->odb);
}

/* How many were read, each as it is. In an order of its own, so that bases come
 * before and after what is made of them. */
static size_t
read_all(const struct blobs *b, const char *objects)
{
	AUTO(packs, p) = packs_open(objects);
	AUTO_BUF out = { 0 };
	size_t good = 0;

	buf_init(&out, PACKS_OBJECT_MAX);
	for (size_t i = 0; i < b->count; i++) {
		size_t k = i * 7919 % b->count;
		const struct buf *text = &b->texts[k];

		buf_reset(&out);
		buf_add_str(&out, "before");
		if (!packs_read(p, &b->ids[k], text->len, &out)) {
			assert_string_equal(out.data, "before");
			assert_false(out.overflow);
			continue;
		}
		good++;
		assert_int_equal(out.len, 6 + text->len);
		assert_memory_equal(out.data + 6, text->data, text->len);
	}
	return good;
}

/* Many texts that resemble each other, an empty one, some larger ones. */
static void
make_repository(const char *options)
{
	sh("rm -rf r && git init -q r && cd r\n"
	   "for n in 1 2 3; do\n"
	   "  for i in $(seq 60); do seq $((i * n)) $((i * n + 300)) >f$i; "
	   "done\n"
	   "  seq $((n * 17)) 9999 >large; head -c 90000 large >>large$n\n"
	   "  : >empty; git add .; git commit -q -m $n\n"
	   "done\n"
	   "git %s repack -adq --depth=40 --window=20\n"
	   "chmod u+w .git/objects/pack/*\n",
	    options);
}

static void
gives_what_libgit2_gives(void **state)
{
	static const char *const options[] = { "-c core.compression=9",
		"-c repack.useDeltaBaseOffset=false", "-c core.compression=0" };
	struct blobs b;

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const char *objects = fixture_path("r/.git/objects");

		make_repository(options[i]);
		list_blobs(&b, objects);
		assert_in_range(b.count, 100, BLOBS_MAX);
		assert_int_equal(read_all(&b, objects), b.count);
		blobs_clear(&b);
	}
}

static void
sizes_are_those_of_headers(void **state)
{
	const char *objects = fixture_path("r/.git/objects");
	struct blobs b;
	size_t size;

	(void)state;
	make_repository("");
	list_blobs(&b, objects);
	AUTO(packs, p) = packs_open(objects);
	for (size_t i = 0; i < b.count; i++) {
		assert_true(packs_size(p, &b.ids[i], &size));
		assert_true(packs_size_of_any(p, &b.ids[i], &size));
		assert_int_equal(size, b.texts[i].len);
		assert_true(packs_has_blob(p, &b.ids[i]));
		assert_int_equal(size, b.texts[i].len);
	}
	blobs_clear(&b);
}

/* Loose ones, trees, unknown ones, another size than there is. */
static void
leaves_the_rest_to_libgit2(void **state)
{
	const char *objects = fixture_path("r/.git/objects");
	AUTO_BUF out = { 0 };
	git_oid id;
	size_t size;

	(void)state;
	make_repository("");
	AUTO(packs, p) = packs_open(objects);
	buf_init(&out, 1000);
	git_oid_fromstr(&id,
	    sh_line("cd r; echo x | git hash-object -w "
		    "--stdin"));
	assert_false(packs_read(p, &id, 2, &out));
	assert_false(packs_size(p, &id, &size));
	assert_false(packs_has_blob(p, &id));
	git_oid_fromstr(&id, sh_line("cd r; git rev-parse HEAD:"));
	assert_false(packs_read(p, &id, 2, &out));
	assert_false(packs_size(p, &id, &size));
	assert_false(packs_has_blob(p, &id));
	assert_true(packs_size_of_any(p, &id, &size));
	assert_int_equal(size,
	    strtol(sh_line("cd r; git cat-file -s HEAD:"), NULL, 10));
	git_oid_fromstr(&id, sh_line("cd r; git rev-parse HEAD~1:"));
	assert_true(packs_size_of_any(p, &id, &size));
	assert_int_equal(size,
	    strtol(sh_line("cd r; git cat-file -s HEAD~1:"), NULL, 10));
	git_oid_fromstr(&id, sh_line("cd r; git rev-parse HEAD:f1"));
	assert_true(packs_size(p, &id, &size));
	assert_false(packs_read(p, &id, size - 1, &out));
	assert_false(packs_read(p, &id, size + 1, &out));
	assert_int_equal(out.len, 0);
	AUTO(packs, none) = packs_open(fixture_path("nothing"));
	assert_false(packs_size(none, &id, &size));
	assert_false(packs_size_of_any(none, &id, &size));
	assert_false(packs_has_blob(none, &id));
}

static uint32_t
dice(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* One byte is another one, or the end is missing. */
static void
damage(struct buf *file, uint32_t *seed)
{
	size_t at = dice(seed) % file->len;

	/* Half of them where an index has its numbers. */
	if (dice(seed) % 2 == 0)
		at %= 1100;
	if (dice(seed) % 10 == 0)
		file->len = at;
	else
		file->data[at] = (char)(file->data[at] ^ (1 << dice(seed) % 8));
}

static void
damage_gives_no_other_blob(void **state)
{
	/* The fixture takes its buffers back. */
	AUTO_STR objects = mem_strdup(fixture_path("r/.git/objects"));
	uint32_t seed = 20261123;
	size_t lost = 0;
	struct blobs b;
	struct err e;

	(void)state;
	make_repository("");
	list_blobs(&b, objects);
	for (size_t i = 0; i < DAMAGES; i++) {
		const char *file = sh_line("ls $PWD/r/.git/objects/pack/*.%s",
		    i % 2 == 0 ? "idx" : "pack");
		AUTO_BUF good = { 0 }, bad = { 0 };

		buf_init(&good, 1 << 24);
		buf_init(&bad, 1 << 24);
		assert_int_equal(file_read(&good, file, &e), ERR_OK);
		buf_add(&bad, good.data, good.len);
		damage(&bad, &seed);
		assert_int_equal(file_replace(file, bad.data, bad.len, 0600,
				     &e),
		    ERR_OK);
		lost += read_all(&b, objects) < b.count;
		assert_int_equal(file_replace(file, good.data, good.len, 0600,
				     &e),
		    ERR_OK);
	}
	assert_in_range(lost, DAMAGES / 10, DAMAGES);
	assert_int_equal(read_all(&b, objects), b.count);
	blobs_clear(&b);
}

static int
start(void **state)
{
	(void)state;
	fixture_start();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_what_libgit2_gives),
		cmocka_unit_test(sizes_are_those_of_headers),
		cmocka_unit_test(leaves_the_rest_to_libgit2),
		cmocka_unit_test(damage_gives_no_other_blob),
	};

	return cmocka_run_group_tests(tests, start, end);
}
