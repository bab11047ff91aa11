#include "signing/keeper_list.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/names.h"
#include "core/utf8.h"
#include "signing/digest.h"

enum {
	HASH_LEN = DIGEST_HEX_SIZE - 1,
	NAME_AT = HASH_LEN + 2, /* in a line */
	FILE_NAME_MAX = 4096
};

/* ---- the sender's side ---- */

enum err_code
keeper_list_send(int *fd, const struct jws_file *files, size_t count,
    struct err *e)
{
	AUTO_BUF lines = { 0 };

	buf_init(&lines, KEEPER_LIST_MAX);
	for (size_t i = 0; i < count; i++) {
		if (!digest_is_hex(files[i].hash) ||
		    strchr(files[i].name, '\n') != NULL)
			return err_set(e, ERR_INVALID,
			    "\"%.200s\" has no hash, or a line break in its "
			    "name",
			    files[i].name);
		buf_add(&lines, files[i].hash, HASH_LEN);
		buf_add(&lines, "  ", 2);
		buf_add_str(&lines, files[i].name);
		buf_add_char(&lines, '\n');
	}
	TRY(buf_check(&lines, "list of files to sign", e));
	return file_memory(fd, "edict-files", lines.data, lines.len, e);
}

/* ---- the keeper's ---- */

void
keeper_list_clear(struct keeper_list *l)
{
	mem_free(l->text);
	mem_free(l->files);
	*l = (struct keeper_list){ 0 };
}

/* Without the seals, reading could end in SIGBUS. */
static enum err_code
check_memory(int fd, size_t *len, struct err *e)
{
	const int sealed = F_SEAL_WRITE | F_SEAL_SHRINK;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & sealed) != sealed || fstat(fd, &st) != 0 ||
	    st.st_size <= 0)
		return err_set(e, ERR_INVALID,
		    "files: no memory that is sealed and has a list in it");
	if (st.st_size > KEEPER_LIST_MAX)
		return err_set(e, ERR_LIMIT, "files: larger than %d bytes",
		    KEEPER_LIST_MAX);
	*len = (size_t)st.st_size;
	return ERR_OK;
}

static enum err_code
copy_text(struct keeper_list *l, size_t *len, int fd, struct err *e)
{
	void *map;

	TRY(check_memory(fd, len, e));
	map = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_errno(e, "files: cannot be mapped");
	l->text = mem_strndup(map, *len);
	(void)munmap(map, *len);
	if (strlen(l->text) != *len || l->text[*len - 1] != '\n')
		return err_set(e, ERR_INVALID,
		    "files: not lines of text, or the last one has no end");
	return ERR_OK;
}

/* No segment of the path is empty, "." or "..". */
static bool
has_plain_segments(const char *name)
{
	for (const char *p = name;;) {
		size_t len = strcspn(p, "/");

		if (len == 0 || (len == 1 && p[0] == '.') ||
		    (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		if (p[len] == '\0')
			return true;
		p += len + 1;
	}
}

/* Engines take any path that ends so for a signature file and never check it
 * (OPA through 1.20), so none may be among the signed ones. */
static bool
is_signature_file(const char *name, size_t len)
{
	static const char suffix[] = "signatures.json";
	size_t n = sizeof suffix - 1;

	return len >= n && strcmp(name + len - n, suffix) == 0;
}

static bool
is_file_name(const char *name, size_t len)
{
	if (len == 0 || len > FILE_NAME_MAX || !utf8_is_valid(name, len))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return has_plain_segments(name) && !is_signature_file(name, len);
}

/* The line ends where a NUL stands now. */
static enum err_code
read_line(struct jws_file *out, char *line, size_t len, size_t i, struct err *e)
{
	if (len < NAME_AT || line[HASH_LEN] != ' ' || line[HASH_LEN + 1] != ' ')
		return err_set(e, ERR_INVALID,
		    "files[%zu]: not a hash, two spaces and a name", i);
	line[HASH_LEN] = '\0';
	*out = (struct jws_file){ line + NAME_AT, line };
	if (!is_file_name(out->name, len - NAME_AT))
		return err_set(e, ERR_INVALID,
		    "files[%zu]: \"%.200s\" is no file name for a bundle", i,
		    out->name);
	if (!digest_is_hex(out->hash))
		return err_set(e, ERR_INVALID,
		    "files[%zu]: the hash is not 64 lower-case hex digits", i);
	return ERR_OK;
}

static size_t
count_lines(const char *text, size_t len)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += text[i] == '\n';
	return count;
}

/* The text ends with a line break. */
static enum err_code
read_lines(struct keeper_list *l, size_t text_len, struct err *e)
{
	const char *end = l->text + text_len;
	size_t count = count_lines(l->text, text_len);
	bool manifest = false;
	char *line = l->text;

	if (count > JWS_FILES_MAX)
		return err_set(e, ERR_LIMIT, "more than %d files",
		    JWS_FILES_MAX);
	l->files = mem_array(count, sizeof *l->files);
	for (size_t i = 0; i < count; i++) {
		struct jws_file *file = &l->files[i];
		char *line_end = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)(line_end - line);

		line[len] = '\0';
		TRY(read_line(file, line, len, i, e));
		if (i > 0 && strcmp(file[-1].name, file->name) >= 0)
			return err_set(e, ERR_INVALID,
			    "files[%zu]: \"%.200s\" is out of order or listed "
			    "twice",
			    i, file->name);
		manifest |= strcmp(file->name, MANIFEST_FILE) == 0;
		line += len + 1;
	}
	l->count = count;
	if (!manifest)
		return err_set(e, ERR_INVALID, "files: no .manifest");
	return ERR_OK;
}

enum err_code
keeper_list_read(struct keeper_list *out, int fd, struct err *e)
{
	size_t len;

	TRY(copy_text(out, &len, fd, e));
	return read_lines(out, len, e);
}
