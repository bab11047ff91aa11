#include "core/channel.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

enum {
	WIRE_MAGIC = 0x45444354, /* "EDCT" */
	WIRE_VERSION = 1,
	WIRE_MEMORY = 1, /* flags: the first descriptor holds the payload */
	WIRE_FAILED = 2, /* flags: an error reply */
	WIRE_FLAGS = WIRE_MEMORY | WIRE_FAILED,
	WIRE_FDS_MAX = CHANNEL_FDS_MAX + 1,
	/* The kernel fills the padding of a control message with descriptors
	 * too, so more may come than were asked for. */
	WIRE_FDS_ROOM = WIRE_FDS_MAX + 3,
	EXPIRED_MAX = 64, /* dropped in one call that does not wait */
	SEND_BUFFER = 1 << 20
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
close_all(int *fds, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		close(fds[i]);
	*count = 0;
}

static void
packet_clear(struct packet *p)
{
	close_all(p->fds, &p->fd_count);
}

void
message_clear(struct message *m)
{
	json_decref(m->payload);
	close_all(m->fds, &m->fd_count);
	*m = (struct message){ 0 };
}

enum err_code
channel_pair(int fds[2], struct err *e)
{
	int pair[2];
	int size = SEND_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return err_errno(e, "socket pair");
	/* More room for bursts; the system's limit may allow less. */
	for (int i = 0; i < 2; i++)
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size,
		    sizeof size);
	memcpy(fds, pair, sizeof pair);
	return ERR_OK;
}

struct channel *
channel_new(int fd, const char *name)
{
	struct channel *c = mem_zalloc(sizeof *c);

	c->fd = fd;
	c->name = mem_strdup(name);
	c->data = mem_alloc(CHANNEL_INLINE_MAX);
	return c;
}

void
channel_free(struct channel *c)
{
	if (c == NULL)
		return;
	mem_free(c->name);
	mem_free(c->data);
	mem_free(c);
}

int
channel_fd(const struct channel *c)
{
	return c->fd;
}

/* When a wait of this length ends; -1 is never. */
static int64_t
wait_end(int64_t wait_ms)
{
	return wait_ms < 0 ? -1 : clock_steady_ms() + wait_ms;
}

static int
wait_left(int64_t end)
{
	int64_t left;

	if (end < 0)
		return -1;
	left = end - clock_steady_ms();
	if (left <= 0)
		return 0;
	return left > 3600000 ? 3600000 : (int)left;
}

/* Sending. */

static int
add_json(const char *data, size_t len, void *arg)
{
	buf_add(arg, data, len);
	return 0;
}

static enum err_code
encode(struct buf *out, const struct channel *c, const json_t *payload,
    struct err *e)
{
	if (payload == NULL) {
		buf_add_str(out, "{}");
		return ERR_OK;
	}
	if (!json_is_object(payload) ||
	    json_dump_callback(payload, add_json, out, JSON_COMPACT) != 0)
		return err_set(e, ERR_INVALID,
		    "message to %s: the payload is not a JSON object", c->name);
	return buf_check(out, "message payload", e);
}

/* One datagram or nothing: the kernel never splits a SEQPACKET message, so
 * threads need no lock here. */
static enum err_code
send_packet(struct channel *c, const struct wire *w, const struct buf *data,
    const int *fds, size_t fd_count, int wait_ms, struct err *e)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec parts[2] = {
		{ (void *)(uintptr_t)w, sizeof *w },
		{ data->data, data->len },
	};
	struct msghdr h = { .msg_iov = parts, .msg_iovlen = 2 };
	int64_t end = wait_end(wait_ms);

	if (fd_count > 0) {
		struct cmsghdr *cmsg;

		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&h);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
	}
	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLOUT };
		int left;

		if (sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return ERR_OK;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_errno(e, "message to %s", c->name);
		left = wait_left(end);
		if (left == 0)
			return err_set(e, ERR_UNAVAILABLE,
			    "message to %s: it reads too slowly", c->name);
		if (poll(&p, 1, left) < 0 && errno != EINTR)
			return err_errno(e, "message to %s", c->name);
	}
}

static enum err_code
send_flagged(struct channel *c, unsigned int flags, uint32_t kind, uint64_t id,
    int64_t expires_ms, const json_t *payload, const int *fds, size_t fd_count,
    int wait_ms, struct err *e)
{
	AUTO_BUF data = { 0 };
	int all[WIRE_FDS_MAX];
	size_t count = 0;
	enum err_code code;
	struct wire w = {
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.flags = (uint16_t)flags,
		.kind = kind,
		.fd_count = (uint32_t)fd_count,
		.id = id,
		.expires_ms = expires_ms,
	};

	assert(fd_count <= CHANNEL_FDS_MAX);
	buf_init(&data, CHANNEL_PAYLOAD_MAX);
	TRY(encode(&data, c, payload, e));
	w.payload_len = data.len;
	if (data.len > CHANNEL_INLINE_MAX) {
		TRY(file_memory(&all[0], "edict-message", data.data, data.len,
		    e));
		count = 1;
		w.flags |= WIRE_MEMORY;
		data.len = 0;
	}
	if (fd_count > 0)
		memcpy(all + count, fds, fd_count * sizeof *fds);
	code = send_packet(c, &w, &data, all, count + fd_count, wait_ms, e);
	if (count == 1)
		close(all[0]);
	return code;
}

enum err_code
channel_send(struct channel *c, uint32_t kind, uint64_t id, int64_t expires_ms,
    const json_t *payload, const int *fds, size_t fd_count, int wait_ms,
    struct err *e)
{
	return send_flagged(c, 0, kind, id, expires_ms, payload, fds, fd_count,
	    wait_ms, e);
}

enum err_code
channel_reply(struct channel *c, const struct message *request,
    const json_t *payload, struct err *e)
{
	return send_flagged(c, 0, request->kind | CHANNEL_REPLY, request->id, 0,
	    payload, NULL, 0, CHANNEL_REPLY_WAIT_MS, e);
}

/* Error texts quote what came from outside and are cut anywhere, so they may
 * not be UTF-8, which JSON must be. */
static json_t *
json_text(const char *text)
{
	json_t *s = json_string(text);
	char copy[ERR_TEXT_MAX];
	size_t n = 0;

	if (s != NULL)
		return s;
	for (; text[n] != '\0' && n + 1 < sizeof copy; n++)
		copy[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
	copy[n] = '\0';
	return json_string(copy);
}

static enum err_code
send_error(struct channel *c, uint32_t kind, uint64_t id,
    const struct err *reason, int wait_ms, struct err *e)
{
	enum err_code code;
	json_t *payload = json_pack("{s:s,s:o}", "code", err_name(reason->code),
	    "message", json_text(reason->text));

	assert(payload != NULL);
	code = send_flagged(c, WIRE_FAILED, kind | CHANNEL_REPLY, id, 0,
	    payload, NULL, 0, wait_ms, e);
	json_decref(payload);
	return code;
}

enum err_code
channel_reply_error(struct channel *c, const struct message *request,
    const struct err *reason, struct err *e)
{
	return send_error(c, request->kind, request->id, reason,
	    CHANNEL_REPLY_WAIT_MS, e);
}

/* Receiving. */

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
	struct msghdr h = { 0 };
	ssize_t n;

	for (;;) {
		struct pollfd wait = { .fd = c->fd, .events = POLLIN };
		int left;

		h = (struct msghdr){ .msg_iov = parts,
			.msg_iovlen = 2,
			.msg_control = &control,
			.msg_controllen = sizeof control };
		n = recvmsg(c->fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n >= 0)
			break;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_errno(e, "message from %s", c->name);
		left = wait_left(end);
		if (left == 0)
			return err_set(e, ERR_TIMEOUT, "no message from %s",
			    c->name);
		if (poll(&wait, 1, left) < 0 && errno != EINTR)
			return err_errno(e, "message from %s", c->name);
	}
	take_fds(&p, &h);
	p.truncated = (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
	if (n == 0 && is_closed(c)) {
		packet_clear(&p);
		return err_set(e, ERR_UNAVAILABLE, "%s has closed its end",
		    c->name);
	}
	if ((size_t)n < sizeof p.wire)
		p.headless = true;
	else
		p.data_len = (size_t)n - sizeof p.wire;
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
	    send_error(c, p->wire.kind, p->wire.id, &reason, 0, &ignored) !=
		ERR_OK)
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
	int64_t end = wait_end(wait_ms);
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
		if (++dropped >= EXPIRED_MAX && wait_left(end) == 0)
			return err_set(e, ERR_TIMEOUT,
			    "only expired messages from %s", c->name);
	}
}

static enum err_code
code_of_name(const char *name)
{
	for (int code = ERR_OK + 1; code < ERR_CODES; code++) {
		if (strcmp(err_name((enum err_code)code), name) == 0)
			return (enum err_code)code;
	}
	return ERR_CORRUPT;
}

enum err_code
message_error(const struct message *m, struct err *e)
{
	const char *code = NULL;
	const char *text = NULL;

	if (!m->failed)
		return ERR_OK;
	if (json_unpack(m->payload, "{s:s,s:s}", "code", &code, "message",
		&text) != 0)
		return err_set(e, ERR_CORRUPT,
		    "an error reply without code and message");
	return err_set(e, code_of_name(code), "%s", text);
}

/* Requests from several threads. */

struct waiter {
	uint64_t id;
	uint32_t kind; /* of the reply */
	bool done;
	bool reset;
	struct message reply; /* when done */
	pthread_cond_t changed;
	struct waiter *next;
};

struct caller {
	struct channel *channel;
	pthread_mutex_t lock; /* guards waiters and next_id */
	struct waiter *waiters;
	uint64_t next_id;
};

struct caller *
caller_new(struct channel *c)
{
	struct caller *k = mem_zalloc(sizeof *k);
	int result = pthread_mutex_init(&k->lock, NULL);
	ssize_t got;

	assert(result == 0);
	k->channel = c;
	/* The pair outlives its processes: replies meant for the process that
	 * ran here before must not fit requests of this one. */
	got = getrandom(&k->next_id, sizeof k->next_id, 0);
	assert(got == (ssize_t)sizeof k->next_id);
	return k;
}

void
caller_free(struct caller *k)
{
	if (k == NULL)
		return;
	assert(k->waiters == NULL);
	pthread_mutex_destroy(&k->lock);
	mem_free(k);
}

static void
waiter_begin(struct caller *k, struct waiter *w)
{
	pthread_condattr_t attr;
	int result = pthread_condattr_init(&attr);

	if (result == 0)
		result = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (result == 0)
		result = pthread_cond_init(&w->changed, &attr);
	assert(result == 0);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&k->lock);
	w->id = k->next_id++;
	w->next = k->waiters;
	k->waiters = w;
	pthread_mutex_unlock(&k->lock);
}

/* Until there is a reply, a reset, or the time is over. */
static void
waiter_wait(struct caller *k, struct waiter *w, int64_t end)
{
	struct timespec t = {
		.tv_sec = (time_t)(end / 1000),
		.tv_nsec = (long)(end % 1000) * 1000000,
	};
	int result = 0;

	pthread_mutex_lock(&k->lock);
	while (!w->done && !w->reset && result != ETIMEDOUT)
		result = pthread_cond_timedwait(&w->changed, &k->lock, &t);
	pthread_mutex_unlock(&k->lock);
}

/* After this nobody else knows w, and its fields are stable. */
static void
waiter_end(struct caller *k, struct waiter *w)
{
	pthread_mutex_lock(&k->lock);
	for (struct waiter **at = &k->waiters; *at != NULL; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	pthread_mutex_unlock(&k->lock);
	pthread_cond_destroy(&w->changed);
}

enum err_code
caller_call(struct caller *k, uint32_t kind, const json_t *payload,
    const int *fds, size_t fd_count, int64_t timeout_ms, struct message *reply,
    struct err *e)
{
	struct waiter w = { .kind = kind | CHANNEL_REPLY };
	int64_t end = wait_end(timeout_ms);
	enum err_code code;

	assert(timeout_ms >= 0);
	waiter_begin(k, &w);
	code = channel_send(k->channel, kind, w.id,
	    clock_mono_ms() + timeout_ms, payload, fds, fd_count,
	    wait_left(end), e);
	if (code == ERR_OK)
		waiter_wait(k, &w, end);
	waiter_end(k, &w);
	if (code == ERR_OK && !w.done)
		code = w.reset
		    ? err_set(e, ERR_UNAVAILABLE,
			  "%s was restarted; whether it did what was asked is "
			  "unknown",
			  k->channel->name)
		    : err_set(e, ERR_TIMEOUT,
			  "%s did not answer within %" PRId64 " ms",
			  k->channel->name, timeout_ms);
	if (code == ERR_OK)
		code = message_error(&w.reply, e);
	if (code == ERR_OK)
		*reply = w.reply;
	else
		message_clear(&w.reply);
	return code;
}

bool
caller_dispatch(struct caller *k, struct message *m)
{
	struct waiter *w;
	bool taken;

	if ((m->kind & CHANNEL_REPLY) == 0)
		return false;
	pthread_mutex_lock(&k->lock);
	for (w = k->waiters; w != NULL; w = w->next) {
		if (w->id == m->id && w->kind == m->kind)
			break;
	}
	taken = w != NULL && !w->done && !w->reset;
	if (taken) {
		w->reply = *m;
		w->done = true;
		pthread_cond_signal(&w->changed);
		*m = (struct message){ 0 };
	}
	pthread_mutex_unlock(&k->lock);
	return taken;
}

void
caller_reset(struct caller *k)
{
	pthread_mutex_lock(&k->lock);
	for (struct waiter *w = k->waiters; w != NULL; w = w->next) {
		w->reset = true;
		pthread_cond_signal(&w->changed);
	}
	pthread_mutex_unlock(&k->lock);
}
