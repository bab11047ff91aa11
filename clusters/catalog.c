#include "clusters/catalog.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_discovery.h"
#include "clusters/store_view.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/names.h"

/* One of the artifacts that have the content of an assignment. */
struct variant {
	const char *bundle, *content;
	struct engines_mark mark;
};

/* What is served of one kind: bundles, or discovery bundles. */
struct entries {
	json_t *rows;                /* the texts that items point into */
	struct catalog_entry *items; /* sorted by cluster, bundle */
	size_t count;
};

struct catalog {
	_Atomic size_t refs;
	uint64_t id;
	json_t *tokens_rows;
	json_t *variants_rows;
	struct entries bundles, discoveries;
	const struct catalog_entry **by_bundle; /* of bundles, by bundle,
	                                         * cluster */
	json_t *faults; /* cluster/bundle → SHA-256 of what cannot be read */
	struct catalog_token *tokens; /* sorted by digest */
	size_t token_count;
	struct variant *variants; /* sorted by bundle, content */
	size_t variant_count;
};

static enum err_code
add_entry(struct entries *list, const json_t *row, struct shelf *shelf,
    struct err *e)
{
	struct shelf_item *item;

	TRY(shelf_take(&item, shelf, payload_text(row, "sha256"),
	    json_integer_value(json_object_get(row, "size")), e));
	list->items[list->count++] = (struct catalog_entry){
		.cluster = payload_text(row, "cluster"),
		.bundle = payload_text(row, "bundle"),
		.revision = payload_text(row, "revision"),
		.sha256 = shelf_sha256(item),
		.etag = shelf_etag(item),
		.item = item,
		.size = shelf_size(item),
		.serial = json_integer_value(json_object_get(row, "serial")),
		.content = payload_text(row, "content"),
		.mark = engines_mark(shelf_etag(item)),
		.at_ms = json_integer_value(json_object_get(row, "at_ms")),
		.decided_ms =
		    json_integer_value(json_object_get(row, "decided_ms")),
	};
	return ERR_OK;
}

static int
by_bundle(const void *a, const void *b)
{
	const struct catalog_entry *const *x = a;
	const struct catalog_entry *const *y = b;
	int order = strcmp((*x)->bundle, (*y)->bundle);

	return order != 0 ? order : strcmp((*x)->cluster, (*y)->cluster);
}

/* Said once per artifact, however often it is tried. */
static void
note_fault(struct catalog *c, const json_t *row, const struct catalog *previous,
    const struct err *why)
{
	const char *cluster = payload_text(row, "cluster");
	const char *bundle = payload_text(row, "bundle");
	const char *sha256 = payload_text(row, "sha256");
	AUTO_STR key = mem_printf("%s/%s", cluster, bundle);
	const char *known = previous == NULL
	    ? NULL
	    : json_string_value(json_object_get(previous->faults, key));

	json_object_set_new(c->faults, key, json_string(sha256));
	if (known == NULL || strcmp(known, sha256) != 0)
		log_error("catalog.missing", "cluster=%s bundle=%s error=%s",
		    cluster, bundle, why->text);
}

static int
find_entry(const void *key, const void *item)
{
	const struct catalog_entry *k = key;
	const struct catalog_entry *i = item;
	int order = strcmp(k->cluster, i->cluster);

	return order != 0 ? order : strcmp(k->bundle, i->bundle);
}

static const struct catalog_entry *
find_in(const struct entries *list, const char *cluster, const char *bundle)
{
	struct catalog_entry key = { .cluster = cluster, .bundle = bundle };

	if (list->count == 0)
		return NULL;
	return bsearch(&key, list->items, list->count, sizeof key, find_entry);
}

/* What was served before is better than nothing: its bytes are on the shelf.
 * NULL: there was nothing. */
static json_t *
row_before(const struct entries *before, const json_t *row)
{
	const struct catalog_entry *entry = before == NULL
	    ? NULL
	    : find_in(before, payload_text(row, "cluster"),
		  payload_text(row, "bundle"));

	if (entry == NULL)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I}",
	    "cluster", entry->cluster, "bundle", entry->bundle, "revision",
	    entry->revision, "sha256", entry->sha256, "size",
	    (json_int_t)entry->size, "serial", (json_int_t)entry->serial,
	    "content", entry->content, "at_ms", (json_int_t)entry->at_ms,
	    "decided_ms", (json_int_t)entry->decided_ms);
}

/* Where things are read from. */
struct source {
	struct shelf *shelf;
	const struct catalog *previous;
	const struct entries *before; /* its list of the kind; NULL: none */
};

/* Everybody else goes on being served. */
static void
keep_before(struct entries *list, size_t i, const struct source *from)
{
	json_t *row = row_before(from->before, json_array_get(list->rows, i));
	struct err e;

	if (row == NULL)
		return;
	json_array_set_new(list->rows, i, row);
	if (add_entry(list, row, from->shelf, &e) != ERR_OK)
		log_error("catalog.lost", "error=%s", e.text);
}

static void
add_entries(struct catalog *c, struct entries *list, const struct source *from)
{
	size_t i;
	json_t *row;

	list->items =
	    mem_array(json_array_size(list->rows), sizeof *list->items);
	json_array_foreach(list->rows, i, row) {
		struct err why;

		if (add_entry(list, row, from->shelf, &why) == ERR_OK)
			continue;
		note_fault(c, row, from->previous, &why);
		keep_before(list, i, from);
	}
}

static void
sort_by_bundle(struct catalog *c)
{
	size_t count = c->bundles.count;

	c->by_bundle = mem_array(count, sizeof *c->by_bundle);
	for (size_t i = 0; i < count; i++)
		c->by_bundle[i] = &c->bundles.items[i];
	if (count > 1)
		qsort(c->by_bundle, count, sizeof *c->by_bundle, by_bundle);
}

static void
add_tokens(struct catalog *c)
{
	size_t i;
	json_t *row;

	c->tokens =
	    mem_array(json_array_size(c->tokens_rows), sizeof *c->tokens);
	json_array_foreach(c->tokens_rows, i, row) {
		struct catalog_token *t = &c->tokens[c->token_count];

		/* A role that this program does not know may do nothing. */
		if (!scope_role_parse(&t->role, payload_text(row, "role")))
			continue;
		c->token_count++;
		(void)snprintf(t->digest, sizeof t->digest, "%s",
		    payload_text(row, "digest"));
		t->name = payload_text(row, "name");
		t->scope.clusters = json_object_get(row, "clusters");
		t->scope.bundles = json_object_get(row, "bundles");
		t->cluster = scope_only(t->scope.clusters);
		if (t->cluster == NULL)
			t->cluster = "";
		t->expires_ms =
		    json_integer_value(json_object_get(row, "expires_ms"));
	}
}

static int
by_content(const void *a, const void *b)
{
	const struct variant *x = a;
	const struct variant *y = b;
	int order = strcmp(x->bundle, y->bundle);

	return order != 0 ? order : strcmp(x->content, y->content);
}

static void
add_variants(struct catalog *c)
{
	size_t count = json_array_size(c->variants_rows);
	size_t i;
	json_t *row;

	c->variants = mem_array(count, sizeof *c->variants);
	json_array_foreach(c->variants_rows, i, row) {
		struct variant *v = &c->variants[c->variant_count];

		v->bundle = payload_text(row, "bundle");
		v->content = payload_text(row, "content");
		if (engines_mark_read(&v->mark, payload_text(row, "sha256")))
			c->variant_count++;
	}
	if (c->variant_count > 1)
		qsort(c->variants, c->variant_count, sizeof *c->variants,
		    by_content);
}

static enum err_code
read_rows(struct catalog *c, struct store *s, struct err *e)
{
	enum err_code code = store_snapshot_begin(s, e);

	if (code == ERR_OK)
		code = store_view_served(s, &c->bundles.rows, e);
	if (code == ERR_OK)
		code = store_view_discoveries(s, &c->discoveries.rows, e);
	if (code == ERR_OK)
		code = store_view_variants(s, &c->variants_rows, e);
	if (code == ERR_OK)
		code = store_view_tokens(s, &c->tokens_rows, e);
	store_snapshot_end(s);
	return code;
}

/* Most of what is written to the database changes nothing here. */
static bool
is_as_before(const struct catalog *c, const struct catalog *previous)
{
	return previous != NULL && catalog_missing(previous) == 0 &&
	    json_equal(c->bundles.rows, previous->bundles.rows) &&
	    json_equal(c->discoveries.rows, previous->discoveries.rows) &&
	    json_equal(c->variants_rows, previous->variants_rows) &&
	    json_equal(c->tokens_rows, previous->tokens_rows);
}

enum err_code
catalog_load(struct catalog **out, struct store *s, struct shelf *shelf,
    struct catalog *previous, struct err *e)
{
	static _Atomic uint64_t ids;
	struct catalog *c = mem_zalloc(sizeof *c);
	enum err_code code;

	atomic_init(&c->refs, 1);
	c->id = atomic_fetch_add(&ids, 1) + 1;
	c->faults = json_object();
	code = read_rows(c, s, e);
	if (code != ERR_OK || is_as_before(c, previous)) {
		catalog_unref(c);
		if (code == ERR_OK)
			*out = catalog_ref(previous);
		return code;
	}
	add_entries(c, &c->bundles,
	    &(struct source){ shelf, previous,
		previous != NULL ? &previous->bundles : NULL });
	add_entries(c, &c->discoveries,
	    &(struct source){ shelf, previous,
		previous != NULL ? &previous->discoveries : NULL });
	sort_by_bundle(c);
	add_tokens(c);
	add_variants(c);
	*out = c;
	return ERR_OK;
}

struct catalog *
catalog_ref(struct catalog *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

static void
clear_entries(struct entries *list)
{
	for (size_t i = 0; i < list->count; i++)
		shelf_item_unref(list->items[i].item);
	mem_free(list->items);
	json_decref(list->rows);
}

uint64_t
catalog_id(const struct catalog *c)
{
	return c->id;
}

void
catalog_unref(struct catalog *c)
{
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	clear_entries(&c->bundles);
	clear_entries(&c->discoveries);
	mem_free(c->by_bundle);
	mem_free(c->tokens);
	mem_free(c->variants);
	json_decref(c->faults);
	json_decref(c->tokens_rows);
	json_decref(c->variants_rows);
	mem_free(c);
}

const struct catalog_entry *
catalog_find(const struct catalog *c, const char *cluster, const char *bundle)
{
	return find_in(&c->bundles, cluster, bundle);
}

const struct catalog_entry *
catalog_discovery(const struct catalog *c, const char *cluster)
{
	return find_in(&c->discoveries, cluster, DISCOVERY_NAME);
}

static int
find_token(const void *key, const void *item)
{
	const struct catalog_token *t = item;

	return strcmp(key, t->digest);
}

const struct catalog_token *
catalog_token(const struct catalog *c, const char *digest)
{
	if (c->token_count == 0)
		return NULL;
	return bsearch(digest, c->tokens, c->token_count, sizeof *c->tokens,
	    find_token);
}

/* The first entry, in the order of bundles, that is not before this one. */
static size_t
lower_bound(const struct catalog *c, const char *bundle)
{
	size_t low = 0;
	size_t high = c->bundles.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(c->by_bundle[middle]->bundle, bundle) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct catalog_entry *const *
catalog_having(const struct catalog *c, const char *bundle, size_t *count)
{
	size_t first = lower_bound(c, bundle);
	size_t end = first;

	while (end < c->bundles.count &&
	    strcmp(c->by_bundle[end]->bundle, bundle) == 0)
		end++;
	*count = end - first;
	return c->by_bundle + first;
}

bool
catalog_is_content(const struct catalog *c, const struct catalog_entry *entry,
    const struct engines_mark *mark)
{
	struct variant key = { entry->bundle, entry->content, *mark };
	const struct variant *v;

	if (engines_mark_same(&entry->mark, mark))
		return true;
	v = c->variant_count == 0 ? NULL
				  : bsearch(&key, c->variants, c->variant_count,
					sizeof key, by_content);
	if (v == NULL)
		return false;
	while (v > c->variants && by_content(&key, v - 1) == 0)
		v--;
	for (; v < c->variants + c->variant_count && by_content(&key, v) == 0;
	     v++)
		if (engines_mark_same(&v->mark, mark))
			return true;
	return false;
}

const struct catalog_entry *
catalog_at(const struct catalog *c, size_t i)
{
	return &c->bundles.items[i];
}

size_t
catalog_count(const struct catalog *c)
{
	return c->bundles.count;
}

size_t
catalog_missing(const struct catalog *c)
{
	return json_object_size(c->faults);
}

bool
catalog_assigns(const struct catalog *c, const char *cluster,
    const char *bundle)
{
	size_t i;
	json_t *row;

	json_array_foreach(c->bundles.rows, i, row) {
		if (strcmp(payload_text(row, "bundle"), bundle) == 0 &&
		    (*cluster == '\0' ||
			strcmp(payload_text(row, "cluster"), cluster) == 0))
			return true;
	}
	return false;
}
