#include "signing/jws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "tool.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define OK(call)                                \
	do {                                    \
		if ((call) != ERR_OK)           \
			fail_msg("%s", e.text); \
	} while (0)

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct jws_file files[] = {
	{ ".manifest", HASH },
	{ "a/\"quoted\"\xc3\xa4.rego", HASH },
	{ "data.json", HASH },
};

static const char secret[] = "0123456789abcdef0123456789abcdef";

static struct key *
hmac_key(const char *id)
{
	struct key *k = NULL;
	struct err e;

	OK(key_read_private(&k, id, KEY_HS256, "k", secret, sizeof secret - 1,
	    &e));
	return k;
}

static void
sign(struct buf *out, const struct key *k, const char *scope)
{
	struct err e;

	buf_init(out, JWS_SIZE_MAX);
	OK(jws_sign(out, k, scope, files, COUNT(files), &e));
}

/* A JWS of any header and payload, rightly signed. */
static void
forge(struct buf *out, const struct key *k, const char *header,
    const char *payload, size_t payload_len)
{
	AUTO_BUF signature = { 0 };
	struct err e;

	buf_init(out, JWS_SIZE_MAX);
	buf_init(&signature, KEY_SIGNATURE_MAX);
	tool_base64url(out, header, strlen(header));
	buf_add_char(out, '.');
	tool_base64url(out, payload, payload_len);
	OK(key_sign(&signature, k, out->data, out->len, &e));
	buf_add_char(out, '.');
	tool_base64url(out, signature.data, signature.len);
}

static enum err_code
verify(const struct key *k, const char *jws, size_t len, struct err *e)
{
	struct jws_claims c = { 0 };
	enum err_code code = jws_verify(&c, jws, len, k, e);

	jws_claims_clear(&c);
	return code;
}

static void
what_is_signed_is_read(void **state)
{
	(void)state;
	for (int a = 0; a < KEY_ALGORITHMS; a++) {
		AUTO(key, k) = tool_key("2026-11", (enum key_algorithm)a);
		struct jws_claims c = { 0 };
		AUTO_BUF jws = { 0 };
		struct err e;

		sign(&jws, k, "authz");
		OK(jws_verify(&c, jws.data, jws.len, k, &e));
		assert_string_equal(c.scope, "authz");
		assert_string_equal(c.key_id, "2026-11");
		assert_int_equal(c.count, COUNT(files));
		for (size_t i = 0; i < c.count; i++) {
			assert_string_equal(c.files[i].name, files[i].name);
			assert_string_equal(c.files[i].hash, files[i].hash);
		}
		jws_claims_clear(&c);
	}
}

/* Engines and stored artifacts hold these bytes: they must not change. */
static void
the_bytes_are_fixed(void **state)
{
	static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"k\"}";
	static const char payload[] =
	    "{\"files\":["
	    "{\"algorithm\":\"SHA-256\",\"hash\":\"" HASH
	    "\",\"name\":\".manifest\"},"
	    "{\"algorithm\":\"SHA-256\",\"hash\":\"" HASH
	    "\",\"name\":\"a/\\\"quoted\\\"\xc3\xa4.rego\"},"
	    "{\"algorithm\":\"SHA-256\",\"hash\":\"" HASH
	    "\",\"name\":\"data.json\"}],\"scope\":\"authz\"}";
	AUTO(key, k) = hmac_key("k");
	AUTO_BUF made, right;

	(void)state;
	sign(&made, k, "authz");
	forge(&right, k, header, payload, sizeof payload - 1);
	assert_string_equal(made.data, right.data);
}

static void
rs_and_hs_repeat_es_and_ps_do_not(void **state)
{
	(void)state;
	for (int a = 0; a < KEY_ALGORITHMS; a++) {
		AUTO(key, k) = tool_key("k", (enum key_algorithm)a);
		bool repeats = a <= KEY_RS512 || a >= KEY_HS256;
		AUTO_BUF one, other;

		sign(&one, k, "s");
		sign(&other, k, "s");
		assert_int_equal(strcmp(one.data, other.data) == 0, repeats);
	}
}

static void
scope_and_key_id_may_be_absent(void **state)
{
	AUTO(key, k) = hmac_key("k");
	AUTO(key, anonymous) = hmac_key(NULL);
	AUTO(key, other) = hmac_key("other");
	struct jws_claims c = { 0 };
	AUTO_BUF jws, bare;
	struct err e;

	(void)state;
	sign(&jws, k, NULL);
	OK(jws_verify(&c, jws.data, jws.len, anonymous, &e));
	assert_null(c.scope);
	assert_string_equal(c.key_id, "k");
	jws_claims_clear(&c);
	assert_int_equal(verify(other, jws.data, jws.len, &e), ERR_CRYPTO);
	forge(&bare, k, "{\"alg\":\"HS256\"}", "{\"files\":[]}", 12);
	OK(jws_verify(&c, bare.data, bare.len, k, &e));
	assert_null(c.key_id);
	assert_int_equal(c.count, 0);
	jws_claims_clear(&c);
}

static void
keys_and_algorithms_do_not_mix(void **state)
{
	AUTO(key, rs) = tool_key("k", KEY_RS256);
	AUTO(key, ps) = tool_key("k", KEY_PS256);
	AUTO(key, es) = tool_key("k", KEY_ES256);
	AUTO(key, es_other) = tool_key("k", KEY_ES256);
	AUTO(key, confused) = NULL;
	AUTO_BUF by_rs, by_es, pem, by_confused;
	struct err e;

	(void)state;
	sign(&by_rs, rs, NULL);
	sign(&by_es, es, NULL);
	assert_int_equal(verify(ps, by_rs.data, by_rs.len, &e), ERR_CRYPTO);
	assert_int_equal(verify(es, by_rs.data, by_rs.len, &e), ERR_CRYPTO);
	assert_int_equal(verify(es_other, by_es.data, by_es.len, &e),
	    ERR_CRYPTO);

	/* The public key as an HMAC secret: the old confusion. */
	buf_init(&pem, KEY_FILE_MAX);
	key_write_public(&pem, rs);
	OK(key_read_private(&confused, "k", KEY_HS256, "k", pem.data,
	    pem.len - 1, &e));
	sign(&by_confused, confused, NULL);
	assert_int_equal(verify(rs, by_confused.data, by_confused.len, &e),
	    ERR_CRYPTO);
}

static void
bad_headers(void **state)
{
	static const struct {
		const char *header;
		enum err_code code;
	} cases[] = {
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"typ\":\"JWT\"}", ERR_OK },
		{ "{\"alg\":\"HS256\",\"x\":[{}]}", ERR_OK },
		{ "", ERR_INVALID },
		{ "{", ERR_INVALID },
		{ "[]", ERR_INVALID },
		{ "\"HS256\"", ERR_INVALID },
		{ "null", ERR_INVALID },
		{ "{}", ERR_INVALID },
		{ "{\"kid\":\"k\"}", ERR_INVALID },
		{ "{\"alg\":null}", ERR_INVALID },
		{ "{\"alg\":[\"HS256\"]}", ERR_INVALID },
		{ "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", ERR_INVALID },
		{ "{\"alg\":\"HS256\",\"kid\":1}", ERR_INVALID },
		{ "{\"alg\":\"HS256\"} x", ERR_INVALID },
		{ "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
		    ERR_INVALID },
		{ "{\"alg\":\"HS256\",\"crit\":[]}", ERR_INVALID },
		{ "{\"alg\":\"HS256\",\"crit\":null}", ERR_INVALID },
		{ "{\"ALG\":\"HS256\"}", ERR_INVALID },
		{ "{\"alg\":\"none\"}", ERR_CRYPTO },
		{ "{\"alg\":\"hs256\"}", ERR_CRYPTO },
		{ "{\"alg\":\"HS384\"}", ERR_CRYPTO },
		{ "{\"alg\":\"RS256\"}", ERR_CRYPTO },
		{ "{\"alg\":\"HS256\",\"kid\":\"K\"}", ERR_CRYPTO },
		{ "{\"alg\":\"HS256\",\"kid\":\"\"}", ERR_CRYPTO },
	};
	AUTO(key, k) = hmac_key("k");

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO_BUF jws = { 0 };
		struct err e = { 0 };

		forge(&jws, k, cases[i].header, "{\"files\":[]}", 12);
		if (verify(k, jws.data, jws.len, &e) != cases[i].code)
			fail_msg("%s: %s", cases[i].header, e.text);
	}
}

static void
the_header_has_a_limit(void **state)
{
	AUTO(key, k) = hmac_key("k");
	struct err e = { 0 };

	(void)state;
	for (int over = 0; over <= 1; over++) {
		char header[8 * 1024 + 2];
		AUTO_BUF jws = { 0 };

		memset(header, ' ', sizeof header);
		memcpy(header, "{\"alg\":\"HS256\"}", 15);
		header[8 * 1024 - 2 + 3 * over] = '\0';
		forge(&jws, k, header, "{\"files\":[]}", 12);
		if (verify(k, jws.data, jws.len, &e) !=
		    (over ? ERR_LIMIT : ERR_OK))
			fail_msg("%d over: %s", over, e.text);
	}
}

#define ENTRY(name, hash, algorithm) \
	"{\"name\":" name ",\"hash\":" hash ",\"algorithm\":" algorithm "}"
#define GOOD(name) ENTRY(name, "\"" HASH "\"", "\"SHA-256\"")

static void
bad_payloads(void **state)
{
	static const struct {
		const char *payload;
		enum err_code code;
	} cases[] = {
		{ "{\"files\":[" GOOD("\"b\"") "," GOOD(
		      "\"a\"") "],"
			       "\"iss\":\"x\",\"iat\":1,\"keyid\":\"y\",\"more\":{}}",
		    ERR_OK },
		{ "", ERR_INVALID },
		{ "{}", ERR_INVALID },
		{ "[]", ERR_INVALID },
		{ "{\"files\":[]", ERR_INVALID },
		{ "{\"files\":[]}{}", ERR_INVALID },
		{ "{\"files\":[],\"files\":[]}", ERR_INVALID },
		{ "{\"files\":null}", ERR_INVALID },
		{ "{\"files\":{}}", ERR_INVALID },
		{ "{\"files\":[null]}", ERR_INVALID },
		{ "{\"files\":[{}]}", ERR_INVALID },
		{ "{\"files\":[],\"scope\":1}", ERR_INVALID },
		{ "{\"files\":[],\"scope\":null}", ERR_INVALID },
		{ "{\"files\":[],\"scope\":\"a\\u0000b\"}", ERR_INVALID },
		{ "{\"files\":[],\"scope\":\"\xff\"}", ERR_INVALID },
		{ "{\"files\":[" GOOD("\"\"") "]}", ERR_INVALID },
		{ "{\"files\":[" GOOD("\"/a\"") "]}", ERR_INVALID },
		{ "{\"files\":[" GOOD("1") "]}", ERR_INVALID },
		{ "{\"files\":[" GOOD("\"a\\u0000\"") "]}", ERR_INVALID },
		{ "{\"files\":[" GOOD("\"a\"") "," GOOD("\"a\"") "]}",
		    ERR_INVALID },
		{ "{\"files\":[" GOOD("\"a\"") "," GOOD("\"\\u0061\"") "]}",
		    ERR_INVALID },
		{ "{\"files\":[" ENTRY("\"a\"", "\"\"", "\"SHA-256\"") "]}",
		    ERR_INVALID },
		{ "{\"files\":[" ENTRY("\"a\"", "\"abc\"", "\"SHA-256\"") "]}",
		    ERR_INVALID },
		{ "{\"files\":[" ENTRY("\"a\"", "\"" HASH "\"",
		      "\"SHA-512\"") "]}",
		    ERR_UNSUPPORTED },
		{ "{\"files\":[" ENTRY("\"a\"", "\"" HASH "\"", "null") "]}",
		    ERR_UNSUPPORTED },
	};
	AUTO(key, k) = hmac_key("k");

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO_BUF jws = { 0 };
		struct err e = { 0 };

		forge(&jws, k, "{\"alg\":\"HS256\"}", cases[i].payload,
		    strlen(cases[i].payload));
		if (verify(k, jws.data, jws.len, &e) != cases[i].code)
			fail_msg("%s: %s", cases[i].payload, e.text);
	}
}

static void
files_come_back_sorted(void **state)
{
	static const char payload[] = "{\"files\":[" GOOD("\"b\"") "," GOOD(
	    "\"a/c\"") "," GOOD("\"a\"") "]}";
	AUTO(key, k) = hmac_key("k");
	struct jws_claims c = { 0 };
	AUTO_BUF jws = { 0 };
	struct err e;

	(void)state;
	forge(&jws, k, "{\"alg\":\"HS256\"}", payload, sizeof payload - 1);
	OK(jws_verify(&c, jws.data, jws.len, k, &e));
	assert_int_equal(c.count, 3);
	assert_string_equal(c.files[0].name, "a");
	assert_string_equal(c.files[1].name, "a/c");
	assert_string_equal(c.files[2].name, "b");
	jws_claims_clear(&c);
}

/* Every byte of the whole counts, the unused bits of base64url included. */
static void
no_byte_may_change(void **state)
{
	AUTO(key, k) = hmac_key("k");
	AUTO_BUF jws = { 0 };
	struct err e;

	(void)state;
	sign(&jws, k, "authz");
	for (size_t i = 0; i < jws.len; i++) {
		static const char with[] = "AQgw.=+/ \n\xff";

		for (size_t n = 0; n < sizeof with; n++) {
			char old = jws.data[i];

			if (old == with[n])
				continue;
			jws.data[i] = with[n];
			if (verify(k, jws.data, jws.len, &e) == ERR_OK)
				fail_msg("byte %zu as %d is accepted", i,
				    with[n]);
			jws.data[i] = old;
		}
	}
	for (size_t len = 0; len < jws.len; len++)
		assert_int_not_equal(verify(k, jws.data, len, &e), ERR_OK);
}

static void
one_value_has_one_spelling(void **state)
{
	static const char *const ends[] = { "=", "==", ".", " ", "\n", "AA",
		".A" };
	AUTO(key, k) = hmac_key("k");
	AUTO_BUF jws = { 0 };
	struct err e;

	(void)state;
	sign(&jws, k, NULL);
	for (size_t i = 0; i < COUNT(ends); i++) {
		AUTO_STR text = mem_printf("%s%s", jws.data, ends[i]);

		assert_int_equal(verify(k, text, strlen(text), &e),
		    ERR_INVALID);
	}
	/* 32 bytes end in a digit with two bits to spare. */
	jws.data[jws.len - 1]++;
	assert_int_equal(verify(k, jws.data, jws.len, &e), ERR_INVALID);
}

static void
any_bytes_are_survived(void **state)
{
	static const char *const texts[] = { "", ".", "..", "...", "....",
		"a.b.c", "a.b", "e30.e30.", ".e30.", "e30.." };
	static const char alphabet[] = "{}[]\":,.eyJhbGciOiJIUzI1NiJ9_-";
	AUTO(key, k) = hmac_key("k");
	AUTO_BUF jws = { 0 };
	uint32_t state32 = 1;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_int_not_equal(verify(k, texts[i], strlen(texts[i]), &e),
		    ERR_OK);
	buf_init(&jws, 4096);
	for (int round = 0; round < 5000; round++) {
		AUTO_BUF inner = { 0 };

		buf_init(&inner, 4096);
		buf_reset(&jws);
		for (int i = 0; i < 300; i++) {
			state32 = state32 * 1664525 + 1013904223;
			/* The low bits of such a generator repeat. */
			buf_add_char(&jws,
			    alphabet[(state32 >> 16) % (sizeof alphabet - 1)]);
		}
		assert_int_not_equal(verify(k, jws.data, jws.len, &e), ERR_OK);
		assert_int_not_equal(jws_unwrap(&inner, jws.data, jws.len, &e),
		    ERR_OK);
	}
}

static void
too_large_is_refused(void **state)
{
	size_t len = (size_t)JWS_SIZE_MAX + 1;
	AUTO(key, k) = hmac_key("k");
	struct err e;
	char *zeros = mmap(NULL, len, PROT_READ,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	AUTO_BUF out = { 0 };

	(void)state;
	assert_true(zeros != MAP_FAILED);
	assert_int_equal(verify(k, zeros, len, &e), ERR_LIMIT);
	assert_int_equal(verify(k, zeros, len - 1, &e), ERR_INVALID);
	munmap(zeros, len);

	buf_init(&out, 1000);
	assert_int_equal(jws_sign(&out, k, NULL, NULL, JWS_FILES_MAX + 1, &e),
	    ERR_LIMIT);
	/* What does not fit the caller's buffer is an error too. */
	assert_int_equal(jws_sign(&out, k, NULL, files, COUNT(files), &e),
	    ERR_OK);
	buf_reset(&out);
	out.max = 300;
	assert_int_equal(jws_sign(&out, k, NULL, files, COUNT(files), &e),
	    ERR_LIMIT);
}

static void
a_hundred_thousand_files_are_quick(void **state)
{
	enum { MANY = 100000 };
	struct jws_file *many = mem_array(MANY, sizeof *many);
	char(*names)[48] = mem_array(MANY, sizeof *names);
	AUTO(key, k) = tool_key("k", KEY_RS256);
	struct jws_claims c = { 0 };
	int64_t start;
	AUTO_BUF jws = { 0 };
	struct err e;

	(void)state;
	buf_init(&jws, JWS_SIZE_MAX);
	for (int i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof names[i], "policies/team/p%06d.rego",
		    i);
		many[i] = (struct jws_file){ names[i], HASH };
	}
	start = clock_mono_ms();
	OK(jws_sign(&jws, k, "big", many, MANY, &e));
	print_message("signed in %d ms\n", (int)(clock_mono_ms() - start));
	/* A tenth of that as it is shipped; sanitizers and a busy machine. */
	assert_true(clock_mono_ms() - start < 5000);
	OK(jws_verify(&c, jws.data, jws.len, k, &e));
	assert_int_equal(c.count, MANY);
	assert_string_equal(c.files[MANY - 1].name, names[MANY - 1]);
	jws_claims_clear(&c);
	mem_free(names);
	mem_free(many);
}

static void
envelopes(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
	} cases[] = {
		{ "{\"signatures\":[\"a.b.c\"]}", ERR_OK },
		{ " { \"signatures\" : [ \"a.b.c\" ] }\n", ERR_OK },
		{ "", ERR_INVALID },
		{ "{}", ERR_INVALID },
		{ "[]", ERR_INVALID },
		{ "[\"a.b.c\"]", ERR_INVALID },
		{ "{\"signatures\":[]}", ERR_INVALID },
		{ "{\"signatures\":null}", ERR_INVALID },
		{ "{\"signatures\":\"a.b.c\"}", ERR_INVALID },
		{ "{\"signatures\":[1]}", ERR_INVALID },
		{ "{\"signatures\":[[\"a.b.c\"]]}", ERR_INVALID },
		{ "{\"signatures\":[\"a.b.c\",\"a.b.c\"]}", ERR_INVALID },
		{ "{\"Signatures\":[\"a.b.c\"]}", ERR_INVALID },
		{ "{\"signatures\":[\"a.b.c\"],\"plugin\":\"x\"}",
		    ERR_INVALID },
		{ "{\"signatures\":[\"a.b.c\"],\"plugin\":\"\"}", ERR_INVALID },
		{ "{\"signatures\":[\"a.b.c\"],\"Plugin\":\"x\"}",
		    ERR_INVALID },
		{ "{\"signatures\":[\"a.b.c\"],\"signatures\":[\"x\"]}",
		    ERR_INVALID },
		{ "{\"signatures\":[\"a.b.c\"]}}", ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO_BUF out = { 0 };
		struct err e = { 0 };

		buf_init(&out, 100);
		if (jws_unwrap(&out, cases[i].text, strlen(cases[i].text),
			&e) != cases[i].code)
			fail_msg("%s: %s", cases[i].text, e.text);
		if (cases[i].code == ERR_OK)
			assert_string_equal(out.data, "a.b.c");
	}
}

static void
wrapping_comes_undone(void **state)
{
	AUTO(key, k) = hmac_key("k");
	AUTO_BUF jws, wrapped, again, small;
	struct err e;

	(void)state;
	sign(&jws, k, NULL);
	buf_init(&wrapped, JWS_SIZE_MAX);
	buf_init(&again, jws.len);
	buf_init(&small, jws.len - 1);
	jws_wrap(&wrapped, jws.data, jws.len);
	OK(jws_unwrap(&again, wrapped.data, wrapped.len, &e));
	assert_string_equal(again.data, jws.data);
	assert_int_equal(jws_unwrap(&small, wrapped.data, wrapped.len, &e),
	    ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_signed_is_read),
		cmocka_unit_test(the_bytes_are_fixed),
		cmocka_unit_test(rs_and_hs_repeat_es_and_ps_do_not),
		cmocka_unit_test(scope_and_key_id_may_be_absent),
		cmocka_unit_test(keys_and_algorithms_do_not_mix),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(the_header_has_a_limit),
		cmocka_unit_test(bad_payloads),
		cmocka_unit_test(files_come_back_sorted),
		cmocka_unit_test(no_byte_may_change),
		cmocka_unit_test(one_value_has_one_spelling),
		cmocka_unit_test(any_bytes_are_survived),
		cmocka_unit_test(too_large_is_refused),
		cmocka_unit_test(a_hundred_thousand_files_are_quick),
		cmocka_unit_test(envelopes),
		cmocka_unit_test(wrapping_comes_undone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
