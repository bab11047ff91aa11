#ifndef CLUSTERS_CATALOG_H
#define CLUSTERS_CATALOG_H

/* What is served, as of one moment: per cluster and bundle the bytes of the
 * assigned artifact, and the tokens that may ask for them. Immutable and
 * shared by reference: whoever serves takes a reference, looks things up,
 * and gives it back; a newer one is built aside and swapped in. Bytes are on a
 * shelf (clusters/shelf.h), checked against their digest when loaded, and shared
 * between catalogs, so that a file that vanishes later is no trouble. Any
 * thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clusters/engines.h"
#include "clusters/scope.h"
#include "clusters/shelf.h"
#include "clusters/store.h"

enum { CATALOG_ETAG_SIZE = 80 };

struct catalog;

struct catalog_entry {
	const char *cluster;
	const char *bundle;
	const char *revision; /* what engines see */
	const char *sha256;
	const char *etag;        /* with its quotes: "sha256:…" */
	struct shelf_item *item; /* its bytes */
	size_t size;
	int64_t serial;
	const char *content;      /* its content digest, before signing */
	struct engines_mark mark; /* of the ETag */
	int64_t at_ms; /* since when: of a discovery bundle, and of what came by
	                * following; 0: an operator decided */
	int64_t decided_ms; /* since when it is assigned */
};

struct catalog_token {
	char digest[STORE_DIGEST_SIZE]; /* SHA-256 of the token */
	const char *name;
	enum scope_role role;
	const char *cluster; /* an engine's; "": the scope tells which */
	struct scope scope;
	int64_t expires_ms; /* wall clock; 0: never. The caller compares. */
};

/* Loads what the store says now; s is a read-only store of the calling thread.
 * When that is what previous has, *out is a further reference to that.
 * previous may be NULL; artifacts on the shelf are not read again, and the shelf
 * outlives all catalogs and belongs to one thread's loading. An artifact that
 * is missing or damaged is logged, and its entry stays as it was in previous, or
 * is left out where there was none; all others are served. On success *out has one reference, the caller's. */
enum err_code catalog_load(struct catalog **out, struct store *s,
    struct shelf *shelf, struct catalog *previous, struct err *e) MUST_CHECK;

struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c); /* NULL is fine */
/* No other catalog of this process has, or had, the same. Never 0. */
uint64_t catalog_id(const struct catalog *c);

/* What these return lives as long as the caller's reference. */
const struct catalog_entry *catalog_find(const struct catalog *c,
    const char *cluster, const char *bundle); /* or NULL */
const struct catalog_token *catalog_token(const struct catalog *c,
    const char *digest); /* or NULL: unknown or revoked */

/* The entries of all clusters that have this bundle, sorted by cluster: a slice
 * of *count pointers. For a credential that may read every cluster. */
const struct catalog_entry *const *catalog_having(const struct catalog *c,
    const char *bundle, size_t *count);

/* What the cluster's engines get as their configuration, or NULL. Its bundle is
 * called discovery, its serial is 0, its revision and content are the same. */
const struct catalog_entry *catalog_discovery(const struct catalog *c,
    const char *cluster);

/* Is this the mark of any signed variant of what is assigned? */
bool catalog_is_content(const struct catalog *c,
    const struct catalog_entry *entry, const struct engines_mark *mark);

size_t catalog_count(const struct catalog *c); /* entries */
/* Entry number i, sorted by cluster and bundle. */
const struct catalog_entry *catalog_at(const struct catalog *c, size_t i);

/* Entries that had to be left out or to stay as they were, because what is
 * assigned cannot be read: not ready, and to be loaded again, while not 0. */
size_t catalog_missing(const struct catalog *c);

/* This is assigned (cluster "": anywhere), though there may be no entry. */
bool catalog_assigns(const struct catalog *c, const char *cluster,
    const char *bundle);

#endif
