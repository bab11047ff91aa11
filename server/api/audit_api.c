#include "server/api/audit_api.h"

#include "core/clock.h"
#include "core/text.h"
#include "server/api/page.h"

enum { AUDIT_WORD_SIZE = 256 };

/* What the query asks for; the texts are here. */
struct wanted {
	struct store_audit_filter filter;
	char kind[AUDIT_WORD_SIZE], who[AUDIT_WORD_SIZE];
	char subject[AUDIT_WORD_SIZE], since[AUDIT_WORD_SIZE];
	char commit[AUDIT_WORD_SIZE];
};

static enum err_code
read_word(const char **out, const struct request *r, const char *name,
    char text[AUDIT_WORD_SIZE], struct err *e)
{
	enum err_code code = request_query(r, name, text, AUDIT_WORD_SIZE, e);

	*out = code == ERR_OK ? text : NULL;
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static enum err_code
read_filter(struct wanted *w, const struct request *r, struct err *e)
{
	const char *since;

	TRY(read_word(&w->filter.kind, r, "kind", w->kind, e));
	TRY(read_word(&w->filter.who, r, "who", w->who, e));
	TRY(read_word(&w->filter.subject, r, "subject", w->subject, e));
	TRY(read_word(&w->filter.commit, r, "commit", w->commit, e));
	if (w->filter.commit != NULL &&
	    !text_is_hex(w->filter.commit, STORE_ID_SIZE - 1))
		return err_set(e, ERR_INVALID, "commit: write its full id");
	TRY(read_word(&since, r, "since", w->since, e));
	if (since != NULL &&
	    clock_read(&w->filter.since_ms, since, e) != ERR_OK)
		return err_add(e, "since");
	return ERR_OK;
}

void
audit_api_list(struct request *r)
{
	struct wanted w = { 0 };
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = read_filter(&w, r, &e);

	if (code == ERR_OK)
		code = page_read(&page, r, &e);
	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = view_audit(s, &w.filter, &page.view, &body, &e);
	page_reply(r, code, body, &e);
}

void
audit_api_heads(struct request *r)
{
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = page_read(&page, r, &e);

	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = view_heads(s, &page.view, &body, &e);
	page_reply(r, code, body, &e);
}
