#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/siphash.h"

/* As `openssl mac -macopt size:16 SIPHASH` prints them for the key 00 01 .. 0f:
 * every length of the last word, and more than one. */
static void
hashes_as_openssl_does(void **state)
{
	static const struct siphash_key key = { { UINT64_C(0x0706050403020100),
	    UINT64_C(0x0f0e0d0c0b0a0908) } };
	static const struct {
		size_t len;
		uint64_t words[2]; /* the bytes in order, as numbers */
	} rows[] = {
		{ 0,
		    { UINT64_C(0xa3817f04ba25a8e6),
			UINT64_C(0x6df67214c7550293) } },
		{ 1,
		    { UINT64_C(0xda87c1d86b99af44),
			UINT64_C(0x347659119b22fc45) } },
		{ 2,
		    { UINT64_C(0x8177228da4a45dc7),
			UINT64_C(0xfca38bdef60affe4) } },
		{ 3,
		    { UINT64_C(0x9c70b60c5267a94e),
			UINT64_C(0x5f33b6b02985ed51) } },
		{ 4,
		    { UINT64_C(0xf88164c12d9c8faf),
			UINT64_C(0x7d0f6e7c7bcd5579) } },
		{ 5,
		    { UINT64_C(0x1368875980776f88),
			UINT64_C(0x54527a07690e9627) } },
		{ 6,
		    { UINT64_C(0x14eeca338b208613),
			UINT64_C(0x485ea0308fd7a15e) } },
		{ 7,
		    { UINT64_C(0xa1f1ebbed8dbc153),
			UINT64_C(0xc0b84aa61ff08239) } },
		{ 8,
		    { UINT64_C(0x3b62a9ba6258f561),
			UINT64_C(0x0f83e264f31497b4) } },
		{ 15,
		    { UINT64_C(0x5493e99933b0a811),
			UINT64_C(0x7e08ec0f97cfc3d9) } },
		{ 16,
		    { UINT64_C(0x6ee2a4ca67b054bb),
			UINT64_C(0xfd3315bf85230577) } },
		{ 43,
		    { UINT64_C(0x27d93437efb721aa),
			UINT64_C(0x401821dcec5adf89) } },
		{ 63,
		    { UINT64_C(0x5150d1772f50834a),
			UINT64_C(0x503e069a973fbd7c) } },
	};
	unsigned char data[64];

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct siphash h = siphash(&key, data, rows[i].len);

		assert_int_equal(h.words[0],
		    __builtin_bswap64(rows[i].words[0]));
		assert_int_equal(h.words[1],
		    __builtin_bswap64(rows[i].words[1]));
	}
}

static void
depends_on_the_key(void **state)
{
	static const struct siphash_key keys[] = { { { 0, 0 } }, { { 1, 0 } },
		{ { 0, 1 } } };
	struct siphash one = siphash(&keys[0], "abc", 3);

	(void)state;
	for (size_t i = 1; i < sizeof keys / sizeof *keys; i++) {
		struct siphash other = siphash(&keys[i], "abc", 3);

		assert_int_not_equal(one.words[0], other.words[0]);
		assert_int_not_equal(one.words[1], other.words[1]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_as_openssl_does),
		cmocka_unit_test(depends_on_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
