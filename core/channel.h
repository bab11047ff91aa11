#ifndef CORE_CHANNEL_H
#define CORE_CHANNEL_H

/* Typed messages between the processes of one server, over SOCK_SEQPACKET
 * pairs that the supervisor makes and keeps: a process that dies and is
 * started again finds the same pair, with whole messages in it and never half
 * a one. A message has a kind, an id that a reply repeats, a deadline, a JSON
 * payload and perhaps descriptors. Payloads over CHANNEL_INLINE_MAX travel in
 * a sealed memory file. A receiver states which kinds it accepts; all else is
 * answered with ERR_DENIED and logged, before the payload is looked at. Expired
 * requests are dropped unanswered: their senders have given up.
 *
 * A struct channel belongs to one thread at a time, but channel_send may be
 * called by any thread. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum {
	CHANNEL_INLINE_MAX = 32 * 1024,
	CHANNEL_PAYLOAD_MAX = 64 << 20,
	CHANNEL_FDS_MAX = 4,
	/* How long a reply waits for room: long enough for a peer that is busy,
	 * too short for one that means to hold us up. */
	CHANNEL_REPLY_WAIT_MS = 100,
	CHANNEL_REPLY = 1 << 15 /* added to the kind of a reply */
};

struct message {
	uint32_t kind;
	uint64_t id;
	int64_t expires_ms; /* clock_mono_ms; 0: never */
	bool failed;        /* an error reply: see message_error */
	json_t *payload;    /* an object; owned */
	int fds[CHANNEL_FDS_MAX];
	size_t fd_count; /* owned: message_clear closes them */
};

void message_clear(struct message *m);

/* Makes a connected pair, close-on-exec. */
enum err_code channel_pair(int fds[2], struct err *e) MUST_CHECK;

struct channel;

/* Does not take over fd. name is the peer's, for errors: "ledger". */
struct channel *channel_new(int fd, const char *name);
void channel_free(struct channel *c);
AUTO_FREE(channel)
int channel_fd(const struct channel *c);
const char *channel_name(const struct channel *c);

/* Sends; waits for room for at most wait_ms (0: not at all, then
 * ERR_UNAVAILABLE). payload is borrowed, may be NULL for {}, and has no NUL in
 * its strings; ERR_LIMIT when it is larger than CHANNEL_PAYLOAD_MAX. At most
 * CHANNEL_FDS_MAX fds, which are duplicated by the kernel; the caller keeps its
 * own. */
enum err_code channel_send(struct channel *c, uint32_t kind, uint64_t id,
    int64_t expires_ms, const json_t *payload, const int *fds, size_t fd_count,
    int wait_ms, struct err *e) MUST_CHECK;

/* A successful reply to a request, or an error reply {"code","message"}.
 * Both wait for room for at most CHANNEL_REPLY_WAIT_MS; then the requester
 * runs into its deadline. */
enum err_code channel_reply(struct channel *c, const struct message *request,
    const json_t *payload, struct err *e) MUST_CHECK;
enum err_code channel_reply_error(struct channel *c,
    const struct message *request, const struct err *reason, struct err *e)
    MUST_CHECK;

/* Receives one message, waiting up to wait_ms (-1: for ever). ERR_TIMEOUT when
 * none came, ERR_UNAVAILABLE when the pair is closed, ERR_INVALID for one
 * that is malformed: it is consumed, logged, and where its header is whole
 * answered with ERR_INVALID. accepts is a zero-terminated list of
 * kinds; replies are always accepted. A message of another kind is answered
 * with ERR_DENIED, logged, and reported here as ERR_DENIED. After INVALID or
 * DENIED go on receiving; after UNAVAILABLE and IO there is no more to come.
 * Only on ERR_OK is *out set, and the caller's to clear. */
enum err_code channel_receive(struct channel *c, struct message *out,
    const uint32_t *accepts, int wait_ms, struct err *e) MUST_CHECK;

/* For who does not trust the sender with more than that: takes a message off fd,
 * and looks only at the kind that it says it is of, 0 when it is too short.
 * False: there is none. Does not wait. */
bool channel_take_kind(int fd, uint32_t *kind);

/* If m is an error reply, its error; ERR_OK otherwise. */
enum err_code message_error(const struct message *m, struct err *e) MUST_CHECK;

#endif
