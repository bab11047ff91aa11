#ifndef CLUSTERS_SELECTOR_H
#define CLUSTERS_SELECTOR_H

/* Clusters by their labels: "env=prod,region!=us,team,!old". All terms have to
 * hold. key=value and key==value: the label is that. key!=value: it is another,
 * or there is none. key: there is one; !key: there is none. Spaces around terms
 * and signs do not count; a value may be empty, a key may not. Neither has one
 * of , = ! in it. What is parsed is immutable; any thread. */

#include <jansson.h>
#include <stdbool.h>

#include "clusters/scope.h"
#include "clusters/store.h"
#include "core/err.h"

enum { SELECTOR_SIZE_MAX = 1024, /* bytes */ SELECTOR_TERMS_MAX = 32 };

struct selector;

/* INVALID or LIMIT says what is wrong, and at which column. On success the
 * caller owns *out. */
enum err_code selector_parse(struct selector **out, const char *text,
    struct err *e) MUST_CHECK;
void selector_free(struct selector *s);
AUTO_FREE(selector)

/* labels is an object of texts. */
bool selector_fits(const struct selector *s, const json_t *labels);

/* The names of the clusters that a selector fits, as a sorted array, the
 * caller's. What lies outside of the scope (NULL: nothing) is as if it were not
 * there. bundle: only clusters that have it; NULL: all. NOT_FOUND when none is
 * left. */
enum err_code selector_clusters(json_t **out, struct store *s, const char *text,
    const struct scope *scope, const char *bundle, struct err *e) MUST_CHECK;

#endif
