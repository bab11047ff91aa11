#include "server/supervisor/key_watch.h"

#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"

enum { WATCH_EVENTS_SIZE = 4096 };

enum err_code
key_watch_open(int *fd, const char *data_dir, struct err *e)
{
	AUTO_STR dir = file_path(data_dir, "keys");

	*fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (*fd < 0)
		return err_errno(e, "inotify");
	/* Files come by being renamed (core/file.h). */
	if (inotify_add_watch(*fd, dir, IN_MOVED_TO | IN_ONLYDIR) >= 0)
		return ERR_OK;
	(void)close(*fd);
	*fd = -1;
	return err_errno(e, "%s: watch", dir);
}

static bool
is_meant(const char *name)
{
	size_t len = strlen(name);

	return strcmp(name, "current") == 0 ||
	    (len > 5 && strcmp(name + len - 5, ".json") == 0);
}

bool
key_watch_changed(int fd)
{
	_Alignas(struct inotify_event) char events[WATCH_EVENTS_SIZE];
	bool changed = false;
	ssize_t n;

	while ((n = read(fd, events, sizeof events)) > 0)
		for (ssize_t at = 0; at < n;) {
			struct inotify_event v;

			memcpy(&v, events + at, sizeof v);
			changed |= v.len > 0 &&
			    is_meant(events + at + sizeof v);
			changed |= (v.mask & IN_Q_OVERFLOW) != 0;
			at += (ssize_t)(sizeof v + v.len);
		}
	return changed;
}
