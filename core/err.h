#ifndef CORE_ERR_H
#define CORE_ERR_H

/* Errors: a small set of codes, because callers act on codes, and a text,
 * because people read text. The text lives in the caller's struct err and
 * never in a global, so it survives threads. Each layer adds only what the
 * layer below could not know. Any thread. */

#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum err_code {
	ERR_OK = 0,
	ERR_INVALID,     /* bad input: what somebody wrote is wrong */
	ERR_NOT_FOUND,   /* no such commit, bundle, cluster, file */
	ERR_CONFLICT,    /* somebody else was first, or the state forbids it */
	ERR_DENIED,      /* the credential does not allow it */
	ERR_LIMIT,       /* larger or more than a named limit allows */
	ERR_TIMEOUT,     /* a deadline passed */
	ERR_UNAVAILABLE, /* a peer or a host does not answer; try again */
	ERR_CORRUPT,     /* stored data is not what was stored */
	ERR_IO,          /* the operating system said no */
	ERR_CRYPTO,      /* a signature or a key is not right */
	ERR_UNSUPPORTED, /* this machine or build cannot do it */
	ERR_CODES
};

enum { ERR_TEXT_MAX = 1024 };

struct err {
	enum err_code code;
	char text[ERR_TEXT_MAX];
};

/* What these return is never ERR_OK; said so that the compiler knows which
 * paths leave a result unset. */
static inline enum err_code
err_failed(enum err_code code)
{
	if (code == ERR_OK)
		__builtin_unreachable();
	return code;
}

/* Sets code and text and returns the code, so that a function can end with
 * `return err_set(...)`. e may be NULL: then only the code is returned. */
enum err_code err_set_text(struct err *e, enum err_code code, const char *fmt,
    ...) PRINTF_LIKE(3, 4);
#define err_set(e, ...) err_failed(err_set_text((e), __VA_ARGS__))

/* As err_set, with ": " and the text of errno (saved at entry) appended and
 * the code chosen from errno: ENOENT is NOT_FOUND, ENOSPC and friends IO. */
enum err_code err_errno_text(struct err *e, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
#define err_errno(e, ...) err_failed(err_errno_text((e), __VA_ARGS__))

/* Puts "prefix: " before the text of an error that is already set and
 * returns its code. Text that does not fit is cut at the end. */
enum err_code err_add_text(struct err *e, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
#define err_add(e, ...) err_failed(err_add_text((e), __VA_ARGS__))

/* Copies a text that fits or is cut, as UTF-8 whatever it was: bytes that are
 * no character become question marks. Errors' texts are made so themselves. */
void err_copy(char *out, size_t size, const char *text);

/* The same text under another code, which it returns. */
enum err_code err_as_code(struct err *e, enum err_code code);
#define err_as(e, code) err_failed(err_as_code((e), (code)))

/* The code's stable name, as the API and the logs show it: "not_found". */
const char *err_name(enum err_code code);

/* Returns from the calling function with the code of a call that failed. The
 * only macro that hides control flow. */
#define TRY(call)                                 \
	do {                                      \
		enum err_code try_code_ = (call); \
		if (try_code_ != ERR_OK)          \
			return try_code_;         \
	} while (0)

/* A variable of type `struct TYPE *` that TYPE_free releases at scope end.
 * Each type that is used so says AUTO_FREE(TYPE) in its header. */
#define AUTO(type, var) \
	__attribute__((cleanup(type##_auto_free))) struct type *var
#define AUTO_FREE(type)                                                    \
	static inline                                                      \
	    __attribute__((unused)) void type##_auto_free(struct type **p) \
	{                                                                  \
		type##_free(*p);                                           \
	}

/* Hands a pointer over: yields it and leaves NULL behind. */
#define STEAL(var)                              \
	({                                      \
		__typeof__(var) steal_ = (var); \
		(var) = NULL;                   \
		steal_;                         \
	})

#endif
