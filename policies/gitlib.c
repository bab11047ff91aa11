#include "policies/gitlib.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_result;

static int
set_options(void)
{
	static const int levels[] = { GIT_CONFIG_LEVEL_SYSTEM,
		GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL,
		GIT_CONFIG_LEVEL_PROGRAMDATA };
	int result = 0;

	/* What a commit contains may not depend on whose account reads it. */
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		result |=
		    git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
	result |= git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
	result |= git_libgit2_opts(GIT_OPT_ENABLE_STRICT_OBJECT_CREATION, 1);
	/* The owner check protects people who step into a stranger's folder,
	 * where configuration starts programs. libgit2 starts none, and a
	 * server's account rarely owns the local repositories it watches. */
	result |= git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	/* Both bound the memory that a commit's author can make us use. */
	result |= git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE,
	    (ssize_t)GITLIB_CACHE_MAX);
#ifdef EDICT_GIT_BOUNDS_OBJECTS
	result |= git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECT_SIZE,
	    (size_t)GITLIB_OBJECT_MAX);
#endif
	/* A mirror has a pack for every fetch; not all stay open. */
	result |= git_libgit2_opts(GIT_OPT_SET_MWINDOW_FILE_LIMIT,
	    (size_t)GITLIB_PACKS_OPEN);
	/* Objects are on the disk before a ref names them. */
	result |= git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
	return result;
}

static void
init(void)
{
	init_result = git_libgit2_init();
	if (init_result >= 0)
		init_result = set_options();
}

enum err_code
gitlib_init(struct err *e)
{
	pthread_once(&once, init);
	if (init_result < 0)
		return gitlib_err(e, init_result, "libgit2 does not start");
	return ERR_OK;
}

static enum err_code
code_of(int git_code)
{
	switch (git_code) {
	case GIT_ENOTFOUND:
		return ERR_NOT_FOUND;
	case GIT_EAMBIGUOUS:
	case GIT_EINVALIDSPEC:
	case GIT_EINVALID:
	case GIT_EPEEL:
		return ERR_INVALID;
	case GIT_ELOCKED:
	case GIT_EEXISTS:
	case GIT_EMODIFIED:
		return ERR_CONFLICT;
	case GIT_EAUTH:
	case GIT_ECERTIFICATE:
		return ERR_DENIED;
	case GIT_EMISMATCH:
		return ERR_CORRUPT;
	default:
		return ERR_IO;
	}
}

static enum err_code
with_reason(struct err *e, enum err_code code, const char *text)
{
	const git_error *last = git_error_last();

	if (last == NULL || last->message == NULL)
		return err_set(e, code, "%s", text);
	return err_set(e, code, "%s: %s", text, last->message);
}

enum err_code
gitlib_err(struct err *e, int git_code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return with_reason(e, code_of(git_code), text);
}

enum err_code
gitlib_damaged(struct err *e, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return with_reason(e, ERR_CORRUPT, text);
}

enum err_code
gitlib_as(struct err *e, enum err_code code)
{
	if (e != NULL)
		e->code = code;
	return code;
}

void
gitlib_hex(char out[GIT_OID_HEXSZ + 1], const git_oid *id)
{
	git_oid_tostr(out, GIT_OID_HEXSZ + 1, id);
}

enum err_code
gitlib_oid(git_oid *out, const char *hex, struct err *e)
{
	if (strlen(hex) != GIT_OID_HEXSZ || git_oid_fromstr(out, hex) != 0)
		return err_set(e, ERR_INVALID,
		    "\"%.50s\" is no object id; 40 hex digits are", hex);
	return ERR_OK;
}
