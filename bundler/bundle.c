#include "bundler/bundle.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "bundler/plan.h"
#include "core/mem.h"

static void
source_clear(struct source *s)
{
	mem_free(s->path);
	mem_free(s->from);
	blob_unref(s->blob);
	blob_unref(s->before);
	mem_free(s->folder);
	mem_free(s->segments);
}

void
plan_sources_free(struct source *sources, size_t count)
{
	for (size_t i = 0; i < count; i++)
		source_clear(&sources[i]);
	mem_free(sources);
}

void
plan_clear(struct plan *p)
{
	plan_sources_free(p->sources, p->count);
	memory_free(p->memory);
	manifest_clear(&p->manifest);
	roots_clear(&p->roots);
	mem_free(p->rules);
	bundle_free(p->bundle);
}

void
bundle_free(struct bundle *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->count; i++) {
		if (i + BLOB_AHEAD < b->count)
			BLOB_SOON(b->files[i + BLOB_AHEAD].blob);
		mem_free(b->files[i].path);
		if (b->files[i].blob != NULL)
			blob_unref(b->files[i].blob);
		else
			mem_free(b->files[i].data);
	}
	for (size_t i = 0; i < b->root_count; i++)
		mem_free(b->roots[i]);
	mem_free(b->files);
	mem_free(b->roots);
	mem_free(b->name);
	mem_free(b);
}

static enum err_code
make(struct plan *p)
{
	memory_take(p);
	TRY(plan_choose(p));
	TRY(plan_read(p));
	TRY(plan_settle(p));
	TRY(plan_finish(p));
	memory_keep(p);
	return ERR_OK;
}

unsigned int
bundle_threads(unsigned int max)
{
	cpu_set_t set;
	unsigned int count = 1;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		count = (unsigned int)CPU_COUNT(&set);
	return count < max ? count : max;
}

enum err_code
bundle_plan(struct bundle **out, const struct tree *t,
    const struct definition_bundle *d, struct err *e)
{
	static const struct bundle_means alone = { .threads = 1 };

	return bundle_plan_with(out, t, d, &alone, e);
}

enum err_code
bundle_plan_with(struct bundle **out, const struct tree *t,
    const struct definition_bundle *d, const struct bundle_means *means,
    struct err *e)
{
	struct err unread;
	struct plan p = { .tree = t,
		.d = d,
		.means = means,
		.e = e != NULL ? e : &unread };
	enum err_code code;

	p.bundle = mem_zalloc(sizeof *p.bundle);
	p.bundle->name = mem_strdup(d->name);
	(void)snprintf(p.bundle->revision, sizeof p.bundle->revision, "%s",
	    t->commit.id);
	code = make(&p);
	if (code == ERR_OK)
		*out = STEAL(p.bundle);
	else
		err_add(e, "bundle %s", d->name);
	plan_clear(&p);
	return code;
}

struct jws_file *
bundle_jws_files(const struct bundle *b)
{
	struct jws_file *files = mem_array(b->count + 1, sizeof *files);

	for (size_t i = 0; i < b->count; i++)
		files[i] =
		    (struct jws_file){ b->files[i].path, b->files[i].hash };
	return files;
}
