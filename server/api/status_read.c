#include "server/api/status_read.h"

#include <string.h>

#include "clusters/payload.h"
#include "core/buf.h"

enum { PLUGINS_MAX = 64 * 1024 };

enum err_code
status_read_json(json_t **out, const char *data, size_t len, struct err *e)
{
	json_error_t why = { 0 };
	enum json_error_code code;

	*out = json_loadb(data, len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL,
	    &why);
	if (*out != NULL)
		return ERR_OK;
	code = json_error_code(&why);
	if (code == json_error_numeric_overflow ||
	    code == json_error_null_byte_in_key)
		return err_set(e, ERR_UNSUPPORTED, "the body cannot be held");
	return err_set(e, ERR_INVALID, "the body is not JSON");
}

static const char *
text_at(const json_t *j, const char *key)
{
	const char *text = payload_text(j, key);

	return text != NULL ? text : "";
}

const char *
status_version(const json_t *status)
{
	const char *text =
	    text_at(json_object_get(status, "labels"), "version");
	size_t len = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz.-+");

	return len > 0 && len < ENGINES_VERSION_SIZE && text[len] == '\0'
	    ? text
	    : NULL;
}

const char *
status_label(const json_t *status)
{
	const char *text = text_at(json_object_get(status, "labels"), "id");

	return *text != '\0' && strlen(text) <= STATUS_LABEL_MAX ? text : NULL;
}

void
status_error(struct engines_report *out, const json_t *bundle, int64_t now_ms)
{
	const json_t *first =
	    json_array_get(json_object_get(bundle, "errors"), 0);
	const json_t *place = json_object_get(first, "location");
	const char *message = text_at(first, "message");
	const char *code = text_at(bundle, "code");
	double row;

	*out = (struct engines_report){ .at_ms = now_ms };
	if (*code == '\0' && first != NULL)
		code = "error";
	err_copy(out->code, sizeof out->code, code);
	err_copy(out->message, sizeof out->message,
	    *message != '\0' ? message : text_at(bundle, "message"));
	err_copy(out->file, sizeof out->file, text_at(place, "file"));
	row = json_number_value(json_object_get(place, "row"));
	out->row = row >= 1 && row < 1e9 ? (int64_t)row : 0;
}

/* "bundle: NOT_READY; status: ERROR it is full" */
static void
add_plugins(struct buf *text, const json_t *status)
{
	const char *plugin;
	json_t *state;

	json_object_foreach(payload_unconst(json_object_get(status, "plugins")),
	    plugin, state) {
		const char *is = text_at(state, "state");

		if (*is == '\0' || strcmp(is, "OK") == 0)
			continue;
		buf_printf(text, "%s%s: %s %s", text->len > 0 ? "; " : "",
		    plugin, is, text_at(state, "message"));
	}
}

void
status_plugins(struct engines_report *out, const json_t *status, int64_t now_ms)
{
	const json_t *discovery = json_object_get(status, "discovery");
	AUTO_BUF text = { 0 };

	*out = (struct engines_report){ .at_ms = now_ms };
	buf_init(&text, PLUGINS_MAX);
	add_plugins(&text, status);
	if (*text_at(discovery, "code") != '\0')
		buf_printf(&text, "%sdiscovery: %s %s",
		    text.len > 0 ? "; " : "", text_at(discovery, "code"),
		    text_at(discovery, "message"));
	if (text.len > 0 || text.overflow)
		err_copy(out->code, sizeof out->code, "plugins");
	err_copy(out->message, sizeof out->message, text.data);
}

const char *
status_revision(const json_t *decision)
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
