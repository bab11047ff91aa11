#include "clusters/set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "signing/digest.h"

enum { SET_NAMES_MAX = 6, SET_NAMES_SIZE = 1024 };

static int
by_bundle(const void *a, const void *b)
{
	const struct set_part *x = a;
	const struct set_part *y = b;

	return strcmp(x->bundle, y->bundle);
}

static void
digest_parts(struct set *set)
{
	struct digest *d = digest_new();

	for (size_t i = 0; i < set->count; i++) {
		const struct set_part *p = &set->parts[i];

		digest_add_piece(d, p->bundle, strlen(p->bundle));
		digest_add_piece(d, p->content, strlen(p->content));
	}
	digest_end(d, set->digest);
}

enum err_code
set_of(struct set *out, const struct cluster_set *members, struct store *s,
    struct err *e)
{
	out->parts = mem_array(members->count, sizeof *out->parts);
	for (size_t i = 0; i < members->count; i++) {
		const struct cluster_member *m = &members->members[i];
		struct set_part *p = &out->parts[out->count];
		struct store_artifact found;

		if (m->absent)
			continue;
		TRY(store_has_content(s, m->now.bundle, m->now.content, &found,
		    e));
		p->bundle = m->now.bundle;
		p->content = m->now.content;
		memcpy(p->sha256, found.content_sha256, sizeof p->sha256);
		out->count++;
	}
	if (out->count > 1)
		qsort(out->parts, out->count, sizeof *out->parts, by_bundle);
	digest_parts(out);
	return ERR_OK;
}

void
set_clear(struct set *set)
{
	mem_free(set->parts);
	*set = (struct set){ 0 };
}

json_t *
set_json(const struct set *set)
{
	json_t *list = json_array();

	for (size_t i = 0; i < set->count; i++) {
		const struct set_part *p = &set->parts[i];

		(void)json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s}", "bundle", p->bundle, "content",
			p->content, "sha256", p->sha256));
	}
	return list;
}

char *
set_names(const struct set *set)
{
	struct buf text;
	char *out;

	buf_init(&text, SET_NAMES_SIZE);
	for (size_t i = 0; i < set->count && i < SET_NAMES_MAX; i++)
		buf_printf(&text, "%s%s",
		    i == 0                    ? ""
			: i + 1 == set->count ? " and "
					      : ", ",
		    set->parts[i].bundle);
	if (set->count > SET_NAMES_MAX)
		buf_printf(&text, " and %zu more", set->count - SET_NAMES_MAX);
	assert(buf_check(&text, "names", NULL) == ERR_OK);
	out = mem_strdup(text.data);
	buf_clear(&text);
	return out;
}
