#include <stdlib.h>
#include <string.h>

#include "server/http/jwks.h"
#include "server/supervisor/call.h"

enum { EVENT_ANSWER_MAX = 64 * 1024, KEYS_TIMEOUT_MS = 15000 };

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

static enum err_code
find_keys(struct call_target *out, const struct conf *c, const char *name,
    struct err *e)
{
	const struct conf_jwt *j = c->access.jwt.items;
	char *end = NULL;
	size_t i = *name >= '0' && *name <= '9' ? strtoul(name, &end, 10)
						: SIZE_MAX;

	if (end == NULL || *end != '\0' || i >= c->access.jwt.count ||
	    j[i].jwks_url == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "no target access.jwt[%.20s].jwks_url", name);
	*out = (struct call_target){ .url = j[i].jwks_url,
		.proof = j[i].token_file != NULL ? CALL_BEARER : CALL_NO_PROOF,
		.secret_files = { j[i].token_file },
		.ca_file = j[i].ca_file,
		.answer_max = JWKS_SIZE_MAX,
		.timeout_ms = KEYS_TIMEOUT_MS };
	return ERR_OK;
}

/* What may be called at all, by the reference's beginning. */
static const struct {
	const char *prefix;
	enum err_code (*find)(struct call_target *out, const struct conf *c,
	    const char *name, struct err *e);
} kinds[] = {
	{ "events/", find_event },
	{ "jwks/", find_keys },
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
