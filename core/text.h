#ifndef CORE_TEXT_H
#define CORE_TEXT_H

/* Small questions about text that several folders ask: names, ids and paths.
 * All of it ends with a NUL. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>

bool text_ends_with(const char *text, const char *end);

/* What a hex digit of either case stands for, or -1. */
int text_hex_digit(char c);

/* Exactly len lower-case hex digits? */
bool text_is_hex(const char *text, size_t len);

/* Characters by their number; strspn makes such a table of its second argument
 * at each call. */
struct text_set {
	bool has[256];
};
/* How many at the beginning are of the set, which has no NUL. */
size_t text_span(const char *text, const struct text_set *set);

/* Is this path equal to above, or below it, segment by segment? "a" holds "a"
 * and "a/b", not "ab"; "" holds everything. */
bool text_path_holds(const char *above, const char *path);

#endif
