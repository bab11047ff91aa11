#include "bundler/compile_kept.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundler/compile.h"
#include "core/file.h"
#include "core/mem.h"
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
	out->len -= HEAD;
	memmove(out->data, out->data + HEAD, out->len);
	return true;
}

/* Older than all others, and not the one that was just written. */
static void
remove_oldest(const char *folder, const struct file_names *names,
    const char *key)
{
	struct timespec oldest = { 0 };
	AUTO_STR worst = NULL;

	for (size_t i = 0; i < names->count; i++) {
		AUTO_STR path = file_path(folder, names->names[i]);
		struct stat st;

		if (strcmp(names->names[i], key) == 0 || stat(path, &st) != 0)
			continue;
		if (worst != NULL &&
		    (st.st_mtim.tv_sec > oldest.tv_sec ||
			(st.st_mtim.tv_sec == oldest.tv_sec &&
			    st.st_mtim.tv_nsec >= oldest.tv_nsec)))
			continue;
		oldest = st.st_mtim;
		mem_free(worst);
		worst = STEAL(path);
	}
	if (worst != NULL)
		(void)unlink(worst);
}

static void
trim(const char *folder, const char *key)
{
	struct file_names names = { 0 };

	if (file_list(&names, folder, NAMES_MAX, NULL) == ERR_OK &&
	    names.count > COMPILE_KEPT_MAX)
		remove_oldest(folder, &names, key);
	file_names_clear(&names);
}

enum err_code
compile_kept_put(const char *folder, const char *key, const struct buf *result,
    struct err *e)
{
	char digest[DIGEST_HEX_SIZE];
	AUTO_STR path = NULL;
	AUTO_BUF text = { 0 };

	if (folder == NULL)
		return ERR_OK;
	path = file_path(folder, key);
	buf_init(&text, GATE_COMPILED_MAX + HEAD);
	digest_hex(digest, result->data, result->len);
	buf_printf(&text, "%s\n", digest);
	buf_add(&text, result->data, result->len);
	if (file_make_dirs(folder, e) != ERR_OK ||
	    file_replace(path, text.data, text.len, 0600, e) != ERR_OK)
		return err_as(e, ERR_IO);
	trim(folder, key);
	return ERR_OK;
}
