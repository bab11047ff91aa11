#include "bundler/compile_kept.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bundler/compile.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/order.h"
#include "signing/digest.h"

/* A file is the SHA-256 of the rest in hex, a newline, and the rest: gzip's own
 * sums are not looked at by everyone who reads it. */
enum { HEAD = DIGEST_HEX_SIZE, NAMES_MAX = 4 * COMPILE_KEPT_MAX };

bool
compile_kept_get(struct buf *out, const char *folder, const char *key)
{
	char digest[DIGEST_HEX_SIZE];
	AUTO_STR path = NULL;

	buf_init(out, GATE_COMPILED_MAX + HEAD);
	if (folder == NULL)
		return false;
	path = file_path(folder, key);
	if (file_read(out, path, NULL) != ERR_OK || out->len < HEAD)
		return false;
	digest_hex(digest, out->data + HEAD, out->len - HEAD);
	if (memcmp(digest, out->data, HEAD - 1) != 0)
		return false;
	/* It was of use: others go first. */
	(void)utimensat(AT_FDCWD, path, NULL, 0);
	out->len -= HEAD;
	memmove(out->data, out->data + HEAD, out->len);
	return true;
}

struct kept {
	char *path;
	int64_t size;
	struct timespec used;
};

static int
compare_kept(const void *a, const void *b)
{
	const struct timespec *x = &((const struct kept *)a)->used;
	const struct timespec *y = &((const struct kept *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* All but the one that was just written, the longest unused first. */
static void
remove_unused(const char *folder, const struct file_names *names,
    const char *key)
{
	struct kept *all = mem_array(names->count + 1, sizeof *all);
	size_t count = 0, left = names->count;
	int64_t bytes = 0;
	struct stat st;

	for (size_t i = 0; i < names->count; i++) {
		AUTO_STR path = file_path(folder, names->names[i]);

		if (stat(path, &st) != 0)
			continue;
		bytes += st.st_size;
		if (strcmp(names->names[i], key) != 0)
			all[count++] = (struct kept){ STEAL(path), st.st_size,
				st.st_mtim };
	}
	order_sort(all, count, sizeof *all, compare_kept);
	for (size_t i = 0; i < count; i++) {
		if (left > COMPILE_KEPT_MAX || bytes > COMPILE_KEPT_BYTES) {
			(void)unlink(all[i].path);
			bytes -= all[i].size;
			left--;
		}
		mem_free(all[i].path);
	}
	mem_free(all);
}

static enum err_code
trim(const char *folder, const char *key, struct err *e)
{
	struct file_names names = { 0 };
	enum err_code code = file_list(&names, folder, NAMES_MAX, e);

	if (code == ERR_OK)
		remove_unused(folder, &names, key);
	file_names_clear(&names);
	return code;
}

static enum err_code
put(const char *folder, const char *key, const struct buf *result,
    struct err *e)
{
	char digest[DIGEST_HEX_SIZE];
	AUTO_STR path = file_path(folder, key);
	AUTO_BUF text = { 0 };

	buf_init(&text, GATE_COMPILED_MAX + HEAD);
	digest_hex(digest, result->data, result->len);
	buf_printf(&text, "%s\n", digest);
	buf_add(&text, result->data, result->len);
	TRY(file_make_dirs(folder, e));
	TRY(file_replace(path, text.data, text.len, 0600, e));
	return trim(folder, key, e);
}

void
compile_kept_put(const char *folder, const char *key, const struct buf *result)
{
	struct err e = { 0 };

	if (folder != NULL && put(folder, key, result, &e) != ERR_OK)
		log_warn("compiled.keep", "key=%s error=\"%s\"", key, e.text);
}
