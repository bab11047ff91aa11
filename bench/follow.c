/* What the next commit of a large repository costs before and after the gate,
 * as a server that runs, and as one that was started again: bench/follow makes
 * the repository, this measures. Processor time, since machines are shared. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bundler/bundle.h"
#include "bundler/cache_file.h"
#include "bundler/known.h"
#include "core/mem.h"
#include "core/order.h"
#include "policies/repo.h"

enum { ROUNDS = 9, OUT_MAX = 512 << 20 };

static void
check(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "bench_follow: %s\n", e->text);
	exit(1);
}

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* What a worker keeps between commits. */
struct worker {
	struct repo *mirror;
	struct bundle_cache *cache;
	struct cache_file *file;
};

struct cost {
	double open, tree, read, plan, pack, save;
	size_t planned;
};

static void
know(void *arg, const char *id, int64_t size)
{
	repo_know_size(arg, id, size);
}

static double
start(struct worker *w, const char *repository, const char *file)
{
	double begin = now_ms();
	struct err e;

	check(repo_discover(&w->mirror, repository, &e), &e);
	w->cache = bundle_cache_new(BUNDLE_CACHE_MAX);
	w->file = file != NULL ? cache_file_new(file) : NULL;
	if (w->file != NULL)
		cache_file_load(w->file, w->cache, know, w->mirror);
	return now_ms() - begin;
}

static void
stop(struct worker *w)
{
	cache_file_free(w->file);
	bundle_cache_free(w->cache);
	repo_free(w->mirror);
}

/* Packs what was planned, as a server does that has none of it stored. */
static void
pack(const struct bundle_set *set, const struct bundle_means *means)
{
	struct err e;

	for (size_t i = 0; i < set->count; i++) {
		AUTO_BUF out = { 0 };

		buf_init(&out, OUT_MAX);
		if (!known_is_bare(set->bundles[i]))
			check(bundle_pack_with(&out, set->bundles[i], means,
				  &e),
			    &e);
	}
}

static struct cost
follow(struct worker *w, const char *rev)
{
	const struct bundle_means means = { .threads = 1, .cache = w->cache };
	AUTO(definition, d) = NULL;
	AUTO(tree, t) = NULL;
	struct bundle_set set = { 0 };
	char commit[TREE_ID_SIZE];
	struct cost c = { 0 };
	double at[6];
	struct err e;

	check(repo_resolve(w->mirror, rev, commit, &e), &e);
	at[0] = now_ms();
	check(repo_tree(w->mirror, commit, &t, &e), &e);
	at[1] = now_ms();
	check(definition_read(&d, t, &e), &e);
	at[5] = now_ms();
	check(known_plan_all(&set, &c.planned, t, d, &means, &e), &e);
	at[2] = now_ms();
	pack(&set, &means);
	at[3] = now_ms();
	if (w->file != NULL)
		cache_file_save(w->file, w->cache, t);
	at[4] = now_ms();
	bundle_set_clear(&set);
	c.tree = at[1] - at[0];
	c.read = at[5] - at[1];
	c.plan = at[2] - at[5];
	c.pack = at[3] - at[2];
	c.save = at[4] - at[3];
	return c;
}

static int
compare(const void *a, const void *b)
{
	const struct cost *x = a, *y = b;
	double left = x->open + x->tree + x->read + x->plan + x->pack;
	double right = y->open + y->tree + y->read + y->plan + y->pack;

	return (left > right) - (left < right);
}

/* The median round. */
static void
show(const char *what, struct cost *costs)
{
	const struct cost *c = &costs[ROUNDS / 2];

	qsort(costs, ROUNDS, sizeof *costs, compare);
	(void)printf(
	    "%-26s start %6.2f  tree %6.2f  edict.yaml %5.2f  plan %6.2f  pack "
	    "%6.2f  "
	    "afterwards %6.2f ms  planned %zu\n",
	    what, c->open, c->tree, c->read, c->plan, c->pack, c->save,
	    c->planned);
}

static void
after_start(const char *what, const char *repository, const char *file,
    const char *rev)
{
	struct cost costs[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		struct worker w;
		double open = start(&w, repository, file);

		costs[i] = follow(&w, rev);
		costs[i].open = open;
		stop(&w);
	}
	show(what, costs);
}

/* From one commit to another and back. */
static void
running(const char *what, const char *repository, const char *file,
    const char *from, const char *to)
{
	struct cost costs[ROUNDS];
	struct worker w;

	for (int i = 0; i < ROUNDS; i++) {
		(void)start(&w, repository, file);
		(void)follow(&w, from);
		costs[i] = follow(&w, to);
		stop(&w);
	}
	show(what, costs);
}

int
main(int argc, char **argv)
{
	const char *repository, *file;
	struct err e;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: bench_follow REPOSITORY CACHE\n");
		return 2;
	}
	repository = argv[1];
	file = argv[2];
	check(bundle_get_ready(&e), &e);
	after_start("first build, no cache file", repository, NULL, "base");
	after_start("first build, cache file", repository, file, "base");
	running("then README alone", repository, file, "base", "readme");
	running("then one file", repository, file, "base", "one");
	running("then one folder renamed", repository, file, "base", "moved");
	return 0;
}
