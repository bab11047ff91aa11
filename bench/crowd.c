#include "bench/crowd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/series.h"
#include "core/mem.h"

enum { STEP_MS = 20, LOOK_MS = 1, PATIENCE_MS = 120000 };

enum verb { VERB_ASK, VERB_HANG_UP, VERB_ROUND, VERB_END };

struct order {
	atomic_uint number; /* counts; what follows belongs to it */
	enum verb verb;
	struct sockaddr_in server;
	struct engines_habit habits[ENGINES_HABITS_MAX];
	size_t habit_count;
};

struct member {
	pid_t pid;
	size_t count;
	atomic_uint number; /* of the order it has begun with */
	struct engines_seen seen;
};

/* All of it is shared memory. */
struct crowd {
	const char *bundle;
	const struct engines_tokens *tokens;
	bool tls;
	size_t engines, count;
	struct order order;
	struct member members[CROWD_PROCESSES_MAX];
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

/* ---- in a member's process ---- */

static bool
obey(struct engines *g, const struct order *o)
{
	switch (o->verb) {
	case VERB_ASK:
		engines_ask(g, &o->server, o->habits, o->habit_count);
		return true;
	case VERB_HANG_UP:
		engines_hang_up(g);
		return true;
	case VERB_ROUND:
		engines_begin_round(g);
		return true;
	case VERB_END:
		break;
	}
	return false;
}

static _Noreturn void
play(struct crowd *c, struct member *m, size_t first)
{
	SSL_CTX *tls = c->tls ? call_tls() : NULL;
	struct engines *g =
	    engines_new(c->bundle, first, m->count, c->tokens, tls, &m->seen);
	bool on = true;

	while (on) {
		unsigned int number = atomic_load(&c->order.number);

		if (number != atomic_load(&m->number)) {
			on = obey(g, &c->order);
			atomic_store(&m->number, number);
		}
		engines_step(g, STEP_MS);
	}
	engines_free(g);
	SSL_CTX_free(tls);
	_exit(0);
}

static void
start(struct crowd *c, struct member *m, size_t first)
{
	pid_t parent = getpid();

	(void)fflush(stdout);
	m->pid = fork();
	if (m->pid < 0)
		give_up("fork", strerror(errno));
	if (m->pid > 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	play(c, m, first);
}

/* ---- in the one that orders ---- */

struct crowd *
crowd_new(const char *bundle, size_t engines, size_t each,
    const struct engines_tokens *tokens, bool tls)
{
	size_t count = (engines + each - 1) / each;
	struct crowd *c;
	size_t first = 0;

	if (engines == 0 || each > ENGINES_MAX || count > CROWD_PROCESSES_MAX)
		give_up("engines", "too many, or none");
	c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		give_up("memory", strerror(errno));
	c->bundle = bundle;
	c->tokens = tokens;
	c->tls = tls;
	c->engines = engines;
	c->count = count;
	for (size_t i = 0; i < count; i++) {
		c->members[i].count =
		    engines * (i + 1) / count - engines * i / count;
		start(c, &c->members[i], first);
		first += c->members[i].count;
	}
	return c;
}

/* Looks whether all are there, on the way. */
static void
rest(struct crowd *c)
{
	const struct timespec t = { .tv_nsec = LOOK_MS * 1000000L };

	(void)nanosleep(&t, NULL);
	for (size_t i = 0; i < c->count; i++)
		if (waitpid(c->members[i].pid, NULL, WNOHANG) != 0)
			give_up("engines", "their process ended");
}

static void
give_order(struct crowd *c, enum verb verb)
{
	unsigned int number = atomic_load(&c->order.number) + 1;

	c->order.verb = verb;
	atomic_store(&c->order.number, number);
	if (verb == VERB_END)
		return;
	for (size_t i = 0; i < c->count; i++)
		while (atomic_load(&c->members[i].number) != number)
			rest(c);
}

void
crowd_free(struct crowd *c)
{
	if (c == NULL)
		return;
	give_order(c, VERB_END);
	for (size_t i = 0; i < c->count; i++)
		(void)waitpid(c->members[i].pid, NULL, 0);
	(void)munmap(c, sizeof *c);
}

void
crowd_ask(struct crowd *c, const struct sockaddr_in *server,
    const struct engines_habit *habits, size_t habit_count)
{
	if (habit_count == 0 || habit_count > ENGINES_HABITS_MAX)
		give_up("habits", "too many, or none");
	c->order.server = *server;
	memcpy(c->order.habits, habits, habit_count * sizeof *habits);
	c->order.habit_count = habit_count;
	give_order(c, VERB_ASK);
}

void
crowd_hang_up(struct crowd *c)
{
	give_order(c, VERB_HANG_UP);
}

void
crowd_begin_round(struct crowd *c)
{
	give_order(c, VERB_ROUND);
}

size_t
crowd_size(const struct crowd *c)
{
	return c->engines;
}

static void
add(struct crowd_seen *sum, const struct engines_seen *one)
{
	double first = (double)atomic_load(&one->first_us) / 1e3;
	double last = (double)atomic_load(&one->last_us) / 1e3;
	size_t got = atomic_load(&one->got);

	if (got > 0 && (sum->got == 0 || first < sum->first_ms))
		sum->first_ms = first;
	if (got > 0 && (sum->got == 0 || last > sum->last_ms))
		sum->last_ms = last;
	sum->got += got;
	sum->polls += atomic_load(&one->polls);
	sum->unchanged += atomic_load(&one->unchanged);
	sum->retried += atomic_load(&one->retried);
	sum->left += atomic_load(&one->left);
	sum->bytes += atomic_load(&one->bytes);
	if (sum->failed == 0 && atomic_load(&one->failed) > 0)
		memcpy(sum->fault, one->fault, sizeof sum->fault);
	sum->failed += atomic_load(&one->failed);
}

struct crowd_seen
crowd_look(struct crowd *c)
{
	struct crowd_seen sum = { 0 };

	rest(c);
	for (size_t i = 0; i < c->count; i++)
		add(&sum, &c->members[i].seen);
	return sum;
}

struct crowd_seen
crowd_wait(struct crowd *c)
{
	double end = series_now_ms() + PATIENCE_MS;
	struct crowd_seen seen = crowd_look(c);

	while (seen.got < c->engines) {
		seen = crowd_look(c);
		if (seen.failed > 0)
			give_up("an answer", seen.fault);
		if (series_now_ms() > end)
			give_up("round", "not all engines got the bundle");
	}
	return seen;
}
