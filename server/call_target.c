#include <string.h>

#include "server/call.h"

enum { EVENT_ANSWER_MAX = 64 * 1024 };

static enum err_code
find_event(struct call_target *out, const struct conf *c, const char *name,
    struct err *e)
{
	static const char *const headers[] = { "X-Edict-Delivery",
		"X-Edict-Event", NULL };
	const struct conf_event_target *t = c->events.items;
	size_t i = 0;

	while (i < c->events.count && strcmp(t[i].name, name) != 0)
		i++;
	if (i == c->events.count)
		return err_set(e, ERR_NOT_FOUND, "no target events.%.63s",
		    name);
	t += i;
	*out = (struct call_target){ .url = t->url,
		.url_file = t->url_file,
		.post = true,
		.content_type = "application/json",
		.proof = t->kind == EVENTS_EDICT ? CALL_SIGNED : CALL_NO_PROOF,
		.ca_file = t->ca_file,
		.headers = headers,
		.answer_max = EVENT_ANSWER_MAX,
		.timeout_ms = t->timeout * 1000 };
	for (i = 0; i < t->secret_files.count; i++)
		out->secret_files[i] = t->secret_files.items[i];
	return ERR_OK;
}

/* What may be called at all, by the reference's beginning. */
static const struct {
	const char *prefix;
	enum err_code (*find)(struct call_target *out, const struct conf *c,
	    const char *name, struct err *e);
} kinds[] = {
	{ "events/", find_event },
};

enum err_code
call_target_find(struct call_target *out, const struct conf *c,
    const char *reference, struct err *e)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(reference, kinds[i].prefix, len) == 0)
			return kinds[i].find(out, c, reference + len, e);
	}
	return err_set(e, ERR_NOT_FOUND, "nothing to call at \"%.*s\"",
	    (int)CALL_REFERENCE_MAX, reference);
}
