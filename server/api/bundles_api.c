#include "server/api/bundles_api.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "server/api/page.h"
#include "server/api/sight.h"
#include "server/http/reply.h"

void
bundles_api_list(struct request *r)
{
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = page_read(&page, r, &e);

	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = sight_list(r, s, &page.view, view_bundles, sight_bundle,
		    &body, &e);
	page_reply(r, code, body, &e);
}

void
bundles_api_get(struct request *r)
{
	page_reply_one(r, view_bundle, route_param(r->match, "bundle"));
}

void
bundles_api_revisions(struct request *r)
{
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = page_read(&page, r, &e);

	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = view_revisions(s, route_param(r->match, "bundle"),
		    &page.view, &body, &e);
	page_reply(r, code, body, &e);
}

void
bundles_api_revision(struct request *r)
{
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = loop_store(&s, r->loop, &e);

	if (code == ERR_OK)
		code = view_revision(s, route_param(r->match, "bundle"),
		    route_param(r->match, "rev"), &body, &e);
	page_reply(r, code, body, &e);
}

/* The file's descriptor, checked to be as long as the store says. */
static enum err_code
open_artifact(int *out, const char *data_dir, const struct store_artifact *a,
    struct err *e)
{
	AUTO_STR path = store_artifact_path(data_dir, a->sha256);
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0) {
		(void)err_errno(e, "%s", path);
		e->code = ERR_CORRUPT; /* the store says that it is there */
		return e->code;
	}
	if (fstat(fd, &st) != 0 || st.st_size != a->size) {
		close(fd);
		return err_set(e, ERR_CORRUPT,
		    "%s: not %lld bytes long, as the store says", path,
		    (long long)a->size);
	}
	*out = fd;
	return ERR_OK;
}

static void
send_artifact(struct request *r, const struct store_artifact *a, int fd)
{
	char etag[CATALOG_ETAG_SIZE];
	struct MHD_Response *response =
	    MHD_create_response_from_fd64((uint64_t)a->size, fd);

	if (response == NULL) {
		close(fd);
		return;
	}
	(void)snprintf(etag, sizeof etag, "\"sha256:%s\"", a->sha256);
	if (MHD_add_response_header(response, "Content-Type",
		"application/gzip") == MHD_YES &&
	    MHD_add_response_header(response, "ETag", etag) == MHD_YES &&
	    MHD_add_response_header(response, "Cache-Control", "no-store") ==
		MHD_YES &&
	    reply_secure(r->service, response)) {
		r->bytes = request_is_head(r) ? 0 : (uint64_t)a->size;
		reply_with(r, 200, response);
	}
	MHD_destroy_response(response);
}

void
bundles_api_artifact(struct request *r)
{
	struct store_artifact artifact;
	struct store *s = NULL;
	struct err e = { 0 };
	int fd;
	enum err_code code = loop_store(&s, r->loop, &e);

	if (code == ERR_OK) {
		code = view_artifact(s, route_param(r->match, "bundle"),
		    route_param(r->match, "rev"), &artifact, &e);
		loop_store_failed(r->loop, code);
	}
	if (code == ERR_OK)
		code = open_artifact(&fd, r->service->conf->data_dir, &artifact,
		    &e);
	if (code == ERR_OK)
		send_artifact(r, &artifact, fd);
	else
		reply_error(r, &e);
}
