#include "core/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static _Atomic int64_t own_shift;
static _Atomic int64_t *clock_shift = &own_shift;

static int64_t
read_ms(clockid_t id)
{
	struct timespec t;
	int result = clock_gettime(id, &t);

	assert(result == 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t
shift(void)
{
	return atomic_load_explicit(clock_shift, memory_order_relaxed);
}

int64_t
clock_now_ms(void)
{
	return read_ms(CLOCK_REALTIME) + shift();
}

int64_t
clock_mono_ms(void)
{
	return read_ms(CLOCK_MONOTONIC) + shift();
}

int64_t
clock_steady_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

int64_t
clock_wait_end(int64_t wait_ms)
{
	return wait_ms < 0 ? -1 : clock_steady_ms() + wait_ms;
}

int
clock_wait_left(int64_t end)
{
	int64_t left;

	if (end < 0)
		return -1;
	left = end - clock_steady_ms();
	if (left <= 0)
		return 0;
	return left > 3600000 ? 3600000 : (int)left;
}

void
clock_shift_ms(int64_t by)
{
	atomic_fetch_add(clock_shift, by);
}

void
clock_share(void)
{
	void *map = mmap(NULL, sizeof *clock_shift, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert(map != MAP_FAILED);
	clock_shift = map;
}

void
clock_text(char out[CLOCK_TEXT_SIZE], int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	struct tm *result = gmtime_r(&seconds, &tm);

	assert(result != NULL);
	(void)snprintf(out, CLOCK_TEXT_SIZE,
	    "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    (int)(wall_ms % 1000));
}

/* ".123Z" and what is shorter; -1: something else. */
static int
read_fraction(const char *text)
{
	static const int scale[] = { 0, 100, 10, 1 };
	int n = 0;
	size_t digits = 0;

	if (*text == '.') {
		text++;
		digits = strspn(text, "0123456789");
		if (digits < 1 || digits > 3)
			return -1;
	}
	for (size_t i = 0; i < digits; i++)
		n = 10 * n + (text[i] - '0');
	return strcmp(text + digits, "Z") == 0 ? n * scale[digits] : -1;
}

/* strptime takes spaces and short numbers, too. */
static bool
has_form(const char *text)
{
	static const char form[] = "0000-00-00T00:00:00";

	for (size_t i = 0; form[i] != '\0'; i++)
		if (form[i] == '0' ? text[i] < '0' || text[i] > '9'
				   : text[i] != form[i])
			return false;
	return true;
}

enum err_code
clock_read(int64_t *wall_ms, const char *text, struct err *e)
{
	struct tm tm = { 0 };
	const char *end =
	    has_form(text) ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int fraction = end != NULL ? read_fraction(end) : -1;
	time_t seconds = fraction < 0 ? -1 : timegm(&tm);

	if (seconds < 0)
		return err_set(e, ERR_INVALID,
		    "\"%.40s\" is no time; write 2026-01-31T10:15:02Z", text);
	*wall_ms = (int64_t)seconds * 1000 + fraction;
	return ERR_OK;
}
