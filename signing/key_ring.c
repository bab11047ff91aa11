#include "signing/key.h"

#include <assert.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"

static char *
ring_path(const char *dir, const char *id, const char *suffix)
{
	return mem_printf("%s/%s%s", dir, id, suffix);
}

/* Into out, which never moves while it grows, so that no copy stays behind. */
static enum err_code
read_private_file(struct buf *out, const char *path, struct err *e)
{
	struct stat st;
	enum err_code code;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(e, "%s", path);
	if (fstat(fd, &st) != 0)
		code = err_errno(e, "%s", path);
	else if (!S_ISREG(st.st_mode))
		code = err_set(e, ERR_INVALID, "%s: not a regular file", path);
	else if ((st.st_mode & 077) != 0)
		code = err_set(e, ERR_DENIED,
		    "%s: others than its owner may read this key (mode %04o); "
		    "run: chmod 600 %s",
		    path, st.st_mode & 07777, path);
	else
		code = file_read_fd(out, fd, path, e);
	(void)close(fd);
	return code;
}

static void
secret_buf_init(struct buf *b)
{
	buf_init(b, KEY_FILE_MAX);
	char *room = buf_reserve(b, KEY_FILE_MAX);

	assert(room != NULL);
	(void)room;
}

static void
secret_buf_clear(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->len);
	buf_clear(b);
}

#define SECRET_BUF __attribute__((cleanup(secret_buf_clear))) struct buf

static const char *const kinds[KEY_KINDS] = { "bundle", "discovery", "audit",
	"preview" };

const char *
key_kind_name(enum key_kind kind)
{
	assert(kind < KEY_KINDS);
	return kinds[kind];
}

enum err_code
key_kind_parse(enum key_kind *out, const char *name, struct err *e)
{
	for (int i = 0; i < KEY_KINDS; i++)
		if (strcmp(kinds[i], name) == 0) {
			*out = (enum key_kind)i;
			return ERR_OK;
		}
	return err_set(e, ERR_INVALID,
	    "\"%.20s\" is no kind of key: bundle, discovery, audit or preview",
	    name);
}

static enum err_code
take_description(struct ring_key *out, enum key_algorithm *algorithm,
    const char *id, json_t *j, struct err *e)
{
	const char *stated, *name, *created_at;
	const char *kind = kinds[KEY_BUNDLE];
	const char *retired_at = "";
	json_error_t fault;

	if (json_unpack_ex(j, &fault, 0, "{s:s,s:s,s:s,s?s,s?s!}", "id",
		&stated, "algorithm", &name, "created_at", &created_at, "kind",
		&kind, "retired_at", &retired_at) != 0)
		return err_set(e, ERR_CORRUPT, "%s", fault.text);
	if (strcmp(stated, id) != 0)
		return err_set(e, ERR_CORRUPT,
		    "describes key \"%.80s\": the file was renamed", stated);
	(void)snprintf(out->created_at, sizeof out->created_at, "%s",
	    created_at);
	(void)snprintf(out->retired_at, sizeof out->retired_at, "%s",
	    retired_at);
	TRY(key_kind_parse(&out->kind, kind, e));
	return key_algorithm_parse(algorithm, name, e);
}

/* ID.json: what the key is. */
static enum err_code
read_description(struct ring_key *out, enum key_algorithm *algorithm,
    const char *dir, const char *id, struct err *e)
{
	AUTO_STR path = ring_path(dir, id, ".json");
	enum err_code code;
	json_error_t fault;
	AUTO_BUF text = { 0 };
	json_t *j;

	buf_init(&text, KEY_FILE_MAX);
	TRY(file_read(&text, path, e));
	j = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
	if (j == NULL)
		return err_set(e, ERR_CORRUPT, "%s:%d: %s", path, fault.line,
		    fault.text);
	code = take_description(out, algorithm, id, j, e);
	json_decref(j);
	return code == ERR_OK ? ERR_OK : err_add(e, "%s", path);
}

/* The public half beside the private one is what engines were given, so a
 * difference is found here and not there. */
static enum err_code
check_public_file(const struct key *k, const char *dir, struct err *e)
{
	AUTO_STR path = ring_path(dir, key_id(k), ".pub");
	AUTO_BUF stored, made;

	stored = made = (struct buf){ 0 };
	if (key_is_symmetric(k))
		return ERR_OK;
	buf_init(&stored, KEY_FILE_MAX);
	buf_init(&made, KEY_FILE_MAX);
	TRY(file_read(&stored, path, e));
	key_write_public(&made, k);
	if (stored.len != made.len ||
	    memcmp(stored.data, made.data, made.len) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s: not the public half of %s.key beside it", path,
		    key_id(k));
	return ERR_OK;
}

static enum err_code
ring_read_key(struct ring_key *out, const char *dir, const char *id,
    struct err *e)
{
	AUTO_STR path = ring_path(dir, id, ".key");
	enum key_algorithm a = KEY_RS256;
	SECRET_BUF text;

	secret_buf_init(&text);
	TRY(read_description(out, &a, dir, id, e));
	TRY(read_private_file(&text, path, e));
	AUTO(key, k) = NULL;
	TRY(key_read_private(&k, id, a, path, text.data, text.len, e));
	TRY(check_public_file(k, dir, e));
	out->key = STEAL(k);
	return ERR_OK;
}

/* NOT_FOUND would mean that there is no ring, and invite to make one. */
static enum err_code
never_missing(enum err_code code, struct err *e)
{
	if (code != ERR_NOT_FOUND)
		return code;
	if (e != NULL)
		e->code = ERR_CORRUPT;
	return ERR_CORRUPT;
}

/* "ID.json" → "ID" in mem_ memory, or NULL for another kind of file. */
static char *
described_id(const char *file)
{
	static const char suffix[] = ".json";
	size_t len = strlen(file);
	AUTO_STR id = NULL;

	if (len < sizeof suffix || strcmp(file + len - 5, suffix) != 0)
		return NULL;
	id = mem_strndup(file, len - 5);
	return key_id_is_valid(id) ? STEAL(id) : NULL;
}

static enum err_code
ring_read_current(struct key_ring *r, const char *dir, struct err *e)
{
	AUTO_STR path = file_path(dir, "current");
	AUTO_BUF text = { 0 };
	const struct ring_key *found;
	enum err_code code;
	struct err why;

	buf_init(&text, KEY_ID_MAX + 1);
	code = file_read(&text, path, &why);
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return err_set(e, code, "%s", why.text);
	text.data[strcspn(text.data, "\n")] = '\0';
	found = key_ring_find(r, text.data);
	if (found == NULL || found->kind != KEY_BUNDLE)
		return err_set(e, ERR_CORRUPT,
		    "%s: names key \"%.80s\", which %s does not hold for "
		    "bundles",
		    path, text.data, dir);
	/* One that was retired is nobody's choice any more. */
	if (found->retired_at[0] == '\0')
		r->current = found->key;
	return ERR_OK;
}

static enum err_code
ring_read(struct key_ring *r, const char *dir, const struct file_names *list,
    struct err *e)
{
	for (size_t i = 0; i < list->count; i++) {
		AUTO_STR id = described_id(list->names[i]);
		struct ring_key read = { 0 };

		if (id == NULL)
			continue;
		if (r->count == KEY_RING_MAX)
			return err_set(e, ERR_LIMIT, "%s: more than %d keys",
			    dir, KEY_RING_MAX);
		TRY(never_missing(ring_read_key(&read, dir, id, e), e));
		r->items = mem_grow(r->items, r->count + 1, sizeof *r->items);
		r->items[r->count++] = read;
	}
	return ring_read_current(r, dir, e);
}

enum err_code
key_ring_read(struct key_ring *out, const char *dir, struct err *e)
{
	enum { FILES_MAX = 16 * KEY_RING_MAX };
	struct key_ring r = { 0 };
	struct file_names list = { 0 };
	enum err_code code;

	TRY(file_list(&list, dir, FILES_MAX, e));
	code = ring_read(&r, dir, &list, e);
	file_names_clear(&list);
	if (code != ERR_OK)
		key_ring_clear(&r);
	else
		*out = r;
	return code;
}

void
key_ring_clear(struct key_ring *r)
{
	for (size_t i = 0; i < r->count; i++)
		key_free(r->items[i].key);
	mem_free(r->items);
	*r = (struct key_ring){ 0 };
}

const struct ring_key *
key_ring_find(const struct key_ring *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(key_id(r->items[i].key), id) == 0)
			return &r->items[i];
	return NULL;
}

const struct ring_key *
key_ring_newest(const struct key_ring *r, enum key_kind kind)
{
	const struct ring_key *newest = NULL;

	for (size_t i = 0; i < r->count; i++) {
		const struct ring_key *k = &r->items[i];

		if (k->kind == kind && k->retired_at[0] == '\0' &&
		    (newest == NULL ||
			strcmp(k->created_at, newest->created_at) >= 0))
			newest = k;
	}
	return newest;
}

static enum err_code
write_file(const char *dir, const char *id, const char *suffix,
    const struct buf *text, mode_t mode, struct err *e)
{
	AUTO_STR path = ring_path(dir, id, suffix);

	return file_replace(path, text->data, text->len, mode, e);
}

/* Ids, names and times need no escaping. */
static enum err_code
write_description(const char *dir, const struct key *k,
    const struct ring_key *about, struct err *e)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, KEY_FILE_MAX);
	buf_printf(&text,
	    "{\"id\":\"%s\",\"algorithm\":\"%s\",\"created_at\":\"%s\","
	    "\"kind\":\"%s\"",
	    key_id(k), key_algorithm_name(key_algorithm_of(k)),
	    about->created_at, key_kind_name(about->kind));
	if (about->retired_at[0] != '\0')
		buf_printf(&text, ",\"retired_at\":\"%s\"", about->retired_at);
	buf_add_str(&text, "}\n");
	return write_file(dir, key_id(k), ".json", &text, 0600, e);
}

static void
write_time(char out[KEY_TIME_MAX])
{
	char now[CLOCK_TEXT_SIZE];

	clock_text(now, clock_now_ms());
	(void)snprintf(out, KEY_TIME_MAX, "%s", now);
}

static enum err_code
describe_new(const char *dir, const struct key *k, enum key_kind kind,
    struct err *e)
{
	struct ring_key made = { .kind = kind };

	write_time(made.created_at);
	return write_description(dir, k, &made, e);
}

static enum err_code
write_current(const char *dir, const char *id, struct err *e)
{
	AUTO_STR path = file_path(dir, "current");
	AUTO_STR line = mem_printf("%s\n", id);

	return file_replace(path, line, strlen(line), 0600, e);
}

/* ID.json comes last: a key without it was never added. */
static enum err_code
ring_write(const char *dir, const struct key *k, enum key_kind kind,
    struct err *e)
{
	AUTO_STR described = ring_path(dir, key_id(k), ".json");
	SECRET_BUF secret;
	AUTO_BUF public = { 0 };

	secret_buf_init(&secret);
	buf_init(&public, KEY_FILE_MAX);
	if (access(described, F_OK) == 0)
		return err_set(e, ERR_CONFLICT,
		    "%s: there is a key %s already; choose another id", dir,
		    key_id(k));
	key_write_private(&secret, k);
	key_write_public(&public, k);
	TRY(write_file(dir, key_id(k), ".key", &secret, 0600, e));
	if (public.len > 0)
		TRY(write_file(dir, key_id(k), ".pub", &public, 0644, e));
	return describe_new(dir, k, kind, e);
}

/* Locked till the folder is closed: of two additions of one id, one sees the
 * other's. */
static enum err_code
ring_lock(const char *dir, int *fd, struct err *e)
{
	*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return err_errno(e, "%s", dir);
	if (flock(*fd, LOCK_EX) == 0)
		return ERR_OK;
	(void)close(*fd);
	return err_errno(e, "%s: lock", dir);
}

enum err_code
key_ring_add(const char *dir, const struct key *k, enum key_kind kind,
    struct err *e)
{
	enum err_code code;
	int fd;

	assert(key_is_private(k) && key_id(k) != NULL);
	TRY(file_make_dirs(dir, e));
	TRY(ring_lock(dir, &fd, e));
	code = ring_write(dir, k, kind, e);
	(void)close(fd);
	return code;
}

static enum err_code
check_use(const struct ring_key *k, const char *dir, const char *id,
    struct err *e)
{
	if (k == NULL)
		return err_set(e, ERR_NOT_FOUND, "%s: there is no key %.80s",
		    dir, id);
	if (k->kind != KEY_BUNDLE)
		return err_set(e, ERR_CONFLICT,
		    "key %s is of kind %s and never signs bundles", id,
		    key_kind_name(k->kind));
	if (k->retired_at[0] != '\0')
		return err_set(e, ERR_CONFLICT,
		    "key %s was retired at %s and signs nothing any more", id,
		    k->retired_at);
	return ERR_OK;
}

enum err_code
key_ring_use(const char *dir, const char *id, struct err *e)
{
	struct key_ring ring = { 0 };
	const struct ring_key *found;
	enum err_code code = key_ring_read(&ring, dir, e);

	if (code != ERR_OK)
		return code;
	found = key_ring_find(&ring, id);
	code = check_use(found, dir, id, e);
	if (code == ERR_OK && found->key != ring.current)
		code = write_current(dir, id, e);
	key_ring_clear(&ring);
	return code;
}

static enum err_code
ring_retire(const char *dir, const char *id, struct err *e)
{
	struct ring_key k = { 0 };
	enum err_code code = ring_read_key(&k, dir, id, e);

	if (code == ERR_OK && k.retired_at[0] == '\0') {
		write_time(k.retired_at);
		code = write_description(dir, k.key, &k, e);
	}
	key_free(k.key);
	return code;
}

enum err_code
key_ring_retire(const char *dir, const char *id, struct err *e)
{
	enum err_code code;
	int fd;

	TRY(ring_lock(dir, &fd, e));
	code = ring_retire(dir, id, e);
	(void)close(fd);
	return code;
}
