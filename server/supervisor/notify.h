#ifndef SERVER_SUPERVISOR_NOTIFY_H
#define SERVER_SUPERVISOR_NOTIFY_H

/* Tells who started us how we are, as systemd wants to know it (sd_notify(3)):
 * a line per fact in a datagram to NOTIFY_SOCKET. Without that variable nothing
 * is told. The supervisor alone speaks; its children have neither the variable
 * nor the descriptor. In one thread. */

#include <stdint.h>

#include "core/err.h"

struct notify {
	int fd;              /* -1: nobody wants to know */
	int64_t watchdog_ms; /* 0: none */
	int64_t next_ms;     /* monotonic: the watchdog is due */
};

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment.
 * What cannot be used is logged, and is as if it were not there. */
void notify_open(struct notify *n);
void notify_close(struct notify *n);

/* For a fork that is no server: forgets the variables. */
void notify_drop(void);

/* The text becomes STATUS=, one line that `systemctl status` shows. */
void notify_ready(struct notify *n, const char *fmt, ...) PRINTF_LIKE(2, 3);
void notify_reloading(struct notify *n);
void notify_stopping(struct notify *n);

/* Feeds the watchdog; the milliseconds until it is due again, or -1. */
int64_t notify_tick(struct notify *n, int64_t now_ms);

#endif
