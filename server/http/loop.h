#ifndef SERVER_HTTP_LOOP_H
#define SERVER_HTTP_LOOP_H

/* A serving thread: one listening socket, one libmicrohttpd daemon without
 * threads of its own, in an epoll loop of ours. (With its internal threads,
 * exactly 128 requests that become ready together are left lying.) The loop
 * also sees what libmicrohttpd hides: the deadlines of suspended connections,
 * that their clients went away, and clients that never finish a request. */

#include <microhttpd.h>
#include <stdint.h>

#include "clusters/store.h"
#include "core/channel.h"
#include "server/http/auth.h"
#include "server/http/service.h"

struct loop;
struct request;

struct loop_tls {
	const char *certificate, *key, *client_ca;
};

/* Takes over listener, which stays open for the supervisor's sake when the loop
 * ends. tls is what it holds: PEM texts that outlive the loop, or NULL. Until
 * loop_start nothing is accepted. */
enum err_code loop_new(struct loop **out, struct service *s, size_t index,
    int listener, const struct loop_tls *tls, struct err *e) MUST_CHECK;
enum err_code loop_start(struct loop *l, struct err *e) MUST_CHECK;

/* From any thread: there is a new catalog; no new connections, and end when
 * those open are answered, or (leave: others accept on the same socket) when
 * their clients have been told to go, and went; is it still at it; wait for the
 * end. */
void loop_wake(struct loop *l);
void loop_stop(struct loop *l);
void loop_leave(struct loop *l);
bool loop_is_busy(const struct loop *l);
void loop_join(struct loop *l);
void loop_free(struct loop *l); /* when it was joined, or never started */

/* From any thread: the ledger answered, or (NULL) will not answer what it was
 * asked until now. Takes over what m holds if the id is one of this loop's. */
bool loop_deliver(struct loop *l, struct message *m);

/* ---- for handlers, in the loop's own thread ---- */

/* What this loop serves now, or NULL. */
const struct catalog *loop_catalog(const struct loop *l);

/* Its read-only store; opened again after it failed. */
enum err_code loop_store(struct store **out, struct loop *l, struct err *e)
    MUST_CHECK;
/* A read failed: open anew next time, unless the code is about the question. */
void loop_store_failed(struct loop *l, enum err_code code);

/* What credentials are known by now, and which JWTs were verified already. */
const struct access *loop_access(const struct loop *l);
struct jwt_memory *loop_jwts(struct loop *l);

/* The response with this entry's bytes, made once per artifact; valid until the handler
 * returns. closing: the connection ends with it. NULL: no memory. */
struct MHD_Response *loop_answer(struct loop *l,
    const struct catalog_entry *entry, bool closing);

/* May this request's credential be looked at (http.limits.failures_rate)? Then
 * say how that went: r->token is whose it is; a request's counts once. If not,
 * the reply is a 429, unless it is a good token of ours after all. */
bool loop_may_try(struct loop *l, struct request *r);
void loop_tried(struct loop *l, struct request *r, enum auth_result who);
void loop_refuse_try(struct loop *l, struct request *r);
/* May this operator ask once more (http.limits.api_rate)? False: the reply, a
 * 429, is on its way. */
bool loop_may_ask(struct loop *l, struct request *r);
/* It was let in without a credential, because it needs none: as good as one that
 * showed a good one. */
void loop_needs_none(struct loop *l, struct request *r);

/* What was refused because of a limit: counted, and logged now and then. */
void loop_limit_hit(struct loop *l, enum counter which);

/* The loop is ending: answer, do not hold. */
bool loop_stopping(const struct loop *l);

/* Is it this poll's turn to get entry, which is not what it has? If not, it has
 * to wait for that (http.release_spread). */
bool loop_is_turn(struct loop *l, struct request *r,
    const struct catalog_entry *entry);

/* Suspends a poll until its assignment changes, its turn has come, hold_ms
 * passed, or the client went away. UNAVAILABLE when there are too many. r->entry
 * and r->token say what it waits for. */
enum err_code loop_hold(struct loop *l, struct request *r, int64_t hold_ms,
    struct err *e) MUST_CHECK;

/* Asks the ledger and suspends the request until the answer is in r->reply
 * (NULL: it will not come). UNAVAILABLE when it cannot be asked. */
enum err_code loop_ask(struct loop *l, struct request *r, const json_t *payload,
    struct err *e) MUST_CHECK;

/* Suspends the request until a message with this id is delivered, in the same
 * way, at most wait_ms. */
enum err_code loop_expect(struct loop *l, struct request *r, int64_t wait_ms,
    uint64_t *id, struct err *e) MUST_CHECK;

#endif
