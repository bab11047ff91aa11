#ifndef SERVER_SUPERVISOR_CALL_H
#define SERVER_SUPERVISOR_CALL_H

/* Outgoing calls: one HTTP(S) request in a confined child of its own, for the
 * pipeline, which has no network. The pipeline names a target of the
 * configuration ("events/ops"); URL, method, secrets, CA file and limits come
 * from there, so that whoever took the pipeline over calls nobody else, and
 * sees no secret. The child reads the secrets, is confined (the network and the
 * files of name look-up and trust, nothing else), asks once, writes what came
 * of it, and ends. No redirects, no proxies, no cookies, http and https only,
 * TLS 1.2 at least and always verified; limits on time and on bytes.
 *
 * To use it: add a row to the table of targets in call_target.c that fills a
 * struct call_target from the configuration, and call desk_call from any thread
 * of the pipeline. What it costs: a fork, and the supervisor's time for it (a
 * few milliseconds). */

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/child.h"
#include "core/err.h"
#include "server/conf/conf.h"
#include "server/pipeline/desk.h"

enum {
	CALL_URL_MAX = 2048,
	CALL_REFERENCE_MAX = 80, /* "events/" and a name */
	CALL_SECRETS_MAX = 2,
	CALL_HEADERS_MAX = 8,
	CALL_HEADER_MAX = 256,         /* bytes of one value */
	CALL_BODY_MAX = 1 << 20,       /* that we send */
	CALL_ANSWER_MAX = 4 << 20,     /* the most a target may allow */
	CALL_CONNECT_MS = 5000,        /* name look-up, TCP and TLS */
	CALL_TIMEOUT_MAX_MS = 60000,   /* the most a target may allow */
	CALL_HEADERS_BYTES = 32 << 10, /* of an answer, all together */
	CALL_RETRY_MAX_S = 86400       /* what Retry-After may ask for */
};

/* What the secrets are for. */
enum call_proof {
	CALL_NO_PROOF,
	CALL_BEARER, /* Authorization: Bearer, from the first file */
	CALL_SIGNED  /* X-Edict-Signature over time and body, from all */
};

/* All strings are borrowed from the configuration. */
struct call_target {
	const char *url;      /* or: */
	const char *url_file; /* a secret */
	bool post;            /* with a body; else GET */
	const char *content_type;
	enum call_proof proof;
	const char *secret_files[CALL_SECRETS_MAX]; /* NULL: none */
	const char *ca_file;        /* only those; NULL: the system's */
	const char *const *headers; /* which the requester may set; ends with
	                             * NULL; may be NULL */
	size_t answer_max;          /* bytes of body that are read */
	int64_t timeout_ms;
};

/* The target of that reference. NOT_FOUND when the configuration has none. */
enum err_code call_target_find(struct call_target *out, const struct conf *c,
    const char *reference, struct err *e) MUST_CHECK;

/* Is this a URL that may be called: http or https, a host, no user, no password,
 * no fragment? plain: http to other machines, too, for what needs no secrecy and
 * proves itself. INVALID says what to write instead. */
enum err_code call_url_check(const char *url, bool plain, struct err *e)
    MUST_CHECK;

/* ---- what came of it ---- */

enum call_outcome {
	CALL_ANSWERED,    /* status is set, whatever it is */
	CALL_UNREACHABLE, /* no such host, refused, broken off, no HTTP */
	CALL_UNTRUSTED,   /* its certificate is not valid for it */
	CALL_TIMED_OUT,
	CALL_TOO_LARGE, /* more than the target's answer_max */
	CALL_FAILED     /* the configuration or this machine is at fault */
};
const char *call_outcome_name(enum call_outcome o);

struct call_result {
	enum call_outcome outcome;
	int status;            /* of CALL_ANSWERED */
	int64_t retry_after_s; /* 0: not said */
	char etag[CALL_HEADER_MAX + 1];
	char message[512]; /* for people; never a secret, never the URL; "" when
	                    * answered */
	struct buf body;   /* of CALL_ANSWERED */
};
void call_result_clear(struct call_result *r);

/* Calls and waits for the answer; no body (NULL) for GET. headers is an object
 * of those that the target allows, or NULL; borrowed. An error means that no
 * call could be made: UNAVAILABLE, try again; others are the caller's fault. On
 * success the caller clears *out, whatever the outcome. Any thread of the
 * pipeline; blocks for timeout_ms of the target and a little more, or until
 * patience (may be NULL) is over. */
enum err_code desk_call(struct desk *d, const char *reference,
    const json_t *headers, const void *body, size_t len,
    const struct desk_patience *patience, struct call_result *out,
    struct err *e) MUST_CHECK;

/* ---- the supervisor's side ---- */

/* Starts what a SUPERVISOR_CALL message asks for. */
enum err_code call_start(pid_t *pid, int64_t *timeout_ms, const struct conf *c,
    const struct message *m, struct err *e) MUST_CHECK;

/* The child by itself. The target and body_fd (-1: none; a file, read from its
 * start) have to outlive its start; headers are copied. It writes one line of
 * JSON and then the body to its stdout. Release after starting. */
struct call_child;
enum err_code call_child_new(struct call_child **out,
    const struct call_target *target, const json_t *headers, int body_fd,
    struct err *e) MUST_CHECK;
struct child_spec *call_child_spec(struct call_child *c);
void call_child_free(struct call_child *c);
AUTO_FREE(call_child)

/* What a child wrote may be so long. */
size_t call_output_max(const struct call_target *t);

/* From how the child ended and what it wrote. Never fails: what cannot be
 * understood is CALL_FAILED. The caller clears *out. */
void call_result_read(struct call_result *out, const struct child_result *r);

#endif
