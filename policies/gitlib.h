#ifndef POLICIES_GITLIB_H
#define POLICIES_GITLIB_H

/* libgit2, set up once per process the way every file here needs it, and its
 * errors in ours. Only files of this folder include this. Any thread. */

#include <git2.h>

#include "core/err.h"

enum {
	GITLIB_PACKS_OPEN = 256,
	GITLIB_CACHE_MAX = 32 << 20,
	GITLIB_OBJECT_MAX = 512 << 20 /* any one object, unpacked */
};

/* Initialises libgit2 and sets its process-wide options; cheap when it was
 * done before. */
enum err_code gitlib_init(struct err *e) MUST_CHECK;

/* As err_set, with ": " and libgit2's last error of this thread appended, and
 * the code chosen from libgit2's number. */
enum err_code gitlib_err(struct err *e, int git_code, const char *fmt, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;

/* As gitlib_err, for what is there but cannot be read: always ERR_CORRUPT. */
enum err_code gitlib_damaged(struct err *e, const char *fmt, ...)
    PRINTF_LIKE(2, 3) MUST_CHECK;

/* The same text under another code. */
enum err_code gitlib_as(struct err *e, enum err_code code);

/* Forty hex digits from an id, and back. INVALID when hex is no id. */
void gitlib_hex(char out[GIT_OID_HEXSZ + 1], const git_oid *id);
enum err_code gitlib_oid(git_oid *out, const char *hex, struct err *e)
    MUST_CHECK;

/* A variable of a libgit2 type that is released at scope end. */
#define GITLIB_AUTO(type, var) \
	__attribute__((cleanup(gitlib_auto_##type))) git_##type *var = NULL
#define GITLIB_AUTO_FREE(type)                                              \
	static inline                                                       \
	    __attribute__((unused)) void gitlib_auto_##type(git_##type **p) \
	{                                                                   \
		git_##type##_free(*p);                                      \
	}
GITLIB_AUTO_FREE(commit)
GITLIB_AUTO_FREE(config)
GITLIB_AUTO_FREE(filter_list)
GITLIB_AUTO_FREE(index)
GITLIB_AUTO_FREE(object)
GITLIB_AUTO_FREE(odb)
GITLIB_AUTO_FREE(odb_object)
GITLIB_AUTO_FREE(reference)
GITLIB_AUTO_FREE(remote)
GITLIB_AUTO_FREE(repository)
GITLIB_AUTO_FREE(revwalk)
GITLIB_AUTO_FREE(tree)

#endif
