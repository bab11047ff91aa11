/* A fleet that is rolled back and forth; bench/fleet starts what it polls. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/crowd.h"
#include "bench/operator.h"
#include "bench/series.h"
#include "core/mem.h"

enum { ENGINES_EACH = 10000 }; /* of a process */

static const struct engines_habit once = { .once = true };
static const struct engines_habit held = { .leave = true, .wait_s = 300 };

enum { ANSWER, FIRST, LAST, KNOWN, WAVE, PEER_WAVE, SERIES };

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_fleet: %s: %s\n", what, why);
	exit(1);
}

/* Everybody asks at once, with nothing: the first start of a fleet. */
static double
wave(struct crowd *c, const struct sockaddr_in *server)
{
	double begin = series_now_ms(), last;

	crowd_begin_round(c);
	begin = series_now_ms();
	crowd_ask(c, server, &once, 1);
	last = crowd_wait(c).last_ms;
	crowd_hang_up(c);
	return last - begin;
}

static void
gather(struct crowd *c, const struct sockaddr_in *server,
    const struct operator* o)
{
	crowd_begin_round(c);
	crowd_ask(c, server, &held, 1);
	(void)crowd_wait(c);
	operator_wait_converged(o, c);
}

static void
roll_back(struct crowd *c, const struct operator* o, const char *bundle,
    const char *rev, struct series *s)
{
	struct crowd_seen seen;
	double begin;

	crowd_begin_round(c);
	begin = series_now_ms();
	operator_roll_back(o, bundle, rev);
	series_note(&s[ANSWER], series_now_ms() - begin);
	seen = crowd_wait(c);
	series_note(&s[FIRST], seen.first_ms - begin);
	series_note(&s[LAST], seen.last_ms - begin);
	operator_wait_converged(o, c);
	series_note(&s[KNOWN], series_now_ms() - begin);
}

static void
print(const struct series *s)
{
	for (size_t i = 0; i < SERIES; i++)
		series_line(&s[i]);
	(void)printf("\nthe rollback at the last engine / nginx's wave  %.2f\n"
		     "edict's wave / nginx's wave                   %.2f\n",
	    series_wall_ms(&s[LAST]) / series_wall_ms(&s[PEER_WAVE]),
	    series_wall_ms(&s[WAVE]) / series_wall_ms(&s[PEER_WAVE]));
}

/* PORT PEER_PORT BUNDLE TOKENS ENGINES ROUNDS NEW OLD; EDICT_TOKEN. */
int
main(int argc, char **argv)
{
	static struct series s[SERIES] = {
		[ANSWER] = { .name = "rollback: the operator's answer" },
		[FIRST] = { .name = "rollback: first engine has it" },
		[LAST] = { .name = "rollback: last engine has it" },
		[KNOWN] = { .name =
				"rollback: the server knows that all run it" },
		[WAVE] = { .name = "all download at once, edict" },
		[PEER_WAVE] = { .name = "all download at once, nginx" }
	};
	static struct engines_tokens tokens;
	struct sockaddr_in server, peer;
	struct crowd *c;
	size_t rounds;

	if (argc != 9)
		give_up("usage", "see bench/fleet");
	server = call_address(argv[1]);
	peer = call_address(argv[2]);
	engines_read_tokens(&tokens, argv[4]);
	rounds = strtoul(argv[6], NULL, 10);
	if (rounds == 0 || rounds > SERIES_MAX / 2)
		give_up("usage", "too many rounds, or none");
	AUTO_STR url = mem_printf("http://127.0.0.1:%s", argv[1]);
	const struct operator o = { .url = url,
		.token = getenv("EDICT_TOKEN") };
	if (o.token == NULL)
		give_up("EDICT_TOKEN", "not set");
	c = crowd_new(argv[3], strtoul(argv[5], NULL, 10), ENGINES_EACH,
	    &tokens, false);
	for (size_t i = 0; i < rounds; i++) {
		series_note(&s[PEER_WAVE], wave(c, &peer));
		series_note(&s[WAVE], wave(c, &server));
		gather(c, &server, &o);
		roll_back(c, &o, argv[3], argv[8], s);
		roll_back(c, &o, argv[3], argv[7], s);
		crowd_hang_up(c);
	}
	print(s);
	crowd_free(c);
	return 0;
}
