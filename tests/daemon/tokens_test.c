#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/daemon/fixture.h"

static long
status_of(const char *path, const char *token)
{
	return daemon_get(path, token, NULL).status;
}

/* Until requests with this token end so. */
struct wish {
	const char *path, *token;
	long status;
};

static bool
is_answered(void *arg)
{
	const struct wish *w = arg;

	return status_of(w->path, w->token) == w->status;
}

static int64_t
wait_status(const char *path, const char *token, long status)
{
	struct wish w = { path, token, status };

	return daemon_wait(daemon_printf("%s is answered %ld", path, status),
	    is_answered, &w, DAEMON_DEADLINE_MS);
}

SCENARIO(tokens_are_made_listed_and_revoked_by_command)
{
	const char *made, *list, *token;
	struct shell again, unknown;
	struct stat st;

	daemon_start_estate(daemon_estate(1));
	made = daemon_sh("edict token create eu --role engine --cluster prod-eu"
			 " --expires 90d --reason 'first site' --data-dir data"
			 " 2>/dev/null");
	assert_int_equal(strlen(made), 49);
	assert_int_equal(strncmp(made, "edict_", 6), 0);
	wait_status("/bundles/authz", made, 200);
	assert_int_equal(status_of("/clusters/prod-us/bundles/authz", made),
	    404);
	list = daemon_sh("edict token list --data-dir data");
	assert_non_null(strstr(list, "prod-eu"));
	assert_null(strstr(list, made));
	/* To a file, for its owner only. */
	daemon_sh("edict token create ada --role viewer -o ada-token"
		  " --data-dir data");
	assert_int_equal(stat(daemon_path("ada-token"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	token = daemon_sh("cat ada-token");
	wait_status("/v1/clusters", token, 200);
	daemon_sh("edict status --server %s --token-file ada-token",
	    daemon_url());
	again = daemon_try("edict token create ada --role viewer"
			   " --data-dir data");
	assert_int_equal(again.status, 1);
	assert_non_null(strstr(again.text, "already"));
	daemon_sh("edict token revoke ada --reason gone --data-dir data");
	wait_status("/v1/clusters", token, 401);
	unknown = daemon_try("edict token revoke ada --data-dir data");
	assert_int_equal(unknown.status, 1);
	assert_non_null(strstr(unknown.text, "no token is called ada"));
	/* The name is free again. */
	daemon_sh("edict token create ada --role viewer --data-dir data");
	assert_int_equal(daemon_try("edict token --data-dir data").status, 2);
	assert_int_equal(
	    daemon_try("edict token create x --data-dir data").status, 2);
	assert_int_equal(daemon_try("edict token create x --role viewer"
				    " --expires soon --data-dir data")
			     .status,
	    1);
}

SCENARIO(tokens_are_kept_as_hashes_and_never_told_again)
{
	const char *token;
	const char *list;
	const char *events;

	daemon_start_estate(daemon_estate(1));
	token = daemon_token("{\"name\":\"us\",\"role\":\"engine\","
			     "\"clusters\":[\"prod-us\"],\"reason\":\"why\"}");
	daemon_api("DELETE", "/tokens/us", NULL, 200);
	daemon_token("{\"name\":\"eu\",\"role\":\"releaser\","
		     "\"clusters\":[\"prod-*\"],\"expires_in\":60}");
	list = daemon_get("/v1/tokens", daemon_admin(), NULL).body;
	assert_non_null(strstr(list, "\"prod-*\""));
	assert_null(strstr(list, "edict_"));
	assert_null(strstr(list, "\"us\""));
	events = daemon_get("/v1/audit", daemon_admin(), NULL).body;
	assert_non_null(strstr(events, "\"token.create\""));
	assert_non_null(strstr(events, "\"token.revoke\""));
	assert_non_null(strstr(events, "\"why\""));
	assert_null(strstr(events, "edict_"));
	assert_null(strstr(daemon_log(), token));
	daemon_sh("! grep -r -q -a '%s' data", token);
	/* What was made stays over a restart, what was revoked too. */
	daemon_restart();
	wait_status("/bundles/authz", token, 401);
}

SCENARIO(pages_of_tokens)
{
	const json_t *page;
	const char *next = NULL;
	int seen = 0;

	daemon_start_estate(daemon_estate(1));
	for (int i = 0; i < 5; i++)
		daemon_token(daemon_printf("{\"name\":\"t%d\","
					   "\"role\":\"viewer\"}",
		    i));
	do {
		page = daemon_api("GET",
		    next == NULL
			? "/tokens?limit=2"
			: daemon_printf("/tokens?limit=2&next=%s", next),
		    NULL, 200);
		seen += (int)json_array_size(json_object_get(page, "items"));
		next = daemon_text(page, "next");
	} while (next != NULL);
	assert_int_equal(seen, 7); /* with admin and engine */
	daemon_api("GET", "/tokens?next=edict", NULL, 400);
}

static bool
are_waiting(void *arg)
{
	return strstr(daemon_get("/metrics", NULL, NULL).body,
		   daemon_printf("\nedict_engines_waiting %d\n",
		       *(int *)arg)) != NULL;
}

/* Held requests of a revoked token end long before their time, with an answer
 * that says why, and of others not. */
SCENARIO(revoking_ends_what_waits)
{
	const char *token, *other, *etag;
	struct answer first, ended;
	struct poll *p, *q;
	int64_t begun;
	int two = 2;

	daemon_start_estate(daemon_estate(1));
	token = daemon_token("{\"name\":\"eu\",\"role\":\"engine\","
			     "\"clusters\":[\"prod-eu\"]}");
	other = daemon_token("{\"name\":\"eu2\",\"role\":\"engine\","
			     "\"clusters\":[\"prod-eu\"]}");
	wait_status("/bundles/authz", token, 200);
	wait_status("/bundles/authz", other, 200);
	first = daemon_get("/bundles/authz", token, NULL);
	etag = answer_header(&first, "ETag");
	p = poll_start_as("e1", "/bundles/authz", token, etag, 300);
	q = poll_start_as("e2", "/bundles/authz", other, etag, 300);
	daemon_wait("two wait", are_waiting, &two, DAEMON_DEADLINE_MS);
	begun = daemon_now_ms();
	daemon_api("DELETE", "/tokens/eu", NULL, 200);
	ended = poll_end(p);
	assert_int_equal(ended.status, 401);
	print_message("ended %lld ms after it was revoked\n",
	    (long long)(daemon_now_ms() - begun));
	assert_false(poll_is_over(q));
	daemon_api("DELETE", "/tokens/eu2", NULL, 200);
	assert_int_equal(poll_end(q).status, 401);
}

SCENARIO(tokens_expire)
{
	const char *token, *etag;
	struct answer first;
	struct poll *p;

	daemon_start_estate(daemon_estate(1));
	token = daemon_token("{\"name\":\"brief\",\"role\":\"engine\","
			     "\"clusters\":[\"prod-eu\"],\"expires_in\":20}");
	wait_status("/bundles/authz", token, 200);
	first = daemon_get("/bundles/authz", token, NULL);
	etag = answer_header(&first, "ETag");
	p = poll_start("/bundles/authz", token, etag, 300);
	assert_int_equal(poll_end(p).status, 401);
	assert_int_equal(status_of("/bundles/authz", token), 401);
	assert_non_null(
	    strstr(daemon_get("/v1/tokens", daemon_admin(), NULL).body,
		"\"expired\":true"));
	/* The name is taken until it is revoked. */
	daemon_api("POST", "/tokens",
	    "{\"name\":\"brief\",\"role\":\"viewer\"}", 409);
}

SCENARIO(wrong_tokens_are_not_made)
{
	static const struct {
		const char *body;
		long status;
	} rows[] = {
		{ "{}", 400 },
		{ "{\"name\":\"x\"}", 400 },
		{ "{\"name\":\"x\",\"role\":\"root\"}", 400 },
		{ "{\"name\":\"X\",\"role\":\"viewer\"}", 400 },
		{ "{\"name\":\"x\",\"role\":\"viewer\",\"more\":1}", 400 },
		{ "{\"name\":\"x\",\"role\":\"viewer\",\"token\":\"y\"}", 400 },
		{ "{\"name\":\"x\",\"role\":\"viewer\",\"expires_in\":0}",
		    400 },
		{ "{\"name\":\"x\",\"role\":\"viewer\",\"expires_in\":1.5}",
		    400 },
		{ "{\"name\":\"x\",\"role\":\"viewer\","
		  "\"expires_in\":316224001}",
		    400 },
		{ "{\"name\":\"x\",\"role\":\"viewer\",\"clusters\":\"a\"}",
		    400 },
		{ "{\"name\":\"x\",\"role\":\"viewer\",\"clusters\":[\"A\"]}",
		    400 },
		{ "{\"name\":\"x\",\"role\":\"engine\"}", 400 },
		{ "{\"name\":\"x\",\"role\":\"engine\",\"clusters\":[\"a\"],"
		  "\"bundles\":[\"a\"]}",
		    400 },
		{ "{\"name\":\"x\",\"role\":\"admin\",\"clusters\":[\"a\"]}",
		    400 },
		{ "{\"name\":\"x\",\"role\":\"admin\",\"bundles\":[\"a\"]}",
		    400 },
		{ "{\"name\":\"admin\",\"role\":\"viewer\"}", 409 },
	};
	const char *second;

	daemon_start_estate(daemon_estate(1));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		daemon_api("POST", "/tokens", rows[i].body, rows[i].status);
	assert_null(strstr(daemon_get("/v1/tokens", daemon_admin(), NULL).body,
	    "\"x\""));
	/* Nobody locks everybody out. */
	daemon_api("DELETE", "/tokens/admin", NULL, 409);
	daemon_api("DELETE", "/tokens/nobody", NULL, 404);
	second = daemon_token("{\"name\":\"second\",\"role\":\"admin\"}");
	daemon_api("DELETE", "/tokens/admin", NULL, 200);
	wait_status("/v1/tokens", daemon_admin(), 401);
	wait_status("/v1/tokens", second, 200);
	assert_int_equal(daemon_send(&(struct request){ .method = "DELETE",
					 .path = "/v1/tokens/second",
					 .token = second })
			     .status,
	    409);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(tokens_are_made_listed_and_revoked_by_command),
		PLAY(tokens_are_kept_as_hashes_and_never_told_again),
		PLAY(pages_of_tokens),
		PLAY(revoking_ends_what_waits),
		PLAY(tokens_expire),
		PLAY(wrong_tokens_are_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
