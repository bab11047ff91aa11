#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/bundle.h"
#include "bundler/manifest.h"
#include "bundler/pack.h"
#include "core/mem.h"
#include "core/names.h"
#include "core/text.h"
#include "core/utf8.h"
#include "signing/digest.h"

enum { ENTRIES_MAX = 2 * BUNDLE_FILES_MAX };

struct reading {
	struct bundle_archive *out;
	const char *name;
	struct archive *archive;
	int64_t total;
	size_t cap;
	bool built; /* by `opa build`: names begin with a slash */
	struct err *e;
};

static void
file_clear(struct bundle_file *f)
{
	mem_free(f->path);
	mem_free(f->data);
}

void
bundle_archive_clear(struct bundle_archive *a)
{
	for (size_t i = 0; i < a->count; i++)
		file_clear(&a->files[i]);
	for (size_t i = 0; i < a->root_count; i++)
		mem_free(a->roots[i]);
	mem_free(a->files);
	mem_free(a->roots);
	mem_free(a->jws);
	mem_free(a->revision);
	*a = (struct bundle_archive){ 0 };
}

static enum err_code
bad_archive(const struct reading *r)
{
	const char *why = archive_error_string(r->archive);

	return err_set(r->e, ERR_INVALID, "%s: not a bundle: %s", r->name,
	    why != NULL ? why : "cannot be read");
}

static bool
is_text(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < len;) {
		size_t step = utf8_size(path + i, len - i);

		if (step == 0 || (unsigned char)path[i] < 0x20 ||
		    path[i] == 0x7f || path[i] == '\\')
			return false;
		i += step;
	}
	return true;
}

/* Relative, one slash between parts, none of them "." or "..". */
static bool
is_clean(const char *path)
{
	const char *at = path;

	for (;;) {
		size_t len = strcspn(at, "/");

		if (len == 0 || (len == 1 && at[0] == '.') ||
		    (len == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		if (at[len] == '\0')
			return is_text(path);
		at += len + 1;
	}
}

/* Names that some version of OPA takes for a manifest, a signature file or a
 * patch, wherever they lie (v1/bundle/bundle.go). */
static bool
is_trap(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;

	if (strcmp(path, MANIFEST_FILE) == 0 ||
	    strcmp(path, SIGNATURES_FILE) == 0)
		return false;
	return text_ends_with(path, "signatures.json") ||
	    text_ends_with(path, MANIFEST_FILE) ||
	    text_ends_with(path, ".manifest.pb") ||
	    strcmp(base, "patch.json") == 0;
}

static enum err_code
check_entry(struct reading *r, struct archive_entry *entry, const char *path)
{
	if (path == NULL || path[0] == '\0' || strlen(path) >= TREE_PATH_MAX ||
	    !is_clean(path))
		return err_set(r->e, ERR_INVALID,
		    "%s: holds a file with the name \"%.200s\"; names are "
		    "relative paths without \".\" and \"..\"",
		    r->name, path != NULL ? path : "");
	if (archive_entry_filetype(entry) != AE_IFREG ||
	    archive_entry_hardlink(entry) != NULL ||
	    archive_entry_symlink(entry) != NULL)
		return err_set(r->e, ERR_INVALID,
		    "%s: %.200s is not a regular file", r->name, path);
	if (is_trap(path))
		return err_set(r->e, ERR_INVALID,
		    "%s: %.200s: engines take this name for a manifest, a "
		    "signature or a patch, which belong at the root only",
		    r->name, path);
	return ERR_OK;
}

static enum err_code
read_data(struct reading *r, struct archive_entry *entry, const char *path,
    char **out, size_t *len)
{
	int64_t size = archive_entry_size(entry);
	AUTO_BUF data = { 0 };
	la_ssize_t n;

	buf_init(&data, (size_t)BUNDLE_SIZE_MAX);
	if (!archive_entry_size_is_set(entry) || size < 0 ||
	    size > BUNDLE_SIZE_MAX - r->total)
		return err_set(r->e, ERR_LIMIT,
		    "%s: unpacks to more than %" PRId64 " bytes (at %s)",
		    r->name, BUNDLE_SIZE_MAX, path);
	r->total += size;
	/* In steps: a size in a header is a claim, not yet memory. */
	while ((int64_t)data.len < size) {
		size_t left = (size_t)size - data.len;
		size_t step = left < 65536 ? left : 65536;
		char *room = buf_reserve(&data, step);

		n = archive_read_data(r->archive, room, step);
		if (n < 0)
			return bad_archive(r);
		if (n == 0)
			return err_set(r->e, ERR_INVALID, "%s: %s is cut short",
			    r->name, path);
		buf_commit(&data, (size_t)n);
	}
	*out = buf_steal(&data, len);
	return ERR_OK;
}

static enum err_code
take_signatures(struct reading *r, const char *text, size_t len)
{
	AUTO_BUF jws = { 0 };

	buf_init(&jws, JWS_SIZE_MAX);
	if (r->out->jws != NULL)
		return err_set(r->e, ERR_INVALID, "%s: two " SIGNATURES_FILE,
		    r->name);
	if (jws_unwrap(&jws, text, len, r->e) != ERR_OK)
		return err_add(r->e, "%s", r->name);
	r->out->jws = buf_steal(&jws, &r->out->jws_len);
	return ERR_OK;
}

static struct bundle_file *
add_file(struct reading *r, const char *path)
{
	struct bundle_archive *a = r->out;

	if (a->count == r->cap) {
		r->cap = r->cap == 0 ? 64 : r->cap * 2;
		a->files = mem_grow(a->files, r->cap, sizeof *a->files);
	}
	a->files[a->count] = (struct bundle_file){ .path = mem_strdup(path) };
	return &a->files[a->count++];
}

static enum err_code
take_entry(struct reading *r, struct archive_entry *entry)
{
	const char *path = archive_entry_pathname(entry);
	struct bundle_file *f;
	AUTO_STR data = NULL;
	size_t len = 0;

	if (r->built && path != NULL && path[0] == '/')
		path++;
	if (archive_entry_filetype(entry) == AE_IFDIR &&
	    archive_entry_size(entry) == 0)
		return ERR_OK;
	TRY(check_entry(r, entry, path));
	TRY(read_data(r, entry, path, &data, &len));
	if (strcmp(path, SIGNATURES_FILE) == 0)
		return take_signatures(r, data, len);
	if (r->out->count == BUNDLE_FILES_MAX)
		return err_set(r->e, ERR_LIMIT, "%s: more than %d files",
		    r->name, BUNDLE_FILES_MAX);
	f = add_file(r, path);
	f->data = STEAL(data);
	f->len = len;
	digest_hex(f->hash, f->data, len);
	return ERR_OK;
}

static enum err_code
read_entries(struct reading *r)
{
	struct archive_entry *entry;

	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		int status = archive_read_next_header(r->archive, &entry);

		if (status == ARCHIVE_EOF)
			return ERR_OK;
		/* A warning is a name that cannot be converted. */
		if (status != ARCHIVE_OK)
			return bad_archive(r);
		TRY(take_entry(r, entry));
	}
	return err_set(r->e, ERR_LIMIT, "%s: more than %d entries", r->name,
	    ENTRIES_MAX);
}

static int
open_archive(struct archive *a, const void *data, size_t len)
{
	int status = archive_read_support_format_tar(a);

	/* Set, not guessed: guessing would unpack gzip within gzip. */
	if (status == ARCHIVE_OK)
		status = archive_read_append_filter(a, ARCHIVE_FILTER_GZIP);
	if (status == ARCHIVE_OK)
		status = archive_read_open_memory(a, data, len);
	return status;
}

static enum err_code
read_archive(struct reading *r, const void *data, size_t len)
{
	struct pack_locale locale;
	enum err_code code;

	TRY(pack_locale_enter(&locale, r->e));
	r->archive = archive_read_new();
	if (r->archive == NULL)
		code = err_set(r->e, ERR_IO, "%s: cannot start", r->name);
	else if (open_archive(r->archive, data, len) != ARCHIVE_OK)
		code = bad_archive(r);
	else
		code = read_entries(r);
	archive_read_free(r->archive);
	pack_locale_leave(&locale);
	return code;
}

static int
compare_files(const void *a, const void *b)
{
	const struct bundle_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static enum err_code
sort_files(struct reading *r)
{
	struct bundle_archive *a = r->out;

	if (a->count > 0)
		qsort(a->files, a->count, sizeof *a->files, compare_files);
	for (size_t i = 1; i < a->count; i++) {
		if (strcmp(a->files[i - 1].path, a->files[i].path) == 0)
			return err_set(r->e, ERR_INVALID, "%s: holds %s twice",
			    r->name, a->files[i].path);
	}
	return ERR_OK;
}

static enum err_code
take_manifest(struct reading *r, const struct bundle_file *file)
{
	struct bundle_archive *a = r->out;
	AUTO_STR where = mem_printf("%s: " MANIFEST_FILE, r->name);
	struct manifest m;
	enum err_code code = ERR_OK;

	TRY(manifest_read(&m, where, file->data, file->len, false, r->e));
	if (m.has_roots && m.roots.count > 0) {
		AUTO_STR place = mem_printf("%s:%u", where, m.roots_line);

		code = roots_check(&m.roots, place, r->e);
	}
	a->revision = STEAL(m.revision);
	if (m.has_roots) {
		a->roots = STEAL(m.roots.items);
		a->root_count = m.roots.count;
		m.roots.count = 0;
	}
	if (!m.has_roots) {
		struct roots all = { 0 };

		roots_add(&all, "", 0);
		a->roots = all.items;
		a->root_count = all.count;
	}
	manifest_clear(&m);
	return code;
}

static const struct bundle_file *
find_file(const struct bundle_archive *a, char *path)
{
	struct bundle_file key = { .path = path };

	if (a->count == 0)
		return NULL;
	return bsearch(&key, a->files, a->count, sizeof *a->files,
	    compare_files);
}

static enum err_code
read_all(struct reading *r, const void *data, size_t len)
{
	static char manifest[] = MANIFEST_FILE;
	static const char empty[] = "{}";
	struct bundle_file none = { .data = NULL };
	const struct bundle_file *file;
	AUTO_STR nothing = mem_strdup(empty);

	if (len < 2 || memcmp(data, "\x1f\x8b", 2) != 0)
		return err_set(r->e, ERR_INVALID,
		    "%s: not a bundle: not compressed by gzip", r->name);
	TRY(read_archive(r, data, len));
	TRY(sort_files(r));
	if (r->built)
		return ERR_OK;
	file = find_file(r->out, manifest);
	if (file == NULL) {
		none.data = nothing;
		none.len = strlen(empty);
		file = &none;
	}
	return take_manifest(r, file);
}

static enum err_code
read_into(struct bundle_archive *out, const char *name, const void *data,
    size_t len, bool built, struct err *e)
{
	struct bundle_archive a = { 0 };
	struct reading r = { .out = &a, .name = name, .built = built, .e = e };
	enum err_code code = read_all(&r, data, len);

	if (code != ERR_OK)
		bundle_archive_clear(&a);
	else
		*out = a;
	return code;
}

enum err_code
bundle_read(struct bundle_archive *out, const char *name, const void *data,
    size_t len, struct err *e)
{
	return read_into(out, name, data, len, false, e);
}

enum err_code
bundle_read_built(struct bundle_archive *out, const char *name,
    const void *data, size_t len, struct err *e)
{
	return read_into(out, name, data, len, true, e);
}

/* Both lists are sorted, so the first difference is found in one pass. */
static enum err_code
compare_lists(const struct bundle_archive *a, const struct jws_claims *c,
    struct err *e)
{
	for (size_t i = 0; i < a->count || i < c->count; i++) {
		const struct bundle_file *f = i < a->count ? &a->files[i]
							   : NULL;
		const struct jws_file *s = i < c->count ? &c->files[i] : NULL;
		int order = f == NULL ? 1
		    : s == NULL       ? -1
				      : strcmp(f->path, s->name);

		if (order < 0)
			return err_set(e, ERR_CRYPTO,
			    "%s is in the bundle but was not signed", f->path);
		if (order > 0)
			return err_set(e, ERR_CRYPTO,
			    "%s was signed but is not in the bundle", s->name);
		if (strcmp(f->hash, s->hash) != 0)
			return err_set(e, ERR_CRYPTO,
			    "%s is not what was signed", f->path);
	}
	return ERR_OK;
}

static enum err_code
compare_claims(const struct bundle_archive *a, const struct jws_claims *c,
    const char *scope, struct err *e)
{
	const char *wanted = scope != NULL ? scope : "";
	const char *got = c->scope != NULL ? c->scope : "";

	if (strcmp(wanted, got) != 0)
		return err_set(e, ERR_CRYPTO,
		    "signed for the scope \"%s\", not \"%s\"", got, wanted);
	return compare_lists(a, c, e);
}

enum err_code
bundle_verify(const struct bundle_archive *a, const struct key *k,
    const char *scope, struct err *e)
{
	struct jws_claims claims = { 0 };
	enum err_code code;

	if (a->jws == NULL)
		return err_set(e, ERR_CRYPTO, "the bundle is not signed");
	TRY(jws_verify(&claims, a->jws, a->jws_len, k, e));
	code = compare_claims(a, &claims, scope, e);
	jws_claims_clear(&claims);
	return code;
}
