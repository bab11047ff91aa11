#ifndef POLICIES_FETCH_H
#define POLICIES_FETCH_H

/* One fetch, in a child of its own, into a folder of its own: libgit2 1.5 has
 * no time-outs, so the child is killed at its deadline or byte limit, and what
 * it brought is looked at before it is moved into the mirror (repo_take_in).
 * The child alone sees the credentials. */

#include <stdbool.h>
#include <stdint.h>

#include "core/child.h"
#include "core/err.h"

enum { FETCH_RESULT_MAX = 64 * 1024 };
#define FETCH_BYTES_MAX (INT64_C(4) << 30)

/* Where from, and as whom. Strings are borrowed. */
struct fetch_source {
	const char *name;   /* the repository's, for messages */
	const char *url;    /* a path, file://, https://, http:// (this
	                     * machine only), ssh://, user@host:path */
	const char *branch; /* "" or NULL: the remote's default branch */
	const char *username;
	const char *password_file; /* or a token: username may be absent */
	const char *ssh_key_file;  /* private key */
	const char *ssh_passphrase_file;
	const char *known_hosts_file; /* required for ssh */
	const char *ca_file;          /* for https; NULL: the system's */
	int64_t bytes_max;
};

enum fetch_outcome {
	FETCH_OK,        /* tip is set; what came for it is in the folder */
	FETCH_UNCHANGED, /* tip is what `known` said */
	FETCH_BRANCH_MISSING, /* the host is there, the branch is not */
	FETCH_EMPTY,          /* the repository has no branch at all */
	FETCH_DENIED,         /* credentials or the host's key were refused */
	FETCH_UNREACHABLE, /* no such host, refused, broken off, not a repo */
	FETCH_TIMED_OUT,   /* killed at the deadline */
	FETCH_TOO_LARGE,   /* killed at the byte limit */
	FETCH_FAILED       /* anything else: message says what */
};
const char *fetch_outcome_name(enum fetch_outcome o);

struct fetch_result {
	enum fetch_outcome outcome;
	char tip[41];
	char branch[256]; /* which branch it was */
	int64_t bytes;
	char message[512]; /* for people; never holds a credential */
};

/* Fills *spec for child_start: a function child that fetches into
 * `incoming` (made by the caller, empty: the child refuses what is not) with the
 * objects of `mirror` (data_dir/repos/NAME/git) as alternates, and writes one
 * JSON line with the result to its stdout. Git's configuration has no say in
 * where it fetches from, and credentials go to the source's own host only. What
 * a local source's alternates name has to be folders of objects, and not among
 * the mirrors; INVALID or LIMIT otherwise. known is the tip we have, or "". The
 * arguments have to outlive the child's start. Release with fetch_child_free
 * after starting. */
struct fetch_child;
enum err_code fetch_child_new(struct fetch_child **out,
    const struct fetch_source *source, const char *mirror, const char *incoming,
    const char *known, struct err *e) MUST_CHECK;
const struct child_spec *fetch_child_spec(struct fetch_child *c);
void fetch_child_free(struct fetch_child *c);
AUTO_FREE(fetch_child)

/* From how the child ended and what it wrote. Never fails: what cannot be
 * understood is FETCH_FAILED. */
void fetch_result_read(struct fetch_result *out, const struct child_result *r);

/* Is this a path on this machine (not a URL with a host)? */
bool fetch_is_local(const char *url);
/* The path of a local url ("file:///x" → "/x"). */
const char *fetch_local_path(const char *url);

#endif
