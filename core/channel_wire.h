#ifndef CORE_CHANNEL_WIRE_H
#define CORE_CHANNEL_WIRE_H

/* What travels on a channel, known to its sending and its receiving side. Only
 * core/channel*.c needs this. */

#include <assert.h>

#include "core/channel.h"

enum {
	WIRE_MAGIC = 0x45444354, /* "EDCT" */
	WIRE_VERSION = 1,
	WIRE_MEMORY = 1, /* flags: the first descriptor holds the payload */
	WIRE_FAILED = 2, /* flags: an error reply */
	WIRE_FLAGS = WIRE_MEMORY | WIRE_FAILED,
	WIRE_FDS_MAX = CHANNEL_FDS_MAX + 1
};

/* In front of every payload. Both ends are the same program on the same
 * machine, so the fields travel as they lie; the version is for the moment
 * when an upgraded process talks to one not yet restarted. */
struct wire {
	uint32_t magic;
	uint16_t version;
	uint16_t flags;
	uint32_t kind;
	uint32_t fd_count; /* of the sender's, WIRE_MEMORY's not counted */
	uint64_t id;
	int64_t expires_ms;
	uint64_t payload_len;
};
static_assert(sizeof(struct wire) == 40, "no padding in struct wire");

struct channel {
	int fd;
	char *name;
	char *data; /* room for one datagram: CHANNEL_INLINE_MAX */
};

/* An error reply; see channel_reply_error. */
enum err_code channel_send_error(struct channel *c, uint32_t kind, uint64_t id,
    const struct err *reason, int wait_ms, struct err *e) MUST_CHECK;

#endif
