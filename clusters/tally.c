#include "clusters/tally.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* ---- hashes to entries ---- */

struct tally_index_row {
	uint64_t cluster, bundle;
	const struct catalog_entry *entry;
};

struct tally_index {
	struct tally_index_row *rows;
	size_t count;
};

static int
by_hash(const void *a, const void *b)
{
	const struct tally_index_row *x = a;
	const struct tally_index_row *y = b;

	if (x->cluster != y->cluster)
		return x->cluster < y->cluster ? -1 : 1;
	if (x->bundle != y->bundle)
		return x->bundle < y->bundle ? -1 : 1;
	return 0;
}

struct tally_index *
tally_index_new(const struct engines *t, const struct catalog *c)
{
	struct tally_index *x = mem_zalloc(sizeof *x);

	x->count = catalog_count(c);
	x->rows = mem_array(x->count, sizeof *x->rows);
	for (size_t i = 0; i < x->count; i++) {
		const struct catalog_entry *e = catalog_at(c, i);

		x->rows[i] =
		    (struct tally_index_row){ engines_hash(t, e->cluster),
			    engines_hash(t, e->bundle), e };
	}
	if (x->count > 1)
		qsort(x->rows, x->count, sizeof *x->rows, by_hash);
	return x;
}

void
tally_index_free(struct tally_index *x)
{
	if (x == NULL)
		return;
	mem_free(x->rows);
	mem_free(x);
}

const struct catalog_entry *
tally_index_find(const struct tally_index *x, uint64_t cluster, uint64_t bundle)
{
	struct tally_index_row key = { cluster, bundle, NULL };
	const struct tally_index_row *found = x->count == 0
	    ? NULL
	    : bsearch(&key, x->rows, x->count, sizeof key, by_hash);

	return found != NULL ? found->entry : NULL;
}

/* ---- counting ---- */

struct counting {
	struct tally *tally;
	const struct catalog *catalog;
	const struct tally_index *index;
	int64_t now_ms, silent_ms;
};

enum engines_state
tally_worse(enum engines_state a, enum engines_state b)
{
	static const int order[ENGINES_STATES] = {
		[ENGINES_STATE_CONVERGED] = 0,
		[ENGINES_STATE_SILENT] = 1,
		[ENGINES_STATE_FRESH] = 2,
		[ENGINES_STATE_BEHIND] = 3,
		[ENGINES_STATE_REJECTING] = 4,
	};

	return order[a] >= order[b] ? a : b;
}

static void
count_run(struct tally_place *p, const struct engines_bundle *b)
{
	int64_t since_ms = (int64_t)b->acked_s * 1000;
	size_t i = 0;

	while (i < p->run_count &&
	    !engines_mark_same(&p->runs[i].mark, &b->acked))
		i++;
	if (i == TALLY_RUNS_MAX)
		return;
	if (i == p->run_count) {
		p->runs[p->run_count++] =
		    (struct tally_run){ b->acked, 0, since_ms };
	}
	p->runs[i].engines++;
	if (since_ms < p->runs[i].since_ms)
		p->runs[i].since_ms = since_ms;
}

static void
count_anonymous(struct tally_place *p, const struct engines_bundle *b)
{
	p->credentials++;
	if (!engines_mark_same(&b->sent, &p->entry->mark))
		return; /* what they said was about what came before */
	p->had += b->had;
	p->had_other += b->had_other;
	p->had_none += b->had_none;
}

static enum engines_state
count_named(const struct counting *c, struct tally_place *p,
    const struct engines_engine *e, const struct engines_bundle *b)
{
	bool same = (b->flags & ENGINES_ACKED) != 0 &&
	    catalog_is_content(c->catalog, p->entry, &b->acked);
	enum engines_state state =
	    engines_state(e, b, same, c->now_ms, c->silent_ms);

	p->states[state]++;
	p->back += (b->flags & ENGINES_BACK) != 0 ? 1 : 0;
	if ((b->flags & ENGINES_ACKED) != 0 && state != ENGINES_STATE_SILENT)
		count_run(p, b);
	return state;
}

static struct tally_cluster *
cluster_of(const struct tally *t, const char *name)
{
	size_t low = 0;
	size_t high = t->cluster_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, t->clusters[middle].name);

		if (order == 0)
			return &t->clusters[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void
count_engine(const struct engines_view *v, void *arg)
{
	const struct counting *c = arg;
	enum engines_state worst = ENGINES_STATE_CONVERGED;
	const struct catalog_entry *last = NULL;
	const struct catalog_entry *first =
	    catalog_count(c->catalog) > 0 ? catalog_at(c->catalog, 0) : NULL;

	for (size_t i = 0; i < v->bundle_count; i++) {
		const struct catalog_entry *entry = tally_index_find(c->index,
		    v->engine->cluster, v->bundles[i]->bundle);
		struct tally_place *p;

		if (entry == NULL)
			continue;
		p = &c->tally->places[entry - first];
		if ((v->engine->flags & ENGINES_ANONYMOUS) != 0) {
			count_anonymous(p, v->bundles[i]);
			continue;
		}
		worst = tally_worse(worst,
		    count_named(c, p, v->engine, v->bundles[i]));
		last = entry;
	}
	if (last == NULL)
		return;
	cluster_of(c->tally, last->cluster)->states[worst]++;
	c->tally->states[worst]++;
}

static int
more_engines(const void *a, const void *b)
{
	const struct tally_run *x = a;
	const struct tally_run *y = b;

	if (x->engines != y->engines)
		return x->engines > y->engines ? -1 : 1;
	return memcmp(&x->mark, &y->mark, sizeof x->mark);
}

struct tally *
tally_new(struct engines *t, const struct catalog *c, int64_t now_ms,
    int64_t silent_ms)
{
	struct tally *tally = mem_zalloc(sizeof *tally);
	AUTO(tally_index, index) = tally_index_new(t, c);
	struct counting counting = { tally, c, index, now_ms, silent_ms };

	tally->count = catalog_count(c);
	tally->places = mem_array(tally->count, sizeof *tally->places);
	tally->clusters = mem_array(tally->count, sizeof *tally->clusters);
	for (size_t i = 0; i < tally->count; i++) {
		const struct catalog_entry *e = catalog_at(c, i);
		size_t n = tally->cluster_count;

		tally->places[i].entry = e;
		if (n == 0 ||
		    strcmp(tally->clusters[n - 1].name, e->cluster) != 0)
			tally->clusters[tally->cluster_count++].name =
			    e->cluster;
	}
	engines_each(t, count_engine, &counting);
	for (size_t i = 0; i < tally->count; i++)
		if (tally->places[i].run_count > 1)
			qsort(tally->places[i].runs, tally->places[i].run_count,
			    sizeof(struct tally_run), more_engines);
	return tally;
}

void
tally_free(struct tally *t)
{
	if (t == NULL)
		return;
	mem_free(t->places);
	mem_free(t->clusters);
	mem_free(t);
}

const struct tally_place *
tally_find(const struct tally *t, const char *cluster, const char *bundle)
{
	size_t low = 0;
	size_t high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct catalog_entry *e = t->places[middle].entry;
		int order = strcmp(cluster, e->cluster);

		if (order == 0)
			order = strcmp(bundle, e->bundle);
		if (order == 0)
			return &t->places[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct tally_cluster *
tally_cluster(const struct tally *t, const char *cluster)
{
	return cluster_of(t, cluster);
}
