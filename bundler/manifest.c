#include "bundler/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bundler/bundle.h"
#include "bundler/data.h"
#include "core/canon.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "policies/rego_version.h"

#define OUR_KEY "edict"

void
manifest_clear(struct manifest *m)
{
	mem_free(m->revision);
	roots_clear(&m->roots);
	document_free(m->doc);
	*m = (struct manifest){ 0 };
}

/* Reading */

struct reader {
	struct manifest *m;
	const char *name;
	bool strict;
	struct err *e;
};

static enum err_code
wrong(const struct reader *r, const char *field, const struct value *v,
    const char *wanted)
{
	return err_set(r->e, ERR_INVALID, "%s:%u: %s has to be %s, not %s",
	    r->name, v->line, field, wanted, value_kind_name(v->kind));
}

static enum err_code
read_revision(struct reader *r, const struct value *v)
{
	if (v->kind != VALUE_STRING)
		return wrong(r, "revision", v, "a string");
	if (strlen(v->text) != v->text_len)
		return err_set(r->e, ERR_INVALID,
		    "%s:%u: revision holds a NUL character", r->name, v->line);
	r->m->revision = mem_strdup(v->text);
	return ERR_OK;
}

static enum err_code
read_roots(struct reader *r, const struct value *v)
{
	if (v->kind != VALUE_ARRAY)
		return wrong(r, "roots", v, "an array of strings");
	if (v->count > ROOTS_MAX)
		return err_set(r->e, ERR_LIMIT, "%s:%u: more than %d roots",
		    r->name, v->line, ROOTS_MAX);
	r->m->has_roots = true;
	r->m->roots_line = v->line;
	for (size_t i = 0; i < v->count; i++) {
		const struct value *item = v->items[i];

		if (item->kind != VALUE_STRING ||
		    strlen(item->text) != item->text_len)
			return wrong(r, "each of roots", item, "a string");
		roots_add(&r->m->roots, item->text, item->text_len);
	}
	return ERR_OK;
}

static int
version_of(const struct value *v)
{
	if (v->kind != VALUE_NUMBER || v->text_len != 1 ||
	    (v->text[0] != '0' && v->text[0] != '1'))
		return -1;
	return v->text[0] - '0';
}

static enum err_code
bad_version(const struct reader *r, const char *field, const struct value *v)
{
	return err_set(r->e, ERR_INVALID, "%s:%u: %s has to be 0 or 1", r->name,
	    v->line, field);
}

static enum err_code
read_rego_version(struct reader *r, const struct value *v)
{
	r->m->rego_version = version_of(v);
	if (r->m->rego_version < 0)
		return bad_version(r, "rego_version", v);
	return ERR_OK;
}

static enum err_code
read_file_versions(struct reader *r, const struct value *v)
{
	if (v->kind != VALUE_OBJECT)
		return wrong(r, "file_rego_versions", v, "an object");
	for (size_t i = 0; i < v->count; i++) {
		const struct value *key = v->keys[i];

		if (version_of(v->items[i]) < 0)
			return bad_version(r, "each of file_rego_versions",
			    v->items[i]);
		/* In a finished bundle they stand behind backslashes. */
		if ((r->strict && strpbrk(key->text, "[]{}\\") != NULL) ||
		    strlen(key->text) != key->text_len)
			return err_set(r->e, ERR_INVALID,
			    "%s:%u: file_rego_versions: \"%s\": only * and ? "
			    "are understood in patterns; name the files",
			    r->name, key->line, key->text);
	}
	r->m->file_versions = v;
	return ERR_OK;
}

static enum err_code
read_metadata(struct reader *r, const struct value *v)
{
	if (v->kind != VALUE_OBJECT)
		return wrong(r, "metadata", v, "an object");
	r->m->metadata = v;
	return r->strict ? manifest_check_metadata(v, r->name, r->e) : ERR_OK;
}

static enum err_code
read_wasm(struct reader *r, const struct value *v)
{
	if (v->kind == VALUE_ARRAY && (v->count == 0 || !r->strict))
		r->m->wasm = v->count > 0 ? v : NULL;
	if (!r->strict || (v->kind == VALUE_ARRAY && v->count == 0))
		return ERR_OK;
	return err_set(r->e, ERR_INVALID,
	    "%s:%u: wasm modules cannot be bundled as they are; remove this "
	    "field, and have one made: compile: {target: wasm} in edict.yaml",
	    r->name, v->line);
}

static const struct field {
	const char *name;
	enum err_code (*read)(struct reader *r, const struct value *v);
} fields[] = {
	{ "revision", read_revision },
	{ "roots", read_roots },
	{ "rego_version", read_rego_version },
	{ "file_rego_versions", read_file_versions },
	{ "metadata", read_metadata },
	{ "wasm", read_wasm },
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static const struct field *
find_field(const struct value *key)
{
	for (size_t i = 0; i < FIELDS; i++) {
		if (strlen(key->text) == key->text_len &&
		    strcasecmp(fields[i].name, key->text) == 0)
			return &fields[i];
	}
	return NULL;
}

static enum err_code
read_fields(struct reader *r, const struct value *root)
{
	bool seen[FIELDS] = { false };

	for (size_t i = 0; i < root->count; i++) {
		const struct value *key = root->keys[i];
		const struct field *f = find_field(key);

		if (f == NULL && !r->strict)
			continue;
		if (f == NULL)
			return err_set(r->e, ERR_INVALID,
			    "%s:%u: unknown field \"%s\"; known are revision, "
			    "roots, rego_version, file_rego_versions and "
			    "metadata",
			    r->name, key->line, key->text);
		if (seen[f - fields])
			return err_set(r->e, ERR_INVALID,
			    "%s:%u: \"%s\" is given twice: engines do not look "
			    "at the case of field names",
			    r->name, key->line, key->text);
		seen[f - fields] = true;
		/* null is as good as absent to a Go decoder. */
		if (root->items[i]->kind != VALUE_NULL)
			TRY(f->read(r, root->items[i]));
	}
	return ERR_OK;
}

enum err_code
manifest_read(struct manifest *out, const char *name, const char *text,
    size_t len, bool strict, struct err *e)
{
	struct manifest m = { .rego_version = -1 };
	struct reader r = { &m, name, strict, e };
	const struct value *root;
	enum err_code code;

	if (len > MANIFEST_FILE_MAX)
		return err_set(e, ERR_LIMIT, "%s: larger than %d bytes", name,
		    MANIFEST_FILE_MAX);
	TRY(data_check_pointer(name, text, len, e));
	TRY(canon_read(&m.doc, name, text, len, e));
	root = document_root(m.doc);
	if (root->kind == VALUE_OBJECT)
		code = read_fields(&r, root);
	else
		code = wrong(&r, "a manifest", root, "an object");
	if (code != ERR_OK)
		manifest_clear(&m);
	else
		*out = m;
	return code;
}

enum err_code
manifest_check_metadata(const struct value *metadata, const char *where,
    struct err *e)
{
	const struct value *ours;

	if (metadata == NULL)
		return ERR_OK;
	TRY(data_check_texts(metadata, where, e));
	ours = value_get(metadata, OUR_KEY);
	if (ours == NULL)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "%s:%u: metadata: the key \"%s\" is kept for the bundle's own name, "
	    "commit, author, date and tree; choose another",
	    where, ours->line, OUR_KEY);
}

/* File patterns */

enum err_code
manifest_file_version(const struct manifest *m, const char *path,
    const char *where, int *out, struct err *e)
{
	const struct value *list = m->file_versions;
	const struct value *by = NULL;

	*out = -1;
	for (size_t i = 0; list != NULL && i < list->count; i++) {
		int version = version_of(list->items[i]);

		if (!rego_version_names(list->keys[i]->text, path))
			continue;
		if (by != NULL && version != *out)
			return err_set(e, ERR_INVALID,
			    "%s:%u: file_rego_versions: \"%s\" and \"%s\" both "
			    "match %s and disagree",
			    where, list->keys[i]->line, by->text,
			    list->keys[i]->text, path);
		by = list->keys[i];
		*out = version;
	}
	return ERR_OK;
}

/* Writing */

/* What Git holds need not be UTF-8; JSON has to be. Nor may it have what
 * data_check_texts refuses. */
static void
write_text(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	AUTO_BUF clean = { 0 };

	buf_init(&clean, len * 3 + 1);
	for (size_t i = 0; i < len;) {
		size_t step = utf8_size(text + i, len - i);

		if (step == 0 || text[i] == '\b' || text[i] == '\f')
			buf_add_str(&clean, "\xef\xbf\xbd");
		else
			buf_add(&clean, text + i, step);
		i += step > 0 ? step : 1;
	}
	canon_write_string(out, clean.data, clean.len);
}

/* RFC 3339 in the committer's own time zone, as Git shows it. */
static void
write_date(struct buf *out, const struct tree_commit *c)
{
	const int64_t last = 253402300799; /* of the year 9999 */
	int offset = c->commit_offset;
	time_t local;
	struct tm tm;

	if (offset <= -24 * 60 || offset >= 24 * 60)
		offset = 0;
	local = (time_t)c->commit_time + offset * 60;
	if (local < 0 || local > last)
		local = 0;
	if (gmtime_r(&local, &tm) == NULL)
		tm = (struct tm){ .tm_year = 70, .tm_mday = 1 };
	buf_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (offset == 0)
		buf_add_str(out, "Z\"");
	else
		buf_printf(out, "%c%02d:%02d\"", offset < 0 ? '-' : '+',
		    abs(offset) / 60, abs(offset) % 60);
}

static void
write_ours(struct buf *out, const struct manifest_content *m)
{
	const struct tree_commit *c = m->commit;

	buf_add_str(out, "\"" OUR_KEY "\":{\"author\":");
	write_text(out, c->author != NULL ? c->author : "");
	buf_add_str(out, ",\"bundle\":");
	write_text(out, m->bundle);
	buf_printf(out, ",\"commit\":\"%s\",\"committer_date\":", c->id);
	write_date(out, c);
	buf_printf(out, ",\"format\":%d", BUNDLE_FORMAT);
	if (m->opa != NULL) {
		buf_add_str(out, ",\"opa\":");
		write_text(out, m->opa);
	}
	buf_printf(out, ",\"tree\":\"%s\"}", c->tree);
}

static int
compare_indices(const void *a, const void *b, void *arg)
{
	const struct value *v = arg;

	return data_compare_keys(v->keys[*(const size_t *)a],
	    v->keys[*(const size_t *)b]);
}

static void
write_member(struct buf *out, const struct value *object, size_t i)
{
	const struct value *key = object->keys[i];

	canon_write_string(out, key->text, key->text_len);
	buf_add_char(out, ':');
	canon_write(out, object->items[i]);
}

/* The user's keys and ours, in one order. */
static void
write_metadata(struct buf *out, const struct manifest_content *m,
    bool with_commit)
{
	static const struct value none = { .kind = VALUE_OBJECT };
	struct value sorted = m->metadata != NULL ? *m->metadata : none;
	size_t *order = mem_array(sorted.count + 1, sizeof *order);
	bool ours = with_commit;
	const char *comma = "";

	for (size_t i = 0; i < sorted.count; i++)
		order[i] = i;
	qsort_r(order, sorted.count, sizeof *order, compare_indices, &sorted);
	buf_add_char(out, '{');
	for (size_t i = 0; i < sorted.count; i++) {
		if (ours && strcmp(sorted.keys[order[i]]->text, OUR_KEY) > 0) {
			buf_add_str(out, comma);
			write_ours(out, m);
			ours = false;
			comma = ",";
		}
		buf_add_str(out, comma);
		write_member(out, &sorted, order[i]);
		comma = ",";
	}
	if (ours) {
		buf_add_str(out, comma);
		write_ours(out, m);
	}
	buf_add_char(out, '}');
	mem_free(order);
}

static void
write_rules(struct buf *out, const struct manifest_content *m)
{
	buf_add_str(out, "\"file_rego_versions\":{");
	for (size_t i = 0; i < m->rule_count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		rego_version_write(out, m->rules[i].path, m->rules[i].version);
	}
	buf_add_str(out, "},");
}

static const char *
without_slash(const char *path)
{
	return path[0] == '/' ? path + 1 : path;
}

static const struct value *
text_of(const struct value *entry, const char *key)
{
	const struct value *v =
	    entry->kind == VALUE_OBJECT ? value_get(entry, key) : NULL;

	return v != NULL && v->kind == VALUE_STRING &&
		strlen(v->text) == v->text_len
	    ? v
	    : NULL;
}

enum err_code
manifest_check_wasm(const struct value *wasm, const char *module,
    const char *where, struct err *e)
{
	for (size_t i = 0; i < wasm->count; i++) {
		const struct value *entry = wasm->items[i];
		const struct value *file = text_of(entry, "module");

		if (file == NULL || text_of(entry, "entrypoint") == NULL ||
		    strcmp(without_slash(file->text), module) != 0)
			return err_set(e, ERR_INVALID,
			    "%s: wasm[%zu] is no entrypoint of %s", where, i,
			    module);
	}
	return ERR_OK;
}

/* The engine compares module with the name in the archive, byte for byte. */
static void
write_wasm(struct buf *out, const struct value *wasm)
{
	buf_add_str(out, ",\"wasm\":[");
	for (size_t i = 0; i < wasm->count; i++) {
		const struct value *entry = wasm->items[i];
		const struct value *notes = value_get(entry, "annotations");
		const struct value *point = text_of(entry, "entrypoint");
		const char *file =
		    without_slash(text_of(entry, "module")->text);

		buf_add_str(out, i > 0 ? ",{" : "{");
		if (notes != NULL && notes->kind == VALUE_ARRAY) {
			buf_add_str(out, "\"annotations\":");
			canon_write(out, notes);
			buf_add_char(out, ',');
		}
		buf_add_str(out, "\"entrypoint\":");
		canon_write_string(out, point->text, point->text_len);
		buf_add_str(out, ",\"module\":");
		canon_write_string(out, file, strlen(file));
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

void
manifest_write(struct buf *out, const struct manifest_content *m,
    bool with_commit)
{
	buf_add_char(out, '{');
	if (m->rule_count > 0)
		write_rules(out, m);
	buf_add_str(out, "\"metadata\":");
	write_metadata(out, m, with_commit);
	buf_printf(out, ",\"rego_version\":%d", m->rego_version);
	if (with_commit)
		buf_printf(out, ",\"revision\":\"%s\"", m->commit->id);
	buf_add_str(out, ",\"roots\":[");
	for (size_t i = 0; i < m->roots->count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		canon_write_string(out, m->roots->items[i],
		    strlen(m->roots->items[i]));
	}
	buf_add_char(out, ']');
	if (m->wasm != NULL)
		write_wasm(out, m->wasm);
	buf_add_char(out, '}');
}
