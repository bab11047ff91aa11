#include "tests/daemon/operators_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void
model_init(struct model *m)
{
	*m = (struct model){ 0 };
	for (int b = 0; b < MODEL_BUNDLES; b++)
		for (int v = 0; v < MODEL_VALUES; v++)
			m->first[b][v] = -1;
}

int
model_add(struct model *m, const char *id, const int value[MODEL_BUNDLES],
    bool good)
{
	struct model_commit *c = &m->commits[m->count];

	assert_true(m->count < MODEL_COMMITS_MAX);
	(void)snprintf(c->id, sizeof c->id, "%s", id);
	memcpy(c->value, value, sizeof c->value);
	c->good = good;
	return m->count++;
}

int
model_find(const struct model *m, const char *id)
{
	for (int i = m->count; i-- > 0;)
		if (strcmp(m->commits[i].id, id) == 0)
			return i;
	return -1;
}

/* The newest that passed, comes after what it is current with, and has no
 * content that was rolled back from; -1: none. */
static int
next_of(const struct model *m, const struct model_place *p, int bundle)
{
	for (int i = m->count; --i > p->current;)
		if (m->commits[i].published &&
		    !p->quarantined[m->commits[i].value[bundle]])
			return i;
	return -1;
}

/* Engines get other bytes only where the content is another. */
static void
go(const struct model *m, struct model_place *p, int bundle, int to)
{
	int value = m->commits[to].value[bundle];

	p->current = to;
	if (p->value == value)
		return;
	p->value = value;
	p->revision = m->first[bundle][value];
}

static void
compare(const struct model *m, const struct model_event *e)
{
	const struct model_place *p = &m->places[e->cluster][e->bundle];

	if (p->serial == e->serial && p->mode == e->mode &&
	    p->revision == e->revision && p->current == e->current)
		return;
	fail_msg("cluster %d, bundle %d: the rules say serial %lld, mode %d, "
		 "revision %d, current with %d; the server says %lld, %d, %d, "
		 "%d",
	    e->cluster, e->bundle, (long long)p->serial, p->mode, p->revision,
	    p->current, (long long)e->serial, e->mode, e->revision, e->current);
}

/* What comes with equal content is noted, and no more. */
static void
note_equal(struct model *m, int cluster, int bundle)
{
	struct model_place *p = &m->places[cluster][bundle];
	int to;

	if (p->mode != MODEL_FOLLOWING)
		return;
	to = next_of(m, p, bundle);
	if (to < 0)
		return;
	if (m->commits[to].value[bundle] == p->value)
		p->current = to;
	else if (!m->late[cluster])
		fail_msg("cluster %d, bundle %d: follows, and did not go to "
			 "commit %d",
		    cluster, bundle, to);
}

static void
take_in(struct model *m, int commit)
{
	struct model_commit *c = &m->commits[commit];

	assert_true(c->good);
	c->published = true;
	for (int b = 0; b < MODEL_BUNDLES; b++)
		if (m->first[b][c->value[b]] < 0)
			m->first[b][c->value[b]] = commit;
}

void
model_publish(struct model *m, int commit)
{
	take_in(m, commit);
	for (int c = 0; c < MODEL_CLUSTERS; c++)
		for (int b = 0; b < MODEL_BUNDLES; b++)
			note_equal(m, c, b);
}

void
model_assign(struct model *m, const struct model_event *e)
{
	struct model_place *p = &m->places[e->cluster][e->bundle];
	int to;

	/* It comes in one go with its commit's publication, which the audit
	 * has behind it. */
	if (!m->commits[e->current].published)
		take_in(m, e->current);
	to = next_of(m, p, e->bundle);
	if (p->mode != MODEL_FOLLOWING || to < 0)
		fail_msg("cluster %d, bundle %d moved by itself to commit %d; "
			 "mode %d, it had %d",
		    e->cluster, e->bundle, e->current, p->mode, p->current);
	go(m, p, e->bundle, to);
	p->serial++;
	compare(m, e);
}

static void
roll_back(struct model *m, struct model_place *p, int bundle, int to)
{
	int before = p->value;

	p->mode = MODEL_HELD;
	go(m, p, bundle, to);
	if (p->value != before)
		p->quarantined[before] = true;
	p->quarantined[p->value] = false;
}

static void
resume(struct model *m, const struct model_event *e)
{
	struct model_place *p = &m->places[e->cluster][e->bundle];
	int to;

	p->mode = MODEL_FOLLOWING;
	memset(p->quarantined, 0, sizeof p->quarantined);
	to = next_of(m, p, e->bundle);
	if (to < 0 || (m->late[e->cluster] && e->current == p->current))
		return;
	go(m, p, e->bundle, to);
}

void
model_act(struct model *m, enum model_kind kind, int to,
    const struct model_event *e)
{
	struct model_place *p = &m->places[e->cluster][e->bundle];

	switch (kind) {
	case MODEL_ROLLBACK:
		assert_true(m->commits[to].published);
		roll_back(m, p, e->bundle, to);
		break;
	case MODEL_PIN:
		p->mode = MODEL_HELD;
		break;
	default:
		resume(m, e);
		break;
	}
	p->serial++;
	compare(m, e);
}

bool
model_is_behind(const struct model *m)
{
	for (int c = 0; c < MODEL_CLUSTERS; c++)
		for (int b = 0; b < MODEL_BUNDLES; b++) {
			const struct model_place *p = &m->places[c][b];

			if (p->mode == MODEL_FOLLOWING && next_of(m, p, b) >= 0)
				return true;
		}
	return false;
}
