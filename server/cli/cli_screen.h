#ifndef SERVER_CLI_SCREEN_H
#define SERVER_CLI_SCREEN_H

/* What a terminal makes of text: how many columns it takes, what fits, which
 * colours there are. Nothing that is printed through here can drive one: control
 * characters, and those that turn the direction of writing, become question
 * marks. What goes into a file or a pipe has no width and no colours. One
 * thread. */

#include <stdbool.h>
#include <stddef.h>

enum { SCREEN_LEAST = 40 };

/* Columns of the terminal, at least SCREEN_LEAST; SIZE_MAX where there is
 * none. */
size_t screen_width(void);

/* On a terminal that knows them, and unless NO_COLOR says not to. */
bool screen_has_colours(void);

enum screen_tint {
	TINT_NONE,
	TINT_GOOD,
	TINT_CARE, /* somebody should look, by and by */
	TINT_BAD,
	TINT_HEADING,
	TINT_FAINT
};
/* What to print before and after, "" without colours. */
const char *screen_tint(enum screen_tint tint);
const char *screen_plain(enum screen_tint tint);
/* For a word that stands for a state: "held", "failed", "converged". */
enum screen_tint screen_tint_of(const char *word);

/* A copy in which everything can be printed, on one line; mem_ memory. */
char *screen_clean(const char *text, size_t len);

/* Both are for clean text. Columns it takes: two for a wide character, none for
 * an accent that joins the one before. */
size_t screen_columns(const char *text);
/* Bytes of it that fit into so many columns. */
size_t screen_fit(const char *text, size_t columns);
/* The same, from its end: how many bytes to leave out at its beginning. */
size_t screen_fit_end(const char *text, size_t columns);

/* Prints text from column `at` on, each further line indented by `indent`,
 * broken between words where the terminal ends; newlines in it are kept. At most
 * `lines` of its own lines. Ends with a newline. NULL: nothing at all. */
void screen_text(const char *text, size_t at, size_t indent, int lines);

/* "label    text", a label of at most 8 characters. NULL: nothing at all. */
void screen_fact(const char *label, const char *text);

#endif
