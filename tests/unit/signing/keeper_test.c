#include "signing/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "tool.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define OK_WITH(call, e)                           \
	do {                                       \
		if ((call) != ERR_OK)              \
			fail_msg("%s", (e)->text); \
	} while (0)
#define OK(call) OK_WITH(call, &e)

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define REVISION "0123456789abcdef0123456789abcdef01234567"

enum { PATIENCE_MS = 20000 };

static const struct jws_file files[] = {
	{ ".manifest", HASH },
	{ "app/\xc3\xa4.rego", HASH },
	{ "data.json", HASH },
};

/* A keeper with three keys for bundles and one each for discovery and audit, and the pipeline's end of the pair. */
struct fixture {
	char *dir;
	struct key *keys[3]; /* for bundles */
	struct key *discovery, *audit;
	pid_t pid;
	int fds[2]; /* the pipeline's, the keeper's */
	struct channel *channel;
	uint64_t last_id;
	/* The thread that hands replies to callers. */
	struct caller *caller;
	pthread_t dispatcher;
	atomic_bool stop;
};

static void
start(struct fixture *f)
{
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid > 0)
		return;
	close(f->fds[0]);
	/* Not by exit: the leaks of a test that goes on are none. */
	_exit(keeper_main(f->dir, f->fds[1], false));
}

static int
wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;
	int status = 0;

	if (f->pid > 0) {
		(void)kill(f->pid, SIGTERM);
		status = wait_for(f->pid);
	}
	channel_free(f->channel);
	for (size_t i = 0; i < COUNT(f->keys); i++)
		key_free(f->keys[i]);
	key_free(f->discovery);
	key_free(f->audit);
	for (size_t i = 0; i < COUNT(f->fds); i++)
		if (f->fds[i] >= 0)
			(void)close(f->fds[i]);
	mem_free(f);
	return status != 0 || tool_teardown(&dir) != 0 ? -1 : 0;
}

/* One request with descriptors, and its reply: ERR_OK with *reply the caller's,
 * or the error that came back. Takes payload over. */
static enum err_code
ask_with(struct fixture *f, uint32_t kind, json_t *payload, const int *fds,
    size_t fd_count, json_t **reply, struct err *e)
{
	static const uint32_t nothing[] = { 0 };
	struct message m = { 0 };
	enum err_code code;

	assert_non_null(payload);
	if (channel_send(f->channel, kind, ++f->last_id,
		clock_mono_ms() + PATIENCE_MS, payload, fds, fd_count,
		PATIENCE_MS, e) != ERR_OK ||
	    channel_receive(f->channel, &m, nothing, PATIENCE_MS, e) != ERR_OK)
		fail_msg("%s", e->text);
	json_decref(payload);
	assert_int_equal(m.id, f->last_id);
	code = message_error(&m, e);
	if (code == ERR_OK && reply != NULL)
		*reply = json_incref(m.payload);
	message_clear(&m);
	return code;
}

/* A text under "files" goes as the list it is. */
static enum err_code
ask(struct fixture *f, uint32_t kind, json_t *payload, json_t **reply,
    struct err *e)
{
	const json_t *lines = json_object_get(payload, "files");
	enum err_code code;
	int list;

	if (!json_is_string(lines))
		return ask_with(f, kind, payload, NULL, 0, reply, e);
	OK_WITH(file_memory(&list, "list", json_string_value(lines),
		    json_string_length(lines), e),
	    e);
	json_object_del(payload, "files");
	code = ask_with(f, kind, payload, &list, 1, reply, e);
	assert_int_equal(close(list), 0);
	return code;
}

static int
setup(void **state)
{
	static const enum key_algorithm algorithms[] = { KEY_RS256, KEY_ES384,
		KEY_HS256 };
	static const char *const ids[] = { "current", "second", "secret" };
	struct fixture *f = mem_zalloc(sizeof *f);
	void *dir = NULL;
	struct err e;

	if (tool_setup(&dir) != 0)
		return -1;
	f->dir = dir;
	for (size_t i = 0; i < COUNT(ids); i++) {
		f->keys[i] = tool_key(ids[i], algorithms[i]);
		OK(key_ring_add(f->dir, f->keys[i], KEY_BUNDLE, &e));
	}
	OK(key_ring_use(f->dir, "current", &e));
	f->discovery = tool_key("found", KEY_RS256);
	OK(key_ring_add(f->dir, f->discovery, KEY_DISCOVERY, &e));
	f->audit = tool_key("audit", KEY_ES256);
	OK(key_ring_add(f->dir, f->audit, KEY_AUDIT, &e));
	OK(channel_pair(f->fds, &e));
	f->channel = channel_new(f->fds[0], "keeper");
	start(f);
	/* Past its start, so that TERM ends it in its own way. */
	OK(ask(f, KEEPER_KEYS, json_object(), NULL, &e));
	*state = f;
	return 0;
}

static void *
dispatch(void *arg)
{
	static const uint32_t nothing[] = { 0 };
	struct fixture *f = arg;

	while (!atomic_load(&f->stop)) {
		struct message m = { 0 };
		struct err e;

		if (channel_receive(f->channel, &m, nothing, 20, &e) != ERR_OK)
			continue;
		if (!caller_dispatch(f->caller, &m))
			message_clear(&m);
	}
	return NULL;
}

static void
start_caller(struct fixture *f)
{
	f->caller = caller_new(f->channel);
	assert_int_equal(pthread_create(&f->dispatcher, NULL, dispatch, f), 0);
}

static void
stop_caller(struct fixture *f)
{
	atomic_store(&f->stop, true);
	assert_int_equal(pthread_join(f->dispatcher, NULL), 0);
	caller_free(f->caller);
}

static void
signs_for_the_pipeline(void **state)
{
	struct fixture *f = *state;
	struct jws_claims c = { 0 };
	AUTO_STR id = NULL;
	AUTO_BUF jws = { 0 };
	struct err e;

	buf_init(&jws, JWS_SIZE_MAX);
	start_caller(f);
	OK(keeper_sign(f->caller, &jws, &id, NULL, "authz", REVISION, files,
	    COUNT(files), &e));
	assert_string_equal(id, "current");
	OK(jws_verify(&c, jws.data, jws.len, f->keys[0], &e));
	assert_string_equal(c.scope, "authz");
	assert_int_equal(c.count, COUNT(files));
	jws_claims_clear(&c);

	OK(keeper_verify(f->caller, "current", jws.data, jws.len, &e));
	assert_int_equal(keeper_verify(f->caller, "second", jws.data, jws.len,
			     &e),
	    ERR_CRYPTO);
	assert_int_equal(keeper_verify(f->caller, "nobody", jws.data, jws.len,
			     &e),
	    ERR_NOT_FOUND);
	/* Another character of the alphabet, whatever the key made it. */
	jws.data[jws.len - 9] = jws.data[jws.len - 9] == 'A' ? 'B' : 'A';
	assert_int_equal(keeper_verify(f->caller, "current", jws.data, jws.len,
			     &e),
	    ERR_CRYPTO);
	assert_int_equal(keeper_sign(f->caller, &jws, &id, NULL, "discovery",
			     REVISION, files, COUNT(files), &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "discovery"));
	stop_caller(f);
}

#define LINE(name) HASH "  " name "\n"
#define GOOD LINE(".manifest") LINE("app/\xc3\xa4.rego") LINE("data.json")

/* The caller's. */
static char *
jws_of(const json_t *reply, const struct jws_file *list, size_t count)
{
	const char *key, *algorithm, *signature;
	AUTO_BUF jws = { 0 };
	struct err e;

	assert_int_equal(json_unpack((json_t *)(uintptr_t)reply,
			     "{s:s,s:s,s:s!}", "key", &key, "algorithm",
			     &algorithm, "signature", &signature),
	    0);
	assert_null(strchr(signature, '.'));
	buf_init(&jws, JWS_SIZE_MAX);
	OK(jws_write_signed(&jws, key, algorithm, "authz", list, count, &e));
	buf_printf(&jws, ".%s", signature);
	return buf_steal(&jws, &(size_t){ 0 });
}

static void
signs_with_every_key(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(f->keys); i++) {
		struct jws_claims c = { 0 };
		const char *key, *algorithm;
		AUTO_STR jws = NULL;
		json_t *reply = NULL;
		struct err e;

		OK(ask(f, KEEPER_SIGN_BUNDLE,
		    json_pack("{s:s,s:s,s:s,s:s}", "key", key_id(f->keys[i]),
			"bundle", "authz", "revision", REVISION, "files", GOOD),
		    &reply, &e));
		jws = jws_of(reply, files, COUNT(files));
		assert_int_equal(json_unpack(reply, "{s:s,s:s}", "key", &key,
				     "algorithm", &algorithm),
		    0);
		assert_string_equal(key, key_id(f->keys[i]));
		assert_string_equal(algorithm,
		    key_algorithm_name(key_algorithm_of(f->keys[i])));
		OK(jws_verify(&c, jws, strlen(jws), f->keys[i], &e));
		jws_claims_clear(&c);
		OK(ask(f, KEEPER_VERIFY,
		    json_pack("{s:s,s:s}", "key", key, "jws", jws), NULL, &e));
		json_decref(reply);
	}
}

static const json_t *
find_listed(const json_t *keys, const char *id)
{
	size_t i;
	json_t *k;

	json_array_foreach(keys, i, k)
		if (strcmp(json_string_value(json_object_get(k, "id")), id) ==
		    0)
			return k;
	fail_msg("no key %s is listed", id);
	return NULL;
}

static void
tells_its_public_keys(void **state)
{
	struct fixture *f = *state;
	json_t *reply = NULL, *keys;
	const char *current;
	struct err e;

	OK(ask(f, KEEPER_KEYS, json_object(), &reply, &e));
	assert_int_equal(json_unpack(reply, "{s:s,s:o!}", "current", &current,
			     "keys", &keys),
	    0);
	assert_string_equal(current, "current");
	assert_int_equal(json_array_size(keys), 5);
	for (size_t i = 0; i < 3; i++) {
		const json_t *k = find_listed(keys, key_id(f->keys[i]));
		const char *pem =
		    json_string_value(json_object_get(k, "public"));
		AUTO_BUF right = { 0 };

		buf_init(&right, KEY_FILE_MAX);
		key_write_public(&right, f->keys[i]);
		assert_string_equal(json_string_value(json_object_get(k,
					"kind")),
		    "bundle");
		assert_int_equal(json_object_size(k), pem != NULL ? 5 : 4);
		assert_int_equal(pem != NULL, !key_is_symmetric(f->keys[i]));
		if (pem != NULL)
			assert_string_equal(pem, right.data);
	}
	json_decref(reply);
}

/* What the keeper signed, an engine accepts. */
static void
engines_accept_it(void **state)
{
	static const char manifest[] = "{\"revision\":\"" REVISION "\"}";
	static const char policy[] = "package app\n";
	struct fixture *f = *state;
	AUTO_STR root = file_path(f->dir, "bundle");
	AUTO_STR archive = file_path(f->dir, "bundle.tar.gz");
	AUTO_STR public = file_path(f->dir, "current.pub");
	const char *const tar[] = { "tar", "-C", root, "-czf", archive,
		".manifest", "app.rego", ".signatures.json", NULL };
	const char *const opa[] = { tool_opa(), "build", "-b", archive,
		"--verification-key", public, "--verification-key-id",
		"current", "--scope", "authz", "-o", "/dev/null", NULL };
	char hashes[2][DIGEST_HEX_SIZE];
	const struct jws_file list[] = { { ".manifest", hashes[0] },
		{ "app.rego", hashes[1] } };
	AUTO_BUF wrapped, output;
	AUTO_STR lines = NULL;
	AUTO_STR jws = NULL;
	json_t *reply = NULL;
	struct err e;

	buf_init(&wrapped, JWS_SIZE_MAX);
	buf_init(&output, TOOL_OUTPUT_MAX);
	digest_hex(hashes[0], manifest, sizeof manifest - 1);
	digest_hex(hashes[1], policy, sizeof policy - 1);
	lines =
	    mem_printf("%s  .manifest\n%s  app.rego\n", hashes[0], hashes[1]);
	OK(ask(f, KEEPER_SIGN_BUNDLE,
	    json_pack("{s:s,s:s,s:s}", "bundle", "authz", "revision", REVISION,
		"files", lines),
	    &reply, &e));
	jws = jws_of(reply, list, COUNT(list));
	jws_wrap(&wrapped, jws, strlen(jws));
	json_decref(reply);
	tool_write(root, ".manifest", manifest, sizeof manifest - 1);
	tool_write(root, "app.rego", policy, sizeof policy - 1);
	tool_write(root, ".signatures.json", wrapped.data, wrapped.len);
	if (tool_run(&output, tar) != 0 || tool_run(&output, opa) != 0)
		fail_msg("%s", output.data);
}

static void
still_signs(struct fixture *f)
{
	struct err e;

	OK(ask(f, KEEPER_SIGN_BUNDLE,
	    json_pack("{s:s,s:s,s:s}", "bundle", "authz", "revision", REVISION,
		"files", GOOD),
	    NULL, &e));
}

#define SIGN(more) \
	"{\"bundle\":\"authz\",\"revision\":\"" REVISION "\"," more "}"
#define END "\",\"files\":\"" HASH "  .manifest\\n\"}"
#define FILES(more) SIGN("\"files\":\"" HASH "  .manifest\\n" more "\"")
#define NAMED(name) FILES(HASH "  " name "\\n")

static void
hostile_requests_are_refused(void **state)
{
	static const struct {
		uint32_t kind;
		const char *payload;
		enum err_code code;
	} cases[] = {
		{ KEEPER_SIGN_BUNDLE, FILES(""), ERR_OK },
		{ KEEPER_SIGN_BUNDLE, NAMED("a/..b/.c/d..."), ERR_OK },
		/* shapes */
		{ KEEPER_SIGN_BUNDLE, "{}", ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, SIGN("\"files\":\"\""), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, SIGN("\"files\":[]"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, SIGN("\"files\":null"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, SIGN("\"files\":\"x\""), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, SIGN("\"file\":[]"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES("\",\"scope\":\"x"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES("\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES("a\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH "  a"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH "\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH " a\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH "\\ta\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH " *a\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH "  a  b\\n"), ERR_OK },
		/* keys */
		{ KEEPER_SIGN_BUNDLE, FILES("\",\"key\":\"x"), ERR_NOT_FOUND },
		{ KEEPER_SIGN_BUNDLE, FILES("\",\"key\":\""), ERR_NOT_FOUND },
		{ KEEPER_SIGN_BUNDLE,
		    SIGN("\"key\":1,\"files\":\"" HASH "  .manifest\\n\""),
		    ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE,
		    SIGN("\"key\":null,\"files\":\"" HASH "  .manifest\\n\""),
		    ERR_INVALID },
		/* names */
		{ KEEPER_SIGN_BUNDLE, NAMED(""), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("/etc/passwd"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED(".."), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("."), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("../a"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a/../b"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a/.."), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("./a"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a//b"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a/"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a\\rb"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a\\u007f"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED(".signatures.json"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a/.signatures.json"),
		    ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED("a/xsignatures.json"),
		    ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED(".manifest"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, NAMED(".a"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, SIGN("\"files\":\"" HASH "  a.rego\\n\""),
		    ERR_INVALID },
		/* hashes */
		{ KEEPER_SIGN_BUNDLE, FILES("  a\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE, FILES(HASH "0  a\\n"), ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE,
		    FILES("E3B0C44298FC1C149AFBF4C8996FB92427AE41E464"
			  "9B934CA495991B7852B855  a\\n"),
		    ERR_INVALID },
		/* bundles and revisions */
		{ KEEPER_SIGN_BUNDLE,
		    "{\"bundle\":\"discovery/prod\",\"revision\":\"" REVISION
			END,
		    ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE,
		    "{\"bundle\":\"preview/1\",\"revision\":\"" REVISION END,
		    ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE,
		    "{\"bundle\":\".a\",\"revision\":\"" REVISION END,
		    ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE,
		    "{\"bundle\":\"\",\"revision\":\"" REVISION END,
		    ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE,
		    "{\"bundle\":\"a\",\"revision\":\"main" END, ERR_INVALID },
		{ KEEPER_SIGN_BUNDLE,
		    "{\"bundle\":\"a\",\"revision\":\"" REVISION "0" END,
		    ERR_INVALID },
		/* the other kinds */
		{ KEEPER_VERIFY, "{}", ERR_INVALID },
		{ KEEPER_VERIFY, "{\"key\":\"current\"}", ERR_INVALID },
		{ KEEPER_VERIFY, "{\"key\":\"current\",\"jws\":1}",
		    ERR_INVALID },
		{ KEEPER_VERIFY, "{\"key\":\"current\",\"jws\":\"\"}",
		    ERR_INVALID },
		{ KEEPER_VERIFY, "{\"key\":\"current\",\"jws\":\"a.b.c\"}",
		    ERR_INVALID },
		{ KEEPER_VERIFY,
		    "{\"key\":\"current\",\"jws\":\"a.b.c\",\"x\":1}",
		    ERR_INVALID },
		{ KEEPER_VERIFY, "{\"key\":\"x\",\"jws\":\"a.b.c\"}",
		    ERR_NOT_FOUND },
		{ KEEPER_KEYS, "{\"private\":true}", ERR_INVALID },
		{ KEEPER_RETIRE, "{}", ERR_INVALID },
		{ KEEPER_RETIRE, "{\"key\":\"x\"}", ERR_NOT_FOUND },
		{ 99, "{}", ERR_DENIED },
		{ 106, FILES(""), ERR_DENIED },
		{ 1, "{}", ERR_DENIED },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *payload = json_loads(cases[i].payload, 0, NULL);
		struct err e = { 0 };

		if (ask(f, cases[i].kind, payload, NULL, &e) != cases[i].code)
			fail_msg("%s: %s", cases[i].payload, e.text);
	}
	still_signs(f);
}

static void
names_have_limits(void **state)
{
	struct fixture *f = *state;

	for (size_t over = 0; over <= 1; over++) {
		char bundle[65], name[4098];
		AUTO_STR lines = NULL;
		struct err e = { 0 };

		memset(bundle, 'b', sizeof bundle);
		bundle[63 + over] = '\0';
		if (ask(f, KEEPER_SIGN_BUNDLE,
			json_pack("{s:s,s:s,s:s}", "bundle", bundle, "revision",
			    REVISION, "files", GOOD),
			NULL, &e) != (over > 0 ? ERR_INVALID : ERR_OK))
			fail_msg("%s", e.text);
		memset(name, 'n', sizeof name);
		name[4096 + over] = '\0';
		lines = mem_printf(LINE(".manifest") HASH "  %s\n", name);
		if (ask(f, KEEPER_SIGN_BUNDLE,
			json_pack("{s:s,s:s,s:s}", "bundle", "b", "revision",
			    REVISION, "files", lines),
			NULL, &e) != (over > 0 ? ERR_INVALID : ERR_OK))
			fail_msg("%s", e.text);
	}
}

/* Tens of thousands of files, as the pipeline sends them. */
static void
big_lists(void **state)
{
	enum { MANY = 50000 };
	struct fixture *f = *state;
	struct jws_claims c = { 0 };
	struct jws_file *list = mem_array(MANY + 2, sizeof *list);
	AUTO_STR id = NULL;
	AUTO_BUF jws = { 0 };
	struct err e;

	list[0] = files[0];
	for (size_t i = 1; i <= MANY; i++)
		list[i] =
		    (struct jws_file){ mem_printf("policies/%06zu.rego", i),
			    HASH };
	buf_init(&jws, JWS_SIZE_MAX);
	start_caller(f);
	OK(keeper_sign(f->caller, &jws, &id, NULL, "authz", REVISION, list,
	    MANY + 1, &e));
	OK(jws_verify(&c, jws.data, jws.len, f->keys[0], &e));
	assert_int_equal(c.count, MANY + 1);
	jws_claims_clear(&c);

	/* The last one twice; and a name that is two lines. */
	list[MANY + 1] = list[MANY];
	assert_int_equal(keeper_sign(f->caller, &jws, &id, NULL, "authz",
			     REVISION, list, MANY + 2, &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "listed twice"));
	list[MANY + 1] = (struct jws_file){ "q\n" LINE("r"), HASH };
	assert_int_equal(keeper_sign(f->caller, &jws, &id, NULL, "authz",
			     REVISION, list, MANY + 2, &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "line break"));
	stop_caller(f);
	for (size_t i = 1; i <= MANY; i++)
		mem_free((void *)(uintptr_t)list[i].name);
	mem_free(list);
	still_signs(f);
}

static enum err_code
sign_with(struct fixture *f, const int *fds, size_t count)
{
	struct err e;

	return ask_with(f, KEEPER_SIGN_BUNDLE,
	    json_pack("{s:s,s:s}", "bundle", "authz", "revision", REVISION),
	    fds, count, NULL, &e);
}

/* A list is memory that nobody can change any more, and text, and one. */
static void
odd_lists_are_refused(void **state)
{
	static const char nul[] = LINE(".manifest") HASH "  a\0b\n";
	static const char bad[] = LINE(".manifest") LINE("\xff.rego");
	struct fixture *f = *state;
	AUTO_STR path = file_path(f->dir, "list");
	int fds[2];
	struct err e;

	OK(file_memory(&fds[0], "list", GOOD, strlen(GOOD), &e));
	fds[1] = fds[0];
	assert_int_equal(sign_with(f, fds, 1), ERR_OK);
	assert_int_equal(sign_with(f, fds, 2), ERR_INVALID);
	assert_int_equal(sign_with(f, fds, 0), ERR_INVALID);
	(void)close(fds[0]);
	OK(file_memory(&fds[0], "list", nul, sizeof nul - 1, &e));
	assert_int_equal(sign_with(f, fds, 1), ERR_INVALID);
	(void)close(fds[0]);
	OK(file_memory(&fds[0], "list", bad, sizeof bad - 1, &e));
	assert_int_equal(sign_with(f, fds, 1), ERR_INVALID);
	(void)close(fds[0]);

	tool_write(f->dir, "list", GOOD, strlen(GOOD));
	fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(sign_with(f, fds, 1), ERR_INVALID);
	(void)close(fds[0]);
	fds[0] = memfd_create("list", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fds[0], GOOD, strlen(GOOD)), strlen(GOOD));
	assert_int_equal(sign_with(f, fds, 1), ERR_INVALID);
	assert_int_equal(fcntl(fds[0], F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(sign_with(f, fds, 1), ERR_INVALID);
	assert_int_equal(fcntl(fds[0], F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(sign_with(f, fds, 1), ERR_OK);
	(void)close(fds[0]);
	still_signs(f);
}

/* Not even a message: what a process that was taken over may write. */
static void
raw_bytes_and_descriptors(void **state)
{
	static const uint32_t nothing[] = { 0 };
	struct fixture *f = *state;
	char bytes[512];
	struct message m = { 0 };
	json_t *empty = json_object();
	struct err e;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	memset(bytes, 0x5a, sizeof bytes);
	for (size_t len = 1; len <= sizeof bytes; len *= 2)
		assert_int_equal(send(f->fds[0], bytes, len, MSG_NOSIGNAL),
		    len);
	OK(channel_send(f->channel, KEEPER_KEYS, 1000,
	    clock_mono_ms() + PATIENCE_MS, empty, &fd, 1, PATIENCE_MS, &e));
	do {
		message_clear(&m);
		OK(channel_receive(f->channel, &m, nothing, PATIENCE_MS, &e));
	} while (m.id != 1000);
	assert_int_equal(message_error(&m, &e), ERR_INVALID);
	message_clear(&m);
	json_decref(empty);
	(void)close(fd);
	still_signs(f);
}

/* The rules that the keeper takes upon itself, with files at hand. */
static void
rules_leave_no_file_and_no_socket(void **state)
{
	struct fixture *f = *state;
	AUTO_STR key = file_path(f->dir, "current.key");
	AUTO_STR other = file_path(f->dir, "new");
	struct confine_rules rules;
	struct err e;
	pid_t pid;

	assert_int_equal(access(key, R_OK), 0);
	keeper_rules(&rules, false);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *const argv[] = { key, NULL };
		int bad = 0;

		if (confine_self(&rules, &e) != ERR_OK)
			_exit(100);
		bad |= (open(key, O_RDONLY) >= 0) << 0;
		bad |= (open("/", O_RDONLY | O_DIRECTORY) >= 0) << 1;
		bad |= (open(other, O_WRONLY | O_CREAT, 0600) >= 0) << 2;
		bad |= (socket(AF_INET, SOCK_STREAM, 0) >= 0) << 3;
		bad |= (socket(AF_UNIX, SOCK_STREAM, 0) >= 0) << 4;
		bad |= (execv("/bin/true", argv) == 0) << 5;
		bad |= (kill(getppid(), 0) == 0) << 6;
		_exit(bad);
	}
	assert_int_equal(wait_for(pid), 0);
}

/* A line of /proc/PID/status. */
static bool
status_says(pid_t pid, const char *line)
{
	AUTO_STR path = mem_printf("/proc/%d/status", (int)pid);
	AUTO_BUF text = { 0 };

	buf_init(&text, 64 * 1024);
	tool_read(&text, path);
	return strstr(text.data, line) != NULL;
}

static void
the_live_keeper_is_confined(void **state)
{
	struct fixture *f = *state;

	assert_true(status_says(f->pid, "\nSeccomp:\t2\n"));
	assert_true(status_says(f->pid, "\nNoNewPrivs:\t1\n"));
}

/* Its folder may vanish: it has what it needs. */
static void
needs_no_file_after_its_start(void **state)
{
	struct fixture *f = *state;
	struct err e;

	still_signs(f);
	OK(file_remove_tree(f->dir, &e));
	signs_with_every_key(state);
	OK(file_make_dirs(f->dir, &e));
}

static void
ends_on_term(void **state)
{
	struct fixture *f = *state;

	still_signs(f);
	assert_int_equal(kill(f->pid, SIGINT), 0); /* a terminal's; not its */
	still_signs(f);
	assert_int_equal(kill(f->pid, SIGTERM), 0);
	assert_int_equal(wait_for(f->pid), 0);
	f->pid = 0;
}

static void
ends_when_the_pair_is_closed(void **state)
{
	struct fixture *f = *state;

	still_signs(f);
	for (size_t i = 0; i < COUNT(f->fds); i++) {
		assert_int_equal(close(f->fds[i]), 0);
		f->fds[i] = -1;
	}
	assert_int_equal(wait_for(f->pid), 0);
	f->pid = 0;
}

/* The pair outlives the process: requests wait in it for the next one. */
static void
a_new_one_takes_over(void **state)
{
	struct fixture *f = *state;
	AUTO(key, late) = tool_key("late", KEY_ES256);
	struct err e;

	assert_int_equal(kill(f->pid, SIGKILL), 0);
	assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
	OK(key_ring_add(f->dir, late, KEY_BUNDLE, &e));
	start(f);
	OK(ask(f, KEEPER_SIGN_BUNDLE,
	    json_pack("{s:s,s:s,s:s,s:s}", "key", "late", "bundle", "authz",
		"revision", REVISION, "files", GOOD),
	    NULL, &e));
}

static void
bad_rings_do_not_start(void **state)
{
	struct fixture *f = *state;

	(void)kill(f->pid, SIGTERM);
	assert_int_equal(wait_for(f->pid), 0);
	tool_write(f->dir, "current.key", "junk", 4);
	start(f);
	assert_int_equal(wait_for(f->pid), 1);
	f->pid = 0;
}

static void
without_a_current_key(void **state)
{
	struct fixture *f = *state;
	AUTO_STR path = file_path(f->dir, "current");
	json_t *reply = NULL;
	struct err e;

	(void)kill(f->pid, SIGTERM);
	assert_int_equal(wait_for(f->pid), 0);
	assert_int_equal(unlink(path), 0);
	start(f);
	assert_int_equal(ask(f, KEEPER_SIGN_BUNDLE,
			     json_pack("{s:s,s:s,s:s}", "bundle", "authz",
				 "revision", REVISION, "files", GOOD),
			     NULL, &e),
	    ERR_NOT_FOUND);
	OK(ask(f, KEEPER_KEYS, json_object(), &reply, &e));
	assert_true(json_is_null(json_object_get(reply, "current")));
	json_decref(reply);
}

#define WITH_KEEPER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_KEEPER(signs_for_the_pipeline),
		WITH_KEEPER(signs_with_every_key),
		WITH_KEEPER(tells_its_public_keys),
		WITH_KEEPER(engines_accept_it),
		WITH_KEEPER(hostile_requests_are_refused),
		WITH_KEEPER(names_have_limits),
		WITH_KEEPER(big_lists),
		WITH_KEEPER(odd_lists_are_refused),
		WITH_KEEPER(raw_bytes_and_descriptors),
		WITH_KEEPER(rules_leave_no_file_and_no_socket),
		WITH_KEEPER(the_live_keeper_is_confined),
		WITH_KEEPER(needs_no_file_after_its_start),
		WITH_KEEPER(ends_on_term),
		WITH_KEEPER(ends_when_the_pair_is_closed),
		WITH_KEEPER(a_new_one_takes_over),
		WITH_KEEPER(bad_rings_do_not_start),
		WITH_KEEPER(without_a_current_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
