#include "server/http/service.h"

#include <stdio.h>

#include "clusters/reserve.h"
#include "core/clock.h"

struct catalog *
service_catalog(struct service *s)
{
	struct catalog *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->catalog != NULL)
		c = catalog_ref(s->catalog);
	pthread_mutex_unlock(&s->lock);
	return c;
}

void
service_publish(struct service *s, struct catalog *c)
{
	struct catalog *old;

	pthread_mutex_lock(&s->lock);
	old = s->catalog;
	s->catalog = c;
	pthread_mutex_unlock(&s->lock);
	catalog_unref(old);
}

bool
service_note(struct service *s, const char *fault)
{
	bool news;

	pthread_mutex_lock(&s->lock);
	if (fault == NULL)
		s->catalog_ms = clock_now_ms();
	news = strncmp(s->fault, fault != NULL ? fault : "",
		   sizeof s->fault - 1) != 0;
	(void)snprintf(s->fault, sizeof s->fault, "%s",
	    fault != NULL ? fault : "");
	pthread_mutex_unlock(&s->lock);
	return news;
}

int64_t
service_good_ms(struct service *s)
{
	int64_t ms;

	pthread_mutex_lock(&s->lock);
	ms = s->catalog_ms;
	pthread_mutex_unlock(&s->lock);
	return ms;
}

void
service_ledger_silent(struct service *s, int64_t ms)
{
	int64_t now = clock_mono_ms();

	atomic_store(&s->ledger_silent_ms,
	    ms < INT64_MAX - now ? now + ms : INT64_MAX);
}

static void
reason(json_t *list, const char *text)
{
	(void)json_array_append_new(list, json_string(text));
}

json_t *
service_reasons(struct service *s)
{
	json_t *list = json_array();
	struct catalog *c = service_catalog(s);
	bool faulty;

	pthread_mutex_lock(&s->lock);
	faulty = s->fault[0] != '\0';
	pthread_mutex_unlock(&s->lock);
	if (c == NULL)
		reason(list, "the catalog was not read yet");
	else if (catalog_missing(c) > 0)
		reason(list, "an artifact is missing or damaged");
	else if (catalog_count(c) == 0)
		reason(list, "no bundle is assigned yet");
	if (faulty)
		reason(list,
		    "the database cannot be read: what was known "
		    "before is still served");
	if (atomic_load(&s->ledger_silent_ms) > clock_mono_ms())
		reason(list, "the ledger does not answer");
	catalog_unref(c);
	return list;
}

void
service_conf_state(const struct service *s, struct conf_state_view *out)
{
	if (s->state != NULL)
		conf_state_read(s->state, out);
	else
		*out = (struct conf_state_view){ .loaded_ms = s->started_ms };
}

/* Everybody may read this: why it was refused is in the log, and in the status
 * for those who may see it. */
static void
warn_of_configuration(json_t *list, const struct service *s)
{
	struct conf_state_view v;

	service_conf_state(s, &v);
	if (v.failed_ms != 0)
		reason(list,
		    "the configuration was changed and cannot be served with: "
		    "what was read before holds");
	if (v.refused_ms != 0)
		reason(list,
		    "the configuration was changed and is refused: what was "
		    "read before holds");
	if (v.pending[0] != '\0')
		reason(list,
		    "the configuration was changed, and some of it waits for "
		    "a restart of the server");
}

/* Not a reason: who is taken out of service for a full disk can neither be
 * polled by engines nor roll back, and both still work. */
json_t *
service_warnings(struct service *s)
{
	json_t *list = json_array();
	struct err why;

	if (reserve_check(s->conf->data_dir, RESERVE_COMMITS, &why) != ERR_OK)
		reason(list, why.text);
	warn_of_configuration(list, s);
	return list;
}
