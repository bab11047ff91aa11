#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/channel_wire.h"
#include "core/clock.h"
#include "core/file.h"

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

union fds_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
};

static void
attach_fds(struct msghdr *h, union fds_control *control, const int *fds,
    size_t count)
{
	struct cmsghdr *cmsg;

	if (count == 0)
		return;
	h->msg_control = control;
	h->msg_controllen = CMSG_SPACE(count * sizeof(int));
	cmsg = CMSG_FIRSTHDR(h);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
}

static enum err_code
wait_for_room(const struct channel *c, int64_t end, struct err *e)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };
	int left = clock_wait_left(end);

	if (left == 0)
		return err_set(e, ERR_UNAVAILABLE,
		    "message to %s: it reads too slowly", c->name);
	if (poll(&p, 1, left) < 0 && errno != EINTR)
		return err_errno(e, "message to %s", c->name);
	return ERR_OK;
}

/* One datagram or nothing: the kernel never splits a SEQPACKET message, so
 * threads need no lock here. */
static enum err_code
send_packet(struct channel *c, const struct wire *w, const struct buf *data,
    const int *fds, size_t fd_count, int wait_ms, struct err *e)
{
	union fds_control control = { 0 };
	struct iovec parts[2] = {
		{ (void *)(uintptr_t)w, sizeof *w },
		{ data->data, data->len },
	};
	struct msghdr h = { .msg_iov = parts, .msg_iovlen = 2 };
	int64_t end = clock_wait_end(wait_ms);

	attach_fds(&h, &control, fds, fd_count);
	for (;;) {
		if (sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return ERR_OK;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_errno(e, "message to %s", c->name);
		TRY(wait_for_room(c, end, e));
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

enum err_code
channel_send_error(struct channel *c, uint32_t kind, uint64_t id,
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
	return channel_send_error(c, request->kind, request->id, reason,
	    CHANNEL_REPLY_WAIT_MS, e);
}
