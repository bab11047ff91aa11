#include "server/conf/conf_events.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "server/pipeline/event_body.h"
#include "server/supervisor/call.h"

static const char *const kind_names[] = { "edict", "slack", NULL };

const struct spec conf_event_spec[] = {
	{ "", SPEC_NAME, offsetof(struct conf_event_target, name), .max = 63 },
	{ "url", SPEC_STRING, offsetof(struct conf_event_target, url),
	    .max = CALL_URL_MAX,
	    .help = "Where to POST to, http or https. Redirects are not "
		    "followed." },
	{ "url_file", SPEC_STRING, offsetof(struct conf_event_target, url_file),
	    .max = 4096,
	    .help = "File (mode 0600) with the URL, in place of `url`: a chat "
		    "system's URL is a secret." },
	{ "kind", SPEC_ENUM, offsetof(struct conf_event_target, kind), 0, 1,
	    EVENTS_EDICT, .choices = kind_names,
	    .help = "`edict` is signed JSON, `slack` what Slack's incoming "
		    "webhooks take (as do Mattermost's and others)." },
	{ "secret_files", SPEC_STRINGS,
	    offsetof(struct conf_event_target, secret_files),
	    .max = CONF_EVENT_SECRETS_MAX,
	    .help = "Files (mode 0600) with the secret that signs; two while "
		    "it is being replaced." },
	{ "ca_file", SPEC_STRING, offsetof(struct conf_event_target, ca_file),
	    .max = 4096,
	    .help = "Certificate authorities for https; default: the "
		    "system's." },
	{ "only", SPEC_STRINGS, offsetof(struct conf_event_target, only),
	    .max = 64, .help = "Which events (docs/events.md); default: all." },
	{ "timeout", SPEC_SECONDS, offsetof(struct conf_event_target, timeout),
	    1, 60, 10, .help = "A request that takes longer has failed." },
	{ "give_up_after", SPEC_SECONDS,
	    offsetof(struct conf_event_target, give_up_after), 1, 604800, 86400,
	    .help = "An event that could not be delivered for so long is "
		    "dropped, which the audit log says." },
	{ 0 }
};

static enum err_code
check_target(const struct conf_event_target *t, struct err *e)
{
	if ((t->url != NULL) == (t->url_file != NULL))
		return err_set(e, ERR_INVALID,
		    "it needs a url or a url_file, and not both");
	if (t->kind == EVENTS_EDICT && t->secret_files.count == 0)
		return err_set(e, ERR_INVALID,
		    "kind edict is signed: write a secret (openssl rand -hex "
		    "32) to a file with mode 0600 and name it as secret_files");
	if (t->kind == EVENTS_SLACK && t->secret_files.count > 0)
		return err_set(e, ERR_INVALID,
		    "kind slack is not signed; leave secret_files out");
	for (size_t i = 0; i < t->only.count; i++)
		if (!event_is_kind(t->only.items[i]))
			return err_set(e, ERR_INVALID,
			    "only: there is no event \"%.40s\"; docs/events.md "
			    "lists them",
			    t->only.items[i]);
	/* Who knows a chat's URL may write there. */
	return t->url != NULL
	    ? call_url_check(t->url, t->kind != EVENTS_SLACK, e)
	    : ERR_OK;
}

static enum err_code
make_absolute(char **path, struct err *e)
{
	char *here;

	if (*path == NULL || **path == '/')
		return ERR_OK;
	here = get_current_dir_name();
	if (here == NULL)
		return err_errno(e, "%s", *path);
	AUTO_STR relative = *path;
	*path = mem_printf("%s/%s", here, relative);
	free(here);
	return ERR_OK;
}

static enum err_code
fill_target(struct conf_event_target *t, struct err *e)
{
	TRY(check_target(t, e));
	TRY(make_absolute(&t->url_file, e));
	TRY(make_absolute(&t->ca_file, e));
	for (size_t i = 0; i < t->secret_files.count; i++)
		TRY(make_absolute(&t->secret_files.items[i], e));
	return ERR_OK;
}

enum err_code
conf_events_fill(struct spec_list *targets, struct err *e)
{
	struct conf_event_target *t = targets->items;

	for (size_t i = 0; i < targets->count; i++)
		if (fill_target(&t[i], e) != ERR_OK)
			return err_add(e, "events.%s", t[i].name);
	return ERR_OK;
}
