#include "server/api/configuration_api.h"

#include <string.h>

#include "core/clock.h"
#include "server/http/reply.h"

/* Of a list with ", " between. */
static json_t *
split(const char *names)
{
	json_t *list = json_array();

	while (*names != '\0') {
		size_t len = strcspn(names, ",");

		(void)json_array_append_new(list, json_stringn(names, len));
		names += len;
		names += strspn(names, ", ");
	}
	return list;
}

static json_t *
time_or_null(int64_t ms)
{
	char text[CLOCK_TEXT_SIZE];

	if (ms == 0)
		return json_null();
	clock_text(text, ms);
	return json_string(text);
}

/* A file that is refused is newer than one that does not hold. */
void
configuration_api_get(struct request *r)
{
	struct conf_state_view v;
	const char *state = "loaded";
	const char *fault = NULL;
	int64_t since_ms = 0;

	service_conf_state(r->service, &v);
	if (v.failed_ms != 0) {
		state = "failed";
		fault = v.failure;
		since_ms = v.failed_ms;
	}
	if (v.refused_ms != 0) {
		state = "refused";
		fault = v.fault;
		since_ms = v.refused_ms;
	}
	reply_json(r, 200,
	    json_pack("{s:s, s:o, s:o, s:s?, s:o}", "state", state, "loaded_at",
		time_or_null(v.loaded_ms), "since", time_or_null(since_ms),
		"fault", fault, "pending", split(v.pending)));
}
