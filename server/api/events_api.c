#include "server/api/events_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/store_outbox.h"
#include "core/mem.h"
#include "server/api/page.h"
#include "server/http/reply.h"
#include "server/pipeline/event_body.h"

enum {
	STREAM_EVENTS_MAX = 100, /* of one answer */
	STREAM_BYTES_MAX = 1 << 20,
	STREAM_AGAIN_MS = 2000,
	STREAM_NUMBER_MAX = 18 /* digits */
};

/* Lists that are short: one page. */
static void
reply_all(struct request *r,
    enum err_code (*list)(struct store *s, json_t **out, struct err *e))
{
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *rows = NULL;
	json_t *body = NULL;
	enum err_code code = loop_store(&s, r->loop, &e);

	if (code == ERR_OK)
		code = list(s, &rows, &e);
	if (code == ERR_OK)
		body = json_pack("{s:o, s:n}", "items", rows, "next");
	page_reply(r, code, body, &e);
}

void
events_api_targets(struct request *r)
{
	reply_all(r, outbox_list_targets);
}

void
events_api_alarms(struct request *r)
{
	reply_all(r, outbox_list_alarms);
}

/* ---- server-sent events ---- */

/* Where to go on: what the client saw last. NOT_FOUND: it begins now. */
static enum err_code
read_after(int64_t *after, const struct request *r, struct err *e)
{
	const char *header = request_header(r, "Last-Event-ID");
	char text[STREAM_NUMBER_MAX + 2];
	enum err_code code;

	if (header != NULL && *header != '\0')
		(void)snprintf(text, sizeof text, "%s", header);
	else {
		code = request_query(r, "after", text, sizeof text, e);
		if (code != ERR_OK)
			return code;
	}
	if (*text == '\0' || strlen(text) > STREAM_NUMBER_MAX ||
	    strspn(text, "0123456789") < strlen(text))
		return err_set(e, ERR_INVALID,
		    "after, Last-Event-ID: not the id of an event");
	*after = strtoll(text, NULL, 10);
	return ERR_OK;
}

static void
add_event(struct buf *out, const struct outbox_event *v, const char *server)
{
	AUTO_STR body = event_body(v, EVENTS_EDICT, server);

	/* JSON has no line breaks of its own. */
	buf_printf(out, "id: %" PRId64 "\nevent: %s\ndata: %s\n\n", v->seq,
	    v->kind, body);
}

/* What came after; a client that was away for too long goes on with the oldest
 * that is kept. */
static enum err_code
add_events(struct buf *out, struct store *s, int64_t after, const char *server,
    struct err *e)
{
	for (int n = 0; n < STREAM_EVENTS_MAX; n++) {
		struct outbox_event v;
		enum err_code code = outbox_next(s, after, &v, e);

		if (code == ERR_NOT_FOUND)
			return ERR_OK;
		if (code != ERR_OK)
			return code;
		add_event(out, &v, server);
		after = v.seq;
		outbox_event_clear(&v);
	}
	return ERR_OK;
}

static enum err_code
stream(struct buf *out, struct request *r, struct err *e)
{
	struct store *s = NULL;
	int64_t first, last, after;
	enum err_code code = read_after(&after, r, e);

	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	TRY(loop_store(&s, r->loop, e));
	TRY(outbox_range(s, &first, &last, e));
	buf_printf(out, "retry: %d\n", (int)STREAM_AGAIN_MS);
	/* Clients remember an id that comes alone. Numbers that are not there
	 * yet are those of another database: begin anew. */
	if (code == ERR_NOT_FOUND || after > last) {
		buf_printf(out, "id: %" PRId64 "\n\n", last);
		return ERR_OK;
	}
	buf_add_char(out, '\n');
	TRY(add_events(out, s, after, r->service->conf->url, e));
	return buf_check(out, "events", e);
}

/* Each answer ends with the newest event, and clients come back by themselves, as
 * the protocol has it: nothing is held open that could be held for ever. */
void
events_api_stream(struct request *r)
{
	AUTO_BUF out = { 0 };
	struct err e = { 0 };

	buf_init(&out, STREAM_BYTES_MAX);
	if (stream(&out, r, &e) == ERR_OK)
		reply_text(r, 200, "text/event-stream; charset=utf-8", out.data,
		    out.len);
	else
		reply_error(r, &e);
}
