#include "server/status_api.h"

#include <libdeflate.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clusters/payload.h"
#include "core/clock.h"
#include "core/mem.h"
#include "server/engine.h"
#include "server/reply.h"

enum {
	STATUS_BUNDLES_MAX = 256, /* looked at, of one report */
	STATUS_LABEL_MAX = 128,
	LOGS_FREE = 64 * 1024 /* may be inflated whatever was sent */
};

/* ---- whose it is ---- */

/* For credentials of every cluster: the one where this engine polls, or the
 * only one there is. */
static const char *
likely_cluster(const struct request *r, const char *name)
{
	const struct catalog *c = loop_catalog(r->loop);
	const char *last = NULL;
	size_t clusters = 0;

	for (size_t i = 0; i < catalog_count(c); i++) {
		const char *cluster = catalog_at(c, i)->cluster;

		if (last != NULL && strcmp(last, cluster) == 0)
			continue;
		last = cluster;
		clusters++;
		if (name != NULL &&
		    engines_seen(r->service->engines, cluster, name))
			return cluster;
	}
	return clusters == 1 ? last : NULL;
}

static bool
is_served(const struct request *r, const char *cluster)
{
	const struct catalog *c = loop_catalog(r->loop);

	for (size_t i = 0; i < catalog_count(c); i++)
		if (strcmp(catalog_at(c, i)->cluster, cluster) == 0)
			return true;
	return false;
}

/* NULL when the reply is on its way already. */
static const char *
cluster_of(struct request *r, const char *name)
{
	bool named = strncmp(r->match->route->pattern, "/clusters/", 10) == 0;
	const char *own = r->token == NULL
	    ? r->service->conf->access.anonymous_cluster
	    : r->token->cluster;
	const char *cluster = own;

	if (named)
		cluster = route_param(r->match, "cluster");
	else if (*own == '\0')
		cluster = likely_cluster(r, name);
	if (cluster != NULL && (*own == '\0' || strcmp(own, cluster) == 0) &&
	    is_served(r, cluster))
		return cluster;
	reply_fault(r, 404, "not_found",
	    named ? "no such cluster is served to this credential"
		  : "this credential is of several clusters: send to "
		    "/clusters/CLUSTER%s",
	    named ? "" : r->url);
	return NULL;
}

static void
reply_done(struct request *r)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	if (response == NULL)
		return;
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	/* The engine makes a new connection for each. */
	(void)MHD_add_response_header(response, "Connection", "close");
	reply_with(r, 204, response);
	MHD_destroy_response(response);
}

/* ---- status ---- */

static const char *
text_at(const json_t *j, const char *key)
{
	const char *text = payload_text(j, key);

	return text != NULL ? text : "";
}

static void
read_error(struct engines_report *out, const json_t *bundle)
{
	const json_t *first =
	    json_array_get(json_object_get(bundle, "errors"), 0);
	const json_t *place = json_object_get(first, "location");
	const char *message = text_at(first, "message");
	const char *code = text_at(bundle, "code");
	double row;

	*out = (struct engines_report){ .at_ms = clock_now_ms() };
	if (*code == '\0' && first != NULL)
		code = "error";
	err_copy(out->code, sizeof out->code, code);
	err_copy(out->message, sizeof out->message,
	    *message != '\0' ? message : text_at(bundle, "message"));
	err_copy(out->file, sizeof out->file, text_at(place, "file"));
	row = json_number_value(json_object_get(place, "row"));
	out->row = row >= 1 && row < 1e9 ? (int64_t)row : 0;
}

static void
take_bundles(const struct request *r, const char *cluster, const char *name,
    const json_t *status)
{
	json_t *bundles = payload_unconst(json_object_get(status, "bundles"));
	size_t seen = 0;
	const char *bundle;
	json_t *state;

	json_object_foreach(bundles, bundle, state) {
		struct engines_report report;

		if (seen++ == STATUS_BUNDLES_MAX)
			return;
		if (catalog_find(loop_catalog(r->loop), cluster, bundle) ==
		    NULL)
			continue;
		read_error(&report, state);
		engines_take_report(r->service->engines, cluster, name, bundle,
		    &report);
	}
}

/* "bundle: NOT_READY; status: ERROR it is full", of those that are not OK. */
static void
take_plugins(const struct request *r, const char *cluster, const char *name,
    const json_t *status)
{
	json_t *plugins = payload_unconst(json_object_get(status, "plugins"));
	const json_t *discovery = json_object_get(status, "discovery");
	struct engines_report report = { .at_ms = clock_now_ms() };
	const char *plugin;
	json_t *state;
	AUTO_BUF text = { 0 };

	buf_init(&text, 64 * 1024);
	json_object_foreach(plugins, plugin, state) {
		const char *is = text_at(state, "state");

		if (*is == '\0' || strcmp(is, "OK") == 0)
			continue;
		buf_printf(&text, "%s%s: %s %s", text.len > 0 ? "; " : "",
		    plugin, is, text_at(state, "message"));
	}
	if (*text_at(discovery, "code") != '\0')
		buf_printf(&text, "%sdiscovery: %s %s",
		    text.len > 0 ? "; " : "", text_at(discovery, "code"),
		    text_at(discovery, "message"));
	if (text.len > 0)
		err_copy(report.code, sizeof report.code, "plugins");
	err_copy(report.message, sizeof report.message, text.data);
	engines_take_report(r->service->engines, cluster, name, NULL, &report);
}

static bool
is_version(const char *text)
{
	size_t len = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz.-+");

	return len > 0 && len < ENGINES_VERSION_SIZE && text[len] == '\0';
}

static void
take_status(const struct request *r, const char *cluster, const char *name,
    const json_t *status)
{
	const json_t *labels = json_object_get(status, "labels");
	const char *version = text_at(labels, "version");
	const char *label = text_at(labels, "id");

	if (*label == '\0' || strlen(label) > STATUS_LABEL_MAX)
		label = NULL;
	if (!engines_take_version(r->service->engines, cluster, name,
		is_version(version) ? version : NULL, label))
		return; /* it does not poll under this name */
	take_bundles(r, cluster, name, status);
	take_plugins(r, cluster, name, status);
}

/* Engines send numbers as large as they like (the Go runtime's memory limit
 * is one), and NUL bytes. What cannot be held is no fault of theirs, and they
 * would send it again: it is taken as read. NULL when the reply is on its way. */
static json_t *
read_json(struct request *r, const char *data, size_t len)
{
	json_error_t why = { 0 };
	json_t *j = data == NULL
	    ? NULL
	    : json_loadb(data, len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL,
		  &why);
	enum json_error_code code = json_error_code(&why);

	if (j != NULL)
		return j;
	if (data != NULL &&
	    (code == json_error_numeric_overflow ||
		code == json_error_null_byte_in_key)) {
		counters_add(r->service->counters, COUNTER_REPORTS_UNREAD, 1);
		reply_done(r);
	} else {
		reply_fault(r, 400, "invalid", "the body is not JSON");
	}
	return NULL;
}

void
status_api_status(struct request *r)
{
	const char *name = engine_name(r);
	const char *cluster = cluster_of(r, name);
	AUTO_JSON status = NULL;

	if (cluster == NULL)
		return;
	status = read_json(r, r->body != NULL ? r->body->data : NULL,
	    r->body != NULL ? r->body->len : 0);
	if (status == NULL)
		return;
	if (!json_is_object(status)) {
		reply_fault(r, 400, "invalid", "a status is a JSON object");
		return;
	}
	counters_add(r->service->counters, COUNTER_STATUS_REPORTS, 1);
	if (name != NULL)
		take_status(r, cluster, name, status);
	reply_done(r);
}

/* ---- decision logs ---- */

/* A compressed upload may not be much larger than what it took to send it. */
static size_t
room_for(size_t sent)
{
	size_t room = LOGS_FREE + sent * LOGS_RATIO_MAX;

	return room < LOGS_INFLATED_MAX ? room : LOGS_INFLATED_MAX;
}

static bool
inflate(struct request *r, struct buf *out)
{
	size_t size = room_for(r->body->len);
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	enum libdeflate_result result = LIBDEFLATE_BAD_DATA;
	char *room;
	size_t len = 0;

	buf_init(out, size);
	room = buf_reserve(out, size);
	if (d != NULL && room != NULL)
		result = libdeflate_gzip_decompress(d, r->body->data,
		    r->body->len, room, size, &len);
	libdeflate_free_decompressor(d);
	if (result == LIBDEFLATE_SUCCESS) {
		buf_commit(out, len);
		return true;
	}
	if (result == LIBDEFLATE_INSUFFICIENT_SPACE)
		reply_fault(r, 413, "limit",
		    "the upload inflates to more than %zu bytes; lower "
		    "decision_logs.reporting.upload_size_limit_bytes",
		    size);
	else
		reply_fault(r, 400, "invalid", "the body is not gzip");
	return false;
}

/* The revision it was decided by, if all its bundles have the same. */
static const char *
revision_of(const json_t *decision)
{
	const char *revision = payload_text(decision, "revision");
	const char *bundle;
	json_t *b;

	json_object_foreach(payload_unconst(json_object_get(decision,
				"bundles")),
	    bundle, b) {
		const char *next = text_at(b, "revision");

		if (revision != NULL && strcmp(revision, next) != 0)
			return "several";
		revision = next;
	}
	return revision != NULL && *revision != '\0' ? revision : "none";
}

static void
count_decisions(const struct request *r, const char *cluster,
    const json_t *list)
{
	uint64_t ok = 0, errors = 0;
	const json_t *decision;
	size_t i;

	json_array_foreach(list, i, decision) {
		const json_t *error = json_object_get(decision, "error");
		bool good = error == NULL || json_is_null(error);

		ok += good;
		errors += !good;
		engines_decided(r->service->engines, cluster,
		    revision_of(decision), good, !good);
	}
	counters_add(r->service->counters, COUNTER_LOG_UPLOADS, 1);
	counters_add(r->service->counters, COUNTER_DECISIONS_OK, ok);
	counters_add(r->service->counters, COUNTER_DECISIONS_ERROR, errors);
}

void
status_api_logs(struct request *r)
{
	const char *encoding = request_header(r, "Content-Encoding");
	bool zipped = encoding != NULL && strcasecmp(encoding, "gzip") == 0;
	const char *cluster = cluster_of(r, engine_name(r));
	AUTO_BUF inflated = { 0 };
	AUTO_JSON list = NULL;

	if (cluster == NULL)
		return;
	if (zipped && r->body != NULL && !inflate(r, &inflated))
		return;
	if (zipped && r->body != NULL)
		list = read_json(r, inflated.data, inflated.len);
	else
		list = read_json(r, r->body != NULL ? r->body->data : NULL,
		    r->body != NULL ? r->body->len : 0);
	if (list == NULL)
		return;
	if (!json_is_array(list)) {
		reply_fault(r, 400, "invalid", "decisions are a JSON array");
		return;
	}
	count_decisions(r, cluster, list);
	reply_done(r);
}
