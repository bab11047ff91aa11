#include "server/supervisor/call.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/fetch_url.h"
#include "server/supervisor/call_private.h"
#include "server/supervisor/supervisor.h"

enum {
	CALL_DATA_MAX = 128 << 20, /* memory: the CAs take a few MiB */
	CALL_FILES_MAX = 64,
	CALL_LINE_MAX = 8 * 1024, /* what comes before the body */
	/* More than its own time-out, for a name look-up that hangs. */
	CALL_SLACK_MS = 1000
};

static const char *const outcome_names[] = {
	[CALL_ANSWERED] = "answered",
	[CALL_UNREACHABLE] = "unreachable",
	[CALL_UNTRUSTED] = "untrusted",
	[CALL_TIMED_OUT] = "timed_out",
	[CALL_TOO_LARGE] = "too_large",
	[CALL_FAILED] = "failed",
};

const char *
call_outcome_name(enum call_outcome o)
{
	return outcome_names[o];
}

/* ---- URLs ---- */

static enum err_code
check_parts(CURLU *u, const char *url, bool plain, struct err *e)
{
	static const struct {
		CURLUPart part;
		const char *why;
	} unwanted[] = {
		{ CURLUPART_USER,
		    "the url holds a user: leave it out, secrets are in "
		    "secret files" },
		{ CURLUPART_PASSWORD,
		    "the url holds a password, which would end up in logs" },
		{ CURLUPART_FRAGMENT,
		    "the url holds a fragment (#), which no server gets" },
	};
	struct fetch_url parts;
	char *text = NULL;
	bool secure;

	for (size_t i = 0; i < sizeof unwanted / sizeof *unwanted; i++)
		if (curl_url_get(u, unwanted[i].part, &text, 0) == CURLUE_OK) {
			curl_free(text);
			return err_set(e, ERR_INVALID, "%s", unwanted[i].why);
		}
	if (curl_url_get(u, CURLUPART_SCHEME, &text, 0) != CURLUE_OK)
		return err_set(e, ERR_INVALID, "the url has no scheme");
	secure = strcmp(text, "https") == 0;
	if (!secure && strcmp(text, "http") != 0) {
		(void)err_set(e, ERR_INVALID,
		    "the url begins with %.20s; only https:// and http:// are "
		    "called",
		    text);
		curl_free(text);
		return ERR_INVALID;
	}
	curl_free(text);
	/* That allows http on this machine only. */
	if (!secure && !plain && fetch_url_read(&parts, url, NULL) != ERR_OK)
		return err_set(e, ERR_INVALID,
		    "http to another machine can be read and changed on the "
		    "way; use https");
	return ERR_OK;
}

enum err_code
call_url_check(const char *url, bool plain, struct err *e)
{
	enum err_code code;
	CURLU *u;

	if (strlen(url) > CALL_URL_MAX)
		return err_set(e, ERR_LIMIT, "the url is longer than %d bytes",
		    (int)CALL_URL_MAX);
	for (const char *p = url; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return err_set(e, ERR_INVALID,
			    "the url holds a space or a character outside of "
			    "ASCII; write it as %%XX");
	u = curl_url();
	if (u == NULL)
		abort();
	if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) !=
	    CURLUE_OK)
		code = err_set(e, ERR_INVALID,
		    "this is no url; write https://host/path");
	else
		code = check_parts(u, url, plain, e);
	curl_url_cleanup(u);
	return code;
}

/* ---- the child ---- */

static void
allow(struct call_child *c, const char *path)
{
	c->paths[c->path_count++] = (struct confine_path){ .path = path,
		.access = CONFINE_PATH_READ,
		.optional = true };
}

static void
set_rules(struct call_child *c)
{
	struct confine_rules *r = &c->spec.rules;

	for (size_t i = 0; i < CONFINE_NETWORK_PATHS; i++)
		allow(c, confine_network_paths[i].path);
	/* Where /etc/resolv.conf may be a link to by the time it is read. */
	allow(c, "/run/systemd/resolve/resolv.conf");
	allow(c, "/run/systemd/resolve/stub-resolv.conf");
	allow(c, "/dev/urandom");
	if (c->target->ca_file != NULL)
		allow(c, c->target->ca_file);
	/* libcurl looks names up in a thread, so that a time-out holds. */
	r->calls = CONFINE_READ_FILES | CONFINE_CONNECT | CONFINE_THREADS;
	r->paths = c->paths;
	r->path_count = c->path_count;
	r->data_max = CALL_DATA_MAX;
	r->files_max = CALL_FILES_MAX;
	r->no_file_growth = true;
}

static const char *
allowed_header(const struct call_target *t, const char *name)
{
	for (size_t i = 0; t->headers != NULL && t->headers[i] != NULL; i++)
		if (strcmp(t->headers[i], name) == 0)
			return t->headers[i];
	return NULL;
}

/* A header's value cannot end it. */
static bool
is_value(const char *text)
{
	if (text == NULL || *text == '\0' || strlen(text) > CALL_HEADER_MAX)
		return false;
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static enum err_code
take_headers(struct call_child *c, const json_t *headers, struct err *e)
{
	json_t *all = (json_t *)(uintptr_t)headers; /* only read */
	const char *name;
	json_t *value;

	json_object_foreach(all, name, value) {
		const char *known = allowed_header(c->target, name);

		if (known == NULL || !is_value(json_string_value(value)) ||
		    c->header_count == CALL_HEADERS_MAX)
			return err_set(e, ERR_INVALID,
			    "call: bad header \"%.40s\"", name);
		c->headers[c->header_count++] =
		    mem_printf("%s: %s", known, json_string_value(value));
	}
	return ERR_OK;
}

enum err_code
call_child_new(struct call_child **out, const struct call_target *target,
    const json_t *headers, int body_fd, struct err *e)
{
	AUTO(call_child, c) = mem_zalloc(sizeof *c);

	/* Sealed memory: reading it neither waits nor fails. */
	if (body_fd >= 0 && fcntl(body_fd, F_GET_SEALS) < 0)
		return err_set(e, ERR_INVALID, "call: bad body");
	if (target->post != (body_fd >= 0))
		return err_set(e, ERR_INVALID,
		    target->post ? "call: this target takes a body"
				 : "call: this target takes no body");
	c->target = target;
	c->body_fd = body_fd;
	TRY(take_headers(c, headers, e));
	set_rules(c);
	c->spec.name = "call";
	c->spec.stdin_fd = body_fd;
	c->spec.stdout_fd = -1;
	c->spec.stderr_fd = -1;
	c->spec.prepare = call_prepare;
	c->spec.main = call_main;
	c->spec.arg = c;
	*out = STEAL(c);
	return ERR_OK;
}

struct child_spec *
call_child_spec(struct call_child *c)
{
	return &c->spec;
}

void
call_child_free(struct call_child *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->header_count; i++)
		mem_free(c->headers[i]);
	mem_free(c);
}

enum err_code
call_start(pid_t *pid, int64_t *timeout_ms, const struct conf *c,
    const struct message *m, struct err *e)
{
	AUTO(call_child, child) = NULL;
	struct call_target target;
	const char *reference;
	json_t *headers;
	json_error_t fault;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s,s:o!}", "target",
		&reference, "headers", &headers) != 0)
		return err_set(e, ERR_INVALID, "call: %s", fault.text);
	if (m->fd_count < 1 || m->fd_count > 2 || !json_is_object(headers))
		return err_set(e, ERR_INVALID, "call: bad request");
	TRY(call_target_find(&target, c, reference, e));
	TRY(call_child_new(&child, &target, headers,
	    m->fd_count == 2 ? m->fds[1] : -1, e));
	child->spec.stdout_fd = m->fds[0];
	child->spec.rules.best_effort = c->gate.sandbox == SANDBOX_BEST_EFFORT;
	TRY(child_start(pid, &child->spec, e));
	*timeout_ms = target.timeout_ms + CALL_SLACK_MS;
	return ERR_OK;
}

/* ---- what came of it ---- */

size_t
call_output_max(const struct call_target *t)
{
	return t->answer_max + CALL_LINE_MAX;
}

void
call_result_clear(struct call_result *r)
{
	buf_clear(&r->body);
	*r = (struct call_result){ 0 };
}

static void
conclude(struct call_result *out, enum call_outcome outcome,
    const char *message)
{
	out->outcome = outcome;
	err_copy(out->message, sizeof out->message, message);
}

static bool
read_outcome(struct call_result *out, const char *name)
{
	for (size_t i = 0; i < sizeof outcome_names / sizeof *outcome_names;
	     i++)
		if (strcmp(name, outcome_names[i]) == 0) {
			out->outcome = (enum call_outcome)i;
			return true;
		}
	return false;
}

static bool
read_line(struct call_result *out, const json_t *j)
{
	const char *outcome, *etag, *message;
	json_int_t retry_after;

	if (json_unpack((json_t *)(uintptr_t)j, "{s:s, s:i, s:I, s:s, s:s !}",
		"outcome", &outcome, "status", &out->status, "retry_after",
		&retry_after, "etag", &etag, "message", &message) != 0)
		return false;
	if (!read_outcome(out, outcome) || out->status < 0 ||
	    out->status > 999 || retry_after < 0 ||
	    retry_after > CALL_RETRY_MAX_S ||
	    (*etag != '\0' && !is_value(etag)))
		return false;
	out->retry_after_s = retry_after;
	memcpy(out->etag, etag, strlen(etag) + 1);
	err_copy(out->message, sizeof out->message, message);
	return out->outcome != CALL_ANSWERED || out->status >= 100;
}

static void
read_output(struct call_result *out, const struct child_result *r)
{
	const char *end = memchr(r->out.data, '\n', r->out.len);
	size_t line = end != NULL ? (size_t)(end - r->out.data) : 0;
	json_t *j = json_loadb(r->out.data, line, JSON_REJECT_DUPLICATES, NULL);

	if (end == NULL || j == NULL || !read_line(out, j)) {
		*out = (struct call_result){ 0 };
		conclude(out, CALL_FAILED,
		    "the call ended without a result; its reason is in the "
		    "log");
	} else {
		buf_init(&out->body, r->out.len);
		buf_add(&out->body, end + 1, r->out.len - line - 1);
	}
	json_decref(j);
}

void
call_result_read(struct call_result *out, const struct child_result *r)
{
	AUTO_STR text = NULL;

	*out = (struct call_result){ 0 };
	switch (r->end) {
	case CHILD_EXITED:
		read_output(out, r);
		return;
	case CHILD_TIMED_OUT:
		conclude(out, CALL_TIMED_OUT,
		    "no answer, and it had to be ended: name look-up hangs");
		return;
	case CHILD_SIGNALLED:
		text = mem_printf("the call was ended by signal %d (%s)",
		    r->status, strsignal(r->status));
		conclude(out, CALL_FAILED, text);
		return;
	case CHILD_FLOODED:
		conclude(out, CALL_TOO_LARGE, "the call wrote too much");
		return;
	case CHILD_CANCELLED:
		conclude(out, CALL_FAILED, "the call was cancelled");
		return;
	}
}

/* ---- for the pipeline ---- */

enum err_code
desk_call(struct desk *d, const char *reference, const json_t *headers,
    const void *body, size_t len, const struct desk_patience *patience,
    struct call_result *out, struct err *e)
{
	struct child_result r = { 0 };
	struct call_target target;
	enum err_code code;
	json_t *payload;
	int fd = -1;

	TRY(call_target_find(&target, d->conf, reference, e));
	if (len > CALL_BODY_MAX)
		return err_set(e, ERR_LIMIT,
		    "call: the body is larger than %d bytes",
		    (int)CALL_BODY_MAX);
	if (body != NULL)
		TRY(file_memory(&fd, "edict-call", body, len, e));
	payload =
	    json_pack("{s:s,s:O}", "target", reference, "headers", headers);
	if (headers == NULL)
		payload =
		    json_pack("{s:s,s:{}}", "target", reference, "headers");
	code = desk_child(d, SUPERVISOR_CALL, payload, fd,
	    target.timeout_ms + CALL_SLACK_MS, call_output_max(&target),
	    patience, &r, e);
	if (fd >= 0)
		close(fd);
	if (code != ERR_OK)
		return code;
	call_result_read(out, &r);
	child_result_clear(&r);
	return ERR_OK;
}
