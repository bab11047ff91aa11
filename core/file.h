#ifndef CORE_FILE_H
#define CORE_FILE_H

/* Files as edict uses them: read whole up to a limit, published by replacing.
 * A published file is written under a temporary name, synced, renamed, and its
 * folder synced, so that after a crash there is the old one or the new one.
 * Any thread. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/buf.h"
#include "core/err.h"

/* Reads a regular file into out (initialised by the caller; its max is the
 * limit). NOT_FOUND, LIMIT, IO; the text names the path. */
enum err_code file_read(struct buf *out, const char *path, struct err *e)
    MUST_CHECK;

/* As file_read for a descriptor, to its end; name is for messages. */
enum err_code file_read_fd(struct buf *out, int fd, const char *name,
    struct err *e) MUST_CHECK;

/* DENIED when group or others may read this file, with what to do about it. */
enum err_code file_check_secret(const char *path, struct err *e) MUST_CHECK;

/* A secret kept in a file: the first line without its end, at most 64 KiB,
 * refused when group or others may read it. Caller: mem_free_secret. */
enum err_code file_read_secret(char **out, const char *path, struct err *e)
    MUST_CHECK;

enum err_code file_write_all(int fd, const void *data, size_t len,
    struct err *e) MUST_CHECK;

/* Publishes data at path with this mode (the umask does not apply). */
enum err_code file_replace(const char *path, const void *data, size_t len,
    mode_t mode, struct err *e) MUST_CHECK;

enum err_code file_sync_dir(const char *path, struct err *e) MUST_CHECK;

/* Makes path and its missing parents, mode 0700. Existing ones are fine. */
enum err_code file_make_dirs(const char *path, struct err *e) MUST_CHECK;

/* Removes path and all below it without following links. Missing is fine. */
enum err_code file_remove_tree(const char *path, struct err *e) MUST_CHECK;

/* Names in a folder, sorted by bytes, without "." and "..". The caller
 * clears it. LIMIT above max names. */
struct file_names {
	char **names;
	size_t count;
};
enum err_code file_list(struct file_names *out, const char *path, size_t max,
    struct err *e) MUST_CHECK;
void file_names_clear(struct file_names *names);

/* A sealed memory file with this content, for passing on; -1 never: out is
 * only set on success. Caller closes. */
enum err_code file_memory(int *out, const char *name, const void *data,
    size_t len, struct err *e) MUST_CHECK;

/* "dir/name" into mem_ memory. */
char *file_path(const char *dir, const char *name);

#endif
