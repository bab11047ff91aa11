/* Each kind of request has keys of its own: what they sign, foreign tools
 * verify, and no key signs another kind's. */

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "signing/head.h"
#include "signing/keeper.h"
#include "tool.h"

#define OK(call)                                \
	do {                                    \
		if ((call) != ERR_OK)           \
			fail_msg("%s", e.text); \
	} while (0)

#define REVISION "0123456789abcdef0123456789abcdef01234567"
#define DIGEST \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { BUNDLES, DISCOVERY, AUDIT, RETIRED, KEYS };
static const struct {
	const char *id;
	enum key_algorithm algorithm;
	enum key_kind kind;
} made[KEYS] = {
	[BUNDLES] = { "bundles", KEY_RS256, KEY_BUNDLE },
	[DISCOVERY] = { "found", KEY_RS256, KEY_DISCOVERY },
	[AUDIT] = { "heads", KEY_ES256, KEY_AUDIT },
	[RETIRED] = { "old", KEY_ES256, KEY_BUNDLE },
};

struct fixture {
	char *dir;
	struct key *keys[KEYS];
	pid_t pid;
	int fds[2];
	struct channel *channel;
	struct caller *caller;
	pthread_t dispatcher;
	atomic_bool stop;
};

static void *
dispatch(void *arg)
{
	static const uint32_t nothing[] = { 0 };
	struct fixture *f = arg;

	while (!atomic_load(&f->stop)) {
		struct message m = { 0 };
		struct err e;

		if (channel_receive(f->channel, &m, nothing, 20, &e) ==
			ERR_OK &&
		    !caller_dispatch(f->caller, &m))
			message_clear(&m);
	}
	return NULL;
}

static void
start(struct fixture *f)
{
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid > 0)
		return;
	close(f->fds[0]);
	_exit(keeper_main(f->dir, f->fds[1], false));
}

static int
setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof *f);
	void *dir = NULL;
	struct err e;

	if (tool_setup(&dir) != 0)
		return -1;
	f->dir = dir;
	for (int i = 0; i < KEYS; i++) {
		f->keys[i] = tool_key(made[i].id, made[i].algorithm);
		OK(key_ring_add(f->dir, f->keys[i], made[i].kind, &e));
	}
	OK(key_ring_use(f->dir, made[BUNDLES].id, &e));
	OK(key_ring_retire(f->dir, made[RETIRED].id, &e));
	OK(channel_pair(f->fds, &e));
	start(f);
	f->channel = channel_new(f->fds[0], "keeper");
	f->caller = caller_new(f->channel);
	assert_int_equal(pthread_create(&f->dispatcher, NULL, dispatch, f), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;
	int status = 0;

	atomic_store(&f->stop, true);
	assert_int_equal(pthread_join(f->dispatcher, NULL), 0);
	caller_free(f->caller);
	(void)close(f->fds[0]);
	(void)close(f->fds[1]);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	channel_free(f->channel);
	for (int i = 0; i < KEYS; i++)
		key_free(f->keys[i]);
	mem_free(f);
	return status != 0 || tool_teardown(&dir) != 0 ? -1 : 0;
}

static const struct jws_file files[] = { { ".manifest", DIGEST } };

static enum err_code
ask(struct fixture *f, uint32_t kind, json_t *payload, bool list, struct err *e)
{
	struct message reply = { 0 };
	enum err_code code;
	int fd = -1;

	assert_non_null(payload);
	if (list)
		assert_int_equal(file_memory(&fd, "list",
				     DIGEST "  .manifest\n",
				     strlen(DIGEST "  .manifest\n"), e),
		    ERR_OK);
	code = caller_call(f->caller, kind, payload, &fd, list ? 1 : 0,
	    KEEPER_TIMEOUT_MS, &reply, e);
	if (code == ERR_OK)
		message_clear(&reply);
	if (list)
		(void)close(fd);
	json_decref(payload);
	return code;
}

/* The key of a request is of the request's kind, or it is refused. */
static void
kinds_are_kept_apart(void **state)
{
	static const struct {
		const char *key;
		enum err_code code;
		const char *says;
	} cases[] = {
		{ "bundles", ERR_OK, "" },
		{ "found", ERR_DENIED, "of kind discovery" },
		{ "heads", ERR_DENIED, "of kind audit" },
		{ "old", ERR_CONFLICT, "retired" },
		{ "none", ERR_NOT_FOUND, "no key \"none\"" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO_BUF jws = { 0 };
		AUTO_STR id = NULL;
		struct err e = { 0 };

		buf_init(&jws, JWS_SIZE_MAX);
		assert_int_equal(keeper_sign(f->caller, &jws, &id, cases[i].key,
				     "authz", REVISION, files, 1, &e),
		    cases[i].code);
		if (strstr(e.text, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].key, e.text);
	}
}

/* At once, and no other key. */
static void
retired_keys_sign_no_more(void **state)
{
	struct fixture *f = *state;
	AUTO_BUF jws = { 0 };
	AUTO_STR id = NULL;
	struct err e;

	buf_init(&jws, JWS_SIZE_MAX);
	OK(keeper_sign(f->caller, &jws, &id, "bundles", "authz", REVISION,
	    files, 1, &e));
	OK(keeper_retire(f->caller, "bundles", &e));
	OK(keeper_retire(f->caller, "bundles", &e));
	assert_int_equal(keeper_sign(f->caller, &jws, &id, "bundles", "authz",
			     REVISION, files, 1, &e),
	    ERR_CONFLICT);
	assert_int_equal(keeper_sign(f->caller, &jws, &id, NULL, "authz",
			     REVISION, files, 1, &e),
	    ERR_NOT_FOUND);
	OK(keeper_verify(f->caller, "bundles", jws.data, jws.len, &e));
	OK(ask(f, KEEPER_SIGN_HEAD,
	    json_pack("{s:i,s:s,s:i}", "seq", 1, "hash", DIGEST, "at_ms", 1),
	    false, &e));
}

static void
hostile_requests_are_refused(void **state)
{
	static const struct {
		uint32_t kind;
		bool list;
		const char *payload;
	} cases[] = {
		{ KEEPER_SIGN_DISCOVERY, true, "{}" },
		{ KEEPER_SIGN_DISCOVERY, true,
		    "{\"cluster\":\"a\",\"revision\":\"" REVISION "\"}" },
		{ KEEPER_SIGN_DISCOVERY, true,
		    "{\"cluster\":\"a/b\",\"revision\":\"" DIGEST "\"}" },
		{ KEEPER_SIGN_DISCOVERY, true,
		    "{\"cluster\":\"\",\"revision\":\"" DIGEST "\"}" },
		{ KEEPER_SIGN_DISCOVERY, true,
		    "{\"cluster\":\"discovery\",\"revision\":\"" DIGEST "\"}" },
		{ KEEPER_SIGN_DISCOVERY, true,
		    "{\"cluster\":\"a\",\"revision\":\"" DIGEST
		    "\",\"key\":\"bundles\"}" },
		{ KEEPER_SIGN_DISCOVERY, false,
		    "{\"cluster\":\"a\",\"revision\":\"" DIGEST "\"}" },
		{ KEEPER_SIGN_BUNDLE, true,
		    "{\"bundle\":\"discovery/a\",\"revision\":\"" REVISION
		    "\"}" },
		{ KEEPER_SIGN_HEAD, false, "{}" },
		{ KEEPER_SIGN_HEAD, false,
		    "{\"seq\":0,\"hash\":\"" DIGEST "\",\"at_ms\":1}" },
		{ KEEPER_SIGN_HEAD, false,
		    "{\"seq\":-1,\"hash\":\"" DIGEST "\",\"at_ms\":1}" },
		{ KEEPER_SIGN_HEAD, false,
		    "{\"seq\":1,\"hash\":\"" DIGEST "\",\"at_ms\":0}" },
		{ KEEPER_SIGN_HEAD, false,
		    "{\"seq\":1,\"hash\":\"" DIGEST "0\",\"at_ms\":1}" },
		{ KEEPER_SIGN_HEAD, false,
		    "{\"seq\":1,\"hash\":\"{}\",\"at_ms\":1}" },
		{ KEEPER_SIGN_HEAD, false,
		    "{\"seq\":1,\"hash\":\"" DIGEST
		    "\",\"at_ms\":1,\"files\":[]}" },
		{ KEEPER_SIGN_HEAD, false,
		    "{\"seq\":\"1\",\"hash\":\"" DIGEST "\",\"at_ms\":1}" },
		{ KEEPER_SIGN_HEAD, true,
		    "{\"seq\":1,\"hash\":\"" DIGEST "\",\"at_ms\":1}" },
	};
	struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (ask(f, cases[i].kind, json_loads(cases[i].payload, 0, NULL),
			cases[i].list, &e) != ERR_INVALID)
			fail_msg("%s", cases[i].payload);
	OK(ask(f, KEEPER_SIGN_HEAD,
	    json_pack("{s:i,s:s,s:i}", "seq", 1, "hash", DIGEST, "at_ms", 1),
	    false, &e));
	OK(ask(f, KEEPER_SIGN_DISCOVERY,
	    json_pack("{s:s,s:s}", "cluster", "a", "revision", DIGEST), true,
	    &e));
}

/* An engine reads the archive with this key and scope: what it answers. */
static int
engine_reads(struct fixture *f, struct buf *output, const char *key,
    const char *scope)
{
	AUTO_STR archive = file_path(f->dir, "bundle.tar.gz");
	AUTO_STR public = mem_printf("%s/%s.pub", f->dir, key);
	const char *const opa[] = { tool_opa(), "build", "-b", archive,
		"--verification-key", public, "--verification-key-id", key,
		"--scope", scope, "-o", "/dev/null", NULL };

	return tool_run(output, opa);
}

static void
engines_accept_a_discovery_bundle(void **state)
{
	static const char manifest[] = "{\"revision\":\"" DIGEST "\"}";
	static const char data[] = "{\"discovery\":{}}";
	struct fixture *f = *state;
	AUTO_STR root = file_path(f->dir, "bundle");
	AUTO_STR archive = file_path(f->dir, "bundle.tar.gz");
	const char *const tar[] = { "tar", "-C", root, "-czf", archive,
		".manifest", "data.json", ".signatures.json", NULL };
	char hashes[2][DIGEST_HEX_SIZE];
	const struct jws_file list[] = { { ".manifest", hashes[0] },
		{ "data.json", hashes[1] } };
	struct jws_claims c = { 0 };
	AUTO_BUF jws, wrapped, output;
	AUTO_STR id = NULL;
	struct err e;

	jws = wrapped = output = (struct buf){ 0 };
	buf_init(&jws, JWS_SIZE_MAX);
	buf_init(&wrapped, JWS_SIZE_MAX);
	buf_init(&output, TOOL_OUTPUT_MAX);
	/* Engines hash the canonical form of JSON: this is it already. */
	digest_hex(hashes[0], manifest, sizeof manifest - 1);
	digest_hex(hashes[1], data, sizeof data - 1);
	OK(keeper_sign_discovery(f->caller, &jws, &id, "prod-eu", DIGEST, list,
	    2, &e));
	assert_string_equal(id, "found");
	OK(jws_verify(&c, jws.data, jws.len, f->keys[DISCOVERY], &e));
	assert_string_equal(c.scope, "discovery/prod-eu");
	jws_claims_clear(&c);
	jws_wrap(&wrapped, jws.data, jws.len);
	tool_write(root, ".manifest", manifest, sizeof manifest - 1);
	tool_write(root, "data.json", data, sizeof data - 1);
	tool_write(root, ".signatures.json", wrapped.data, wrapped.len);
	assert_int_equal(tool_run(&output, tar), 0);
	if (engine_reads(f, &output, "found", "discovery/prod-eu") != 0)
		fail_msg("%s", output.data);
	assert_int_not_equal(engine_reads(f, &output, "found", "prod-eu"), 0);
	assert_int_not_equal(engine_reads(f, &output, "found",
				 "discovery/prod-us"),
	    0);
	/* All RSA keys of a test are one pair. */
	assert_int_not_equal(engine_reads(f, &output, "heads",
				 "discovery/prod-eu"),
	    0);
}

static void
jose_accepts_a_head(void **state)
{
	struct fixture *f = *state;
	AUTO_STR jws_file = file_path(f->dir, "head.jws");
	AUTO_STR jwk_file = file_path(f->dir, "head.jwk");
	const char *const jose[] = { "jose", "jws", "ver", "-i", jws_file, "-k",
		jwk_file, "-O-", NULL };
	AUTO_BUF jws, jwk, output;
	AUTO_STR id = NULL;
	struct head head = { 0 };
	char named[KEY_ID_MAX + 1];
	struct err e;

	jws = jwk = output = (struct buf){ 0 };
	buf_init(&jws, HEAD_JWS_MAX);
	buf_init(&jwk, KEY_FILE_MAX);
	buf_init(&output, TOOL_OUTPUT_MAX);
	OK(keeper_sign_head(f->caller, &jws, &id, 42, DIGEST, 1700000000000,
	    &e));
	assert_string_equal(id, "heads");
	tool_jwk(&jwk, f->keys[AUDIT]);
	tool_write(f->dir, "head.jws", jws.data, jws.len);
	tool_write(f->dir, "head.jwk", jwk.data, jwk.len);
	if (tool_run(&output, jose) != 0)
		fail_msg("%s", output.data);
	assert_string_equal(output.data,
	    "{\"at_ms\":1700000000000,\"hash\":\"" DIGEST "\",\"seq\":42}");

	OK(head_key(named, jws.data, jws.len, &e));
	assert_string_equal(named, "heads");
	OK(head_verify(&head, jws.data, jws.len, f->keys[AUDIT], &e));
	assert_int_equal(head.seq, 42);
	assert_int_equal(head.at_ms, 1700000000000);
	assert_string_equal(head.hash, DIGEST);
	assert_int_equal(head_verify(&head, jws.data, jws.len, f->keys[RETIRED],
			     &e),
	    ERR_CRYPTO);
	jws.data[jws.len - 9] = jws.data[jws.len - 9] == 'A' ? 'B' : 'A';
	assert_int_equal(head_verify(&head, jws.data, jws.len, f->keys[AUDIT],
			     &e),
	    ERR_CRYPTO);
	assert_int_equal(head_key(named, "e30.x.y", 7, &e), ERR_INVALID);
	assert_int_equal(head_key(named, "e30", 3, &e), ERR_INVALID);
}

/* What an audit key signed about something else is no head. */
static void
only_heads_are_heads(void **state)
{
	static const char *const texts[] = { "{}", "[]", "x",
		"{\"at_ms\":1,\"hash\":\"" DIGEST "\"}",
		"{\"at_ms\":1,\"hash\":\"" DIGEST "\",\"seq\":0}",
		"{\"at_ms\":1,\"hash\":\"" DIGEST "\",\"seq\":\"1\"}",
		"{\"at_ms\":1,\"hash\":\"x\",\"seq\":1}",
		"{\"at_ms\":1,\"hash\":\"" DIGEST "\",\"seq\":1,\"x\":1}",
		"{\"at_ms\":1,\"hash\":\"" DIGEST "\",\"seq\":1,\"seq\":2}" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		AUTO_BUF payload, jws;
		struct head head;
		struct err e;

		buf_init(&payload, HEAD_JWS_MAX);
		buf_init(&jws, HEAD_JWS_MAX);
		buf_add_str(&payload, texts[i]);
		OK(jws_sign_payload(&jws, f->keys[AUDIT], &payload, &e));
		if (head_verify(&head, jws.data, jws.len, f->keys[AUDIT], &e) !=
		    ERR_INVALID)
			fail_msg("%s", texts[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kinds_are_kept_apart, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(retired_keys_sign_no_more,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_requests_are_refused,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    engines_accept_a_discovery_bundle, setup, teardown),
		cmocka_unit_test_setup_teardown(jose_accepts_a_head, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(only_heads_are_heads, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
