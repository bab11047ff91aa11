/* What others do with the table of engines: look through it, save it, add what
 * engines report of themselves. */

#include <stdio.h>
#include <string.h>

#include "clusters/engines_table.h"
#include "core/mem.h"

const char *const engines_state_names[ENGINES_STATES] = { "converged", "behind",
	"rejecting", "fresh", "silent" };

enum engines_state
engines_state(const struct engines_engine *e, const struct engines_bundle *b,
    bool same, int64_t now_ms, int64_t silent_ms)
{
	if (now_ms - e->seen_ms > silent_ms)
		return ENGINES_STATE_SILENT;
	if (same &&
	    (b->flags & (ENGINES_ACKED | ENGINES_FRESH)) == ENGINES_ACKED)
		return ENGINES_STATE_CONVERGED;
	if ((b->flags & ENGINES_REJECTING) != 0)
		return ENGINES_STATE_REJECTING;
	if ((b->flags & ENGINES_FRESH) != 0)
		return ENGINES_STATE_FRESH;
	return ENGINES_STATE_BEHIND;
}

/* ---- looking ---- */

/* A copy of one shard. */
struct copy {
	struct engines_engine *engines;
	struct engines_bundle *bundles;
	struct engines_report *reports;
};

static void
copy_init(struct copy *c, const struct engines *t)
{
	c->engines = mem_array(t->per_shard, sizeof *c->engines);
	c->bundles =
	    mem_array(t->per_shard * ENGINES_BUNDLES_EACH, sizeof *c->bundles);
	c->reports = mem_array(ENGINES_SHARD_REPORTS, sizeof *c->reports);
}

static void
copy_clear(struct copy *c)
{
	mem_free(c->engines);
	mem_free(c->bundles);
	mem_free(c->reports);
}

/* Rows beyond those that were ever taken are not there to be copied. */
static void
copy_rows(struct copy *c, struct engines *t, struct engines_shard *s,
    uint32_t *engines, uint32_t *bundles)
{
	uint32_t each = (uint32_t)t->per_shard * ENGINES_BUNDLES_EACH;

	*engines = s->new_engine > 0 ? s->new_engine - 1 : 0;
	*bundles = s->new_bundle > 0 ? s->new_bundle - 1 : 0;
	if (*engines > t->per_shard)
		*engines = (uint32_t)t->per_shard;
	if (*bundles > each)
		*bundles = each;
	memcpy(c->engines, engines_at(t, s, 1), *engines * sizeof *c->engines);
	memcpy(c->bundles, engines_bundle_at(t, s, 1),
	    *bundles * sizeof *c->bundles);
	memcpy(c->reports, engines_report_at(t, s, 1),
	    ENGINES_SHARD_REPORTS * sizeof *c->reports);
}

static void
end_text(char *text, size_t size)
{
	text[size - 1] = '\0';
}

/* Shows engine number n of the copy. */
static void
show(struct copy *c, uint32_t n, uint32_t bundle_count,
    void (*fn)(const struct engines_view *v, void *arg), void *arg)
{
	const struct engines_bundle *bundles[ENGINES_BUNDLES_MAX];
	const struct engines_report *reports[ENGINES_SHARD_REPORTS];
	struct engines_engine *e = &c->engines[n - 1];
	struct engines_view v = { .engine = e,
		.bundles = bundles,
		.reports = reports };
	uint32_t at = e->bundles;

	while (at > 0 && at <= bundle_count &&
	    v.bundle_count < ENGINES_BUNDLES_MAX) {
		bundles[v.bundle_count++] = &c->bundles[at - 1];
		at = c->bundles[at - 1].next;
	}
	for (size_t i = 0; i < ENGINES_SHARD_REPORTS; i++) {
		struct engines_report *r = &c->reports[i];

		if (r->used != 1 || r->engine != n)
			continue;
		end_text(r->code, sizeof r->code);
		end_text(r->message, sizeof r->message);
		end_text(r->file, sizeof r->file);
		reports[v.report_count++] = r;
	}
	fn(&v, arg);
}

static bool
is_sound(struct engines_engine *e)
{
	end_text(e->name, sizeof e->name);
	end_text(e->version, sizeof e->version);
	return e->used == 1;
}

void
engines_each(struct engines *t,
    void (*fn)(const struct engines_view *v, void *arg), void *arg)
{
	struct copy c;

	copy_init(&c, t);
	for (size_t i = 0; i < t->shard_count; i++) {
		uint32_t engines, bundles;

		if (!engines_lock(t, &t->shards[i]))
			continue;
		copy_rows(&c, t, &t->shards[i], &engines, &bundles);
		engines_unlock(&t->shards[i]);
		for (uint32_t n = 1; n <= engines; n++)
			if (is_sound(&c.engines[n - 1]))
				show(&c, n, bundles, fn, arg);
	}
	copy_clear(&c);
}

/* ---- saving ---- */

static bool
is_unsaved(const struct engines_engine *e, int64_t now_ms)
{
	if (e->used != 1 || (e->flags & ENGINES_ANONYMOUS) != 0)
		return false;
	return (e->flags & ENGINES_UNSAVED) != 0 ||
	    e->seen_ms / 1000 >= (int64_t)e->saved_s + ENGINES_SAVE_SEEN_S ||
	    now_ms / 1000 < e->saved_s;
}

/* Most of the time nobody is: nothing is copied then. */
static bool
has_unsaved(struct engines *t, struct engines_shard *s, int64_t now_ms)
{
	for (uint32_t n = 1; n < s->new_engine; n++) {
		const struct engines_engine *e = engines_at(t, s, n);

		if (e == NULL)
			break;
		if (is_unsaved(e, now_ms))
			return true;
	}
	return false;
}

/* Copies the shard, and takes note in the table of those that are saved now. */
static size_t
take_unsaved(struct copy *c, struct engines *t, struct engines_shard *s,
    size_t max, int64_t now_ms, uint32_t *numbers, uint32_t *bundles)
{
	uint32_t engines;
	size_t count = 0;

	if (!has_unsaved(t, s, now_ms))
		return 0;
	if (c->engines == NULL)
		copy_init(c, t);
	copy_rows(c, t, s, &engines, bundles);
	for (uint32_t n = 1; n <= engines && count < max; n++) {
		struct engines_engine e = c->engines[n - 1];

		if (!is_unsaved(&e, now_ms))
			continue;
		e.flags &= ~(uint32_t)ENGINES_UNSAVED;
		e.saved_s = (uint32_t)(now_ms / 1000);
		engines_put(t, s, n, &e);
		numbers[count++] = n;
	}
	return count;
}

size_t
engines_each_unsaved(struct engines *t, size_t max, int64_t now_ms,
    void (*fn)(const struct engines_view *v, void *arg), void *arg)
{
	struct copy c = { 0 };
	uint32_t *numbers = mem_array(t->per_shard, sizeof *numbers);
	size_t total = 0;

	for (size_t i = 0; i < t->shard_count && total < max; i++) {
		uint32_t bundles = 0;
		size_t count;

		if (!engines_lock(t, &t->shards[i]))
			continue;
		count = take_unsaved(&c, t, &t->shards[i], max - total, now_ms,
		    numbers, &bundles);
		engines_unlock(&t->shards[i]);
		for (size_t k = 0; k < count; k++)
			if (is_sound(&c.engines[numbers[k] - 1]))
				show(&c, numbers[k], bundles, fn, arg);
		total += count;
	}
	copy_clear(&c);
	mem_free(numbers);
	return total;
}

/* Every shard in turn: the numbers of its engines are given to change, which says
 * which of them it dropped. */
static size_t
change_all(struct engines *t,
    bool (*change)(struct engines *t, struct engines_shard *s, uint32_t n,
	int64_t arg),
    int64_t arg)
{
	size_t dropped = 0;

	for (size_t i = 0; i < t->shard_count; i++) {
		struct engines_shard *s = &t->shards[i];

		if (!engines_lock(t, s))
			continue;
		for (uint32_t n = 1; n < s->new_engine; n++) {
			const struct engines_engine *at = engines_at(t, s, n);

			if (at == NULL)
				break;
			if (at->used == 1)
				dropped += change(t, s, n, arg) ? 1 : 0;
		}
		engines_unlock(s);
	}
	return dropped;
}

static bool
set_unsaved(struct engines *t, struct engines_shard *s, uint32_t n, int64_t arg)
{
	struct engines_engine e = *engines_at(t, s, n);

	(void)arg;
	e.flags |= ENGINES_UNSAVED;
	engines_put(t, s, n, &e);
	return false;
}

void
engines_unsave(struct engines *t)
{
	(void)change_all(t, set_unsaved, 0);
}

static bool
drop_before(struct engines *t, struct engines_shard *s, uint32_t n,
    int64_t before_ms)
{
	if (engines_at(t, s, n)->seen_ms >= before_ms)
		return false;
	engines_drop(t, s, n);
	return true;
}

size_t
engines_forget(struct engines *t, int64_t before_ms)
{
	return change_all(t, drop_before, before_ms);
}

static void
restore_bundles(struct engines *t, struct engines_shard *s, uint32_t number,
    const struct engines_bundle *bundles, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t at =
		    engines_add_bundle(t, s, number, bundles[i].bundle);
		struct engines_bundle b = bundles[i];
		const struct engines_bundle *row = engines_bundle_at(t, s, at);

		if (row == NULL)
			return;
		b.used = 1;
		b.next = row->next;
		b.engine = number;
		b.flags |= ENGINES_UNSURE;
		b.changes = 0;
		engines_put_bundle(t, s, at, &b);
	}
}

void
engines_restore(struct engines *t, const struct engines_engine *e,
    const struct engines_bundle *bundles, size_t count)
{
	struct engines_key key = engines_key(t, e->cluster, e->name, false);
	struct engines_shard *s = engines_shard_of(t, &key);
	uint32_t number;

	if (!engines_lock(t, s))
		return;
	number = engines_find(t, s, &key) == 0
	    ? engines_add(t, s, &key, e->seen_ms)
	    : 0;
	if (number != 0) {
		struct engines_engine row = *engines_at(t, s, number);

		row.label = e->label;
		row.saved_s = (uint32_t)(e->seen_ms / 1000);
		(void)snprintf(row.version, sizeof row.version, "%s",
		    e->version);
		engines_put(t, s, number, &row);
		restore_bundles(t, s, number, bundles, count);
	}
	engines_unlock(s);
}

/* ---- what engines report ---- */

/* The engine's number, its shard locked; 0: there is none. */
static uint32_t
lock_named(struct engines *t, const char *cluster, const char *name,
    struct engines_shard **s)
{
	struct engines_key key =
	    engines_key(t, engines_hash(t, cluster), name, false);
	uint32_t number;

	*s = engines_shard_of(t, &key);
	if (!engines_lock(t, *s))
		return 0;
	number = engines_find(t, *s, &key);
	if (number == 0)
		engines_unlock(*s);
	return number;
}

bool
engines_seen(struct engines *t, const char *cluster, const char *name)
{
	struct engines_shard *s;
	uint32_t number = lock_named(t, cluster, name, &s);

	if (number != 0)
		engines_unlock(s);
	return number != 0;
}

/* It started anew, without a poll that said so: nothing it says next is news. */
static void
set_unsure(struct engines *t, struct engines_shard *s,
    const struct engines_engine *e)
{
	uint32_t n = e->bundles;

	for (size_t steps = 0; steps < ENGINES_BUNDLES_MAX; steps++) {
		struct engines_bundle *at = engines_bundle_at(t, s, n);
		struct engines_bundle b;

		if (at == NULL)
			break;
		b = *at;
		b.flags |= ENGINES_UNSURE;
		engines_put_bundle(t, s, n, &b);
		n = b.next;
	}
}

bool
engines_take_version(struct engines *t, const char *cluster, const char *name,
    const char *version, const char *label)
{
	uint64_t hash = label != NULL ? engines_hash(t, label) : 0;
	struct engines_shard *s;
	uint32_t number = lock_named(t, cluster, name, &s);
	struct engines_engine e;

	if (number == 0)
		return false;
	e = *engines_at(t, s, number);
	if (hash != 0 && e.label != 0 && e.label != hash)
		set_unsure(t, s, &e);
	if (hash != 0)
		e.label = hash;
	if (version != NULL)
		(void)snprintf(e.version, sizeof e.version, "%s", version);
	if (memcmp(&e, engines_at(t, s, number), sizeof e) != 0) {
		e.flags |= ENGINES_UNSAVED;
		engines_put(t, s, number, &e);
	}
	engines_unlock(s);
	return true;
}

/* Its own, else a free one, else the oldest; 0: none of its own (or_take
 * false). */
static uint32_t
report_place(struct engines *t, struct engines_shard *s, uint32_t engine,
    uint64_t bundle, bool or_take)
{
	uint32_t best = 1;

	for (uint32_t n = 1; n <= ENGINES_SHARD_REPORTS; n++) {
		const struct engines_report *r = engines_report_at(t, s, n);
		const struct engines_report *b = engines_report_at(t, s, best);

		if (r->used == 1 && r->engine == engine && r->bundle == bundle)
			return n;
		if (b->used == 1 && (r->used != 1 || r->at_ms < b->at_ms))
			best = n;
	}
	return or_take ? best : 0;
}

void
engines_take_report(struct engines *t, const char *cluster, const char *name,
    const char *bundle, const struct engines_report *r)
{
	uint64_t hash = bundle != NULL ? engines_hash(t, bundle) : 0;
	bool well = r == NULL || r->code[0] == '\0';
	struct engines_report row = { 0 };
	struct engines_shard *s;
	uint32_t engine = lock_named(t, cluster, name, &s);
	uint32_t n;

	if (engine == 0)
		return;
	n = report_place(t, s, engine, hash, !well);
	if (!well) {
		row = *r;
		row.used = 1;
		row.engine = engine;
		row.bundle = hash;
	}
	if (n != 0)
		engines_put_report(t, s, n, &row);
	engines_unlock(s);
}
