#include "policies/gate_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/names.h"
#include "core/text.h"
#include "policies/rego_version.h"

bool
gate_is_policy(const char *path)
{
	return text_ends_with(path, ".rego");
}

bool
gate_is_test(const char *path)
{
	return text_ends_with(path, "_test.rego");
}

static enum err_code
new_folder(char **dir, const struct gate_job *job, const char *name,
    struct err *e)
{
	AUTO_STR path = file_path(job->work, name);

	TRY(file_remove_tree(path, e));
	TRY(file_make_dirs(path, e));
	*dir = STEAL(path);
	return ERR_OK;
}

static enum err_code
copy_tree(char **dir, const struct gate_job *job, const char *name,
    bool (*keep)(void *arg, const struct tree_entry *entry), void *arg,
    struct err *e)
{
	AUTO_STR path = NULL;

	TRY(new_folder(&path, job, name, e));
	TRY(tree_write(job->tree, path, keep, arg, e));
	*dir = STEAL(path);
	return ERR_OK;
}

/* The engine loads an archive that lies about as a bundle (v1/loader), but no
 * bundle of ours holds one: what passes with it would not work without. */
static bool
is_seen(void *arg, const struct tree_entry *entry)
{
	(void)arg;
	return !definition_hidden(entry->path) &&
	    strcmp(entry->path, DEFINITION_FILE) != 0 &&
	    !text_ends_with(entry->path, ".tar.gz");
}

enum err_code
gate_copy_source(char **dir, const struct gate_job *job, struct err *e)
{
	return copy_tree(dir, job, "src", is_seen, NULL, e);
}

enum err_code
gate_copy_all(char **dir, const struct gate_job *job, struct err *e)
{
	return copy_tree(dir, job, "all", NULL, NULL, e);
}

struct selection {
	const struct definition_bundle *d;
	bool tests;
};

static bool
is_selected(void *arg, const struct tree_entry *entry)
{
	const struct selection *s = arg;
	char placed[TREE_PATH_MAX];

	return gate_is_policy(entry->path) &&
	    (s->tests || !gate_is_test(entry->path)) &&
	    definition_place(s->d, entry->path, placed);
}

enum err_code
gate_copy_policies(char **dir, const struct gate_job *job,
    const struct definition_bundle *d, bool tests, struct err *e)
{
	struct selection s = { d, tests };

	return copy_tree(dir, job, "check", is_selected, &s, e);
}

void
gate_places_clear(struct gate_places *p)
{
	for (size_t i = 0; i < p->count; i++)
		mem_free(p->items[i].placed);
	mem_free(p->items);
	*p = (struct gate_places){ 0 };
}

static int
place_order(const void *a, const void *b)
{
	const struct gate_placed *x = a, *y = b;

	return strcmp(x->placed, y->placed);
}

const char *
gate_places_find(const struct gate_places *p, const char *placed)
{
	AUTO_STR key = mem_strdup(placed);
	const struct gate_placed wanted = { key, NULL };
	const struct gate_placed *found = NULL;

	if (p->count > 0)
		found = bsearch(&wanted, p->items, p->count, sizeof *p->items,
		    place_order);
	return found != NULL ? found->path : placed;
}

/* What an engine would load of a bundle, and its tests. */
static bool
is_loaded(const char *placed)
{
	const char *base = strrchr(placed, '/');

	base = base != NULL ? base + 1 : placed;
	return gate_is_policy(placed) || strcmp(base, "data.json") == 0 ||
	    strcmp(base, "data.yaml") == 0 || strcmp(base, "data.yml") == 0 ||
	    strcmp(placed, MANIFEST_FILE) == 0;
}

static enum err_code
write_placed(const struct tree *t, const struct tree_entry *entry,
    const char *file, struct err *e)
{
	AUTO_STR folder =
	    mem_strndup(file, (size_t)(strrchr(file, '/') - file));
	AUTO_BUF data = { 0 };
	enum err_code code;
	int fd;

	buf_init(&data, TREE_BLOB_MAX);
	TRY(tree_read(t, entry, &data, e));
	TRY(buf_check(&data, entry->path, e));
	TRY(file_make_dirs(folder, e));
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd < 0)
		return err_errno(e, "%s", file);
	code = file_write_all(fd, data.data, data.len, e);
	if (close(fd) != 0 && code == ERR_OK)
		code = err_errno(e, "%s", file);
	return code;
}

static enum err_code
check_places(const struct gate_places *p, const char *bundle, struct err *e)
{
	for (size_t i = 1; i < p->count; i++) {
		if (strcmp(p->items[i - 1].placed, p->items[i].placed) == 0)
			return err_set(e, ERR_CONFLICT,
			    "bundle %s: %s and %s would both be %s, which "
			    "cannot be tested with gate.test.scope bundle; rename "
			    "one, or give its folder another \"to\" in paths",
			    bundle, p->items[i - 1].path, p->items[i].path,
			    p->items[i].placed);
	}
	return ERR_OK;
}

static void
find_places(struct gate_places *p, const struct tree *t,
    const struct definition_bundle *d)
{
	p->items = mem_array(t->count, sizeof *p->items);
	for (size_t i = 0; i < t->count; i++) {
		char placed[TREE_PATH_MAX];

		if (!definition_place(d, t->entries[i].path, placed) ||
		    !is_loaded(placed))
			continue;
		p->items[p->count++] = (struct gate_placed){ mem_strdup(placed),
			t->entries[i].path };
	}
	if (p->count > 0)
		qsort(p->items, p->count, sizeof *p->items, place_order);
}

enum err_code
gate_copy_bundle(char **dir, struct gate_places *places,
    const struct gate_job *job, const struct definition_bundle *d,
    struct err *e)
{
	AUTO_STR path = NULL;

	find_places(places, job->tree, d);
	TRY(check_places(places, d->name, e));
	TRY(new_folder(&path, job, "bundle", e));
	for (size_t i = 0; i < places->count; i++) {
		AUTO_STR file = file_path(path, places->items[i].placed);

		TRY(write_placed(job->tree,
		    tree_find(job->tree, places->items[i].path), file, e));
	}
	*dir = STEAL(path);
	return ERR_OK;
}

/* Only where a single file differs is a manifest needed: opa reads one with
 * --bundle alone. Without roots: tests may be of any package. */
static enum err_code
write_manifest(const char *dir, const struct buf *rules, int version,
    struct err *e)
{
	AUTO_STR path = file_path(dir, ".manifest");
	AUTO_BUF text = { 0 };

	buf_init(&text, rules->len + 128);
	buf_printf(&text, "{\"rego_version\":%d,\"file_rego_versions\":{%s}}",
	    version, rules->data);
	if (file_replace(path, text.data, text.len, 0600, e) != ERR_OK)
		return err_as(e, ERR_IO);
	return ERR_OK;
}

enum err_code
gate_write_versions(bool *written, const char *dir, const struct tree *t,
    const struct definition_bundle *d, bool placed, struct err *e)
{
	struct rego_versions v;
	AUTO_BUF rules = { 0 };
	enum err_code code = ERR_OK;

	*written = false;
	rego_versions_read(&v, t, d);
	buf_init(&rules, GATE_OUTPUT_MAX);
	for (size_t i = 0; v.rules != NULL && i < t->count; i++) {
		const char *path = t->entries[i].path;
		char at[TREE_PATH_MAX], name[TREE_PATH_MAX + 2];

		if (!gate_is_policy(path) || !definition_place(d, path, at) ||
		    rego_versions_of(&v, at) == v.version)
			continue;
		(void)snprintf(name, sizeof name, "/%s", placed ? at : path);
		if (rules.len > 0)
			buf_add_char(&rules, ',');
		rego_version_write(&rules, name, rego_versions_of(&v, at));
	}
	if (rules.len > 0)
		code = buf_check(&rules, "file_rego_versions", e);
	if (code == ERR_OK && rules.len > 0) {
		*written = true;
		code = write_manifest(dir, &rules, v.version, e);
	}
	rego_versions_clear(&v);
	return code;
}

int
gate_rego_version(const struct tree *t, const struct definition_bundle *d)
{
	struct rego_versions v;
	int version;

	rego_versions_read(&v, t, d);
	version = v.version;
	rego_versions_clear(&v);
	return version;
}

bool
gate_has_file_versions(const struct tree *t, const struct definition_bundle *d)
{
	struct rego_versions v;
	bool has;

	rego_versions_read(&v, t, d);
	has = v.rules != NULL;
	rego_versions_clear(&v);
	return has;
}
