#include "server/http/lookout.h"

#include <stdlib.h>
#include <string.h>

#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store_outbox.h"
#include "clusters/tally.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

/* ---- engines that reject ---- */

static void
add_place(json_t *all, const struct tally_place *p)
{
	size_t engines = p->states[ENGINES_STATE_REJECTING];
	AUTO_STR subject = NULL;

	if (engines == 0 || json_object_size(all) == OUTBOX_ALARMS_MAX)
		return;
	subject = mem_printf("%s/%s", p->entry->cluster, p->entry->bundle);
	json_object_set_new(all, subject,
	    json_pack("{s:s, s:s, s:s, s:I}", "cluster", p->entry->cluster,
		"bundle", p->entry->bundle, "revision", p->entry->revision,
		"engines", (json_int_t)engines));
}

static json_t *
find_rejecting(struct service *s)
{
	struct catalog *c = service_catalog(s);
	struct tally *t;
	json_t *all;

	if (c == NULL)
		return NULL;
	all = json_object();
	t = tally_new(s->engines, c, clock_now_ms(),
	    s->conf->engines.silent_after * 1000);
	for (size_t i = 0; i < t->count; i++)
		add_place(all, &t->places[i]);
	tally_free(t);
	catalog_unref(c);
	return all;
}

/* While nobody rejects and nobody began to, there is nothing to count. */
static bool
may_reject(const struct lookout *l, const char *told)
{
	return told == NULL || *told != '\0' ||
	    counters_get(l->service->counters, COUNTER_ENGINES_REJECTED) !=
	    l->rejected;
}

/* ---- certificates that run out ---- */

static json_t *
find_expiring(struct service *s)
{
	static const char *const names[TLS_PARTS] = {
		[TLS_CERTIFICATE] = "tls.certificate",
		[TLS_CLIENT_CA] = "tls.client_ca",
	};
	struct access *a = access_get(&s->access);
	json_t *all = json_object();

	for (int i = 0; a != NULL && a->tls != NULL && i < TLS_PARTS; i++) {
		int64_t until = tls_until_ms(a->tls, (enum tls_part)i);
		char text[CLOCK_TEXT_SIZE];

		if (until == 0 || until - clock_now_ms() > LOOKOUT_EXPIRY_MS)
			continue;
		clock_text(text, until);
		json_object_set_new(all, names[i],
		    json_pack("{s:s, s:s}", "certificate", names[i], "expires",
			text));
	}
	access_unref(a);
	return all;
}

/* ---- the configuration ---- */

/* Why is for those who may see it (edict status). */
static json_t *
about_configuration(int64_t since_ms)
{
	char text[CLOCK_TEXT_SIZE];
	json_t *all = json_object();

	if (since_ms == 0)
		return all;
	clock_text(text, since_ms);
	json_object_set_new(all, "server.yaml",
	    json_pack("{s:s}", "since", text));
	return all;
}

static json_t *
find_refused(struct service *s)
{
	struct conf_state_view v;

	service_conf_state(s, &v);
	return about_configuration(v.refused_ms);
}

static json_t *
find_failed(struct service *s)
{
	struct conf_state_view v;

	service_conf_state(s, &v);
	return about_configuration(v.failed_ms);
}

static bool
is_always_due(const struct lookout *l, const char *told)
{
	(void)l;
	(void)told;
	return true;
}

/* ---- telling ---- */

static const struct {
	const char *kind;
	bool (*due)(const struct lookout *l, const char *told);
	json_t *(*find)(struct service *s); /* NULL: not known now */
} looks[] = {
	{ "rejecting", may_reject, find_rejecting },
	{ "certificate.expiring", is_always_due, find_expiring },
	{ "configuration.refused", is_always_due, find_refused },
	{ "configuration.failed", is_always_due, find_failed },
};
_Static_assert(sizeof looks / sizeof *looks <= LOOKOUT_KINDS, "room");

/* Which there are; how many engines it is by now is no news. */
static char *
names_of(const json_t *all)
{
	AUTO_BUF out = { 0 };
	const char *subject;
	json_t *detail;

	buf_init(&out, OUTBOX_ALARMS_MAX * 256);
	json_object_foreach(payload_unconst(all), subject, detail) {
		buf_add_str(&out, subject);
		buf_add_char(&out, '\n');
	}
	return buf_steal(&out, NULL);
}

static void
look(struct lookout *l, size_t i)
{
	AUTO_JSON all = NULL;
	AUTO_JSON payload = NULL;
	AUTO_STR names = NULL;
	struct err e = { 0 };

	if (!looks[i].due(l, l->told[i]) ||
	    (all = looks[i].find(l->service)) == NULL)
		return;
	names = names_of(all);
	if (l->told[i] != NULL && strcmp(l->told[i], names) == 0)
		return;
	payload = json_pack("{s:s, s:O}", "kind", looks[i].kind, "alarms", all);
	if (channel_send(l->service->ledger, LEDGER_HTTP_ALARMS, 0,
		clock_mono_ms() + LEDGER_TIMEOUT_MS, payload, NULL, 0, 0,
		&e) != ERR_OK) {
		log_debug("alarms.untold", "error=\"%s\"", e.text);
		return;
	}
	mem_free(l->told[i]);
	l->told[i] = STEAL(names);
}

void
lookout_init(struct lookout *l, struct service *s)
{
	*l = (struct lookout){ .service = s };
}

void
lookout_clear(struct lookout *l)
{
	for (size_t i = 0; i < LOOKOUT_KINDS; i++)
		mem_free(l->told[i]);
	*l = (struct lookout){ 0 };
}

void
lookout_tick(struct lookout *l)
{
	int64_t now = clock_mono_ms();
	uint64_t rejected;

	if (now < l->next_ms)
		return;
	l->next_ms = now + LOOKOUT_MS;
	rejected = counters_get(l->service->counters, COUNTER_ENGINES_REJECTED);
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
		look(l, i);
	l->rejected = rejected;
}

void
lookout_reply(struct lookout *l, const struct message *m)
{
	struct service *s = l->service;
	struct err e = { 0 };

	if (m != NULL && message_error(m, &e) == ERR_OK)
		return;
	if (m != NULL)
		log_warn("alarms.untold", "code=%s error=\"%s\"",
		    err_name(e.code), e.text);
	lookout_clear(l);
	l->service = s;
	l->next_ms = clock_mono_ms() + LOOKOUT_RETRY_MS;
}
