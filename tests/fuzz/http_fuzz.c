/* What an HTTP request says: its path, and the headers that make a poll
 * and say who asks. */

#include "server/http/auth.h"
#include "server/http/poll.h"
#include "server/http/route.h"
#include "tests/fuzz/fuzz.h"

#define ETAG "\"sha256:0123\""

static const struct route table[] = { { .method = "GET",
					  .pattern = "/bundles/{bundle}" },
	{ .method = "GET", .pattern = "/clusters/{cluster}/bundles/{bundle}" },
	{ .method = "GET", .pattern = "/v1/commits/{rev}", .query = "repo" },
	{ .method = "POST", .pattern = "/v1/commits/{rev}/retest" },
	{ .method = "GET", .pattern = "/v1/operations/{id}" },
	{ .method = "POST", .pattern = "/v1/operations/{id}" },
	{ .method = "GET", .pattern = "/healthz" }, { 0 } };

static void
find_route(const char *method, const char *path)
{
	struct route_match m;
	enum route_result result = route_find(&m, table, method, path);

	assert(result != ROUTE_OTHER_METHOD || m.allow[0] != '\0');
	if (result != ROUTE_FOUND)
		return;
	assert(m.route != NULL && m.param_count <= ROUTE_PARAMS_MAX);
	for (size_t i = 0; i < m.param_count; i++) {
		const char *value = m.params[i].value;

		assert(value[0] != '\0');
		assert(fuzz_is_text(value, strlen(value), ""));
	}
}

static void
decode(const char *text, size_t len)
{
	static const size_t sizes[] = { 1, 2, 16, ROUTE_PARAM_SIZE, 8192 };

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char *out = mem_alloc(sizes[i]);

		if (route_decode(out, sizes[i], text, len))
			assert(fuzz_is_text(out, strlen(out), ""));
		mem_free(out);
	}
}

static void
authorize(const char *header)
{
	char token[AUTH_TOKEN_MAX + 1];

	if (auth_bearer(token, header) != AUTH_KNOWN)
		return;
	assert(token[0] != '\0' && strstr(header, token) != NULL);
	assert(fuzz_is_text(token, strlen(token), ""));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STR text = mem_strndup((const char *)data, size);
	int64_t wait_s = poll_wait_s(text);

	assert(wait_s >= 0 && wait_s <= POLL_WAIT_MAX);
	if (poll_has(text, ETAG))
		assert(strchr(text, '*') != NULL || strstr(text, ETAG) != NULL);
	authorize(text);
	find_route("GET", text);
	find_route("HEAD", text);
	find_route("POST", text);
	find_route("DELETE", text);
	decode((const char *)data, size);
	return 0;
}
