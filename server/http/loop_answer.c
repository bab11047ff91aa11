#include "server/http/loop_state.h"

#include <string.h>

#include "core/mem.h"
#include "core/names.h"

static void
drop_reference(void *cls)
{
	catalog_unref(cls);
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
make_response(struct loop *l, const struct catalog_entry *entry, bool closing)
{
	static const char *const headers[][2] = {
		{ "Cache-Control", "private, no-cache" },
		{ "Vary", "Authorization, X-Edict-Engine" },
	};
	/* libmicrohttpd does not write to it. */
	void *data = (void *)(uintptr_t)entry->data;
	struct catalog *c = catalog_ref(l->catalog);
	struct MHD_Response *r =
	    MHD_create_response_from_buffer_with_free_callback_cls(entry->size,
		data, drop_reference, c);
	bool good = r != NULL;

	if (r == NULL) {
		catalog_unref(c);
		return NULL;
	}
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
		good &= MHD_add_response_header(r, headers[i][0],
			    headers[i][1]) == MHD_YES;
	good &= MHD_add_response_header(r, "ETag", entry->etag) == MHD_YES;
	good &= MHD_add_response_header(r, "Content-Type", type_of(entry)) ==
	    MHD_YES;
	if (closing)
		good &= MHD_add_response_header(r, "Connection", "close") ==
		    MHD_YES;
	if (good)
		return r;
	MHD_destroy_response(r);
	return NULL;
}

struct MHD_Response *
loop_answer(struct loop *l, const struct catalog_entry *entry, bool closing)
{
	struct answer *a;

	HASH_FIND_PTR(l->answers, &entry, a);
	if (a == NULL) {
		a = mem_zalloc(sizeof *a);
		a->entry = entry;
		HASH_ADD_PTR(l->answers, entry, a);
	}
	if (a->responses[closing] == NULL)
		a->responses[closing] = make_response(l, entry, closing);
	return a->responses[closing];
}

void
loop_clear_answers(struct loop *l)
{
	struct answer *a;
	struct answer *next;

	HASH_ITER(hh, l->answers, a, next) {
		HASH_DEL(l->answers, a);
		for (int i = 0; i < 2; i++)
			if (a->responses[i] != NULL)
				MHD_destroy_response(a->responses[i]);
		mem_free(a);
	}
}
