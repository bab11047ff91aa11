#include "signing/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* FIPS 180-2, appendix B; the empty text from NIST's test vectors. */
static void
known_answers(void **state)
{
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{ "",
		    "e3b0c44298fc1c149afbf4c8996fb924"
		    "27ae41e4649b934ca495991b7852b855" },
		{ "abc",
		    "ba7816bf8f01cfea414140de5dae2223"
		    "b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		    "248d6a61d20638b8e5c026930c3e6039"
		    "a33ce45964ff2167f6ecedd419db06c1" },
	};
	char hex[DIGEST_HEX_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		digest_hex(hex, cases[i].text, strlen(cases[i].text));
		assert_string_equal(hex, cases[i].hex);
	}
}

static void
pieces_make_the_whole(void **state)
{
	char a[1000], whole[DIGEST_HEX_SIZE], pieces[DIGEST_HEX_SIZE];
	struct digest *d = digest_new();

	(void)state;
	memset(a, 'a', sizeof a);
	for (int i = 0; i < 1000; i++)
		digest_add(d, a, sizeof a);
	digest_end(d, pieces);
	assert_string_equal(pieces,
	    "cdc76e5c9914fb9281a1c7e284d73e67"
	    "f1809a48a497200e046d39ccc7112cd0");

	digest_hex(whole, a, sizeof a);
	d = digest_new();
	digest_add(d, a, 1);
	digest_add(d, a, 0);
	digest_add(d, a + 1, sizeof a - 1);
	digest_end(d, pieces);
	assert_string_equal(pieces, whole);
}

static void
of_two_pieces(char out[DIGEST_HEX_SIZE], const char *a, const char *b)
{
	struct digest *d = digest_new();

	digest_add_piece(d, a, strlen(a));
	digest_add_piece(d, b, strlen(b));
	digest_end(d, out);
}

static void
lengths_keep_pieces_apart(void **state)
{
	char one[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
	static const char bytes[] = "\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c";

	(void)state;
	of_two_pieces(one, "ab", "c");
	of_two_pieces(other, "a", "bc");
	assert_string_not_equal(one, other);
	/* The form is part of what digests mean: it must not change. */
	digest_hex(other, bytes, sizeof bytes - 1);
	assert_string_equal(one, other);
}

static void
hex_is_told_from_the_rest(void **state)
{
	char text[DIGEST_HEX_SIZE + 1];

	(void)state;
	digest_hex(text, "x", 1);
	assert_true(digest_is_hex(text));
	text[0] = 'A';
	assert_false(digest_is_hex(text));
	text[0] = 'g';
	assert_false(digest_is_hex(text));
	text[0] = '0';
	text[DIGEST_HEX_SIZE - 1] = '0';
	text[DIGEST_HEX_SIZE] = '\0';
	assert_false(digest_is_hex(text));
	text[DIGEST_HEX_SIZE - 2] = '\0';
	assert_false(digest_is_hex(text));
	assert_false(digest_is_hex(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(pieces_make_the_whole),
		cmocka_unit_test(lengths_keep_pieces_apart),
		cmocka_unit_test(hex_is_told_from_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
