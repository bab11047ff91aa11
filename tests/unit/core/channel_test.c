#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/unit/core/channel_ends.h"

static enum err_code
send_text(struct channel *c, uint32_t kind, uint64_t id, const char *text,
    struct err *e)
{
	json_t *payload = json_pack("{s:s}", "text", text);
	enum err_code code =
	    channel_send(c, kind, id, 0, payload, NULL, 0, WAIT_MS, e);

	json_decref(payload);
	return code;
}

static const char *
text_of(const struct message *m)
{
	return json_string_value(json_object_get(m->payload, "text"));
}

/* The next message is a good one with this text. */
static void
expect_text(struct channel *c, const char *text)
{
	struct message m;
	struct err e = { 0 };
	enum err_code code = channel_receive(c, &m, ends_accept, WAIT_MS, &e);

	if (code != ERR_OK)
		fail_msg("%s", e.text);
	assert_string_equal(text_of(&m), text);
	message_clear(&m);
}

static void
test_round_trip(void **state)
{
	struct ends *x = *state;
	json_t *payload = json_pack("{s:i,s:s}", "n", 7, "s", "ä\n");
	struct message m;
	struct err e;
	int64_t later = clock_mono_ms() + WAIT_MS;

	assert_int_equal(channel_send(x->a, PING, 99, later, payload, NULL, 0,
			     0, &e),
	    ERR_OK);
	assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e), ERR_OK);
	assert_int_equal(m.kind, PING);
	assert_int_equal(m.id, 99);
	assert_int_equal(m.expires_ms, later);
	assert_false(m.failed);
	assert_int_equal(m.fd_count, 0);
	assert_true(json_equal(m.payload, payload));
	assert_int_equal(message_error(&m, &e), ERR_OK);
	message_clear(&m);
	json_decref(payload);

	assert_int_equal(channel_send(x->b, PONG, 1, 0, NULL, NULL, 0, 0, &e),
	    ERR_OK);
	assert_int_equal(channel_receive(x->a, &m, ends_accept, 0, &e), ERR_OK);
	assert_int_equal(json_object_size(m.payload), 0);
	message_clear(&m);
}

/* Around the size from which a memory file is used. */
static void
test_sizes(void **state)
{
	static const size_t sizes[] = { 0, CHANNEL_INLINE_MAX - 12,
		CHANNEL_INLINE_MAX - 11, CHANNEL_INLINE_MAX - 10,
		CHANNEL_INLINE_MAX + 1, 3 << 20 };
	struct ends *x = *state;
	struct err e;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		AUTO_STR text = mem_alloc(sizes[i] + 1);

		memset(text, 'x', sizes[i]);
		text[sizes[i]] = '\0';
		assert_int_equal(send_text(x->a, PING, i, text, &e), ERR_OK);
		expect_text(x->b, text);
	}
}

static void
test_payload_max(void **state)
{
	/* {"text":"…"} */
	const size_t most = CHANNEL_PAYLOAD_MAX - 11;
	struct ends *x = *state;
	AUTO_STR text = mem_alloc(most + 2);
	struct err e;

	memset(text, 'x', most + 1);
	text[most + 1] = '\0';
	assert_int_equal(send_text(x->a, PING, 1, text, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "67108864"));
	text[most] = '\0';
	assert_int_equal(send_text(x->a, PING, 1, text, &e), ERR_OK);
	expect_text(x->b, text);
}

static void
test_descriptors(void **state)
{
	struct ends *x = *state;
	int fds[CHANNEL_FDS_MAX];
	int pipe_ends[2];
	struct message m;
	struct err e;
	char c = 0;

	assert_int_equal(pipe(pipe_ends), 0);
	for (size_t i = 0; i < CHANNEL_FDS_MAX; i++)
		fds[i] = pipe_ends[1];
	for (size_t count = 0; count <= CHANNEL_FDS_MAX; count++) {
		assert_int_equal(channel_send(x->a, PING, 1, 0, NULL, fds,
				     count, 0, &e),
		    ERR_OK);
		assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e),
		    ERR_OK);
		assert_int_equal(m.fd_count, count);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(fcntl(m.fds[i], F_GETFD), FD_CLOEXEC);
			assert_int_equal(write(m.fds[i], "x", 1), 1);
			assert_int_equal(read(pipe_ends[0], &c, 1), 1);
		}
		message_clear(&m);
	}
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

/* A large payload and descriptors together. */
static void
test_memory_and_descriptors(void **state)
{
	struct ends *x = *state;
	AUTO_STR text = mem_zalloc(CHANNEL_INLINE_MAX + 1);
	int fds[CHANNEL_FDS_MAX] = { 0, 0, 0, 0 };
	json_t *payload;
	struct message m;
	struct err e;

	memset(text, 'y', CHANNEL_INLINE_MAX);
	payload = json_pack("{s:s}", "text", text);
	assert_int_equal(channel_send(x->a, PING, 1, 0, payload, fds,
			     CHANNEL_FDS_MAX, 0, &e),
	    ERR_OK);
	json_decref(payload);
	assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e), ERR_OK);
	assert_int_equal(m.fd_count, CHANNEL_FDS_MAX);
	assert_string_equal(text_of(&m), text);
	message_clear(&m);
}

static void
test_unknown_kind(void **state)
{
	struct ends *x = *state;
	int fd = STDIN_FILENO;
	struct message m;
	struct err e;

	assert_int_equal(channel_send(x->a, SECRET, 5, 0, NULL, &fd, 1, 0, &e),
	    ERR_OK);
	assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e),
	    ERR_DENIED);
	/* Its sender hears so at once. */
	assert_int_equal(channel_receive(x->a, &m, ends_accept, 0, &e), ERR_OK);
	assert_int_equal(m.kind, SECRET | CHANNEL_REPLY);
	assert_int_equal(m.id, 5);
	assert_int_equal(message_error(&m, &e), ERR_DENIED);
	assert_non_null(strstr(e.text, "not accepted"));
	message_clear(&m);
}

static void
test_error_reply(void **state)
{
	struct ends *x = *state;
	struct message m;
	struct message reply;
	struct err reason;
	struct err e;

	for (int code = ERR_OK + 1; code < ERR_CODES; code++) {
		(void)err_set(&reason, (enum err_code)code, "no %d", code);
		assert_int_equal(send_text(x->a, PING, 3, "?", &e), ERR_OK);
		assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e),
		    ERR_OK);
		assert_int_equal(channel_reply_error(x->b, &m, &reason, &e),
		    ERR_OK);
		message_clear(&m);
		assert_int_equal(channel_receive(x->a, &reply, ends_accept, 0,
				     &e),
		    ERR_OK);
		assert_true(reply.failed);
		assert_int_equal(message_error(&reply, &e), code);
		assert_string_equal(e.text, reason.text);
		message_clear(&reply);
	}
}

static void
test_error_text_not_utf8(void **state)
{
	struct ends *x = *state;
	struct message m = { .kind = PING, .id = 1 };
	struct err reason;
	struct err e;

	(void)err_set(&reason, ERR_IO, "name \xff\xc3 ends");
	assert_int_equal(channel_reply_error(x->b, &m, &reason, &e), ERR_OK);
	assert_int_equal(channel_receive(x->a, &m, ends_accept, 0, &e), ERR_OK);
	assert_int_equal(message_error(&m, &e), ERR_IO);
	assert_string_equal(e.text, "name ?? ends");
	message_clear(&m);
}

/* The header as it travels; kept apart from the code on purpose. */
struct raw {
	uint32_t magic;
	uint16_t version;
	uint16_t flags;
	uint32_t kind;
	uint32_t fd_count;
	uint64_t id;
	int64_t expires_ms;
	uint64_t payload_len;
};

static const struct raw good = { 0x45444354, 1, 0, PING, 0, 1, 0, 2 };

/* Sends what no honest peer would. */
static void
send_raw(int fd, const struct raw *head, size_t head_len, const char *body,
    size_t body_len, const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct raw copy = *head;
	AUTO_STR text = mem_strndup(body, body_len);
	struct iovec parts[2] = { { &copy, head_len }, { text, body_len } };
	struct msghdr h = { .msg_iov = parts, .msg_iovlen = 2 };

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
	assert_int_equal(sendmsg(fd, &h, 0), head_len + body_len);
}

/* Refused, and the next good message still comes. */
static void
expect_refused(struct ends *x, const char *why)
{
	struct message m;
	struct err e = { 0 };

	assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e),
	    ERR_INVALID);
	if (strstr(e.text, why) == NULL)
		fail_msg("%s, not: %s", e.text, why);
	assert_int_equal(send_text(x->a, PING, 1, "after", &e), ERR_OK);
	expect_text(x->b, "after");
	while (channel_receive(x->a, &m, ends_accept, 0, &e) == ERR_OK)
		message_clear(&m);
}

static void
test_garbage(void **state)
{
	static const struct {
		const char *why;
		struct raw head;
		size_t head_len;
		const char *body;
		size_t fds;
	} cases[] = {
		{ "cut short", { 0 }, 0, "", 0 },
		{ "cut short", { 0 }, 0, "", 2 },
		{ "cut short", { 0 }, 39, "", 0 },
		{ "not a message", { 0 }, 40, "{}", 0 },
		{ "not a message", { 0 }, 40, "{}", 3 },
		{ "version", { 0x45444354, 2, 0, PING, 0, 1, 0, 2 }, 40, "{}",
		    0 },
		{ "flags", { 0x45444354, 1, 4, PING, 0, 1, 0, 2 }, 40, "{}",
		    0 },
		{ "length", { 0x45444354, 1, 0, PING, 0, 1, 0, 3 }, 40, "{}",
		    0 },
		{ "length", { 0x45444354, 1, 0, PING, 0, 1, 0, 1 }, 40, "{}",
		    0 },
		{ "length", { 0x45444354, 1, 0, PING, 0, 1, 0, UINT64_MAX }, 40,
		    "{}", 0 },
		{ "object", { 0x45444354, 1, 0, PING, 0, 1, 0, 0 }, 40, "", 0 },
		{ "descriptors", { 0x45444354, 1, 0, PING, 0, 1, 0, 2 }, 40,
		    "{}", 1 },
		{ "descriptors", { 0x45444354, 1, 0, PING, 1, 1, 0, 2 }, 40,
		    "{}", 0 },
		{ "descriptors", { 0x45444354, 1, 0, PING, 5, 1, 0, 2 }, 40,
		    "{}", 5 },
		{ "descriptors",
		    { 0x45444354, 1, 0, PING, UINT32_MAX, 1, 0, 2 }, 40, "{}",
		    0 },
		{ "descriptors", { 0x45444354, 1, 1, PING, 0, 1, 0, 2 }, 40, "",
		    0 },
		{ "descriptors",
		    { 0x45444354, 1, 1, PING, UINT32_MAX, 1, 0, 2 }, 40, "",
		    0 },
		{ "no descriptors left", { 0x45444354, 1, 0, PING, 7, 1, 0, 2 },
		    40, "{}", 7 },
		{ "no descriptors left",
		    { 0x45444354, 1, 0, PING, 16, 1, 0, 2 }, 40, "{}", 16 },
		{ "larger than a payload",
		    { 0x45444354, 1, 1, PING, 0, 1, 0, 2 }, 40, "{}", 1 },
		{ "larger than a payload",
		    { 0x45444354, 1, 1, PING, 0, 1, 0,
			CHANNEL_PAYLOAD_MAX + 1 },
		    40, "", 1 },
		{ "answers nothing", { 0x45444354, 1, 2, PING, 0, 1, 0, 2 }, 40,
		    "{}", 0 },
		{ "object", { 0x45444354, 1, 0, PING, 0, 1, 0, 2 }, 40, "[]",
		    0 },
		{ "object", { 0x45444354, 1, 0, PING, 0, 1, 0, 2 }, 40, "{]",
		    0 },
		{ "object", { 0x45444354, 1, 0, PING, 0, 1, 0, 4 }, 40, "null",
		    0 },
		{ "duplicate", { 0x45444354, 1, 0, PING, 0, 1, 0, 13 }, 40,
		    "{\"a\":1,\"a\":2}", 0 },
		{ "object", { 0x45444354, 1, 0, PING, 0, 1, 0, 4 }, 40, "{} x",
		    0 },
		{ "object", { 0x45444354, 1, 0, PING, 0, 1, 0, 8 }, 40,
		    "{\"\xff\xfe\":1}", 0 },
	};
	struct ends *x = *state;
	int fds[16] = { 0 };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		send_raw(x->fds[0], &cases[i].head, cases[i].head_len,
		    cases[i].body, strlen(cases[i].body), fds, cases[i].fds);
		expect_refused(x, cases[i].why);
	}
}

static void
test_oversize_datagram(void **state)
{
	struct ends *x = *state;
	AUTO_STR body = mem_zalloc(CHANNEL_INLINE_MAX + 2);
	struct raw head = good;

	memset(body, ' ', CHANNEL_INLINE_MAX + 1);
	memcpy(body, "{}", 2);
	head.payload_len = CHANNEL_INLINE_MAX + 1;
	send_raw(x->fds[0], &head, sizeof head, body, CHANNEL_INLINE_MAX + 1,
	    NULL, 0);
	expect_refused(x, "larger than a message");
}

static int
memory_file(size_t len, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(pwrite(fd, "{}", 2, 0), 2);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
refuse_memory(struct ends *x, int fd, uint64_t len, const char *why)
{
	struct raw head = good;

	head.flags = 1;
	head.payload_len = len;
	send_raw(x->fds[0], &head, sizeof head, "", 0, &fd, 1);
	close(fd);
	expect_refused(x, why);
}

static void
test_unsealed_memory(void **state)
{
	const int both_seals = F_SEAL_WRITE | F_SEAL_SHRINK;
	struct ends *x = *state;
	int ends[2];

	refuse_memory(x, memory_file(2, 0), 2, "not sealed");
	refuse_memory(x, memory_file(2, F_SEAL_WRITE), 2, "not sealed");
	refuse_memory(x, memory_file(2, F_SEAL_SHRINK), 2, "not sealed");
	refuse_memory(x, memory_file(2, F_SEAL_GROW | F_SEAL_SEAL), 2,
	    "not sealed");
	refuse_memory(x, memory_file(3, both_seals), 2, "length");
	refuse_memory(x, memory_file(2, both_seals), 3, "length");
	refuse_memory(x, memory_file(2, both_seals), 0, "length");
	refuse_memory(x, memory_file(4096, both_seals), 4096, "object");
	refuse_memory(x, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), 2,
	    "not sealed");
	assert_int_equal(pipe(ends), 0);
	close(ends[1]);
	refuse_memory(x, ends[0], 2, "not sealed");
}

static void
test_expired(void **state)
{
	struct ends *x = *state;
	int fd = STDIN_FILENO;
	struct message m;
	struct err e;

	assert_int_equal(channel_send(x->a, PING, 1, clock_mono_ms() + 5000,
			     NULL, &fd, 1, 0, &e),
	    ERR_OK);
	assert_int_equal(send_text(x->a, PING, 2, "fresh", &e), ERR_OK);
	clock_shift_ms(5000);
	expect_text(x->b, "fresh");
	assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e),
	    ERR_TIMEOUT);
	/* And nobody was told. */
	assert_int_equal(channel_receive(x->a, &m, ends_accept, 0, &e),
	    ERR_TIMEOUT);
}

static void
test_closed(void **state)
{
	struct ends *x = *state;
	struct message m;
	struct err e;

	assert_int_equal(send_text(x->a, PING, 1, "last words", &e), ERR_OK);
	close(x->fds[0]);
	x->fds[0] = -1;
	expect_text(x->b, "last words");
	assert_int_equal(channel_receive(x->b, &m, ends_accept, -1, &e),
	    ERR_UNAVAILABLE);
	assert_int_equal(send_text(x->b, PING, 1, "?", &e), ERR_UNAVAILABLE);
}

static void
test_waits(void **state)
{
	struct ends *x = *state;
	int64_t start = clock_steady_ms();
	struct message m;
	struct err e;

	assert_int_equal(channel_receive(x->b, &m, ends_accept, 30, &e),
	    ERR_TIMEOUT);
	assert_true(clock_steady_ms() - start >= 29);
}

/* A peer that is gone for a while: the pair keeps whole messages for its
 * successor, and a sender is not held up when it is full. */
static void
test_full_and_restart(void **state)
{
	struct ends *x = *state;
	struct message m;
	struct err e;
	uint64_t sent = 0;
	uint64_t got = 0;

	while (channel_send(x->a, PING, sent, 0, NULL, NULL, 0, 0, &e) ==
	    ERR_OK)
		sent++;
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_int_equal(channel_send(x->a, PING, sent, 0, NULL, NULL, 0, 20,
			     &e),
	    ERR_UNAVAILABLE);
	assert_true(sent > 100);

	channel_free(x->b);
	x->b = channel_new(x->fds[1], "a");
	while (channel_receive(x->b, &m, ends_accept, 0, &e) == ERR_OK) {
		assert_int_equal(m.id, got++);
		message_clear(&m);
	}
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_int_equal(got, sent);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_round_trip),
		CASE(test_sizes),
		CASE(test_payload_max),
		CASE(test_descriptors),
		CASE(test_memory_and_descriptors),
		CASE(test_unknown_kind),
		CASE(test_error_reply),
		CASE(test_error_text_not_utf8),
		CASE(test_garbage),
		CASE(test_oversize_datagram),
		CASE(test_unsealed_memory),
		CASE(test_expired),
		CASE(test_closed),
		CASE(test_waits),
		CASE(test_full_and_restart),
	};

	/* Refusals are logged, and here on purpose. */
	log_init("channel_test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
