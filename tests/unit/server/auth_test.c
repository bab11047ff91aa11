#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clusters/store_write.h"
#include "core/mem.h"
#include "server/http/auth.h"
#include "tests/unit/clusters/world.h"

static void
reads_bearer_tokens(void **state)
{
	static const struct {
		const char *header;
		enum auth_result result;
		const char *token;
	} rows[] = {
		{ NULL, AUTH_NONE, NULL },
		{ "Bearer abc", AUTH_KNOWN, "abc" },
		{ "bearer abc", AUTH_KNOWN, "abc" },
		{ "BEARER   abc==  ", AUTH_KNOWN, "abc==" },
		{ "Bearer a-b._~+/9=", AUTH_KNOWN, "a-b._~+/9=" },
		{ "", AUTH_WRONG, NULL },
		{ "Bearer", AUTH_WRONG, NULL },
		{ "Bearer ", AUTH_WRONG, NULL },
		{ "Bearer =", AUTH_WRONG, NULL },
		{ "Bearer a b", AUTH_WRONG, NULL },
		{ "Bearer a,b", AUTH_WRONG, NULL },
		{ "Bearer a=b", AUTH_WRONG, NULL },
		{ "Bearer \"abc\"", AUTH_WRONG, NULL },
		{ "Bearer\tabc", AUTH_WRONG, NULL },
		{ "Basic YTpi", AUTH_WRONG, NULL },
		{ "Bearerabc", AUTH_WRONG, NULL },
		{ "Bearer a\xff", AUTH_WRONG, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char token[AUTH_TOKEN_MAX + 1];

		assert_int_equal(auth_bearer(token, rows[i].header),
		    rows[i].result);
		if (rows[i].token != NULL)
			assert_string_equal(token, rows[i].token);
	}
}

static void
limits_tokens(void **state)
{
	char token[AUTH_TOKEN_MAX + 1];
	char header[7 + AUTH_TOKEN_MAX + 2] = "Bearer ";

	(void)state;
	memset(header + 7, 'a', AUTH_TOKEN_MAX);
	assert_int_equal(auth_bearer(token, header), AUTH_KNOWN);
	assert_int_equal(strlen(token), AUTH_TOKEN_MAX);
	header[7 + AUTH_TOKEN_MAX] = 'a';
	assert_int_equal(auth_bearer(token, header), AUTH_WRONG);
	header[7 + AUTH_TOKEN_MAX] = '=';
	assert_int_equal(auth_bearer(token, header), AUTH_WRONG);
}

/* ---- tokens that were seen before ---- */

enum { TOKENS = 600 };

static struct world w;
static struct shelf *shelf;
static char secrets[TOKENS][STORE_TOKEN_SIZE];

static int
begin(void **state)
{
	(void)state;
	world_open(&w);
	shelf = shelf_new(w.dir, 1 << 20);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	shelf_free(shelf);
	world_close(&w);
	return 0;
}

static void
must(enum err_code code)
{
	if (code != ERR_OK)
		fail_msg("%s", w.e.text);
}

/* Tokens from t0 on, as many as count. */
static void
create(size_t count, int64_t expires_ms)
{
	must(store_begin(w.context.store, &w.e));
	for (size_t i = 0; i < count; i++) {
		AUTO_STR name = mem_printf("t%zu", i);
		struct store_token_row row = { .name = name,
			.by = "admin",
			.role = SCOPE_ENGINE,
			.expires_ms = expires_ms };

		must(store_create_token(w.context.store, &row, secrets[i],
		    &w.e));
	}
	must(store_commit(w.context.store, &w.e));
}

static void
revoke(const char *name)
{
	must(store_begin(w.context.store, &w.e));
	must(store_revoke_token(w.context.store, name, &w.e));
	must(store_commit(w.context.store, &w.e));
}

static struct catalog *
load(struct catalog *previous)
{
	struct catalog *c = NULL;

	must(catalog_load(&c, w.context.store, shelf, previous, &w.e));
	return c;
}

static enum auth_result
check(const struct catalog_token **out, const struct catalog *c, size_t i,
    int64_t wall_ms)
{
	AUTO_STR header = mem_printf("Bearer %s", secrets[i]);

	*out = NULL;
	return auth_check(out, c, header, wall_ms);
}

/* The second time it is remembered. */
static void
assert_known(const struct catalog *c, size_t i)
{
	AUTO_STR name = mem_printf("t%zu", i);
	const struct catalog_token *t;

	for (int j = 0; j < 2; j++) {
		assert_int_equal(check(&t, c, i, 1), AUTH_KNOWN);
		assert_string_equal(t->name, name);
	}
}

static void
forgets_revoked_tokens(void **state)
{
	struct catalog *c, *next;
	const struct catalog_token *before, *t;

	(void)state;
	create(2, 0);
	c = load(NULL);
	assert_known(c, 0);
	assert_known(c, 1);
	revoke("t0");
	next = load(c);
	assert_ptr_not_equal(next, c);
	assert_int_equal(check(&t, next, 0, 1), AUTH_WRONG);
	assert_null(t);
	/* The other one is that of the new catalog, not the old one's. */
	assert_int_equal(check(&before, c, 1, 1), AUTH_KNOWN);
	catalog_unref(c);
	assert_int_equal(check(&t, next, 1, 1), AUTH_KNOWN);
	assert_ptr_not_equal(t, before);
	assert_known(next, 1);
	assert_int_equal(check(&t, next, 0, 1), AUTH_WRONG);
	catalog_unref(next);
}

/* Catalogs come and go, and may lie where an earlier one lay. */
static void
tells_catalogs_apart(void **state)
{
	struct catalog *c, *next;
	const struct catalog_token *t;
	uint64_t id;

	(void)state;
	create(1, 0);
	c = load(NULL);
	id = catalog_id(c);
	assert_known(c, 0);
	revoke("t0");
	catalog_unref(c);
	next = load(NULL);
	assert_int_not_equal(catalog_id(next), id);
	assert_int_equal(check(&t, next, 0, 1), AUTH_WRONG);
	catalog_unref(next);
}

static void
remembered_tokens_expire(void **state)
{
	static const int64_t expires_ms = INT64_C(4000000000000);
	struct catalog *c;
	const struct catalog_token *t;

	(void)state;
	create(1, expires_ms);
	c = load(NULL);
	assert_known(c, 0);
	assert_int_equal(check(&t, c, 0, expires_ms - 1), AUTH_KNOWN);
	assert_int_equal(check(&t, c, 0, expires_ms), AUTH_WRONG);
	assert_null(t);
	catalog_unref(c);
}

/* Of so many some share a slot of what is remembered: nobody gets another's
 * rights by that, and unknown ones get none. */
static void
keeps_many_tokens_apart(void **state)
{
	struct catalog *c;
	const struct catalog_token *t;

	(void)state;
	create(TOKENS, 0);
	c = load(NULL);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < TOKENS; i++)
			assert_known(c, i);
	for (size_t i = 0; i < TOKENS; i++) {
		char *last = &secrets[i][strlen(secrets[i]) - 1];

		*last = *last == 'a' ? 'b' : 'a';
		assert_int_equal(check(&t, c, i, 1), AUTH_WRONG);
	}
	catalog_unref(c);
}

#define REMEMBERS(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_bearer_tokens),
		cmocka_unit_test(limits_tokens),
		REMEMBERS(forgets_revoked_tokens),
		REMEMBERS(tells_catalogs_apart),
		REMEMBERS(remembered_tokens_expire),
		REMEMBERS(keeps_many_tokens_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
