#include "server/conf/conf_state.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/clock.h"

enum { READ_TRIES = 1000 };

/* Odd while it is written. */
struct conf_state {
	atomic_uint version;
	struct conf_state_view view;
};

struct conf_state *
conf_state_new(void)
{
	struct conf_state *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		abort();
	conf_state_loaded(s, "");
	return s;
}

void
conf_state_free(struct conf_state *s)
{
	if (s != NULL)
		(void)munmap(s, sizeof *s);
}

void
conf_state_seal(struct conf_state *s)
{
	(void)mprotect(s, sizeof *s, PROT_READ);
}

static void
put(struct conf_state *s, const struct conf_state_view *v)
{
	atomic_fetch_add(&s->version, 1);
	s->view = *v;
	atomic_fetch_add(&s->version, 1);
}

void
conf_state_loaded(struct conf_state *s, const char *pending)
{
	struct conf_state_view v = { .loaded_ms = clock_now_ms() };

	(void)snprintf(v.pending, sizeof v.pending, "%s", pending);
	put(s, &v);
}

void
conf_state_refused(struct conf_state *s, const char *fault)
{
	struct conf_state_view v = s->view;

	v.refused_ms = clock_now_ms();
	(void)snprintf(v.fault, sizeof v.fault, "%s", fault);
	put(s, &v);
}

void
conf_state_failed(struct conf_state *s, const char *failure)
{
	struct conf_state_view v = s->view;

	if (v.failed_ms == 0)
		v.failed_ms = clock_now_ms();
	(void)snprintf(v.failure, sizeof v.failure, "%s", failure);
	put(s, &v);
}

void
conf_state_holds(struct conf_state *s)
{
	struct conf_state_view v = s->view;

	v.failed_ms = 0;
	v.failure[0] = '\0';
	put(s, &v);
}

void
conf_state_unchanged(struct conf_state *s, const char *pending)
{
	struct conf_state_view v = s->view;

	v.refused_ms = 0;
	v.fault[0] = '\0';
	(void)snprintf(v.pending, sizeof v.pending, "%s", pending);
	put(s, &v);
}

/* Who reads in the middle of it reads again; a writer that was killed there
 * leaves nobody to read for. */
void
conf_state_read(const struct conf_state *s, struct conf_state_view *out)
{
	for (int i = 0; i < READ_TRIES; i++) {
		unsigned int before = atomic_load(&s->version);

		memcpy(out, &s->view, sizeof *out);
		atomic_thread_fence(memory_order_acquire);
		if (before % 2 == 0 && atomic_load(&s->version) == before)
			break;
	}
	out->fault[sizeof out->fault - 1] = '\0';
	out->failure[sizeof out->failure - 1] = '\0';
	out->pending[sizeof out->pending - 1] = '\0';
}
