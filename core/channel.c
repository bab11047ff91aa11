#include "core/channel.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/channel_wire.h"
#include "core/mem.h"

enum { SEND_BUFFER = 1 << 20 };

void
message_clear(struct message *m)
{
	json_decref(m->payload);
	for (size_t i = 0; i < m->fd_count; i++)
		close(m->fds[i]);
	*m = (struct message){ 0 };
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

const char *
channel_name(const struct channel *c)
{
	return c->name;
}
