#ifndef BUNDLER_DATA_H
#define BUNDLER_DATA_H

/* Data files: which names count, how they are read, and the one canonical
 * data.json that a folder ships. Pure, any thread. */

#include "core/value.h"

enum data_kind { DATA_NONE, DATA_JSON, DATA_YAML };

/* data.json, data.yaml and data.yml, as OPA's bundles know them; all other
 * JSON and YAML files are no data to an engine. base has no slash. */
enum data_kind data_kind_of(const char *base);

/* Reads one. Errors begin with name and line. */
enum err_code data_read(struct document **out, enum data_kind kind,
    const char *name, const char *text, size_t len, struct err *e) MUST_CHECK;

/* No fewer values and keys than reading it would give, without the memory that
 * they take: some 70 bytes each, whatever the text has for it. */
size_t data_count_values(enum data_kind kind, const char *text, size_t len);

/* May it stand where it does? top: it lies at the bundle's root, where an
 * object is needed. */
enum err_code data_check(const struct document *d, const char *name, bool top,
    struct err *e) MUST_CHECK;

/* Refuses what Git LFS puts in a file's place, which may be good YAML. For any
 * file that goes into a bundle. */
enum err_code data_check_pointer(const char *name, const char *text, size_t len,
    struct err *e) MUST_CHECK;

/* Refuses texts that not all engines hash alike, with name, line and column:
 * those that hold a backspace or a form feed. Done by data_read. */
enum err_code data_check_texts(const struct value *v, const char *name,
    struct err *e) MUST_CHECK;

/* Appends the canonical form of values that layout_check found disjoint,
 * merged into one; count is at least 1. */
void data_write(struct buf *out, const struct value *const *values,
    size_t count);

/* Orders two keys by their bytes. */
int data_compare_keys(const struct value *a, const struct value *b);

#endif
