#ifndef POLICIES_TREE_H
#define POLICIES_TREE_H

/* An immutable snapshot of one commit's files: paths sorted by bytes, sizes,
 * blob ids, and the commit's own facts. Made from Git objects (no work tree),
 * from a folder (`edict check` before a commit), or from memory (tests).
 * Hygiene happens here, once: whoever holds a tree may trust its paths.
 *
 * Refused, each with the path and what to do: paths with ".", "..", empty or
 * ".git" segments (any case), absolute ones, backslashes, control characters,
 * bytes that are not UTF-8, longer than TREE_PATH_MAX; symbolic links and
 * submodules; two paths equal but for case; blobs over TREE_BLOB_MAX, read from
 * the object's header; more than TREE_FILES_MAX files, TREE_FOLDERS_MAX
 * folders or TREE_TOTAL_MAX bytes.
 *
 * Reading blobs is for one thread at a time per tree; further threads open a
 * tree_reader each. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

enum {
	TREE_PATH_MAX = 1024,
	TREE_DEPTH_MAX = 64,
	TREE_FILES_MAX = 1000000,
	TREE_FOLDERS_MAX = 250000,
	TREE_BLOB_MAX = 64 << 20,
	TREE_ID_SIZE = 41 /* 40 hex digits and NUL */
};
#define TREE_TOTAL_MAX (INT64_C(2) << 30)

struct tree_entry {
	const char *path;      /* owned by the tree */
	char id[TREE_ID_SIZE]; /* blob id; in a folder or memory tree too */
	int64_t size;
};

struct tree_commit {
	char id[TREE_ID_SIZE];     /* all zeros when there is no commit */
	char parent[TREE_ID_SIZE]; /* first parent, or "" */
	char tree[TREE_ID_SIZE];   /* tree id */
	char *author;              /* "Name <mail>" */
	char *subject;       /* first line, valid UTF-8, at most 200 bytes */
	int64_t author_time; /* seconds since 1970 */
	int64_t commit_time;
	int commit_offset; /* minutes east of UTC */
};

struct tree {
	struct tree_commit commit;
	const struct tree_entry *entries;
	size_t count;
	int64_t total; /* bytes */
};

void tree_free(struct tree *t);
AUTO_FREE(tree)

/* The entry with this path, or NULL. */
const struct tree_entry *tree_find(const struct tree *t, const char *path);

/* The id of the folder at this path ("" is the root): while it is the same, so
 * is all that is in it. False: there is none, or nobody knows it, as of trees
 * that are not from Git, or whose folders Git itself would have sorted
 * otherwise: then it is false for "", too. */
bool tree_folder_id(const struct tree *t, const char *path,
    char out[TREE_ID_SIZE]) MUST_CHECK;

/* Appends the content of one blob; out's own limit applies besides. */
enum err_code tree_read(const struct tree *t, const struct tree_entry *entry,
    struct buf *out, struct err *e) MUST_CHECK;

/* Reads the same blobs for one more thread, while others read too. Outlived by
 * the tree. UNSUPPORTED: this tree is for one thread alone. */
struct tree_reader;
enum err_code tree_reader_open(struct tree_reader **out, const struct tree *t,
    struct err *e) MUST_CHECK;
enum err_code tree_reader_read(struct tree_reader *r,
    const struct tree_entry *entry, struct buf *out, struct err *e) MUST_CHECK;
void tree_reader_free(struct tree_reader *r);
AUTO_FREE(tree_reader)

/* The id that Git gives a file of these bytes. Pure, any thread. */
void tree_blob_id(char out[TREE_ID_SIZE], const void *data, size_t len);

/* From a folder: all files below it, ".git" left out, ignored files left out
 * when it is in a Git work tree. commit.tree is worked out as Git would. */
enum err_code tree_from_folder(struct tree **out, const char *path,
    struct err *e) MUST_CHECK;

/* From memory: for tests and fuzzing. Same hygiene. */
struct tree_file {
	const char *path;
	const void *data;
	size_t len;
};
enum err_code tree_from_memory(struct tree **out, const struct tree_file *files,
    size_t count, const char *commit_id, struct err *e) MUST_CHECK;

/* For whoever makes a tree from something else: entries are added in any order,
 * each checked as it comes; the end sorts, compares and hands over. source
 * reads blobs later, and is released with the tree (or with the maker). */
struct tree_source {
	enum err_code (*read)(void *arg, const struct tree_entry *entry,
	    struct buf *out, struct err *e);
	void (*release)(void *arg);
	void *arg;
	/* One more, for another thread, called in that thread; may be NULL. */
	enum err_code (*another)(void *arg, struct tree_source *out,
	    struct err *e);
};
struct tree_maker;
struct tree_maker *tree_maker_new(struct tree_source source);
void tree_maker_free(struct tree_maker *m);
AUTO_FREE(tree_maker)
/* One file. executable matters for the tree's id alone. */
enum err_code tree_maker_add(struct tree_maker *m, const char *path,
    const char *id, int64_t size, bool executable, struct err *e) MUST_CHECK;
/* Takes over commit's strings. An empty commit->tree is worked out here. The
 * maker is left empty, to be freed. */
enum err_code tree_maker_end(struct tree_maker *m, struct tree_commit *commit,
    struct tree **out, struct err *e) MUST_CHECK;
void tree_commit_clear(struct tree_commit *commit);

/* The rules for one path alone, and for a size before anything is read. */
enum err_code tree_check_path(const char *path, struct err *e) MUST_CHECK;
enum err_code tree_check_size(const char *path, int64_t size, struct err *e)
    MUST_CHECK;

/* Writes the files below dir (which must exist and be empty), all mode 0600.
 * keep says which entries, NULL means all. */
enum err_code tree_write(const struct tree *t, const char *dir,
    bool (*keep)(void *arg, const struct tree_entry *entry), void *arg,
    struct err *e) MUST_CHECK;

#endif
