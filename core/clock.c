#include "core/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic int64_t clock_shift;

static int64_t
read_ms(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t) != 0)
		assert(!"clock_gettime");
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 +
	    atomic_load_explicit(&clock_shift, memory_order_relaxed);
}

int64_t
clock_now_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

int64_t
clock_mono_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

void
clock_shift_ms(int64_t by)
{
	atomic_fetch_add(&clock_shift, by);
}

void
clock_text(char out[CLOCK_TEXT_SIZE], int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL)
		assert(!"gmtime_r");
	(void)snprintf(out, CLOCK_TEXT_SIZE,
	    "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_ms % 1000));
}
