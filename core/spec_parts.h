#ifndef CORE_SPEC_PARTS_H
#define CORE_SPEC_PARTS_H

/* What reading, describing and releasing by a table share. Only core/spec*.c
 * needs this. */

#include "core/spec.h"

/* The place of one member in the struct. */
static inline void *
spec_field(void *into, const struct spec *s)
{
	return (char *)into + s->offset;
}

/* The entry that takes the key of a SPEC_MAP. */
static inline bool
spec_is_key_entry(const struct spec *s)
{
	return s->key[0] == '\0';
}

/* Lengthens the path of the faults by a name or an index; spec_path_pop takes
 * the length back. What does not fit is left away: line and column stay
 * right. */
size_t spec_path_push(struct spec_faults *f, const char *name);
size_t spec_path_push_index(struct spec_faults *f, size_t index);
void spec_path_pop(struct spec_faults *f, size_t len);

/* Numbers with their units. "16KiB": the largest unit that divides it. */
enum { SPEC_AMOUNT_SIZE = 32, SPEC_RANGE_SIZE = 80 };
void spec_amount_text(char out[SPEC_AMOUNT_SIZE], enum spec_kind kind,
    int64_t amount);
bool spec_amount_read(int64_t *out, const char *text, enum spec_kind kind)
    MUST_CHECK;
bool spec_has_range(const struct spec *s);
/* What a number may be, for messages and the reference: "1s to 1h". */
void spec_range_text(char out[SPEC_RANGE_SIZE], const struct spec *s);

/* "a, b or c" */
void spec_list_choices(struct buf *out, const char *const *choices,
    const char *quote);

/* Reads one member whose key is known. */
void spec_read_field(void *field, const struct value *v, const struct spec *s,
    struct spec_faults *f);

/* The fault for a key that is not in the table, with the one that was
 * probably meant. */
void spec_unknown_key(const struct spec *table, const struct value *key,
    struct spec_faults *f);

void spec_strings_clear(struct spec_strings *list);

#endif
