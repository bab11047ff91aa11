#include "one_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct one_engine x;

struct engines_mark
one_mark(int n)
{
	char etag[80];

	(void)snprintf(etag, sizeof etag, "\"sha256:%064x\"", (unsigned)n);
	/* What differs has to be in the first half. */
	(void)snprintf(etag + 8, 33, "%032x", (unsigned)n);
	etag[40] = '0';
	return engines_mark(etag);
}

void
one_open(size_t max)
{
	memset(&x, 0, sizeof x);
	x.t = engines_new(max);
	x.p = (struct engines_poll){ .cluster = "prod",
		.bundle = "authz",
		.name = "host-1",
		.version = "1.19.1",
		.now_ms = START };
}

void
one_assign(int n, int64_t serial)
{
	x.p.assigned = one_mark(n);
	x.p.serial = serial;
}

void
one_ask(int n)
{
	x.has = one_mark(n);
	x.p.has = n != 0 ? &x.has : NULL;
	engines_poll(x.t, &x.p, &x.a);
}

bool
one_ask_and_get(int n)
{
	one_ask(n);
	if (!x.a.hold)
		engines_sent(x.t, &x.p, &x.ticket);
	return !x.a.hold;
}

void
one_take(const struct engines_view *v, void *arg)
{
	struct one_found *f = arg;

	f->engine = *v->engine;
	f->engines++;
	f->bundles += v->bundle_count;
	f->reports += v->report_count;
	if (v->bundle_count > 0)
		f->bundle = *v->bundles[0];
	if (v->report_count > 0)
		f->report = *v->reports[0];
}

struct one_found
one_look(void)
{
	struct one_found f = { 0 };

	engines_each(x.t, one_take, &f);
	return f;
}

enum engines_state
one_state(void)
{
	struct one_found f = one_look();

	assert_int_equal(f.engines, 1);
	return engines_state(&f.engine, &f.bundle,
	    engines_mark_same(&f.bundle.acked, &x.p.assigned), x.p.now_ms,
	    5 * MINUTE);
}
