#include "series.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"

extern char **environ;

static double
clock_ms(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

double
series_now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

double
series_cpu_ms(void)
{
	return clock_ms(CLOCK_PROCESS_CPUTIME_ID);
}

double
series_peak_mb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	double kib = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtod(line + 6, NULL);
	}
	if (f != NULL)
		(void)fclose(f);
	return kib * 1024 / 1e6;
}

void
series_add(struct series *s, const struct series_sample *one)
{
	assert(s->count < SERIES_MAX);
	s->samples[s->count++] = *one;
}

void
series_note(struct series *s, double value)
{
	const struct series_sample one = { .wall_ms = value };

	series_add(s, &one);
}

/* ---- commands ---- */

static void
give_up(const struct series *s, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", s->name, why);
	exit(1);
}

static pid_t
start(const struct series *s, const char *dir, int out)
{
	posix_spawn_file_actions_t files;
	char *args[SERIES_ARGS_MAX + 1] = { 0 };
	pid_t pid;
	int error;

	for (size_t i = 0; i < SERIES_ARGS_MAX && s->args[i] != NULL; i++)
		args[i] = mem_strdup(s->args[i]);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_addchdir_np(&files, dir);
	(void)posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	error = posix_spawnp(&pid, args[0], &files, NULL, args, environ);
	(void)posix_spawn_file_actions_destroy(&files);
	for (size_t i = 0; args[i] != NULL; i++)
		mem_free(args[i]);
	if (error != 0)
		give_up(s, strerror(error));
	return pid;
}

/* Ends it when it takes too long. */
static void
watch_over(struct series *s, pid_t pid)
{
	struct pollfd end = { .fd = (int)syscall(SYS_pidfd_open, pid, 0),
		.events = POLLIN };

	if (end.fd < 0)
		give_up(s, strerror(errno));
	if (poll(&end, 1, s->limit_s > 0 ? (int)s->limit_s * 1000 : -1) == 0) {
		s->late = true;
		(void)kill(pid, SIGKILL);
	}
	(void)close(end.fd);
}

static double
time_ms(const struct timeval *t)
{
	return (double)t->tv_sec * 1e3 + (double)t->tv_usec / 1e3;
}

static double
said_peak_mb(int from, long kernel_kib)
{
	char text[64] = "";
	double mb;

	if (read(from, text, sizeof text - 1) < 0)
		text[0] = '\0';
	mb = strtod(text, NULL);
	return mb > 0 ? mb : (double)kernel_kib * 1024 / 1e6;
}

void
series_run(struct series *s, const char *dir)
{
	struct series_sample one = { 0 };
	double begin = series_now_ms();
	struct rusage use;
	int out[2], status;
	pid_t pid;

	if (s->late)
		return;
	if (pipe2(out, O_CLOEXEC) != 0)
		give_up(s, strerror(errno));
	pid = start(s, dir, out[1]);
	(void)close(out[1]);
	watch_over(s, pid);
	if (wait4(pid, &status, 0, &use) != pid || (status != 0 && !s->late))
		give_up(s, "failed");
	one.wall_ms = series_now_ms() - begin;
	one.cpu_ms = time_ms(&use.ru_utime) + time_ms(&use.ru_stime);
	one.peak_mb = said_peak_mb(out[0], use.ru_maxrss);
	(void)close(out[0]);
	if (!s->late)
		series_add(s, &one);
}

/* ---- what comes of it ---- */

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* All of a kind, sorted. */
static void
sorted(double list[SERIES_MAX], const struct series *s, bool cpu)
{
	for (size_t i = 0; i < s->count; i++)
		list[i] = cpu ? s->samples[i].cpu_ms : s->samples[i].wall_ms;
	qsort(list, s->count, sizeof *list, compare_doubles);
}

double
series_wall_ms(const struct series *s)
{
	double list[SERIES_MAX] = { 0 };

	sorted(list, s, false);
	return list[s->count / 2];
}

double
series_cpu_median_ms(const struct series *s)
{
	double list[SERIES_MAX] = { 0 };

	sorted(list, s, true);
	return list[s->count / 2];
}

double
series_peak_max_mb(const struct series *s)
{
	double peak = 0;

	for (size_t i = 0; i < s->count; i++)
		if (s->samples[i].peak_mb > peak)
			peak = s->samples[i].peak_mb;
	return peak;
}

void
series_spread(const struct series *s, double *low, double *high)
{
	double list[SERIES_MAX] = { 0 };

	sorted(list, s, false);
	*low = list[0];
	*high = list[s->count > 0 ? s->count - 1 : 0];
}

void
series_line(const struct series *s)
{
	double low, high;

	series_spread(s, &low, &high);
	(void)printf("%-50s %8.0f ms  (%.0f-%.0f)\n", s->name,
	    series_wall_ms(s), low, high);
}

void
series_head(void)
{
	(void)printf("%-26s %9s  %19s %7s  %9s %7s  %7s\n", "ms", "median",
	    "spread", "of git", "processor", "of git", "peak MB");
}

void
series_print(const struct series *s, const struct series *base)
{
	double list[SERIES_MAX] = { 0 };

	if (s->late)
		(void)printf("%-26s not finished in %u s\n", s->name,
		    s->limit_s);
	if (s->count == 0)
		return;
	sorted(list, s, false);
	(void)printf("%-26s %9.1f  %9.1f-%-9.1f %7.3f  %9.1f %7.3f  %7.0f\n",
	    s->name, series_wall_ms(s), list[0], list[s->count - 1],
	    series_wall_ms(s) / series_wall_ms(base), series_cpu_median_ms(s),
	    series_cpu_median_ms(s) / series_cpu_median_ms(base),
	    series_peak_max_mb(s));
}
