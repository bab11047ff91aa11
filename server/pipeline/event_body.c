#include "server/pipeline/event_body.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "core/clock.h"
#include "core/mem.h"

enum { TEXT_MAX = 16 * 1024, REVISION_SHOWN = 12 };

/* ---- for machines ---- */

static char *
dump(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	char *copy = mem_strdup(text != NULL ? text : "{}");

	free(text);
	json_decref(j);
	return copy;
}

static char *
edict_body(const struct outbox_event *v, const char *server)
{
	char id[OUTBOX_ID_SIZE];
	char at[CLOCK_TEXT_SIZE];

	outbox_event_id(id, v);
	clock_text(at, v->at_ms);
	return dump(json_pack("{s:s, s:s, s:s, s:s, s:s?, s:O}", "id", id,
	    "event", v->kind, "at", at, "subject", v->subject, "server", server,
	    "data", v->detail));
}

/* ---- for people ---- */

/* Slack reads <…> as mentions and links, and wants these three escaped. Others
 * that take the same read @all, [text](url) and `code` besides: an invisible
 * space keeps those apart. */
static void
add_text(struct buf *out, const char *text)
{
	static const char invisible[] = "\xe2\x80\x8b";

	for (; *text != '\0'; text++)
		switch (*text) {
		case '&':
			buf_add_str(out, "&amp;");
			break;
		case '<':
			buf_add_str(out, "&lt;");
			break;
		case '>':
			buf_add_str(out, "&gt;");
			break;
		case '`':
			buf_add_char(out, '\'');
			break;
		case '@':
		case ']':
		case ':': /* no scheme, no emoji */
			buf_add_char(out, *text);
			buf_add_str(out, invisible);
			break;
		case '*':
			buf_add_str(out, "\u2217"); /* the operator */
			break;
		case '~':
			buf_add_str(out, "\u223c");
			break;
		default:
			buf_add_char(out, *text);
		}
}

static void
add_list(struct buf *out, const json_t *list)
{
	size_t count = json_array_size(list);

	for (size_t i = 0; i < count; i++) {
		buf_add_str(out, i == 0 ? "" : ", ");
		add_text(out, json_string_value(json_array_get(list, i)));
	}
	if (count == OUTBOX_NAMES_MAX)
		buf_add_str(out, " and perhaps more");
}

static void
add_value(struct buf *out, const char *name, const json_t *value)
{
	if (json_is_array(value))
		add_list(out, value);
	else if (json_is_integer(value))
		buf_printf(out, "%" PRId64, (int64_t)json_integer_value(value));
	else if (json_is_string(value) &&
	    (strcmp(name, "revision") == 0 || strcmp(name, "commit") == 0))
		buf_printf(out, "%.*s", REVISION_SHOWN,
		    json_string_value(value));
	else if (json_is_string(value))
		add_text(out, json_string_value(value));
}

/* {name} is a member of the detail. A part in [] is left out when its member is
 * missing or null. */
static const struct {
	const char *kind, *text;
} texts[] = {
	{ "verdict.failed",
	    "*Not published:* commit {commit} of {repository}"
	    "[ \"{commit_subject}\"]: {state}[ ({stage})]" },
	{ "published",
	    "*Published:* commit {commit} of {repository}"
	    "[ \"{commit_subject}\"]: {bundles} in {clusters}" },
	{ "held",
	    "*Held:* {bundle} in {cluster} at {revision}, {action} by {by}"
	    "[: {reason}]" },
	{ "resumed",
	    "*Resumed:* {bundle} in {cluster} follows again, {action} by "
	    "{by}[: {reason}]" },
	{ "blocked",
	    "*Blocked:* {bundle} in {cluster} stays at {revision}: {cause}" },
	{ "rejecting",
	    "*Rejected:* {engines} engines of {cluster} do not activate "
	    "{bundle} at {revision}[ ({code})]" },
	{ "healed", "*Healed:* no engine rejects {subject} any more" },
	{ "fetch.stale",
	    "*Stale:* {repository} was not fetched since {since}" },
	{ "fetch.fresh", "*Fresh:* {subject} is fetched again" },
	{ "certificate.expiring",
	    "*Expiring:* the certificate {certificate} is good until "
	    "{expires}" },
	{ "configuration.refused",
	    "*Refused:* {subject} was changed and is not good; what was read "
	    "before holds" },
	{ "configuration.failed",
	    "*Not in force:* {subject} was changed, and http cannot serve with "
	    "it; what was read before holds" },
};

static const json_t *
member(const struct outbox_event *v, const char *name, size_t len,
    char found[32])
{
	(void)snprintf(found, 32, "%.*s", (int)len, name);
	return json_object_get(v->detail, found);
}

/* Is what the first {name} in this part stands for there? */
static bool
has_member(const struct outbox_event *v, const char *part)
{
	const char *open = strchr(part, '{');
	char name[32];

	return open != NULL &&
	    !json_is_null(member(v, open + 1, strcspn(open + 1, "}"), name)) &&
	    json_object_get(v->detail, name) != NULL;
}

static const char *
add_member(struct buf *out, const struct outbox_event *v, const char *text)
{
	size_t len = strcspn(text, "}");
	char name[32];
	const json_t *value = member(v, text, len, name);

	if (strcmp(name, "subject") == 0)
		add_text(out, v->subject);
	else
		add_value(out, name, value);
	return text + len;
}

static void
add_sentence(struct buf *out, const struct outbox_event *v, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '{')
			text = add_member(out, v, text + 1);
		else if (*text == '[' && !has_member(v, text))
			text += strcspn(text, "]");
		else if (*text != '[' && *text != ']')
			buf_add_char(out, *text);
}

static char *
slack_body(const struct outbox_event *v)
{
	AUTO_BUF out = { 0 };

	buf_init(&out, TEXT_MAX);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(texts[i].kind, v->kind) == 0)
			add_sentence(&out, v, texts[i].text);
	return dump(json_pack("{s:s, s:b, s:b}", "text", out.data,
	    "unfurl_links", 0, "unfurl_media", 0));
}

char *
event_body(const struct outbox_event *v, enum conf_event_kind kind,
    const char *server)
{
	return kind == EVENTS_SLACK ? slack_body(v) : edict_body(v, server);
}

bool
event_is_kind(const char *name)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(texts[i].kind, name) == 0)
			return true;
	return false;
}
