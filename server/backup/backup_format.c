#include "server/backup/backup_format.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "signing/key.h"

#define PREFIX "edict-backup/"

void
backup_manifest_clear(struct backup_manifest *m)
{
	for (size_t i = 0; i < m->count; i++)
		mem_free(m->entries[i].path);
	mem_free(m->entries);
	mem_free(m->audit_head);
	json_decref(m->missing);
	*m = (struct backup_manifest){ 0 };
}

enum err_code
backup_manifest_add(struct backup_manifest *m, const char *path, int64_t size,
    const char *sha256, struct err *e)
{
	struct backup_entry *entry;

	if (m->count >= BACKUP_FILES_MAX)
		return err_set(e, ERR_LIMIT, "backup: more than %d files",
		    (int)BACKUP_FILES_MAX);
	m->entries = mem_grow(m->entries, m->count + 1, sizeof *m->entries);
	entry = &m->entries[m->count++];
	entry->path = mem_strdup(path);
	entry->size = size;
	(void)snprintf(entry->sha256, sizeof entry->sha256, "%s", sha256);
	return ERR_OK;
}

static int
by_path(const void *a, const void *b)
{
	const struct backup_entry *x = a;
	const struct backup_entry *y = b;

	return strcmp(x->path, y->path);
}

void
backup_manifest_sort(struct backup_manifest *m)
{
	if (m->count > 0)
		qsort(m->entries, m->count, sizeof *m->entries, by_path);
}

/* ---- paths ---- */

/* FOLDER/aa/SHA256.tar.gz */
static bool
is_archive(const char *path, const char *folder, const char *sha256)
{
	AUTO_STR expected =
	    mem_printf("%s/%.2s/%s.tar.gz", folder, sha256, sha256);

	return strcmp(path, expected) == 0;
}

static bool
has_suffix(const char *name, const char *suffix, size_t *len)
{
	size_t n = strlen(name);

	*len = n - strlen(suffix);
	return n > strlen(suffix) && strcmp(name + *len, suffix) == 0;
}

bool
backup_is_private(const char *path)
{
	size_t len;

	return backup_is_key(path) && has_suffix(path, ".key", &len);
}

bool
backup_is_key(const char *path)
{
	static const char *const suffixes[] = { ".key", ".pub", ".json" };
	const char *name = path + strlen("keys/");
	size_t len;

	if (strncmp(path, "keys/", strlen("keys/")) != 0)
		return false;
	if (strcmp(name, "current") == 0)
		return true;
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
		if (has_suffix(name, suffixes[i], &len)) {
			AUTO_STR id = mem_strndup(name, len);

			return key_id_is_valid(id);
		}
	return false;
}

/* The largest it may be; -1: no backup has such a file. */
static int64_t
size_max(const struct backup_entry *entry)
{
	if (strcmp(entry->path, BACKUP_DATABASE) == 0)
		return BACKUP_DATABASE_MAX;
	if (is_archive(entry->path, "artifacts", entry->sha256) ||
	    is_archive(entry->path, "contents", entry->sha256))
		return BACKUP_ARTIFACT_MAX;
	return backup_is_key(entry->path) ? BACKUP_KEY_MAX : -1;
}

/* ---- the manifest ---- */

static json_t *
entries_json(const struct backup_manifest *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->count; i++)
		(void)json_array_append_new(list,
		    json_pack("{s:s, s:I, s:s}", "path", m->entries[i].path,
			"size", (json_int_t)m->entries[i].size, "sha256",
			m->entries[i].sha256));
	return list;
}

enum err_code
backup_manifest_write(struct buf *out, const struct backup_manifest *m,
    struct err *e)
{
	json_t *j = json_pack("{s:i, s:s, s:s, s:b, s:s, s:o, s:O}", "format",
	    (int)BACKUP_FORMAT, "edict", EDICT_VERSION, "created_at",
	    m->created_at, "private_keys", m->private_keys, "audit_head",
	    m->audit_head, "files", entries_json(m), "missing", m->missing);
	char *text;

	assert(j != NULL);
	text = json_dumps(j, JSON_INDENT(1));
	buf_add_str(out, text);
	free(text);
	json_decref(j);
	return buf_check(out, "backup: manifest", e);
}

static enum err_code
bad_manifest(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, BACKUP_MANIFEST ": %s", why);
}

static enum err_code
read_entry(struct backup_manifest *m, json_t *item, struct err *e)
{
	const struct backup_entry *entry;
	const char *path, *sha256;
	json_error_t why;
	json_int_t size;

	if (json_unpack_ex(item, &why, 0, "{s:s, s:I, s:s !}", "path", &path,
		"size", &size, "sha256", &sha256) != 0)
		return bad_manifest(e, why.text);
	if (!digest_is_hex(sha256))
		return err_set(e, ERR_INVALID,
		    BACKUP_MANIFEST ": %.200s: not a SHA-256", path);
	TRY(backup_manifest_add(m, path, size, sha256, e));
	entry = &m->entries[m->count - 1];
	if (size_max(entry) < 0)
		return err_set(e, ERR_INVALID,
		    BACKUP_MANIFEST ": %.200s: no file that a backup has",
		    path);
	if (size < 0 || size > size_max(entry))
		return err_set(e, ERR_LIMIT,
		    BACKUP_MANIFEST ": %s: %lld bytes, may be %lld", path,
		    (long long)size, (long long)size_max(entry));
	if (m->count > 1 && by_path(entry - 1, entry) >= 0)
		return err_set(e, ERR_INVALID,
		    BACKUP_MANIFEST ": %s: twice, or out of order", path);
	if (backup_is_private(path) && !m->private_keys)
		return err_set(e, ERR_INVALID,
		    BACKUP_MANIFEST ": %s: a private key, where there are said "
				    "to be none",
		    path);
	return ERR_OK;
}

static bool
has_database(const struct backup_manifest *m)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->entries[i].path, BACKUP_DATABASE) == 0)
			return true;
	return false;
}

static enum err_code
read_fields(struct backup_manifest *m, json_t *j, struct err *e)
{
	const char *edict, *created_at, *audit_head;
	json_t *files, *missing, *item;
	int format, private_keys;
	json_error_t why;
	int64_t at_ms;
	size_t i;

	if (json_unpack_ex(j, &why, 0, "{s:i}", "format", &format) != 0)
		return bad_manifest(e, why.text);
	if (format != BACKUP_FORMAT)
		return err_set(e, ERR_UNSUPPORTED,
		    BACKUP_MANIFEST ": format %d; this edict knows %d", format,
		    (int)BACKUP_FORMAT);
	if (json_unpack_ex(j, &why, 0, "{s:i,s:s,s:s,s:b,s:s,s:o,s:o !}",
		"format", &format, "edict", &edict, "created_at", &created_at,
		"private_keys", &private_keys, "audit_head", &audit_head,
		"files", &files, "missing", &missing) != 0)
		return bad_manifest(e, why.text);
	if (clock_read(&at_ms, created_at, NULL) != ERR_OK ||
	    strlen(created_at) >= sizeof m->created_at)
		return bad_manifest(e, "created_at is no time");
	if (!json_is_array(files) || !json_is_array(missing))
		return bad_manifest(e, "files and missing are lists");
	(void)snprintf(m->created_at, sizeof m->created_at, "%s", created_at);
	m->private_keys = private_keys != 0;
	m->audit_head = mem_strdup(audit_head);
	m->missing = json_incref(missing);
	json_array_foreach(files, i, item)
		TRY(read_entry(m, item, e));
	if (!has_database(m))
		return bad_manifest(e, "no " BACKUP_DATABASE);
	return ERR_OK;
}

enum err_code
backup_manifest_read(struct backup_manifest *out, const char *text, size_t len,
    struct err *e)
{
	struct backup_manifest m = { 0 };
	json_error_t why;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	enum err_code code;

	if (j == NULL)
		return err_set(e, ERR_INVALID, BACKUP_MANIFEST ":%d: %s",
		    why.line, why.text);
	code = read_fields(&m, j, e);
	json_decref(j);
	if (code == ERR_OK)
		*out = m;
	else
		backup_manifest_clear(&m);
	return code;
}

/* ---- blocks ---- */

/* Places in a header of POSIX.1-1988 (ustar). */
enum {
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_TIME = 136,
	AT_SUM = 148,
	AT_TYPE = 156,
	AT_MAGIC = 257,
	SIZE_DIGITS = 11
};

static void
put_octal(char *at, int digits, uint64_t value)
{
	at[digits] = '\0';
	for (int i = digits - 1; i >= 0; i--, value >>= 3)
		at[i] = (char)('0' + (value & 7));
}

void
backup_header(char out[BACKUP_BLOCK], const char *path, int64_t size)
{
	unsigned int sum = 0;

	assert(strlen(PREFIX) + strlen(path) < AT_MODE);
	memset(out, 0, BACKUP_BLOCK);
	(void)snprintf(out, AT_MODE, PREFIX "%s", path);
	put_octal(out + AT_MODE, 7, 0600);
	put_octal(out + AT_UID, 7, 0);
	put_octal(out + AT_GID, 7, 0);
	put_octal(out + AT_SIZE, SIZE_DIGITS, (uint64_t)size);
	put_octal(out + AT_TIME, SIZE_DIGITS, 0);
	out[AT_TYPE] = '0';
	memcpy(out + AT_MAGIC, "ustar\00000", 8);
	/* The sum is taken as if its own place held blanks. */
	memset(out + AT_SUM, ' ', 8);
	for (int i = 0; i < BACKUP_BLOCK; i++)
		sum += (unsigned char)out[i];
	put_octal(out + AT_SUM, 6, sum);
}

int64_t
backup_manifest_size(const char header[BACKUP_BLOCK])
{
	char expected[BACKUP_BLOCK];
	int64_t size = 0;

	for (int i = 0; i < SIZE_DIGITS; i++) {
		char c = header[AT_SIZE + i];

		if (c < '0' || c > '7')
			return -1;
		size = size * 8 + (c - '0');
	}
	backup_header(expected, BACKUP_MANIFEST, size);
	return memcmp(header, expected, BACKUP_BLOCK) == 0 ? size : -1;
}

int64_t
backup_padded(int64_t size)
{
	return (size + BACKUP_BLOCK - 1) / BACKUP_BLOCK * BACKUP_BLOCK;
}

int64_t
backup_total(const struct backup_manifest *m, size_t manifest_len)
{
	int64_t total = BACKUP_BLOCK + backup_padded((int64_t)manifest_len);

	for (size_t i = 0; i < m->count; i++)
		total += BACKUP_BLOCK + backup_padded(m->entries[i].size);
	return total + BACKUP_BLOCK + backup_padded(BACKUP_END_SIZE) +
	    BACKUP_TAIL;
}
