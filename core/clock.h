#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

/* The only source of time, so that tests can move it by hand. Wall-clock time
 * is for people and records; waiting uses the monotonic clock. Any thread,
 * but clock_shift_ms only before threads. */

#include <stdint.h>

#include "core/err.h"

enum { CLOCK_TEXT_SIZE = 32 };

int64_t clock_now_ms(void);  /* since 1970, UTC */
int64_t clock_mono_ms(void); /* since some point in the past */

/* The monotonic clock as the kernel counts it, never moved: for waits that the
 * kernel ends (poll, timers, condition variables). */
int64_t clock_steady_ms(void);

/* When a wait of this length ends on that clock (-1: never, as in poll), and
 * how long poll may still wait for that end. */
int64_t clock_wait_end(int64_t wait_ms);
int clock_wait_left(int64_t end);

/* The shorter of two waits, of which a negative one is for ever. */
static inline int64_t
clock_sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* Tests: both clocks jump by this many milliseconds from now on. */
void clock_shift_ms(int64_t by);

/* Tests: from now on this process and those it forks jump together. Before
 * threads. */
void clock_share(void);

/* "2026-01-31T10:15:02.123Z" (RFC 3339, UTC). */
void clock_text(char out[CLOCK_TEXT_SIZE], int64_t wall_ms);

/* Such a text back; the fraction may have 1 to 3 digits or be missing.
 * ERR_INVALID for anything else, and for years before 1970. */
enum err_code clock_read(int64_t *wall_ms, const char *text, struct err *e)
    MUST_CHECK;

#endif
