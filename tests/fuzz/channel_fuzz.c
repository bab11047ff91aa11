/* A raw datagram from a process that was taken over. The first byte says what
 * comes with it: 1: all behind the header travels in a sealed memory file;
 * 2 and 4: one and two descriptors more. */

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/channel.h"
#include "core/file.h"
#include "tests/fuzz/fuzz.h"

enum {
	WITH_MEMORY = 1,
	WITH_ONE = 2,
	WITH_TWO = 4,
	WIRE_SIZE = 40,
	FDS_MAX = 4,
	ACCEPTED = 100
};

/* Sends, and closes what was sent: the kernel holds its own by now. */
static void
send_raw(int fd, const uint8_t *data, size_t size, int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec part = { (void *)(uintptr_t)data, size };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count > 0) {
		struct cmsghdr *cmsg;

		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(count * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&h);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
	}
	/* What is too long for a datagram is simply not sent. */
	(void)!sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static void
send_input(int fd, const uint8_t *data, size_t size)
{
	int fds[FDS_MAX];
	size_t count = 0;
	uint8_t with = data[0];
	struct err e;

	data++;
	size--;
	if ((with & WITH_MEMORY) != 0 && size > WIRE_SIZE) {
		enum err_code code = file_memory(&fds[count++], "payload",
		    data + WIRE_SIZE, size - WIRE_SIZE, &e);

		assert(code == ERR_OK);
		size = WIRE_SIZE;
	}
	for (int bit = WITH_ONE; bit <= WITH_TWO; bit *= 2) {
		for (int i = 0; (with & bit) != 0 && i < bit / 2; i++)
			fds[count++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	send_raw(fd, data, size, fds, count);
}

static void
receive(struct channel *c)
{
	static const uint32_t accepts[] = { ACCEPTED, 0 };
	struct message m;
	struct err e;
	enum err_code code = channel_receive(c, &m, accepts, 0, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return;
	}
	assert(m.kind == ACCEPTED || (m.kind & CHANNEL_REPLY) != 0);
	assert(json_is_object(m.payload) && m.fd_count <= CHANNEL_FDS_MAX);
	code = message_error(&m, &e);
	if (code != ERR_OK)
		fuzz_refused(code, &e);
	assert(m.failed || code == ERR_OK);
	message_clear(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(channel, c) = NULL;
	int pair[2];
	int next;
	struct err e;
	enum err_code code;

	if (size == 0)
		return 0;
	fuzz_quiet();
	code = channel_pair(pair, &e);
	assert(code == ERR_OK);
	next = dup(pair[0]);
	close(next);
	c = channel_new(pair[0], "peer");
	send_input(pair[1], data, size);
	receive(c);
	/* No descriptor is left open: the next number is the same. */
	assert(dup(pair[0]) == next);
	close(next);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
