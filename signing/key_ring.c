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

/* ID.json: which algorithm, and since when. */
static enum err_code
read_description(enum key_algorithm *out, char at[KEY_TIME_MAX],
    const char *dir, const char *id, struct err *e)
{
	AUTO_STR path = ring_path(dir, id, ".json");
	const char *stated, *algorithm, *created_at;
	enum err_code code = ERR_OK;
	json_error_t fault;
	AUTO_BUF text = { 0 };
	json_t *j;

	buf_init(&text, KEY_FILE_MAX);
	TRY(file_read(&text, path, e));
	j = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
	if (j == NULL)
		return err_set(e, ERR_CORRUPT, "%s:%d: %s", path, fault.line,
		    fault.text);
	if (json_unpack_ex(j, &fault, 0, "{s:s,s:s,s:s!}", "id", &stated,
		"algorithm", &algorithm, "created_at", &created_at) != 0)
		code = err_set(e, ERR_CORRUPT, "%s: %s", path, fault.text);
	else if (strcmp(stated, id) != 0)
		code = err_set(e, ERR_CORRUPT,
		    "%s: describes key \"%.80s\": the file was renamed", path,
		    stated);
	else if ((code = key_algorithm_parse(out, algorithm, e)) != ERR_OK)
		code = err_add(e, "%s", path);
	if (code == ERR_OK)
		(void)snprintf(at, KEY_TIME_MAX, "%s", created_at);
	json_decref(j);
	return code;
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
ring_read_key(struct key **out, char at[KEY_TIME_MAX], const char *dir,
    const char *id, struct err *e)
{
	AUTO_STR path = ring_path(dir, id, ".key");
	enum key_algorithm a = KEY_RS256;
	SECRET_BUF text;

	secret_buf_init(&text);
	TRY(read_description(&a, at, dir, id, e));
	TRY(read_private_file(&text, path, e));
	AUTO(key, k) = NULL;
	TRY(key_read_private(&k, id, a, path, text.data, text.len, e));
	TRY(check_public_file(k, dir, e));
	*out = STEAL(k);
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
	enum err_code code;
	struct err why;

	buf_init(&text, KEY_ID_MAX + 1);
	code = file_read(&text, path, &why);
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return err_set(e, code, "%s", why.text);
	text.data[strcspn(text.data, "\n")] = '\0';
	r->current = key_ring_find(r, text.data);
	if (r->current == NULL)
		return err_set(e, ERR_CORRUPT,
		    "%s: names key \"%.80s\", which %s does not hold", path,
		    text.data, dir);
	return ERR_OK;
}

static enum err_code
ring_read(struct key_ring *r, const char *dir, const struct file_names *list,
    struct err *e)
{
	for (size_t i = 0; i < list->count; i++) {
		AUTO_STR id = described_id(list->names[i]);
		struct key *k = NULL;
		char at[KEY_TIME_MAX];

		if (id == NULL)
			continue;
		if (r->count == KEY_RING_MAX)
			return err_set(e, ERR_LIMIT, "%s: more than %d keys",
			    dir, KEY_RING_MAX);
		TRY(never_missing(ring_read_key(&k, at, dir, id, e), e));
		r->keys = mem_grow(r->keys, r->count + 1, sizeof *r->keys);
		r->keys[r->count++] = k;
		if (strcmp(at, r->newest_at) >= 0) {
			(void)snprintf(r->newest_at, sizeof r->newest_at, "%s",
			    at);
			r->newest = k;
		}
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
		key_free(r->keys[i]);
	mem_free(r->keys);
	*r = (struct key_ring){ 0 };
}

const struct key *
key_ring_find(const struct key_ring *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(key_id(r->keys[i]), id) == 0)
			return r->keys[i];
	return NULL;
}

static enum err_code
write_file(const char *dir, const char *id, const char *suffix,
    const struct buf *text, mode_t mode, struct err *e)
{
	AUTO_STR path = ring_path(dir, id, suffix);

	return file_replace(path, text->data, text->len, mode, e);
}

static enum err_code
write_description(const char *dir, const struct key *k, struct err *e)
{
	char created_at[CLOCK_TEXT_SIZE];
	AUTO_BUF text = { 0 };

	buf_init(&text, KEY_FILE_MAX);
	clock_text(created_at, clock_now_ms());
	/* Ids and algorithm names need no escaping. */
	buf_printf(&text,
	    "{\"id\":\"%s\",\"algorithm\":\"%s\",\"created_at\":\"%s\"}\n",
	    key_id(k), key_algorithm_name(key_algorithm_of(k)), created_at);
	return write_file(dir, key_id(k), ".json", &text, 0600, e);
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
ring_write(const char *dir, const struct key *k, bool make_current,
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
	TRY(write_description(dir, k, e));
	return make_current ? write_current(dir, key_id(k), e) : ERR_OK;
}

enum err_code
key_ring_add(const char *dir, const struct key *k, bool make_current,
    struct err *e)
{
	enum err_code code;
	int fd;

	assert(key_is_private(k) && key_id(k) != NULL);
	TRY(file_make_dirs(dir, e));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "%s", dir);
	/* Held till the folder is closed: of two additions of one id, one
	 * sees the other's. */
	if (flock(fd, LOCK_EX) != 0)
		code = err_errno(e, "%s: lock", dir);
	else
		code = ring_write(dir, k, make_current, e);
	(void)close(fd);
	return code;
}

enum err_code
key_ring_use(const char *dir, const char *id, struct err *e)
{
	struct key_ring ring = { 0 };
	enum err_code code = key_ring_read(&ring, dir, e);

	if (code != ERR_OK)
		return code;
	if (key_ring_find(&ring, id) == NULL)
		code = err_set(e, ERR_NOT_FOUND, "%s: there is no key %.80s",
		    dir, id);
	else if (ring.current == NULL || strcmp(key_id(ring.current), id) != 0)
		code = write_current(dir, id, e);
	key_ring_clear(&ring);
	return code;
}
