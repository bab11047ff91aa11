#ifndef CLUSTERS_STORE_DISCOVERY_H
#define CLUSTERS_STORE_DISCOVERY_H

/* Discovery bundles: the one that each cluster's engines get, and what the next
 * one is made from. Only the newest is known; its files are content-addressed
 * as those of bundles are. */

#include "clusters/store.h"

struct store_discovery_row {
	const char *cluster;
	const char *revision; /* the content digest */
	const char *sha256;   /* of the signed bytes */
	const char *content_sha256;
	const char *key_id;
	int64_t size, at_ms;
};

/* Inside a transaction of the ledger's. *changed false: it is known already. */
enum err_code store_put_discovery(struct store *s,
    const struct store_discovery_row *r, bool *changed, struct err *e)
    MUST_CHECK;

/* {"cluster","repository","bundle","key","discovery":null|revision,
 * "sha256","size"} of every assignment, sorted by cluster and bundle; a cluster
 * without any has one row if it has a discovery bundle, whose bundle is null. */
enum err_code store_view_discovery_inputs(struct store *s, json_t **out,
    struct err *e) MUST_CHECK;

/* For clusters/catalog.c: {"cluster","bundle": "discovery","revision","content",
 * "sha256","size","serial","at_ms"} of every cluster that has one. */
enum err_code store_view_discoveries(struct store *s, json_t **out,
    struct err *e) MUST_CHECK;

/* For people: {"revision","sha256","key","at"} of one cluster, or null. */
enum err_code store_view_discovery(struct store *s, const char *cluster,
    json_t **out, struct err *e) MUST_CHECK;

#endif
