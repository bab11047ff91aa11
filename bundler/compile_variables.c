#include "bundler/compile_variables.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "bundler/rule_token.h"
#include "core/mem.h"

/* Digits of a number that could ever be reached by counting. */
enum { DIGITS_MAX = 18 };

/* ---- words ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
	return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

/* "__local3__", "__local3__12". */
static bool
is_local(const char *word, size_t len)
{
	static const char prefix[] = "__local";
	size_t i = sizeof prefix - 1;

	if (len < sizeof prefix || memcmp(word, prefix, i) != 0 ||
	    !is_digit(word[i]))
		return false;
	while (i < len && is_digit(word[i]))
		i++;
	if (len < i + 2 || word[i] != '_' || word[i + 1] != '_')
		return false;
	for (i += 2; i < len; i++) {
		if (!is_digit(word[i]))
			return false;
	}
	return true;
}

/* base64.encode( is a call though its first word looks like a variable. */
static bool
is_called(const char *text, size_t len, size_t at)
{
	while (at + 1 < len && text[at] == '.' && is_word(text[at + 1])) {
		at++;
		while (at < len && is_word(text[at]))
			at++;
	}
	return at < len && text[at] == '(';
}

/* The one word of a function's name that ends in a digit and stands alone: it
 * need not be called, behind `with` and `as`. A variable of this name keeps it. */
static bool
is_builtin(const char *word, size_t len)
{
	return len == 6 && memcmp(word, "base64", 6) == 0;
}

/* ---- variables ---- */

struct variable {
	uint64_t number;
	UT_hash_handle hh; /* by its name, in the text */
};

struct renaming {
	const char *text;
	size_t len;
	uint64_t first;
	struct variable *seen;
	bool headed;    /* the rule's name has passed */
	bool after_dot; /* what comes is a member */
};

bool
compile_pass_head(bool *headed, const char *word, size_t len)
{
	bool passed = *headed;

	*headed = passed || len != 7 || memcmp(word, "default", 7) != 0;
	return passed;
}

static bool
is_variable(struct renaming *r, const struct rule_token *t)
{
	const char *word = r->text + t->start;
	bool member = r->after_dot;

	r->after_dot = t->kind == RULE_DOT;
	if (t->kind != RULE_WORD ||
	    !compile_pass_head(&r->headed, word, t->len))
		return false;
	/* Whatever a member of input or data is called, it is called so. */
	if (member || is_builtin(word, t->len))
		return false;
	return is_local(word, t->len) ||
	    (is_digit(word[t->len - 1]) &&
		!is_called(r->text, r->len, t->start + t->len));
}

static enum err_code
number_of(uint64_t *out, struct renaming *r, const struct rule_token *t,
    const char *name, struct err *e)
{
	const char *word = r->text + t->start;
	struct variable *v;

	HASH_FIND(hh, r->seen, word, t->len, v);
	if (v == NULL) {
		if (HASH_COUNT(r->seen) == COMPILE_VARIABLES_MAX)
			return err_set(e, ERR_LIMIT,
			    "%s: opa build made a rule of more than %d "
			    "variables; give the rule less data to work out "
			    "beforehand, or leave compile.optimize out",
			    name, COMPILE_VARIABLES_MAX);
		v = mem_alloc(sizeof *v);
		v->number = r->first + HASH_COUNT(r->seen);
		HASH_ADD_KEYPTR(hh, r->seen, word, t->len, v);
	}
	*out = v->number;
	return ERR_OK;
}

static void
renaming_clear(struct renaming *r)
{
	struct variable *v, *next;

	HASH_ITER(hh, r->seen, v, next) {
		HASH_DEL(r->seen, v);
		mem_free(v);
	}
}

static enum err_code
write_renamed(struct buf *out, struct renaming *r, const char *name,
    struct err *e)
{
	struct rule_scan *s = mem_zalloc(sizeof *s);
	struct rule_token t;
	enum err_code code;
	size_t done = 0;

	*s = (struct rule_scan){ .name = name,
		.text = r->text,
		.len = r->len,
		.line = 1 };
	while ((code = rule_token_next(&t, s, e)) == ERR_OK &&
	    t.kind != RULE_END) {
		uint64_t number;

		if (!is_variable(r, &t))
			continue;
		code = number_of(&number, r, &t, name, e);
		if (code != ERR_OK)
			break;
		buf_add(out, r->text + done, t.start - done);
		buf_printf(out, "__local%" PRIu64 "__", number);
		done = t.start + t.len;
	}
	buf_add(out, r->text + done, r->len - done);
	mem_free(s);
	return code;
}

enum err_code
compile_count_variables(struct buf *out, const char *rule, size_t len,
    uint64_t first, const char *name, struct err *e)
{
	struct renaming r = { .text = rule, .len = len, .first = first };
	enum err_code code = write_renamed(out, &r, name, e);

	renaming_clear(&r);
	return code;
}

/* ---- names of others ---- */

static void
pass_name(uint64_t *first, const char *word, size_t len)
{
	size_t digits = 0;
	uint64_t number = 0;

	if (!is_local(word, len))
		return;
	for (const char *s = word + 7; is_digit(*s); s++) {
		if (++digits > DIGITS_MAX)
			return;
		number = number * 10 + (uint64_t)(*s - '0');
	}
	if (number >= *first)
		*first = number + 1;
}

void
compile_pass_names(uint64_t *first, const char *text, size_t len, bool one_word)
{
	for (size_t i = 0; i < len;) {
		size_t end = i;

		while (end < len && is_word(text[end]))
			end++;
		pass_name(first, text + i, end - i);
		if (one_word)
			return;
		i = end > i ? end : i + 1;
	}
}
