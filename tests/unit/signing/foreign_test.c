/* Signatures as others see them: engines (opa build -b verifies as an engine
 * does) and Debian's jose. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "core/file.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "signing/jws.h"
#include "tool.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define OK(call)                                \
	do {                                    \
		if ((call) != ERR_OK)           \
			fail_msg("%s", e.text); \
	} while (0)

/* Sorted by name; the same in its plain and in its structured hash. */
static const struct {
	const char *name, *text;
} content[] = {
	{ ".manifest", "{\"revision\":\"r1\",\"roots\":[\"app\",\"roles\"]}" },
	{ "app/\xc3\xa4.rego",
	    "package app\n\nallow if data.roles.admin == input.user\n" },
	{ "roles/data.json", "{\"admin\":\"alice\",\"limit\":1.10}" },
};

/* What goes wrong between signing and checking. */
enum fault {
	NONE,
	FLIPPED,     /* a byte of a file */
	MISSING,     /* a file that is listed */
	EXTRA,       /* a file that is not */
	WRONG_SCOPE, /* asked for by the engine */
	WRONG_KEY,
	UNSIGNED,
	FAULTS
};

static void
list_files(struct jws_file *files, char hashes[][DIGEST_HEX_SIZE])
{
	for (size_t i = 0; i < COUNT(content); i++) {
		digest_hex(hashes[i], content[i].text, strlen(content[i].text));
		files[i] = (struct jws_file){ content[i].name, hashes[i] };
	}
}

static void
sign(struct buf *out, const struct key *k)
{
	char hashes[COUNT(content)][DIGEST_HEX_SIZE];
	struct jws_file files[COUNT(content)];
	struct err e;

	buf_init(out, JWS_SIZE_MAX);
	list_files(files, hashes);
	OK(jws_sign(out, k, "authz", files, COUNT(files), &e));
}

static void
write_bundle(const char *dir, const struct buf *jws, enum fault fault)
{
	AUTO_STR root = file_path(dir, "bundle");
	AUTO_STR roles = file_path(root, "roles");
	AUTO_STR archive = file_path(dir, "bundle.tar.gz");
	const char *const tar[] = { "tar", "-C", root, "-czf", archive,
		".manifest", "app", "roles",
		fault == UNSIGNED ? NULL : ".signatures.json", NULL };
	AUTO_BUF wrapped, output;
	struct err e;

	buf_init(&wrapped, JWS_SIZE_MAX);
	buf_init(&output, TOOL_OUTPUT_MAX);
	OK(file_remove_tree(root, &e));
	for (size_t i = 0; i < COUNT(content); i++) {
		AUTO_STR text = mem_strdup(content[i].text);

		if (i == 1 && fault == FLIPPED)
			text[8] = 'b';
		if (i != 2 || fault != MISSING)
			tool_write(root, content[i].name, text, strlen(text));
	}
	if (fault == EXTRA)
		tool_write(root, "roles/x.rego", "package roles.x\n", 16);
	if (fault == MISSING)
		OK(file_make_dirs(roles, &e));
	jws_wrap(&wrapped, jws->data, jws->len);
	tool_write(root, ".signatures.json", wrapped.data, wrapped.len);
	if (tool_run(&output, tar) != 0)
		fail_msg("%s", output.data);
}

static int
engine_verifies(const char *dir, const struct key *k, enum fault fault,
    struct buf *output)
{
	AUTO_STR archive = file_path(dir, "bundle.tar.gz");
	AUTO_STR key_file = file_path(dir, "verification-key");
	const char *const opa[] = { tool_opa(), "build", "-b", archive,
		"--verification-key", key_file, "--verification-key-id",
		key_id(k), "--signing-alg",
		key_algorithm_name(key_algorithm_of(k)), "--scope",
		fault == WRONG_SCOPE ? "roles" : "authz", "-o", "/dev/null",
		NULL };
	AUTO_BUF text = { 0 };

	buf_init(&text, KEY_FILE_MAX);
	tool_verification_key(&text, k);
	tool_write(dir, "verification-key", text.data, text.len);
	return tool_run(output, opa);
}

static void
engines_accept_what_is_right_only(void **state)
{
	static const char *const says[FAULTS] = {
		[FLIPPED] = "digest mismatch",
		[MISSING] = "specified in bundle signatures but not found",
		[EXTRA] = "not included in bundle signature",
		[WRONG_SCOPE] = "scope mismatch",
		[WRONG_KEY] = "verif",
		[UNSIGNED] = "missing .signatures.json",
	};

	for (int a = 0; a < KEY_ALGORITHMS; a++) {
		AUTO(key, k) = tool_key("2026-11", (enum key_algorithm)a);
		AUTO(key, fresh) = NULL;
		AUTO_BUF jws = { 0 };
		struct err e;

		OK(key_generate(&fresh, "2026-11",
		    a < KEY_ES256 ? KEY_RS256 : (enum key_algorithm)a, &e));
		sign(&jws, k);
		for (int fault = NONE; fault < FAULTS; fault++) {
			AUTO_BUF output = { 0 };
			int status;

			buf_init(&output, TOOL_OUTPUT_MAX);
			write_bundle(*state, &jws, (enum fault)fault);
			status = engine_verifies(*state,
			    fault == WRONG_KEY ? fresh : k, (enum fault)fault,
			    &output);
			if ((status == 0) != (fault == NONE))
				fail_msg("%s, fault %d: %s",
				    key_algorithm_name((enum key_algorithm)a),
				    fault, output.data);
			if (says[fault] != NULL &&
			    strstr(output.data, says[fault]) == NULL)
				fail_msg("%d: %s", fault, output.data);
		}
	}
}

/* An engine that was given keys but no signing.keyid finds the key by the kid
 * of the header. opa exec loads the bundle as a running engine does, and waits
 * for a good one as long as it may. */
static int
engine_decides(const char *dir, const struct key *k, const char *known_as,
    struct buf *output)
{
	AUTO_STR conf_file = file_path(dir, "conf.json");
	AUTO_STR input_file = file_path(dir, "input.json");
	const char *const opa[] = { tool_opa(), "exec", "--timeout", "2s", "-c",
		conf_file, "--decision", "app/allow", "--log-level", "error",
		input_file, NULL };
	AUTO_BUF conf, pem;
	json_t *j;
	char *text;

	buf_init(&conf, KEY_FILE_MAX);
	buf_init(&pem, KEY_FILE_MAX);
	tool_verification_key(&pem, k);
	buf_printf(&conf, "file://%s/bundle.tar.gz", dir);
	j = json_pack("{s:{s:{s:s,s:s}},s:{s:{s:s,s:{s:s}}}}", "keys", known_as,
	    "algorithm", key_algorithm_name(key_algorithm_of(k)), "key",
	    pem.data, "bundles", "authz", "resource", conf.data, "signing",
	    "scope", "authz");
	text = json_dumps(j, 0);
	assert_non_null(text);
	tool_write(dir, "conf.json", text, strlen(text));
	tool_write(dir, "input.json", "{\"user\":\"alice\"}", 16);
	free(text);
	json_decref(j);
	return tool_run(output, opa);
}

static void
engines_find_the_key_by_its_id(void **state)
{
	AUTO(key, k) = tool_key("2026-11", KEY_RS256);
	AUTO_BUF jws, good, bad;

	buf_init(&good, TOOL_OUTPUT_MAX);
	buf_init(&bad, TOOL_OUTPUT_MAX);
	sign(&jws, k);
	write_bundle(*state, &jws, NONE);
	if (engine_decides(*state, k, "2026-11", &good) != 0 ||
	    strstr(good.data, "\"result\": true") == NULL)
		fail_msg("%s", good.data);
	if (engine_decides(*state, k, "2026-12", &bad) == 0 ||
	    strstr(bad.data, "2026-11") == NULL)
		fail_msg("%s", bad.data);
}

static void
write_jwk(const char *dir, const struct key *k)
{
	AUTO_BUF jwk = { 0 };

	buf_init(&jwk, KEY_FILE_MAX);
	tool_jwk(&jwk, k);
	tool_write(dir, "key.jwk", jwk.data, jwk.len);
}

static void
jose_accepts_ours(void **state)
{
	const char *dir = *state;
	AUTO_STR jws_file = file_path(dir, "jws");
	AUTO_STR jwk_file = file_path(dir, "key.jwk");
	const char *const jose[] = { "jose", "jws", "ver", "-i", jws_file, "-k",
		jwk_file, "-O", "-", NULL };

	for (int a = 0; a < KEY_ALGORITHMS; a++) {
		AUTO(key, k) = tool_key("2026-11", (enum key_algorithm)a);
		AUTO_BUF jws, output, refusal;

		buf_init(&output, TOOL_OUTPUT_MAX);
		buf_init(&refusal, TOOL_OUTPUT_MAX);
		sign(&jws, k);
		write_jwk(dir, k);
		tool_write(dir, "jws", jws.data, jws.len);
		if (tool_run(&output, jose) != 0)
			fail_msg("%s: %s",
			    key_algorithm_name((enum key_algorithm)a),
			    output.data);
		assert_non_null(strstr(output.data, "\"scope\":\"authz\""));
		/* So that jose is known to look at all. */
		jws.data[jws.len - 10] ^= 1;
		tool_write(dir, "jws", jws.data, jws.len);
		assert_int_not_equal(tool_run(&refusal, jose), 0);
	}
}

static void
write_payload(const char *dir)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, JWS_SIZE_MAX);
	buf_add_str(&text, "{\"files\": [");
	for (size_t i = COUNT(content); i-- > 0;) {
		char hash[DIGEST_HEX_SIZE];

		digest_hex(hash, content[i].text, strlen(content[i].text));
		buf_printf(&text,
		    "{\"name\": \"%s\", \"hash\": \"%s\", "
		    "\"algorithm\": \"SHA-256\"}%s",
		    content[i].name, hash, i > 0 ? ", " : "");
	}
	buf_add_str(&text, "], \"scope\": \"authz\", \"iat\": 1}");
	tool_write(dir, "payload", text.data, text.len);
}

static void
joses_are_accepted(void **state)
{
	const char *dir = *state;
	AUTO_STR payload = file_path(dir, "payload");
	AUTO_STR jwk_file = file_path(dir, "key.jwk");

	write_payload(dir);
	for (int a = 0; a < KEY_ALGORITHMS; a++) {
		AUTO(key, k) = tool_key("2026-11", (enum key_algorithm)a);
		AUTO_STR header = mem_printf(
		    "{\"protected\":{\"alg\":\"%s\",\"kid\":\"2026-11\"}}",
		    key_algorithm_name((enum key_algorithm)a));
		const char *const jose[] = { "jose", "jws", "sig", "-I",
			payload, "-k", jwk_file, "-s", header, "-c", NULL };
		struct jws_claims c = { 0 };
		AUTO_BUF jws = { 0 };
		struct err e;

		buf_init(&jws, JWS_SIZE_MAX);
		write_jwk(dir, k);
		if (tool_run(&jws, jose) != 0)
			fail_msg("%s", jws.data);
		jws.len = strcspn(jws.data, "\r\n");
		OK(jws_verify(&c, jws.data, jws.len, k, &e));
		assert_string_equal(c.scope, "authz");
		assert_string_equal(c.key_id, "2026-11");
		assert_int_equal(c.count, COUNT(content));
		assert_string_equal(c.files[0].name, ".manifest");
		jws_claims_clear(&c);
		jws.data[jws.len - 10] ^= 1;
		assert_int_not_equal(jws_verify(&c, jws.data, jws.len, k, &e),
		    ERR_OK);
	}
}

#define IN_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, tool_setup, tool_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(engines_accept_what_is_right_only),
		IN_FOLDER(engines_find_the_key_by_its_id),
		IN_FOLDER(jose_accepts_ours),
		IN_FOLDER(joses_are_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
