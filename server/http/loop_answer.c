#include "server/http/loop_state.h"

#include <string.h>

#include "core/mem.h"
#include "core/names.h"
#include "server/http/reply.h"

/* The prepared responses of one artifact: [1] closes the connection. */
struct answer {
	struct shelf_item *item;
	struct shelf_bytes *bytes; /* that they are made of */
	struct MHD_Response *responses[2];
	UT_hash_handle hh;
};

static void
give_back(void *cls)
{
	shelf_return(cls);
}

/* OPA polls with long waits what comes with its own type, and would fetch a
 * discovery bundle that it cannot apply again and again without a pause
 * (v1/download/download.go). */
static const char *
type_of(const struct catalog_entry *entry)
{
	return strcmp(entry->bundle, DISCOVERY_NAME) == 0
	    ? "application/gzip"
	    : "application/vnd.openpolicyagent.bundles";
}

static struct MHD_Response *
make_response(const struct service *s, struct shelf_bytes *bytes,
    const struct catalog_entry *entry, bool closing)
{
	static const char *const headers[][2] = {
		{ "Cache-Control", "private, no-cache" },
		{ "Vary", "Authorization, X-Edict-Engine" },
	};
	/* libmicrohttpd does not write to it. */
	void *data = (void *)(uintptr_t)shelf_data(bytes);
	struct MHD_Response *r =
	    MHD_create_response_from_buffer_with_free_callback_cls(entry->size,
		data, give_back, shelf_bytes_ref(bytes));
	bool good = r != NULL;

	if (r == NULL) {
		shelf_return(bytes);
		return NULL;
	}
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
		good &= MHD_add_response_header(r, headers[i][0],
			    headers[i][1]) == MHD_YES;
	good &= MHD_add_response_header(r, "ETag", entry->etag) == MHD_YES;
	good &= MHD_add_response_header(r, "Content-Type", type_of(entry)) ==
	    MHD_YES;
	good &= reply_secure(s, r);
	if (closing)
		good &= MHD_add_response_header(r, "Connection", "close") ==
		    MHD_YES;
	if (good)
		return r;
	MHD_destroy_response(r);
	return NULL;
}

static void
clear_responses(struct answer *a)
{
	for (int i = 0; i < 2; i++) {
		if (a->responses[i] != NULL)
			MHD_destroy_response(a->responses[i]);
		a->responses[i] = NULL;
	}
	shelf_return(a->bytes);
	a->bytes = NULL;
}

/* Responses of what left memory would keep it, and those of what came back
 * would go on reading the file. */
void
loop_renew_answers(struct loop *l)
{
	uint64_t now = shelf_generation(l->service->shelf);

	if (now == l->answers_as_of)
		return;
	l->answers_as_of = now;
	for (struct answer *a = l->answers; a != NULL; a = a->hh.next)
		if (!shelf_is_current(a->item, a->bytes))
			clear_responses(a);
}

static struct answer *
answer_of(struct loop *l, struct shelf_item *item)
{
	struct answer *a;

	HASH_FIND_PTR(l->answers, &item, a);
	if (a != NULL)
		return a;
	a = mem_zalloc(sizeof *a);
	a->item = shelf_item_ref(item);
	HASH_ADD_PTR(l->answers, item, a);
	return a;
}

struct MHD_Response *
loop_answer(struct loop *l, const struct catalog_entry *entry, bool closing)
{
	struct answer *a;

	loop_renew_answers(l);
	a = answer_of(l, entry->item);
	if (a->bytes == NULL)
		a->bytes = shelf_borrow(a->item);
	if (a->responses[closing] == NULL)
		a->responses[closing] =
		    make_response(l->service, a->bytes, entry, closing);
	return a->responses[closing];
}

void
loop_clear_answers(struct loop *l)
{
	struct answer *a;
	struct answer *next;

	HASH_ITER(hh, l->answers, a, next) {
		HASH_DEL(l->answers, a);
		clear_responses(a);
		shelf_item_unref(a->item);
		mem_free(a);
	}
}
