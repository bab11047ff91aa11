/* All bundles of a definition. */

#include "bundler/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "bundler/plan.h"
#include "bundler/roots.h"
#include "core/mem.h"

void
bundle_set_clear(struct bundle_set *s)
{
	for (size_t i = 0; i < s->count; i++)
		bundle_free(s->bundles[i]);
	mem_free(s->bundles);
	*s = (struct bundle_set){ 0 };
}

static int
compare_name(const void *name, const void *bundle)
{
	return strcmp(name, (*(struct bundle *const *)bundle)->name);
}

/* A set is sorted by name, as definitions are. */
static const struct bundle *
find_bundle(const struct bundle_set *s, const char *name)
{
	struct bundle *const *found = NULL;

	if (s->count > 0)
		found = bsearch(name, s->bundles, s->count, sizeof *s->bundles,
		    compare_name);
	return found != NULL ? *found : NULL;
}

static struct root_owner *
list_owners(const struct bundle_set *s, const struct spec_strings *names,
    size_t *count)
{
	struct root_owner *list = NULL;

	*count = 0;
	for (size_t i = 0; i < names->count; i++) {
		const struct bundle *b = find_bundle(s, names->items[i]);

		if (b == NULL)
			continue;
		list = mem_grow(list, *count + b->root_count, sizeof *list);
		for (size_t k = 0; k < b->root_count; k++)
			list[(*count)++] =
			    (struct root_owner){ b->roots[k], b->name };
	}
	return list;
}

static enum err_code
check_cluster(const struct bundle_set *s, const struct definition_cluster *c,
    struct err *e)
{
	const struct root_owner *a, *b;
	size_t count;
	struct root_owner *list = list_owners(s, &c->bundles, &count);
	enum err_code code = ERR_OK;

	if (roots_clash(list, count, &a, &b))
		code = err_set(e, ERR_INVALID,
		    "cluster %s: bundles %s (root \"%s\") and %s (root "
		    "\"%s\") overlap; an engine refuses two bundles that own "
		    "the same path",
		    c->name, a->owner, a->root, b->owner, b->root);
	mem_free(list);
	return code;
}

enum err_code
bundle_set_check(const struct bundle_set *s, const struct definition *d,
    struct err *e)
{
	const struct definition_cluster *clusters = d->clusters.items;

	for (size_t i = 0; i < d->clusters.count; i++)
		TRY(check_cluster(s, &clusters[i], e));
	return ERR_OK;
}

static enum err_code
plan_set(struct bundle_set *s, const struct tree *t, const struct definition *d,
    const struct bundle_means *means, struct err *e)
{
	const struct definition_bundle *bundles = d->bundles.items;
	struct bundle_means left = *means;

	s->bundles = mem_array(d->bundles.count + 1, sizeof *s->bundles);
	for (; s->count < d->bundles.count; s->count++) {
		TRY(bundle_plan_with(&s->bundles[s->count], t,
		    &bundles[s->count], &left, e));
		plan_spend(&left, s->bundles[s->count]);
	}
	return bundle_set_check(s, d, e);
}

enum err_code
bundle_plan_all(struct bundle_set *out, const struct tree *t,
    const struct definition *d, struct err *e)
{
	static const struct bundle_means alone = { .threads = 1 };

	return bundle_plan_all_with(out, t, d, &alone, e);
}

enum err_code
bundle_plan_all_with(struct bundle_set *out, const struct tree *t,
    const struct definition *d, const struct bundle_means *means, struct err *e)
{
	struct bundle_set s = { 0 };
	enum err_code code = plan_set(&s, t, d, means, e);

	if (code != ERR_OK)
		bundle_set_clear(&s);
	else
		*out = s;
	return code;
}
