#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/channel_wire.h"
#include "core/clock.h"
#include "core/log.h"

enum {
	/* The kernel fills the padding of a control message with descriptors
	 * too, so more may come than were asked for. */
	WIRE_FDS_ROOM = WIRE_FDS_MAX + 3,
	EXPIRED_MAX = 64 /* dropped in one call that does not wait */
};

/* What one recvmsg gave. The descriptors are owned until taken. */
struct packet {
	struct wire wire;
	size_t data_len; /* in channel.data */
	int fds[WIRE_FDS_ROOM];
	size_t fd_count;
	bool headless; /* too short for a header */
	bool truncated;
};

static void
packet_clear(struct packet *p)
{
	for (size_t i = 0; i < p->fd_count; i++)
		close(p->fds[i]);
	p->fd_count = 0;
}

static void
take_fds(struct packet *p, struct msghdr *h)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(h); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(h, cmsg)) {
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		assert(p->fd_count + count <= WIRE_FDS_ROOM);
		memcpy(p->fds + p->fd_count, CMSG_DATA(cmsg),
		    count * sizeof(int));
		p->fd_count += count;
	}
}

/* An empty datagram looks like the end of the connection but for this. */
static bool
is_closed(const struct channel *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP)) != 0;
}

static enum err_code
wait_for_more(const struct channel *c, int64_t end, struct err *e)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	int left = clock_wait_left(end);

	if (left == 0)
		return err_set(e, ERR_TIMEOUT, "no message from %s", c->name);
	if (poll(&p, 1, left) < 0 && errno != EINTR)
		return err_errno(e, "message from %s", c->name);
	return ERR_OK;
}

/* *h is as for recvmsg, which changes it with every try. */
static enum err_code
receive_datagram(size_t *len, struct channel *c, struct msghdr *h, int64_t end,
    struct err *e)
{
	const struct msghdr fresh = *h;

	for (;;) {
		ssize_t n;

		*h = fresh;
		n = recvmsg(c->fd, h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n >= 0) {
			*len = (size_t)n;
			return ERR_OK;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_errno(e, "message from %s", c->name);
		TRY(wait_for_more(c, end, e));
	}
}

static enum err_code
receive_packet(struct packet *out, struct channel *c, int64_t end,
    struct err *e)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
	} control;
	struct packet p = { 0 };
	struct iovec parts[2] = {
		{ &p.wire, sizeof p.wire },
		{ c->data, CHANNEL_INLINE_MAX },
	};
	struct msghdr h = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};
	size_t n;

	TRY(receive_datagram(&n, c, &h, end, e));
	take_fds(&p, &h);
	p.truncated = (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
	if (n == 0 && is_closed(c)) {
		packet_clear(&p);
		return err_set(e, ERR_UNAVAILABLE, "%s has closed its end",
		    c->name);
	}
	p.headless = n < sizeof p.wire;
	if (!p.headless)
		p.data_len = n - sizeof p.wire;
	*out = p;
	return ERR_OK;
}

/* Is the header whole? Only then may an answer quote it. */
static const char *
header_fault(const struct packet *p)
{
	if (p->headless)
		return "cut short";
	if (p->wire.magic != WIRE_MAGIC)
		return "not a message";
	if (p->wire.version != WIRE_VERSION)
		return "another version of the protocol; restart the server";
	return NULL;
}

static const char *
packet_fault(const struct packet *p)
{
	const struct wire *w = &p->wire;
	bool memory = (w->flags & WIRE_MEMORY) != 0;

	if (p->truncated)
		return "larger than a message may be, or no descriptors left";
	if ((w->flags & ~WIRE_FLAGS) != 0)
		return "unknown flags";
	if (w->fd_count > CHANNEL_FDS_MAX ||
	    p->fd_count != w->fd_count + (memory ? 1 : 0))
		return "not the descriptors it announces";
	if (memory &&
	    (p->data_len != 0 || w->payload_len > CHANNEL_PAYLOAD_MAX))
		return "larger than a payload may be";
	if (!memory && p->data_len != w->payload_len)
		return "not the length it announces";
	if ((w->flags & WIRE_FAILED) != 0 && (w->kind & CHANNEL_REPLY) == 0)
		return "an error that answers nothing";
	return NULL;
}

/* Maps a payload that its sender can neither change nor cut any more; without
 * the seals, reading could end in SIGBUS or see two different texts. */
static const char *
map_memory(void **out, int fd, size_t len)
{
	const int sealed = F_SEAL_WRITE | F_SEAL_SHRINK;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & sealed) != sealed)
		return "the payload's memory is not sealed";
	if (fstat(fd, &st) != 0 || st.st_size < 0 || (size_t)st.st_size != len)
		return "the payload's memory is not the length it announces";
	if (len == 0)
		return "an empty payload";
	*out = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	return *out == MAP_FAILED ? "the payload cannot be mapped" : NULL;
}

static const char *
decode(json_t **out, const struct channel *c, const struct packet *p)
{
	size_t len = (size_t)p->wire.payload_len;
	const char *fault;
	void *map = NULL;

	if ((p->wire.flags & WIRE_MEMORY) != 0) {
		fault = map_memory(&map, p->fds[0], len);
		if (fault != NULL)
			return fault;
	}
	*out = json_loadb(map != NULL ? map : c->data, len,
	    JSON_REJECT_DUPLICATES, NULL);
	if (map != NULL)
		munmap(map, len);
	if (json_is_object(*out))
		return NULL;
	json_decref(STEAL(*out));
	return "the payload is not a JSON object without duplicate keys";
}

static bool
is_accepted(const uint32_t *accepts, uint32_t kind)
{
	if ((kind & CHANNEL_REPLY) != 0)
		return true;
	for (; *accepts != 0; accepts++) {
		if (*accepts == kind)
			return true;
	}
	return false;
}

/* Reports why a message is not taken, to our caller and, where it asked for
 * an answer, to its sender; but never waits for a sender who misbehaves. */
static enum err_code
refuse(struct channel *c, const struct packet *p, bool answer,
    enum err_code code, const char *fault, struct err *e)
{
	struct err reason;
	struct err ignored;

	(void)err_set(&reason, code, "message %" PRIu32 " from %s: %s",
	    p->wire.kind, c->name, fault);
	log_warn("channel.refused", "peer=%s kind=%" PRIu32 " reason=\"%s\"",
	    c->name, p->wire.kind, fault);
	if (answer && (p->wire.kind & CHANNEL_REPLY) == 0 &&
	    channel_send_error(c, p->wire.kind, p->wire.id, &reason, 0,
		&ignored) != ERR_OK)
		log_debug("channel.unanswered", "peer=%s", c->name);
	return err_set(e, code, "%s", reason.text);
}

static enum err_code
take_packet(struct message *out, struct channel *c, struct packet *p,
    const uint32_t *accepts, struct err *e)
{
	const char *fault = header_fault(p);
	size_t first = (p->wire.flags & WIRE_MEMORY) != 0 ? 1 : 0;
	json_t *payload = NULL;

	if (fault != NULL)
		return refuse(c, p, false, ERR_INVALID, fault, e);
	if (!is_accepted(accepts, p->wire.kind))
		return refuse(c, p, true, ERR_DENIED,
		    "this kind is not accepted from there", e);
	fault = packet_fault(p);
	if (fault == NULL)
		fault = decode(&payload, c, p);
	if (fault != NULL)
		return refuse(c, p, true, ERR_INVALID, fault, e);
	*out = (struct message){
		.kind = p->wire.kind,
		.id = p->wire.id,
		.expires_ms = p->wire.expires_ms,
		.failed = (p->wire.flags & WIRE_FAILED) != 0,
		.payload = payload,
		.fd_count = p->wire.fd_count,
	};
	memcpy(out->fds, p->fds + first, out->fd_count * sizeof *out->fds);
	p->fd_count = first;
	return ERR_OK;
}

static bool
is_expired(const struct packet *p)
{
	return header_fault(p) == NULL && (p->wire.kind & CHANNEL_REPLY) == 0 &&
	    p->wire.expires_ms != 0 && clock_mono_ms() >= p->wire.expires_ms;
}

enum err_code
channel_receive(struct channel *c, struct message *out, const uint32_t *accepts,
    int wait_ms, struct err *e)
{
	int64_t end = clock_wait_end(wait_ms);
	int dropped = 0;

	for (;;) {
		struct packet p;
		enum err_code code;

		TRY(receive_packet(&p, c, end, e));
		if (!is_expired(&p)) {
			code = take_packet(out, c, &p, accepts, e);
			packet_clear(&p);
			return code;
		}
		log_debug("channel.expired", "peer=%s kind=%" PRIu32, c->name,
		    p.wire.kind);
		packet_clear(&p);
		if (++dropped >= EXPIRED_MAX && clock_wait_left(end) == 0)
			return err_set(e, ERR_TIMEOUT,
			    "only expired messages from %s", c->name);
	}
}

bool
channel_take_kind(int fd, uint32_t *kind)
{
	struct wire wire = { 0 };
	ssize_t n = recv(fd, &wire, sizeof wire, MSG_DONTWAIT | MSG_TRUNC);

	*kind = n >= (ssize_t)sizeof wire ? wire.kind : 0;
	return n > 0;
}
