#include "policies/rego_version.h"

#include <stdio.h>
#include <string.h>

#include "core/canon.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/utf8.h"

/* On a mismatch only the last star takes one character more, so the worst case
 * is pattern times path. */
static bool
matches(const char *pattern, const char *path)
{
	const char *star = NULL, *resume = NULL;

	while (*path != '\0') {
		size_t step = utf8_size(path, strlen(path));

		if (*pattern == '*') {
			star = ++pattern;
			resume = path;
		} else if (*pattern == '?') {
			pattern++;
			path += step > 0 ? step : 1;
		} else if (*pattern == *path) {
			pattern++;
			path++;
		} else if (star != NULL) {
			step = utf8_size(resume, strlen(resume));
			pattern = star;
			resume += step > 0 ? step : 1;
			path = resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool
rego_version_names(const char *pattern, const char *path)
{
	char rooted[TREE_PATH_MAX + 2];

	(void)snprintf(rooted, sizeof rooted, "/%s", path);
	return matches(pattern, path) || matches(pattern, rooted);
}

/* What OPA's glob would take for more than itself gets a backslash. */
void
rego_version_write(struct buf *out, const char *path, int version)
{
	AUTO_BUF pattern = { 0 };

	buf_init(&pattern, TREE_PATH_MAX * 2 + 2);
	for (const char *p = path; *p != '\0'; p++) {
		if (strchr("*?[]{},\\", *p) != NULL)
			buf_add_char(&pattern, '\\');
		buf_add_char(&pattern, *p);
	}
	canon_write_string(out, pattern.data, pattern.len);
	buf_printf(out, ":%d", version);
}

static int
version_of(const struct value *v)
{
	if (v->kind != VALUE_NUMBER)
		return -1;
	return strcmp(v->text, "0") == 0 ? 0 : 1;
}

static void
take_fields(struct rego_versions *v, const struct value *root)
{
	for (size_t i = 0; root->kind == VALUE_OBJECT && i < root->count; i++) {
		const char *key = root->keys[i]->text;
		const struct value *item = root->items[i];

		if (strcasecmp(key, "rego_version") == 0 &&
		    version_of(item) >= 0)
			v->version = version_of(item);
		else if (strcasecmp(key, "file_rego_versions") == 0 &&
		    item->kind == VALUE_OBJECT && item->count > 0)
			v->rules = item;
	}
}

static void
take_manifest(struct rego_versions *v, const struct tree *t,
    const struct tree_entry *entry)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, DEFINITION_FILE_MAX);
	if (tree_read(t, entry, &text, NULL) == ERR_OK && !text.overflow &&
	    canon_read(&v->document, entry->path, text.data, text.len, NULL) ==
		ERR_OK)
		take_fields(v, document_root(v->document));
}

void
rego_versions_read(struct rego_versions *v, const struct tree *t,
    const struct definition_bundle *d)
{
	*v = (struct rego_versions){ .version = 1 };
	for (size_t i = 0; i < t->count && v->document == NULL; i++) {
		const char *path = t->entries[i].path;
		char placed[TREE_PATH_MAX];

		if (text_ends_with(path, ".manifest") &&
		    definition_place(d, path, placed) &&
		    strcmp(placed, ".manifest") == 0)
			take_manifest(v, t, &t->entries[i]);
	}
	if (d->rego_version >= 0)
		v->version = (int)d->rego_version;
}

void
rego_versions_clear(struct rego_versions *v)
{
	document_free(v->document);
	*v = (struct rego_versions){ 0 };
}

int
rego_versions_of(const struct rego_versions *v, const char *path)
{
	for (size_t i = 0; v->rules != NULL && i < v->rules->count; i++) {
		int version = version_of(v->rules->items[i]);

		if (version >= 0 &&
		    rego_version_names(v->rules->keys[i]->text, path))
			return version;
	}
	return v->version;
}
