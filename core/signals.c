#include "core/signals.h"

#include <signal.h>
#include <sys/signalfd.h>

enum err_code
signals_open(int *out, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (signal(SIGINT, SIG_IGN) == SIG_ERR ||
	    sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return err_errno(e, "signals");
	*out = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *out >= 0 ? ERR_OK : err_errno(e, "signals");
}
