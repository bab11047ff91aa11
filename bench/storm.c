/* Polls without end, of all kinds, while the server is released to, reloaded and
 * replaced: none of them may fail. bench/storm starts what they poll. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/crowd.h"
#include "bench/operator.h"
#include "bench/series.h"
#include "core/mem.h"

enum { EACH = 5000, LOOK_MS = 50, PATIENCE_MS = 3600000, ACTIONS = 4 };

/* A connection each or one for all; held for a moment, or for long, or not. */
static const struct engines_habit habits[] = {
	{ .leave = true, .wait_s = 300 },
	{ .leave = true, .wait_s = 300 },
	{ .leave = true, .wait_s = 2 },
	{ .keep = true, .wait_s = 300 },
	{ .keep = true, .wait_s = 2 },
	{ .leave = true },
	{ .keep = true },
};

struct storm {
	struct operator o;
	const char *bundle, *revisions[2];
	pid_t server;
	bool replace;
	size_t done[ACTIONS];
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_storm: %s: %s\n", what, why);
	exit(1);
}

/* A release, a reload, a release back, a replacement. */
static void
act(struct storm *s, size_t turn)
{
	size_t kind = turn % ACTIONS;

	if (kind == 3 && !s->replace)
		return;
	if (kind % 2 == 0)
		operator_roll_back(&s->o, s->bundle,
		    s->revisions[turn / 2 % 2]);
	else if (kill(s->server, kind == 1 ? SIGHUP : SIGUSR2) != 0)
		give_up("server", "is gone");
	s->done[kind]++;
}

/* An action each every_ms, until there were so many polls. */
static struct crowd_seen
blow(struct storm *s, struct crowd *c, size_t polls, double every_ms)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	double begin = series_now_ms(), next = begin + every_ms;
	struct crowd_seen seen = crowd_look(c);

	for (size_t turn = 0; seen.polls < polls; seen = crowd_look(c)) {
		double now = series_now_ms();

		if (now > begin + PATIENCE_MS)
			give_up("polls", "not over within an hour");
		if (now > next) {
			act(s, turn++);
			next = series_now_ms() + every_ms;
		}
		(void)nanosleep(&pause, NULL);
	}
	return seen;
}

static void
print(const struct storm *s, const struct crowd_seen *seen, double ms)
{
	(void)printf("%zu polls in %.1f s (%.0f /s), %zu of them unchanged\n"
		     "%zu releases, %zu reloads, %zu replacements\n"
		     "%zu failed%s%s; wanted 0\n"
		     "%zu asked again: a connection that stayed had ended\n",
	    seen->polls, ms / 1e3, (double)seen->polls / ms * 1e3,
	    seen->unchanged, s->done[0] + s->done[2], s->done[1], s->done[3],
	    seen->failed, seen->failed > 0 ? ", the first: " : "", seen->fault,
	    seen->retried);
}

/* PORT BUNDLE TOKENS ENGINES POLLS EVERY_MS PID REPLACE OLD NEW; EDICT_TOKEN. */
int
main(int argc, char **argv)
{
	static struct engines_tokens tokens;
	struct sockaddr_in server;
	struct crowd_seen seen;
	struct crowd *c;
	double begin;

	if (argc != 11 || getenv("EDICT_TOKEN") == NULL)
		give_up("usage", "see bench/storm");
	AUTO_STR url = mem_printf("http://127.0.0.1:%s", argv[1]);
	struct storm s = { .o = { url, getenv("EDICT_TOKEN") },
		.bundle = argv[2],
		.revisions = { argv[9], argv[10] },
		.server = (pid_t)strtol(argv[7], NULL, 10),
		.replace = strcmp(argv[8], "yes") == 0 };
	server = call_address(argv[1]);
	engines_read_tokens(&tokens, argv[3]);
	c = crowd_new(argv[2], strtoul(argv[4], NULL, 10), EACH, &tokens,
	    false);
	begin = series_now_ms();
	crowd_ask(c, &server, habits, sizeof habits / sizeof *habits);
	seen = blow(&s, c, strtoul(argv[5], NULL, 10), strtod(argv[6], NULL));
	print(&s, &seen, series_now_ms() - begin);
	crowd_free(c);
	return seen.failed > 0 ? 1 : 0;
}
