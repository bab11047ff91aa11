#include "bundler/known.h"

#include <stdio.h>
#include <string.h>

#include "bundler/cache.h"
#include "bundler/plan.h"
#include "core/mem.h"

static void
add_place(struct digest *d, const struct tree *t, const char *path)
{
	const struct tree_entry *file = tree_find(t, path);
	char id[TREE_ID_SIZE];

	digest_add_piece(d, path, strlen(path));
	if (tree_folder_id(t, path, id))
		digest_add_piece(d, id, strlen(id));
	else if (file != NULL)
		digest_add_piece(d, file->id, strlen(file->id));
	else
		digest_add_piece(d, "", 0);
}

bool
known_key(char out[DIGEST_HEX_SIZE], const struct tree *t,
    const struct definition_bundle *b)
{
	const struct definition_path *paths = b->paths.items;
	char root[TREE_ID_SIZE];
	struct digest *d;

	/* With the root's id known, what has none is not there. */
	if (!tree_folder_id(t, "", root) || definition_is_compiled(b))
		return false;
	d = digest_new();
	add_place(d, t, DEFINITION_FILE);
	digest_add_piece(d, b->name, strlen(b->name));
	for (size_t i = 0; i < b->paths.count; i++)
		add_place(d, t, paths[i].from);
	if (b->paths.count == 0)
		add_place(d, t, "");
	digest_end(d, out);
	return true;
}

/* All but its files. */
static struct bundle *
copy_facts(const struct bundle *b)
{
	struct bundle *copy = mem_zalloc(sizeof *copy);

	copy->name = mem_strdup(b->name);
	memcpy(copy->revision, b->revision, sizeof copy->revision);
	memcpy(copy->content, b->content, sizeof copy->content);
	copy->rego_version = b->rego_version;
	copy->policies = b->policies;
	copy->unpacked = b->unpacked;
	copy->documents = b->documents;
	copy->root_count = b->root_count;
	copy->roots = mem_array(b->root_count + 1, sizeof *copy->roots);
	for (size_t i = 0; i < b->root_count; i++)
		copy->roots[i] = mem_strdup(b->roots[i]);
	return copy;
}

static struct bundle *
find(const struct tree *t, struct bundle_cache *cache, const char *key)
{
	const struct bundle *facts = cache_facts(cache, key);
	struct bundle *b;

	if (facts == NULL)
		return NULL;
	b = copy_facts(facts);
	(void)snprintf(b->revision, sizeof b->revision, "%s", t->commit.id);
	return b;
}

static enum err_code
plan_one(struct bundle **out, size_t *planned, const struct tree *t,
    const struct definition_bundle *d, const struct bundle_means *means,
    struct err *e)
{
	char key[DIGEST_HEX_SIZE];
	bool can = means->cache != NULL && known_key(key, t, d);

	*out = can ? find(t, means->cache, key) : NULL;
	if (*out != NULL)
		return ERR_OK;
	TRY(bundle_plan_with(out, t, d, means, e));
	(*planned)++;
	if (can)
		cache_add_facts(means->cache, key, copy_facts(*out));
	return ERR_OK;
}

static enum err_code
plan_set(struct bundle_set *s, size_t *planned, const struct tree *t,
    const struct definition *d, const struct bundle_means *means, struct err *e)
{
	const struct definition_bundle *bundles = d->bundles.items;
	struct bundle_means left = *means;

	s->bundles = mem_array(d->bundles.count + 1, sizeof *s->bundles);
	if (means->cache != NULL)
		cache_begin(means->cache);
	for (; s->count < d->bundles.count; s->count++) {
		TRY(plan_one(&s->bundles[s->count], planned, t,
		    &bundles[s->count], &left, e));
		plan_spend(&left, s->bundles[s->count]);
	}
	return bundle_set_check(s, d, e);
}

enum err_code
known_plan_all(struct bundle_set *out, size_t *planned, const struct tree *t,
    const struct definition *d, const struct bundle_means *means, struct err *e)
{
	struct bundle_set s = { 0 };
	enum err_code code;

	*planned = 0;
	code = plan_set(&s, planned, t, d, means, e);
	if (code != ERR_OK)
		bundle_set_clear(&s);
	else
		*out = s;
	return code;
}

bool
known_is_bare(const struct bundle *b)
{
	return b->files == NULL;
}
