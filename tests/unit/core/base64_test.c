#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base64.h"

#define TEXT(s) s, sizeof s - 1

/* RFC 4648, section 10, and the two digits that the alphabets differ in. */
static const struct {
	const char *bytes;
	size_t len;
	const char *url;
	const char *padded;
} vectors[] = {
	{ "", 0, "", "" },
	{ TEXT("f"), "Zg", "Zg==" },
	{ TEXT("fo"), "Zm8", "Zm8=" },
	{ TEXT("foo"), "Zm9v", "Zm9v" },
	{ TEXT("foob"), "Zm9vYg", "Zm9vYg==" },
	{ TEXT("fooba"), "Zm9vYmE", "Zm9vYmE=" },
	{ TEXT("foobar"), "Zm9vYmFy", "Zm9vYmFy" },
	{ TEXT("\xfb\xef\xbe"), "----", "++++" },
	{ TEXT("\xff\xff\xff"), "____", "////" },
	{ TEXT("\0\0"), "AAA", "AAA=" },
};

static void
vectors_go_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		AUTO_BUF text = { 0 };
		AUTO_BUF bytes = { 0 };
		char padded[32];
		size_t n;
		struct err e;

		buf_init(&text, 64);
		buf_init(&bytes, 64);
		base64url_add(&text, vectors[i].bytes, vectors[i].len);
		assert_int_equal(text.len, BASE64URL_SIZE(vectors[i].len));
		assert_memory_equal(text.data, vectors[i].url, text.len);
		assert_int_equal(base64url_read(&bytes, vectors[i].url,
				     strlen(vectors[i].url), "text", &e),
		    ERR_OK);
		assert_int_equal(bytes.len, vectors[i].len);
		assert_memory_equal(bytes.data, vectors[i].bytes, bytes.len);
		assert_true(base64_read(padded, &n, vectors[i].padded,
		    strlen(vectors[i].padded)));
		assert_int_equal(n, vectors[i].len);
		assert_memory_equal(padded, vectors[i].bytes, n);
	}
}

static void
base64url_has_one_spelling(void **state)
{
	static const struct {
		const char *text, *error;
	} table[] = {
		{ "Zg==", "text: byte 2 is no base64url digit" },
		{ "Zm8+", "text: byte 3 is no base64url digit" },
		{ "Zm 8", "text: byte 2 is no base64url digit" },
		{ "Zm8\n", "text: byte 3 is no base64url digit" },
		{ "Z", "text: base64url with a cut or bent end" },
		{ "Zm9vY", "text: base64url with a cut or bent end" },
		{ "Zh", "text: base64url with a cut or bent end" },
		{ "Zm9", "text: base64url with a cut or bent end" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		AUTO_BUF bytes = { 0 };
		struct err e;

		buf_init(&bytes, 64);
		assert_int_equal(base64url_read(&bytes, table[i].text,
				     strlen(table[i].text), "text", &e),
		    ERR_INVALID);
		assert_string_equal(e.text, table[i].error);
		assert_int_equal(bytes.len, 0);
	}
}

static void
base64url_keeps_to_its_room(void **state)
{
	AUTO_BUF bytes = { 0 };
	AUTO_BUF text = { 0 };
	struct err e;

	(void)state;
	buf_init(&bytes, 4);
	assert_int_equal(base64url_read(&bytes, TEXT("Zm9vYmFy"), "text", &e),
	    ERR_LIMIT);
	buf_init(&text, 4);
	base64url_add(&text, "foobar", 6);
	assert_int_equal(buf_check(&text, "text", &e), ERR_LIMIT);
}

static void
padded_text_is_whole(void **state)
{
	static const struct {
		const char *text;
		const char *bytes; /* NULL: refused */
	} table[] = {
		{ "Zm9v\nYmFy\r\n", "foobar" },
		{ "Zm9\nvYg=\n=", "foob" },
		{ "Zg", NULL },
		{ "Zg=", NULL },
		{ "Zg===", NULL },
		{ "Z===", NULL },
		{ "====", NULL },
		{ "Zg==Zg==", NULL },
		{ "Z=g=", NULL },
		{ "Zm8 ", NULL },
		{ "Zm8-", NULL },
		{ "Zm8_", NULL },
		{ "Zm9v*", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char bytes[32];
		size_t n = 0;
		bool right = base64_read(bytes, &n, table[i].text,
		    strlen(table[i].text));

		print_message("%s\n", table[i].text);
		assert_int_equal(right, table[i].bytes != NULL);
		if (!right)
			continue;
		assert_int_equal(n, strlen(table[i].bytes));
		assert_memory_equal(bytes, table[i].bytes, n);
	}
	assert_false(base64_read((char[8]){ 0 }, &(size_t){ 0 }, "Zm9\0", 4));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_go_both_ways),
		cmocka_unit_test(base64url_has_one_spelling),
		cmocka_unit_test(base64url_keeps_to_its_room),
		cmocka_unit_test(padded_text_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
