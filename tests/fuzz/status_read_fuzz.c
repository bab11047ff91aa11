/* What engines send of themselves: a status report, decision logs, gzip or
 * not. */

#include "clusters/payload.h"
#include "server/api/status_read.h"
#include "server/http/inflate.h"
#include "tests/fuzz/fuzz.h"

enum { INFLATED_MAX = 4 << 20 };

static void
check_report(const struct engines_report *r)
{
	assert(memchr(r->code, '\0', sizeof r->code) != NULL);
	assert(memchr(r->message, '\0', sizeof r->message) != NULL);
	assert(memchr(r->file, '\0', sizeof r->file) != NULL);
	assert(r->row >= 0);
}

static void
read_status(const json_t *status)
{
	const char *version = status_version(status);
	const char *label = status_label(status);
	struct engines_report r;
	const char *name;
	json_t *bundle;

	assert(version == NULL || strlen(version) < ENGINES_VERSION_SIZE);
	assert(label == NULL || strlen(label) <= STATUS_LABEL_MAX);
	status_plugins(&r, status, 1);
	check_report(&r);
	json_object_foreach(payload_unconst(json_object_get(status, "bundles")),
	    name, bundle) {
		status_error(&r, bundle, 1);
		check_report(&r);
	}
}

static void
read_body(const char *data, size_t len)
{
	json_t *j = NULL;
	const json_t *decision;
	size_t i;

	if (status_read_json(&j, data, len, NULL) != ERR_OK)
		return;
	read_status(j);
	json_array_foreach(j, i, decision)
		assert(status_revision(decision) != NULL);
	json_decref(j);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF inflated = { 0 };

	read_body((const char *)data, size);
	if (inflate_gzip(&inflated, (const char *)data, size, INFLATED_MAX,
		NULL) == ERR_OK)
		read_body(inflated.data, inflated.len);
	return 0;
}
