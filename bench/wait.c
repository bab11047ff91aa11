/* What engines that wait cost, and how soon a release reaches them all.
 * bench/wait starts what they poll, one program run for each piece of work. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/crowd.h"
#include "bench/operator.h"
#include "bench/series.h"
#include "bench/usage.h"
#include "core/mem.h"

enum {
	EACH = 10000, /* engines of a process that plays them */
	IDLE_MS = 3000,
	WAITS = 10,
	SPARE = 64, /* descriptors of a server that has no connections */
	PATIENCE_MS = 120000
};

/* name=value, as bench/wait gives them. */
struct scene {
	const char *port, *peer, *bundle, *tokens_file, *engines, *rounds, *tls;
	const char *pids, *peer_pids, *first, *second, *repository, *log, *wait;
	size_t count, turns;
	struct sockaddr_in server;
	struct engines_habit habit;
	struct engines_tokens tokens;
	struct usage_of use, peer_use;
	struct operator o;
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_wait: %s: %s\n", what, why);
	exit(1);
}

static void
rest(unsigned int ms)
{
	const struct timespec t = { .tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&t, NULL);
}

static struct crowd *
crowd_of(const struct scene *s)
{
	return crowd_new(s->bundle, s->count, EACH, &s->tokens, s->tls != NULL);
}

/* All have the bundle and ask again; the server has nothing left to do. */
static void
gather(struct crowd *c, const struct sockaddr_in *server,
    const struct engines_habit *habit, const struct usage_of *use)
{
	crowd_begin_round(c);
	crowd_ask(c, server, habit, 1);
	(void)crowd_wait(c);
	usage_settle(use);
}

static void
figure(const char *what, double value, const char *unit, const char *wanted)
{
	(void)printf("%-50s %8.2f %-3s  %s\n", what, value, unit, wanted);
	(void)fflush(stdout);
}

static void
row(const struct series *s, const char *unit, const char *wanted)
{
	double low, high;

	series_spread(s, &low, &high);
	(void)printf("%-50s %8.2f %-3s (%.2f-%.2f)  %s\n", s->name,
	    series_wall_ms(s), unit, low, high, wanted);
	(void)fflush(stdout);
}

/* ---- what they cost ---- */

static double
release_descriptors(struct crowd *c, const struct usage_of *use)
{
	double begin = series_now_ms();

	crowd_hang_up(c);
	while (usage_descriptors(use) > SPARE * use->count)
		if (series_now_ms() > begin + PATIENCE_MS)
			give_up("server", "keeps what clients have closed");
	return series_now_ms() - begin;
}

static void
memory(struct scene *s)
{
	struct series kib = { .name = "memory of the server per engine" };
	struct series down = { .name = "processor time to write them down" };
	struct series idle = { .name = "processor time in 3 s after that" };
	struct series gone = { .name = "closed clients released" };
	struct series work = { .name =
				   "  processor time of the server for it" };
	struct crowd *c = crowd_of(s);
	double before, cpu;

	usage_settle(&s->use);
	before = usage_rss_kib(&s->use);
	for (size_t i = 0; i < s->turns; i++) {
		gather(c, &s->server, &s->habit, &s->use);
		series_note(&kib,
		    (usage_rss_kib(&s->use) - before) / (double)s->count);
		cpu = usage_cpu_ms(&s->use);
		usage_rest(&s->use);
		series_note(&down, usage_cpu_ms(&s->use) - cpu);
		cpu = usage_cpu_ms(&s->use);
		rest(IDLE_MS);
		series_note(&idle, usage_cpu_ms(&s->use) - cpu);
		if (i == 0)
			figure("descriptors of the server per engine",
			    (double)usage_descriptors(&s->use) /
				(double)s->count,
			    "", "");
		cpu = usage_cpu_ms(&s->use);
		series_note(&gone, release_descriptors(c, &s->use));
		series_note(&work, usage_cpu_ms(&s->use) - cpu);
	}
	row(&kib, "KiB", "wanted 9.77 at most");
	row(&down, "ms", "once after each release");
	row(&idle, "ms", "wanted 0");
	row(&gone, "ms", "wanted 1000 at most");
	row(&work, "ms", "");
	crowd_free(c);
}

/* The old connection stays with the client: who ends it? */
static void
habit(struct scene *s)
{
	struct crowd *c = crowd_of(s);
	double end = series_now_ms() + PATIENCE_MS;
	size_t most = 0, left = 0;
	struct crowd_seen seen;

	gather(c, &s->server, &s->habit, &s->use);
	do {
		size_t now = usage_descriptors(&s->use);

		rest(20);
		seen = crowd_look(c);
		most = now > most ? now : most;
		left = seen.left > left ? seen.left : left;
		if (seen.failed > 0)
			give_up("an answer", seen.fault);
		if (series_now_ms() > end)
			give_up("waits", "not over");
	} while (seen.unchanged < WAITS * s->count);
	figure("ten waits: descriptors of the server per engine",
	    (double)most / (double)s->count, "", "wanted 1.10 at most");
	figure("ten waits: connections left behind per engine",
	    (double)left / (double)s->count, "", "");
	crowd_free(c);
}

/* ---- a release ---- */

static const char *
target(const struct scene *s, size_t turn)
{
	return turn % 2 == 0 ? s->first : s->second;
}

static void
signal_all(const struct usage_of *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (kill(p->pids[i], SIGUSR1) != 0)
			give_up("peer", "is gone");
}

/* A moment of the wall clock, as series_now_ms counts. */
static double
of_wall(double wall_ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return wall_ms - ((double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6) +
	    series_now_ms();
}

/* When the log last said so, in whole milliseconds. */
static double
said_ms(const struct scene *s, const char *event)
{
	AUTO_STR command =
	    mem_printf("date -d \"$(awk -v e=%s '$4 == e { t = $1 } "
		       "END { print t }' '%s')\" +%%s%%3N",
		event, s->log);
	FILE *f = popen(command, "re");
	char line[64] = "";
	double ms;

	if (f == NULL || fgets(line, sizeof line, f) == NULL)
		give_up(event, "not in the log");
	ms = strtod(line, NULL);
	(void)pclose(f);
	return of_wall(ms);
}

enum {
	ANSWER,
	FIRST,
	LAST,
	STORED,
	KNOWN,
	WORK,
	PEER,
	PEER_WORK,
	RELEASE_SERIES
};

static void
release_once(struct scene *s, struct crowd *c, size_t turn, struct series *to)
{
	double begin, cpu;
	struct crowd_seen seen;

	crowd_begin_round(c);
	usage_settle(&s->use);
	cpu = usage_cpu_ms(&s->use);
	begin = series_now_ms();
	operator_roll_back(&s->o, s->bundle, target(s, turn));
	series_note(&to[ANSWER], series_now_ms() - begin);
	seen = crowd_wait(c);
	series_note(&to[FIRST], seen.first_ms - begin);
	series_note(&to[LAST], seen.last_ms - begin);
	series_note(&to[STORED], seen.last_ms - said_ms(s, "assign.changed"));
	operator_wait_converged(&s->o, c);
	series_note(&to[KNOWN], series_now_ms() - begin);
	series_note(&to[WORK], usage_cpu_ms(&s->use) - cpu);
}

static void
signal_once(struct scene *s, struct crowd *c, struct series *to)
{
	double begin, cpu;

	crowd_begin_round(c);
	usage_settle(&s->peer_use);
	cpu = usage_cpu_ms(&s->peer_use);
	begin = series_now_ms();
	signal_all(&s->peer_use);
	series_note(&to[PEER], crowd_wait(c).last_ms - begin);
	usage_settle(&s->peer_use);
	series_note(&to[PEER_WORK], usage_cpu_ms(&s->peer_use) - cpu);
}

static void
release(struct scene *s)
{
	struct series to[RELEASE_SERIES] = {
		[ANSWER] = { .name = "release: the operator's answer" },
		[FIRST] = { .name = "release: first engine has all of it" },
		[LAST] = { .name = "release: last engine has all of it" },
		[STORED] = { .name = "  of it since the assignment is stored" },
		[KNOWN] = { .name = "release: all poll again, and are known" },
		[WORK] = { .name = "  processor time of the server for it" },
		[PEER] = { .name = "hand-written loop: last engine" },
		[PEER_WORK] = { .name = "  its processor time" }
	};
	struct crowd *c = crowd_of(s), *other = NULL;
	struct sockaddr_in peer;

	if (s->peer != NULL) {
		other = crowd_of(s);
		peer = call_address(s->peer);
		gather(other, &peer, &s->habit, &s->peer_use);
	}
	gather(c, &s->server, &s->habit, &s->use);
	for (size_t i = 0; i < s->turns; i++) {
		release_once(s, c, i, to);
		if (other != NULL)
			signal_once(s, other, to);
	}
	for (size_t i = 0; i < RELEASE_SERIES; i++)
		if (to[i].count > 0)
			row(&to[i], "ms", "");
	if (other != NULL)
		figure("since it is stored / hand-written loop",
		    series_wall_ms(&to[STORED]) / series_wall_ms(&to[PEER]), "",
		    "wanted 1.70 at most");
	crowd_free(c);
	crowd_free(other);
}

/* ---- a commit ---- */

static void
commit(const struct scene *s, size_t turn)
{
	AUTO_STR command = mem_printf(
	    "cd '%s' && printf '\\nround_%zu := true\\n' >>small/p.rego && "
	    "git commit -q -a -m 'Round %zu'",
	    s->repository, turn, turn);

	if (system(command) != 0)
		give_up("git commit", "failed");
}

/* From the commit's verdict as the server keeps it. */
static double
gate_ms(const struct scene *s, double *begin)
{
	AUTO_STR command =
	    mem_printf("git -C '%s' rev-parse HEAD", s->repository);
	FILE *f = popen(command, "re");
	char rev[80] = "";
	json_t *answer;
	const char *at;
	double ms;

	if (f == NULL || fgets(rev, sizeof rev, f) == NULL)
		give_up("git", "no commit");
	(void)pclose(f);
	rev[strcspn(rev, "\n")] = '\0';
	AUTO_STR path = mem_printf("/v1/commits/%s", rev);
	answer = operator_ask(&s->o, path, NULL);
	at = json_string_value(json_object_get(answer, "started_at"));
	if (at == NULL)
		answer = json_object_get(answer, "verdict");
	at = json_string_value(json_object_get(answer, "started_at"));
	if (at == NULL)
		give_up(path, "no verdict");
	AUTO_STR date = mem_printf("date -d '%s' +%%s%%3N", at);
	f = popen(date, "re");
	if (f == NULL || fgets(rev, sizeof rev, f) == NULL)
		give_up("date", at);
	(void)pclose(f);
	*begin = of_wall(strtod(rev, NULL));
	ms = json_number_value(json_object_get(answer, "duration_ms"));
	return ms;
}

static void
commits(struct scene *s)
{
	struct series all = { .name = "commit: last engine has all of it" };
	struct series gate = { .name = "  of it the gate" };
	struct series before = { .name = "  until the gate begins" };
	struct series load = { .name =
				   "  signed, loaded by opa once more, kept" };
	struct series stored = { .name = "  since the assignment is stored" };
	struct series rest_of = { .name = "commit: without the gate's run" };
	struct series work = { .name = "processor time of http for it" };
	struct crowd *c = crowd_of(s);

	gather(c, &s->server, &s->habit, &s->use);
	for (size_t i = 0; i < s->turns; i++) {
		double begin, started, took, last, cpu;

		crowd_begin_round(c);
		usage_settle(&s->use);
		cpu = usage_cpu_ms(&s->use);
		commit(s, i);
		begin = series_now_ms();
		last = crowd_wait(c).last_ms;
		rest(200); /* its last word in the log */
		usage_settle(&s->use);
		series_note(&work, usage_cpu_ms(&s->use) - cpu);
		took = gate_ms(s, &started);
		series_note(&all, last - begin);
		series_note(&gate, took);
		series_note(&before, started - begin);
		series_note(&load,
		    said_ms(s, "bundle.built") - said_ms(s, "keeper.signed"));
		series_note(&stored, last - said_ms(s, "assign.changed"));
		series_note(&rest_of, last - begin - took);
	}
	row(&all, "ms", "");
	row(&gate, "ms", "");
	row(&before, "ms", "");
	row(&load, "ms", "");
	row(&stored, "ms", "");
	row(&rest_of, "ms", "wanted 500 at most");
	row(&work, "ms", "");
	crowd_free(c);
}

/* ---- a change that concerns none of them ---- */

/* Another token: all look whether what they wait for is what it was. */
static void
change_once(struct scene *s, size_t turn, struct series *to)
{
	AUTO_STR body = mem_printf("{\"name\": \"bench-%zu\", \"role\": "
				   "\"engine\", \"clusters\": [\"default\"]}",
	    turn);
	double cpu;

	usage_settle(&s->use);
	cpu = usage_cpu_ms(&s->use);
	json_decref(operator_ask(&s->o, "/v1/tokens", body));
	rest(IDLE_MS);
	series_note(to, usage_cpu_ms(&s->use) - cpu);
}

static void
change(struct scene *s)
{
	struct series none = { .name = "a change, nobody waits" };
	struct series all = { .name = "a change, all wait: processor time" };
	struct crowd *c = crowd_of(s);
	size_t before;

	for (size_t i = 0; i < s->turns; i++)
		change_once(s, i, &none);
	gather(c, &s->server, &s->habit, &s->use);
	before = crowd_look(c).polls;
	for (size_t i = 0; i < s->turns; i++)
		change_once(s, s->turns + i, &all);
	row(&none, "ms", "");
	row(&all, "ms", "");
	figure("polls answered meanwhile",
	    (double)(crowd_look(c).polls - before), "", "wanted 0");
	crowd_free(c);
}

/* ---- the way in ---- */

static void
read_scene(struct scene *s, int argc, char **argv)
{
	const struct {
		const char *name;
		const char **value;
	} names[] = { { "port", &s->port }, { "peer", &s->peer },
		{ "bundle", &s->bundle }, { "tokens", &s->tokens_file },
		{ "engines", &s->engines }, { "rounds", &s->rounds },
		{ "tls", &s->tls }, { "pids", &s->pids },
		{ "peer_pids", &s->peer_pids }, { "first", &s->first },
		{ "second", &s->second }, { "repository", &s->repository },
		{ "log", &s->log }, { "wait", &s->wait } };

	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(argv[i], "="), k = 0;

		while (k < sizeof names / sizeof *names &&
		    (strlen(names[k].name) != len ||
			strncmp(argv[i], names[k].name, len) != 0))
			k++;
		if (k == sizeof names / sizeof *names || argv[i][len] != '=')
			give_up(argv[i], "not known");
		*names[k].value = argv[i] + len + 1;
	}
}

static void
prepare(struct scene *s)
{
	if (s->port == NULL || s->bundle == NULL || s->tokens_file == NULL ||
	    s->engines == NULL || s->rounds == NULL || s->pids == NULL ||
	    s->wait == NULL)
		give_up("usage", "see bench/wait");
	s->server = call_address(s->port);
	engines_read_tokens(&s->tokens, s->tokens_file);
	s->count = strtoul(s->engines, NULL, 10);
	s->turns = strtoul(s->rounds, NULL, 10);
	s->habit.leave = true;
	s->habit.wait_s = (unsigned int)strtoul(s->wait, NULL, 10);
	usage_read(&s->use, s->pids);
	if (s->peer_pids != NULL)
		usage_read(&s->peer_use, s->peer_pids);
	s->o.url = mem_printf("http%s://127.0.0.1:%s",
	    s->tls != NULL ? "s" : "", s->port);
	s->o.token = getenv("EDICT_TOKEN");
	if (s->o.token == NULL || s->count == 0 || s->turns == 0 ||
	    s->turns > SERIES_MAX)
		give_up("usage", "see bench/wait");
}

/* memory|habit|release|commit|change NAME=VALUE...; EDICT_TOKEN. */
int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*work)(struct scene *s);
	} works[] = { { "memory", memory }, { "habit", habit },
		{ "release", release }, { "commit", commits },
		{ "change", change } };
	static struct scene s;

	if (argc < 3)
		give_up("usage", "see bench/wait");
	read_scene(&s, argc - 2, argv + 2);
	prepare(&s);
	for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
		if (strcmp(argv[1], works[i].name) == 0) {
			works[i].work(&s);
			return 0;
		}
	}
	give_up(argv[1], "no such work");
}
