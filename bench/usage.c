#include "bench/usage.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/series.h"
#include "core/mem.h"

enum {
	SETTLE_MS = 250,
	SETTLED_MS = 5, /* of each process */
	REST_MS = 6000, /* longer than ENGINE_LOG_MS */
	PATIENCE_MS = 120000
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

void
usage_read(struct usage_of *out, const char *text)
{
	const char *p = text;

	for (out->count = 0; *p != '\0'; out->count++) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (pid <= 0 || out->count == USAGE_PIDS_MAX ||
		    (*end != ',' && *end != '\0'))
			give_up(text, "not a list of processes");
		out->pids[out->count] = (pid_t)pid;
		p = *end == ',' ? end + 1 : end;
	}
}

/* Calls add for each name in the folder, and counts them. */
static size_t
each_of(const char *folder, double (*add)(const char *path), double *sum)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	size_t count = 0;

	if (d == NULL)
		give_up(folder, strerror(errno));
	while ((entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (add != NULL) {
			AUTO_STR path =
			    mem_printf("%s/%s", folder, entry->d_name);

			*sum += add(path);
		}
	}
	(void)closedir(d);
	return count;
}

/* A thread that has ended meanwhile does not count. */
static double
thread_cpu_ms(const char *path)
{
	AUTO_STR file = mem_printf("%s/schedstat", path);
	FILE *f = fopen(file, "re");
	char line[128] = "";

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof line, f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	return strtod(line, NULL) / 1e6;
}

double
usage_cpu_ms(const struct usage_of *p)
{
	double sum = 0;

	for (size_t i = 0; i < p->count; i++) {
		AUTO_STR path = mem_printf("/proc/%d/task", (int)p->pids[i]);

		(void)each_of(path, thread_cpu_ms, &sum);
	}
	return sum;
}

size_t
usage_descriptors(const struct usage_of *p)
{
	size_t count = 0;

	for (size_t i = 0; i < p->count; i++) {
		AUTO_STR path = mem_printf("/proc/%d/fd", (int)p->pids[i]);

		count += each_of(path, NULL, NULL);
	}
	return count;
}

double
usage_rss_kib(const struct usage_of *p)
{
	double sum = 0;

	for (size_t i = 0; i < p->count; i++) {
		AUTO_STR path = mem_printf("/proc/%d/status", (int)p->pids[i]);
		FILE *f = fopen(path, "re");
		char line[256];

		if (f == NULL)
			give_up(path, strerror(errno));
		while (fgets(line, sizeof line, f) != NULL)
			if (strncmp(line, "VmRSS:", 6) == 0)
				sum += strtod(line + 6, NULL);
		(void)fclose(f);
	}
	return sum;
}

static void
wait_idle(const struct usage_of *p, int window_ms)
{
	const struct timespec pause = { .tv_sec = window_ms / 1000,
		.tv_nsec = window_ms % 1000 * 1000000L };
	double end = series_now_ms() + PATIENCE_MS, before, now;

	now = usage_cpu_ms(p);
	do {
		if (series_now_ms() > end)
			give_up("server", "never has nothing to do");
		before = now;
		(void)nanosleep(&pause, NULL);
		now = usage_cpu_ms(p);
	} while (now - before > SETTLED_MS * (double)p->count);
}

void
usage_settle(const struct usage_of *p)
{
	wait_idle(p, SETTLE_MS);
}

void
usage_rest(const struct usage_of *p)
{
	wait_idle(p, REST_MS);
}
