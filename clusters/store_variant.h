#ifndef CLUSTERS_STORE_VARIANT_H
#define CLUSTERS_STORE_VARIANT_H

/* Signed variants of one content: the same unsigned file (content_sha256) with a
 * signature by another key each. One that is needed and not there is wanted: the
 * pipeline has it signed. Writes are steps inside a transaction of the caller's.
 * One thread at a time per store. */

#include "clusters/store_write.h"

/* NOT_FOUND: no such artifact. */
enum err_code store_get_artifact(struct store *s, const char *sha256,
    struct store_artifact *out, struct err *e) MUST_CHECK;

/* What this artifact's content is under a key, the newest; NOT_FOUND (without a
 * text): nobody has signed it with that. */
enum err_code store_find_variant(struct store *s,
    const struct store_artifact *a, const char *key, struct store_artifact *out,
    struct err *e) MUST_CHECK;

/* One that is wanted already stays as it is. */
enum err_code store_want_variant(struct store *s,
    const struct store_artifact *a, const char *key, int64_t at_ms,
    struct err *e) MUST_CHECK;
enum err_code store_has_variant(struct store *s, const struct store_artifact *a,
    const char *key, struct err *e) MUST_CHECK; /* it is wanted no more */
/* It could not be made: why. */
enum err_code store_variant_fault(struct store *s,
    const struct store_artifact *a, const char *key, const char *why,
    struct err *e) MUST_CHECK;
enum err_code store_forget_variants(struct store *s, const char *key,
    struct err *e) MUST_CHECK;

/* [{"artifact","key","at_ms","error"}], oldest first; the caller's. */
enum err_code store_variants_wanted(struct store *s, json_t **out,
    struct err *e) MUST_CHECK;

/* An operation that goes on when something is signed, and not by the pipeline;
 * the oldest of them above after; NOT_FOUND (without a text): none. */
enum err_code store_operation_unsigned(struct store *s, int64_t id,
    const char *resolved, struct err *e) MUST_CHECK;
enum err_code store_unsigned_operation(struct store *s, int64_t after,
    int64_t *id, struct err *e) MUST_CHECK;

/* How many assignments are of artifacts that this key signed. */
enum err_code store_count_signed(struct store *s, const char *key, int64_t *out,
    struct err *e) MUST_CHECK;

#endif
