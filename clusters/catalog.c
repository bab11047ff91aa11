#include "clusters/catalog.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "clusters/payload.h"
#include "clusters/store_discovery.h"
#include "clusters/store_view.h"
#include "core/buf.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/names.h"
#include "signing/digest.h"

/* The bytes of one artifact, shared by all catalogs that serve it. */
struct catalog_blob {
	_Atomic size_t refs;
	char sha256[STORE_DIGEST_SIZE];
	char etag[CATALOG_ETAG_SIZE];
	char *data;
	size_t size;
};

/* A catalog's hold on one of them. */
struct held_blob {
	struct catalog_blob *blob;
	UT_hash_handle hh;
};

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
	struct held_blob *blobs; /* uthash by sha256 */
};

static void
blob_unref(struct catalog_blob *b)
{
	if (atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	mem_free(b->data);
	mem_free(b);
}

static struct held_blob *
find_blob(const struct catalog *c, const char *sha256)
{
	struct held_blob *found = NULL;

	if (c != NULL)
		HASH_FIND(hh, c->blobs, sha256, STORE_DIGEST_SIZE - 1, found);
	return found;
}

/* Takes over the reference. */
static void
hold_blob(struct catalog *c, struct catalog_blob *b)
{
	struct held_blob *held = mem_zalloc(sizeof *held);

	held->blob = b;
	HASH_ADD_KEYPTR(hh, c->blobs, b->sha256, STORE_DIGEST_SIZE - 1, held);
}

static enum err_code
read_blob(struct catalog_blob **out, const char *data_dir, const char *sha256,
    int64_t size, struct err *e)
{
	AUTO_STR path = store_artifact_path(data_dir, sha256);
	AUTO_BUF bytes = { 0 };
	char digest[DIGEST_HEX_SIZE];
	struct catalog_blob *b;

	buf_init(&bytes,
	    size >= 0 && size <= CATALOG_ARTIFACT_MAX ? (size_t)size : 0);
	TRY(file_read(&bytes, path, e));
	digest_hex(digest, bytes.data, bytes.len);
	if (strcmp(digest, sha256) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s: its SHA-256 is %s; it is not served", path, digest);
	b = mem_zalloc(sizeof *b);
	atomic_init(&b->refs, 1);
	memcpy(b->sha256, digest, sizeof b->sha256);
	(void)snprintf(b->etag, sizeof b->etag, "\"sha256:%s\"", digest);
	b->data = buf_steal(&bytes, &b->size);
	*out = b;
	return ERR_OK;
}

/* From this catalog, else the one before, else the file. */
static enum err_code
get_blob(struct catalog *c, const struct catalog *previous,
    const char *data_dir, const char *sha256, int64_t size,
    const struct catalog_blob **out, struct err *e)
{
	const struct held_blob *held = find_blob(c, sha256);
	struct catalog_blob *b;

	if (held != NULL) {
		*out = held->blob;
		return ERR_OK;
	}
	held = find_blob(previous, sha256);
	if (held != NULL) {
		b = held->blob;
		atomic_fetch_add(&b->refs, 1);
	} else {
		TRY(read_blob(&b, data_dir, sha256, size, e));
	}
	hold_blob(c, b);
	*out = b;
	return ERR_OK;
}

static enum err_code
add_entry(struct catalog *c, struct entries *list, const json_t *row,
    const char *data_dir, const struct catalog *previous, struct err *e)
{
	const char *sha256 = payload_text(row, "sha256");
	const struct catalog_blob *blob;

	TRY(get_blob(c, previous, data_dir, sha256,
	    json_integer_value(json_object_get(row, "size")), &blob, e));
	list->items[list->count++] = (struct catalog_entry){
		.cluster = payload_text(row, "cluster"),
		.bundle = payload_text(row, "bundle"),
		.revision = payload_text(row, "revision"),
		.sha256 = blob->sha256,
		.etag = blob->etag,
		.data = blob->data,
		.size = blob->size,
		.serial = json_integer_value(json_object_get(row, "serial")),
		.content = payload_text(row, "content"),
		.mark = engines_mark(blob->etag),
		.at_ms = json_integer_value(json_object_get(row, "at_ms")),
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

/* What was served before is better than nothing: its bytes are in memory. NULL:
 * there was nothing. */
static json_t *
row_before(const struct entries *before, const json_t *row)
{
	const struct catalog_entry *entry = before == NULL
	    ? NULL
	    : find_in(before, payload_text(row, "cluster"),
		  payload_text(row, "bundle"));

	if (entry == NULL)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I}", "cluster",
	    entry->cluster, "bundle", entry->bundle, "revision",
	    entry->revision, "sha256", entry->sha256, "size",
	    (json_int_t)entry->size, "serial", (json_int_t)entry->serial,
	    "content", entry->content, "at_ms", (json_int_t)entry->at_ms);
}

/* Where things are read from. */
struct source {
	const char *data_dir;
	const struct catalog *previous;
	const struct entries *before; /* its list of the kind; NULL: none */
};

/* Everybody else goes on being served. */
static void
keep_before(struct catalog *c, struct entries *list, size_t i,
    const struct source *from)
{
	json_t *row = row_before(from->before, json_array_get(list->rows, i));
	struct err e;

	if (row == NULL)
		return;
	json_array_set_new(list->rows, i, row);
	if (add_entry(c, list, row, from->data_dir, from->previous, &e) !=
	    ERR_OK)
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

		if (add_entry(c, list, row, from->data_dir, from->previous,
			&why) == ERR_OK)
			continue;
		note_fault(c, row, from->previous, &why);
		keep_before(c, list, i, from);
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
catalog_load(struct catalog **out, struct store *s, const char *data_dir,
    struct catalog *previous, struct err *e)
{
	struct catalog *c = mem_zalloc(sizeof *c);
	enum err_code code;

	atomic_init(&c->refs, 1);
	c->faults = json_object();
	code = read_rows(c, s, e);
	if (code != ERR_OK || is_as_before(c, previous)) {
		catalog_unref(c);
		if (code == ERR_OK)
			*out = catalog_ref(previous);
		return code;
	}
	add_entries(c, &c->bundles,
	    &(struct source){ data_dir, previous,
		previous != NULL ? &previous->bundles : NULL });
	add_entries(c, &c->discoveries,
	    &(struct source){ data_dir, previous,
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

void
catalog_unref(struct catalog *c)
{
	struct held_blob *held, *next;

	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	HASH_ITER(hh, c->blobs, held, next) {
		HASH_DEL(c->blobs, held);
		blob_unref(held->blob);
		mem_free(held);
	}
	mem_free(c->bundles.items);
	mem_free(c->discoveries.items);
	mem_free(c->by_bundle);
	mem_free(c->tokens);
	mem_free(c->variants);
	json_decref(c->bundles.rows);
	json_decref(c->discoveries.rows);
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
