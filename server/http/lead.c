#include "server/http/lead.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* The bytes of the file that are locked. */
enum { LEAD_BYTE, ALONE_BYTE };

enum err_code
lead_open(int *out, struct err *e)
{
	*out = memfd_create("lead", MFD_CLOEXEC);
	return *out < 0 ? err_errno(e, "http: lead") : ERR_OK;
}

static bool
lock(int fd, int command, short type, int byte)
{
	struct flock l = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
	int result;

	do
		result = fcntl(fd, command, &l);
	while (result != 0 && errno == EINTR);
	return result == 0;
}

bool
lead_take(int fd)
{
	return lock(fd, F_SETLK, F_WRLCK, LEAD_BYTE);
}

void
lead_leave(int fd)
{
	(void)lock(fd, F_SETLK, F_UNLCK, LEAD_BYTE);
}

void
lead_alone_begin(int fd)
{
	(void)lock(fd, F_SETLKW, F_WRLCK, ALONE_BYTE);
}

void
lead_alone_end(int fd)
{
	(void)lock(fd, F_SETLK, F_UNLCK, ALONE_BYTE);
}
