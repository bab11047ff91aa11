#include "server/http/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"

static const char type_json[] = "application/json";

static void
header(struct MHD_Response *response, const char *name, const char *value)
{
	/* It fails for lack of memory, or for a value with a line break. */
	if (MHD_add_response_header(response, name, value) != MHD_YES)
		log_warn("reply.header", "name=%s", name);
}

bool
reply_secure(const struct service *s, struct MHD_Response *response)
{
	return s->conf->tls.certificate == NULL ||
	    MHD_add_response_header(response, "Strict-Transport-Security",
		REPLY_SECURE) == MHD_YES;
}

void
reply_with(struct request *r, unsigned int status,
    struct MHD_Response *response)
{
	r->status = status;
	r->queued = MHD_queue_response(r->connection, status, response) ==
	    MHD_YES;
}

static void
retry_after(struct MHD_Response *response, int64_t seconds)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRId64, seconds);
	header(response, "Retry-After", text);
}

static void
finish(struct request *r, unsigned int status, const char *type,
    struct MHD_Response *response, size_t len)
{
	if (response == NULL)
		return;
	r->bytes = request_is_head(r) ? 0 : len;
	header(response, "Content-Type", type);
	header(response, "Cache-Control", "no-store");
	if (status == 401)
		header(response, "WWW-Authenticate", "Bearer realm=\"edict\"");
	if (status == 405)
		header(response, "Allow", r->match->allow);
	if (status == 503)
		header(response, "Retry-After", r->soon ? "1" : "5");
	if (status == 429)
		retry_after(response, r->retry_s);
	if (r->closing)
		header(response, "Connection", "close");
	if (!reply_secure(r->service, response))
		log_warn("reply.header", "name=Strict-Transport-Security");
	reply_with(r, status, response);
	MHD_destroy_response(response);
}

void
reply_json(struct request *r, unsigned int status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);
	size_t len = text != NULL ? strlen(text) : 0;
	struct MHD_Response *response;

	json_decref(body);
	if (text == NULL)
		return;
	response =
	    MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		free(text);
	finish(r, status, type_json, response, len);
}

void
reply_text(struct request *r, unsigned int status, const char *type,
    const char *text, size_t len)
{
	char *copy = mem_strndup(text, len);
	struct MHD_Response *response =
	    MHD_create_response_from_buffer_with_free_callback(len, copy,
		mem_free);

	if (response == NULL)
		mem_free(copy);
	finish(r, status, type, response, len);
}

static void
fault(struct request *r, unsigned int status, const char *code,
    const char *message)
{
	json_t *body = json_pack("{s:{s:s, s:s}}", "error", "code", code,
	    "message", message);

	/* A message with bytes that are not UTF-8 cannot be shown. */
	if (body == NULL)
		body = json_pack("{s:{s:s, s:s}}", "error", "code", code,
		    "message", "the text of this error cannot be shown");
	reply_json(r, status, body);
}

void
reply_fault(struct request *r, unsigned int status, const char *code,
    const char *fmt, ...)
{
	char message[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	fault(r, status, code, message);
}

static unsigned int
status_of(const struct request *r, enum err_code code)
{
	switch (code) {
	case ERR_INVALID:
		return 400;
	case ERR_DENIED:
		return r->token == NULL ? 401 : 403;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_CONFLICT:
		return 409;
	case ERR_LIMIT:
		return 413;
	case ERR_TIMEOUT:
	case ERR_UNAVAILABLE:
		return 503;
	default:
		return 500;
	}
}

void
reply_error(struct request *r, const struct err *e)
{
	unsigned int status = status_of(r, e->code);

	if (status != 500) {
		fault(r, status, err_name(e->code), e->text);
		return;
	}
	log_error("http.error", "path=%s code=%s error=\"%s\"", r->url,
	    err_name(e->code), e->text);
	fault(r, status, err_name(e->code),
	    "the server has a problem of its own; its log says more");
}

void
reply_view(struct request *r, enum err_code code, json_t *body,
    const struct err *e)
{
	if (code == ERR_OK)
		reply_json(r, 200, body);
	else
		reply_error(r, e);
}
