#include "server/http/engine_log.h"

#include <stdio.h>
#include <string.h>

#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store_view.h"
#include "clusters/tally.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum { RESTORE_PAGE = 500 };

/* Numbers of a row that are kept as they are. */
#define NUMBER(member, wide)                                           \
	{                                                              \
#member, offsetof(struct engines_bundle, member), wide \
	}
static const struct {
	const char *name;
	size_t offset;
	bool wide; /* 64 bits */
} numbers[] = {
	NUMBER(flags, false),
	NUMBER(acked_serial, true),
	NUMBER(sent_serial, true),
	NUMBER(before_serial, true),
	NUMBER(acked_s, false),
	NUMBER(sent_s, false),
	NUMBER(sent_count, false),
	NUMBER(first_sent_s, false),
	NUMBER(back_s, false),
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static const struct {
	const char *name;
	size_t offset;
} marks[] = {
	{ "acked", offsetof(struct engines_bundle, acked) },
	{ "sent", offsetof(struct engines_bundle, sent) },
	{ "before", offsetof(struct engines_bundle, before) },
};
enum { MARKS = sizeof marks / sizeof *marks };

/* ---- rows as JSON, and back ---- */

static json_t *
bundle_facts(const struct engines_bundle *b)
{
	const char *base = (const char *)b;
	json_t *j = json_object();

	for (size_t i = 0; i < NUMBERS; i++) {
		uint32_t narrow;
		int64_t wide;

		memcpy(&narrow, base + numbers[i].offset, sizeof narrow);
		memcpy(&wide, base + numbers[i].offset,
		    numbers[i].wide ? sizeof wide : 0);
		json_object_set_new(j, numbers[i].name,
		    json_integer(numbers[i].wide ? wide : narrow));
	}
	for (size_t i = 0; i < MARKS; i++) {
		struct engines_mark mark;
		char text[ENGINES_MARK_TEXT];

		memcpy(&mark, base + marks[i].offset, sizeof mark);
		engines_mark_text(text, &mark);
		json_object_set_new(j, marks[i].name, json_string(text));
	}
	return j;
}

static void
read_bundle(struct engines_bundle *out, const json_t *j)
{
	char *base = (char *)out;

	for (size_t i = 0; i < NUMBERS; i++) {
		int64_t wide =
		    json_integer_value(json_object_get(j, numbers[i].name));
		uint32_t narrow = (uint32_t)wide;

		if (numbers[i].wide)
			memcpy(base + numbers[i].offset, &wide, sizeof wide);
		else
			memcpy(base + numbers[i].offset, &narrow,
			    sizeof narrow);
	}
	for (size_t i = 0; i < MARKS; i++) {
		const char *text = payload_text(j, marks[i].name);
		struct engines_mark mark = { { 0 } };

		if (text != NULL)
			(void)engines_mark_read(&mark, text);
		memcpy(base + marks[i].offset, &mark, sizeof mark);
	}
}

struct batch {
	const struct tally_index *index;
	json_t *engines;
};

/* Names are those of the catalog; what is not assigned any more is not kept. */
static void
add_engine(const struct engines_view *v, void *arg)
{
	struct batch *b = arg;
	const char *cluster = NULL;
	json_t *bundles = json_object();

	for (size_t i = 0; i < v->bundle_count; i++) {
		const struct catalog_entry *entry = tally_index_find(b->index,
		    v->engine->cluster, v->bundles[i]->bundle);

		if (entry == NULL)
			continue;
		cluster = entry->cluster;
		json_object_set_new(bundles, entry->bundle,
		    bundle_facts(v->bundles[i]));
	}
	if (cluster == NULL || !engines_is_name(v->engine->name)) {
		json_decref(bundles);
		return;
	}
	json_array_append_new(b->engines,
	    json_pack("{s:s, s:s, s:I, s:{s:s, s:o}}", "cluster", cluster,
		"name", v->engine->name, "seen_ms",
		(json_int_t)v->engine->seen_ms, "facts", "version",
		v->engine->version, "bundles", bundles));
}

static void
restore_one(struct engines *t, const json_t *row)
{
	const json_t *facts = json_object_get(row, "facts");
	const json_t *list = json_object_get(facts, "bundles");
	const char *cluster = payload_text(row, "cluster");
	const char *name = payload_text(row, "name");
	const char *version = payload_text(facts, "version");
	struct engines_bundle bundles[ENGINES_BUNDLES_MAX] = { 0 };
	struct engines_engine e = { 0 };
	size_t count = 0;
	const char *bundle;
	json_t *b;

	if (cluster == NULL || name == NULL || !engines_is_name(name))
		return;
	e.cluster = engines_hash(t, cluster);
	e.seen_ms = json_integer_value(json_object_get(row, "seen_ms"));
	(void)snprintf(e.name, sizeof e.name, "%s", name);
	(void)snprintf(e.version, sizeof e.version, "%s",
	    version != NULL ? version : "");
	json_object_foreach(payload_unconst(list), bundle, b) {
		if (count == ENGINES_BUNDLES_MAX)
			break;
		read_bundle(&bundles[count], b);
		bundles[count++].bundle = engines_hash(t, bundle);
	}
	engines_restore(t, &e, bundles, count);
}

/* ---- over time ---- */

void
engine_log_init(struct engine_log *l, struct service *s)
{
	*l = (struct engine_log){ .service = s };
}

static enum err_code
restore_all(struct engine_log *l, struct store *s, size_t *count, struct err *e)
{
	AUTO_STR cluster = mem_strdup("");
	AUTO_STR name = mem_strdup("");
	size_t i = RESTORE_PAGE;

	while (i == RESTORE_PAGE) {
		AUTO_JSON rows = NULL;
		json_t *row;

		TRY(store_view_engines(s, cluster, name, RESTORE_PAGE, &rows,
		    e));
		json_array_foreach(rows, i, row)
			restore_one(l->service->engines, row);
		if (i == 0)
			break;
		row = json_array_get(rows, i - 1);
		mem_free(cluster);
		mem_free(name);
		cluster = mem_strdup(payload_text(row, "cluster"));
		name = mem_strdup(payload_text(row, "name"));
		*count += i;
	}
	return ERR_OK;
}

void
engine_log_restore(struct engine_log *l, struct store *s)
{
	struct err e = { 0 };
	size_t count = 0;

	if (engines_restored(l->service->engines) || s == NULL)
		return;
	if (restore_all(l, s, &count, &e) != ERR_OK)
		log_error("engines.unreadable", "error=\"%s\"", e.text);
	else if (count > 0)
		log_info("engines.restored", "count=%zu", count);
	/* What cannot be read now is not waited for: engines tell it anew. */
	engines_set_restored(l->service->engines);
}

static enum err_code
send(struct engine_log *l, json_t *engines, int64_t now_ms, struct err *e)
{
	int64_t kept_ms = l->service->conf->engines.forget_after * 1000;
	AUTO_JSON payload = json_pack("{s:I, s:O}", "forget_before_ms",
	    (json_int_t)(now_ms - kept_ms), "engines", engines);

	return channel_send(l->service->ledger, LEDGER_ENGINES, 0,
	    clock_mono_ms() + LEDGER_TIMEOUT_MS, payload, NULL, 0, 0, e);
}

/* False: there is no more now. */
static bool
save(struct engine_log *l, const struct catalog *c)
{
	struct engines *t = l->service->engines;
	AUTO(tally_index, index) = tally_index_new(t, c);
	struct batch b = { index, json_array() };
	int64_t now_ms = clock_now_ms();
	size_t count =
	    engines_each_unsaved(t, LEDGER_ENGINES_MAX, now_ms, add_engine, &b);
	struct err e = { 0 };

	if (json_array_size(b.engines) > 0 &&
	    send(l, b.engines, now_ms, &e) != ERR_OK) {
		log_debug("engines.unsaved", "error=\"%s\"", e.text);
		engine_log_reply(l, NULL);
		count = 0;
	}
	json_decref(b.engines);
	return count == LEDGER_ENGINES_MAX;
}

void
engine_log_tick(struct engine_log *l)
{
	int64_t now = clock_mono_ms();
	struct service *s = l->service;
	struct catalog *c;

	if (now < l->next_ms)
		return;
	l->next_ms = now + ENGINE_LOG_MS;
	(void)engines_forget(s->engines,
	    clock_now_ms() - s->conf->engines.forget_after * 1000);
	c = service_catalog(s);
	if (c == NULL)
		return;
	for (int i = 0; i < ENGINE_LOG_BATCHES && save(l, c); i++)
		continue;
	catalog_unref(c);
}

void
engine_log_end(struct engine_log *l)
{
	l->next_ms = 0;
	engine_log_tick(l);
}

void
engine_log_reply(struct engine_log *l, const struct message *m)
{
	struct err e = { 0 };

	if (m != NULL && message_error(m, &e) == ERR_OK) {
		if (l->refused)
			log_info("engines.saved", "again");
		l->refused = false;
		return;
	}
	engines_unsave(l->service->engines);
	l->next_ms = clock_mono_ms() + ENGINE_LOG_RETRY_MS;
	if (m != NULL && !l->refused)
		log_warn("engines.unsaved", "code=%s error=\"%s\"",
		    err_name(e.code), e.text);
	l->refused |= m != NULL;
}
