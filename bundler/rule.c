#include "bundler/rule.h"

#include <string.h>

#include "bundler/rule_token.h"
#include "core/buf.h"
#include "core/canon.h"
#include "core/mem.h"
#include "core/utf8.h"

const char *
rule_kind_name(enum rule_kind kind)
{
	static const char *const names[] = { "value", "set", "object",
		"function", "import" };

	return names[kind];
}

void
rule_list_clear(struct rule_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		mem_free(l->items[i].name);
	mem_free(l->items);
	*l = (struct rule_list){ 0 };
}

/* ---- words ---- */

/* Keywords that Rego got later, and that old modules have to import. */
enum {
	LATER_IN = 1,
	LATER_EVERY = 2,
	LATER_CONTAINS = 4,
	LATER_IF = 8,
	LATER_V1 = 15, /* those above */
	LATER_AND = 16,
	LATER_OR = 32
};

enum word_role {
	WORD_PLAIN,
	WORD_INFIX,  /* stands between two terms */
	WORD_PREFIX, /* begins an expression */
	WORD_IF,
	WORD_CONTAINS,
	WORD_ELSE,
	WORD_DEFAULT,
	WORD_IMPORT,
	WORD_PACKAGE
};

static const struct word {
	const char *text;
	enum word_role role;
	unsigned int later; /* 0: always a keyword */
} words[] = {
	{ "as", WORD_INFIX, 0 },
	{ "with", WORD_INFIX, 0 },
	{ "in", WORD_INFIX, LATER_IN },
	{ "and", WORD_INFIX, LATER_AND },
	{ "or", WORD_INFIX, LATER_OR },
	{ "not", WORD_PREFIX, 0 },
	{ "some", WORD_PREFIX, 0 },
	{ "every", WORD_PREFIX, LATER_EVERY },
	{ "if", WORD_IF, LATER_IF },
	{ "contains", WORD_CONTAINS, LATER_CONTAINS },
	{ "else", WORD_ELSE, 0 },
	{ "default", WORD_DEFAULT, 0 },
	{ "import", WORD_IMPORT, 0 },
	{ "package", WORD_PACKAGE, 0 },
};
enum { WORDS = sizeof words / sizeof words[0] };

enum statement_kind {
	STATEMENT_NONE,
	STATEMENT_RULE,
	STATEMENT_IMPORT,
	STATEMENT_PACKAGE
};

/* The statement that is being read. A word can begin the next one only where
 * this one could end: outside brackets, behind a term. */
struct statement {
	enum statement_kind kind;
	bool is_default;
	bool after;    /* a term is complete; else one is expected */
	bool dotted;   /* the last token was "." */
	bool prefixed; /* the last token was "not" or the like */
	bool clause;   /* "if" or a body was seen since the head or "else" */
	bool contains, value, has_if, has_else;
	bool semicolon; /* seen and not yet written down */
	size_t tokens;
	size_t start, end;
	uint32_t line;
};

struct splitter {
	struct rule_scan scan;
	struct rule_list *out;
	size_t cap;
	unsigned int later; /* those that are keywords here */
	struct statement now;
	struct buf normal; /* its tokens, a NUL behind each */
};

static enum word_role
role_of(const struct splitter *s, const struct rule_token *t)
{
	if (t->kind != RULE_WORD)
		return WORD_PLAIN;
	for (size_t i = 0; i < WORDS; i++)
		if (rule_token_is(t, words[i].text) &&
		    (words[i].later == 0 || (words[i].later & s->later) != 0))
			return words[i].role;
	return WORD_PLAIN;
}

/* ---- names ---- */

struct head {
	struct buf name;
	size_t parts; /* behind the first word */
	bool varies;  /* a part is no constant */
	bool function;
};

static void
add_part(struct head *h, const char *text, size_t len)
{
	bool plain = len > 0 && (text[0] < '0' || text[0] > '9');

	for (size_t i = 0; plain && i < len; i++)
		plain = text[i] == '_' || (text[i] >= '0' && text[i] <= '9') ||
		    (text[i] >= 'a' && text[i] <= 'z') ||
		    (text[i] >= 'A' && text[i] <= 'Z');
	if (plain) {
		buf_add_char(&h->name, '.');
		buf_add(&h->name, text, len);
	} else {
		buf_add_char(&h->name, '[');
		canon_write_string(&h->name, text, len);
		buf_add_char(&h->name, ']');
	}
}

static enum err_code
add_text_part(struct head *h, const struct rule_scan *s,
    const struct rule_token *t, struct err *e)
{
	AUTO(document, d) = NULL;

	if (t->text[0] == '`') {
		for (size_t i = 1; i + 1 < t->len;) {
			size_t n = utf8_size(t->text + i, t->len - 1 - i);

			if (n == 0)
				return err_set(e, ERR_INVALID,
				    "%s:%u: a name is not UTF-8", s->name,
				    t->line);
			i += n;
		}
		add_part(h, t->text + 1, t->len - 2);
		return ERR_OK;
	}
	AUTO_STR where = mem_printf("%s:%u: a name", s->name, t->line);
	TRY(canon_read(&d, where, t->text, t->len, e));
	add_part(h, document_root(d)->text, document_root(d)->text_len);
	return ERR_OK;
}

static enum err_code
next_word(struct rule_token *t, struct rule_scan *s, struct err *e)
{
	TRY(rule_token_next(t, s, e));
	if (t->kind == RULE_WORD)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "%s:%u: expected a name", s->name,
	    t->line);
}

/* What is in brackets: a constant becomes part of the name. */
static enum err_code
read_bracket(struct head *h, struct rule_scan *s, struct err *e)
{
	size_t depth = s->depth;
	struct rule_token first, t;
	size_t count = 0;

	do {
		TRY(rule_token_next(&t, s, e));
		if (count++ == 0)
			first = t;
	} while (s->depth >= depth && t.kind != RULE_END);
	h->varies |= count != 2 || first.kind != RULE_TEXT ||
	    first.text[0] == '$';
	return h->varies ? ERR_OK : add_text_part(h, s, &first, e);
}

/* The parts of a reference, up to the first token that is none; *t is that. */
static enum err_code
read_ref(struct head *h, struct rule_scan *s, struct rule_token *t,
    struct err *e)
{
	TRY(next_word(t, s, e));
	buf_add(&h->name, t->text, t->len);
	for (;;) {
		TRY(rule_token_next(t, s, e));
		if (t->kind == RULE_DOT) {
			TRY(next_word(t, s, e));
			if (!h->varies)
				add_part(h, t->text, t->len);
		} else if (t->kind == RULE_OPEN && t->text[0] == '[') {
			TRY(read_bracket(h, s, e));
		} else {
			break;
		}
		h->parts++;
	}
	h->function = t->kind == RULE_OPEN && t->text[0] == '(';
	return buf_check(&h->name, "a rule's name", e);
}

static struct rule_scan
rescan(const struct splitter *s)
{
	return (struct rule_scan){
		.name = s->scan.name,
		.text = s->scan.text,
		.len = s->now.end,
		.at = s->now.start,
		.line = s->now.line,
	};
}

/* As parseRules of v1/ast/parser.go: p[x] and p.x with neither `if` nor a value
 * are sets called p. */
static enum err_code
name_rule(struct rule *r, const struct splitter *s, struct head *h,
    struct err *e)
{
	const struct statement *now = &s->now;
	struct rule_scan scan = rescan(s);
	struct rule_token t;

	if (now->is_default)
		TRY(rule_token_next(&t, &scan, e));
	TRY(read_ref(h, &scan, &t, e));
	if (now->contains) {
		r->kind = RULE_SET;
	} else if (h->function) {
		r->kind = RULE_FUNCTION;
	} else if (h->parts == 1 && !now->has_if && !now->value) {
		r->kind = RULE_SET;
		h->name.len = strcspn(h->name.data, ".[");
	} else {
		r->kind = h->varies ? RULE_OBJECT : RULE_VALUE;
	}
	return ERR_OK;
}

static void
import_keywords(struct splitter *s, const char *path)
{
	static const char future[] = "future.keywords";
	size_t len = strlen(future);

	if (strcmp(path, "rego.v1") == 0 || strcmp(path, future) == 0)
		s->later |= LATER_V1;
	if (strncmp(path, future, len) != 0 || path[len] != '.')
		return;
	for (size_t i = 0; i < WORDS; i++)
		if (strcmp(words[i].text, path + len + 1) == 0)
			s->later |= words[i].later;
	if ((s->later & LATER_EVERY) != 0)
		s->later |= LATER_IN;
}

static enum err_code
name_import(struct rule *r, struct splitter *s, struct head *h, struct err *e)
{
	struct rule_scan scan = rescan(s);
	struct rule_token t;

	r->kind = RULE_IMPORT;
	TRY(rule_token_next(&t, &scan, e));
	TRY(read_ref(h, &scan, &t, e));
	if (t.kind == RULE_WORD) {
		TRY(next_word(&t, &scan, e));
		buf_add_str(&h->name, " as ");
		buf_add(&h->name, t.text, t.len);
		return buf_check(&h->name, "an import's name", e);
	}
	import_keywords(s, h->name.data);
	return ERR_OK;
}

/* ---- statements ---- */

static enum err_code
add_rule(struct splitter *s, struct err *e)
{
	const struct statement *now = &s->now;
	struct rule r = {
		.is_default = now->is_default,
		.line = now->line,
		.start = now->start,
		.len = now->end - now->start,
	};
	struct head h = { 0 };
	enum err_code code;

	if (s->out->count == RULE_MODULE_MAX)
		return err_set(e, ERR_LIMIT, "%s:%u: more than %d rules",
		    s->scan.name, now->line, RULE_MODULE_MAX);
	buf_init(&h.name, RULE_NAME_MAX);
	code = now->kind == STATEMENT_RULE ? name_rule(&r, s, &h, e)
					   : name_import(&r, s, &h, e);
	if (code == ERR_OK) {
		r.name = mem_strndup(h.name.data, h.name.len);
		digest_hex(r.hash, s->normal.data, s->normal.len);
		if (s->out->count == s->cap) {
			s->cap = s->cap == 0 ? 16 : 2 * s->cap;
			s->out->items = mem_grow(s->out->items, s->cap,
			    sizeof *s->out->items);
		}
		s->out->items[s->out->count++] = r;
	}
	buf_clear(&h.name);
	return code;
}

static enum err_code
finish(struct splitter *s, struct err *e)
{
	enum err_code code = ERR_OK;

	if (s->now.kind == STATEMENT_RULE || s->now.kind == STATEMENT_IMPORT)
		code = add_rule(s, e);
	s->now = (struct statement){ 0 };
	buf_reset(&s->normal);
	return code;
}

static enum err_code
begin(struct splitter *s, const struct rule_token *t, struct err *e)
{
	enum word_role role = t->tight ? WORD_PLAIN : role_of(s, t);
	struct statement *now = &s->now;

	TRY(finish(s, e));
	if (t->kind != RULE_WORD)
		return err_set(e, ERR_INVALID, "%s:%u: expected a rule",
		    s->scan.name, t->line);
	now->kind = role == WORD_IMPORT ? STATEMENT_IMPORT
	    : role == WORD_PACKAGE      ? STATEMENT_PACKAGE
					: STATEMENT_RULE;
	now->is_default = role == WORD_DEFAULT;
	now->after = now->kind == STATEMENT_RULE && !now->is_default;
	now->start = t->start;
	now->line = t->line;
	return ERR_OK;
}

/* Behind a term and outside brackets: does the statement go on with it? */
static bool
goes_on(const struct splitter *s, const struct rule_token *t,
    enum word_role role)
{
	const struct statement *now = &s->now;
	bool head = !now->clause && !now->has_else;

	if (now->kind != STATEMENT_RULE)
		return rule_token_is(t, "as");
	switch (role) {
	case WORD_INFIX:
		return true;
	case WORD_IF:
		return !now->clause;
	case WORD_CONTAINS:
		return head && !now->contains && !now->value;
	case WORD_ELSE:
		return now->clause && !t->tight;
	default:
		return false;
	}
}

static void
go_on(struct statement *now, enum word_role role)
{
	now->after = role == WORD_ELSE;
	now->contains |= role == WORD_CONTAINS;
	if (role == WORD_IF) {
		now->has_if |= !now->has_else;
		now->clause = true;
	} else if (role == WORD_ELSE) {
		now->has_else = true;
		now->clause = false;
	}
}

static enum err_code
take_word(struct splitter *s, const struct rule_token *t, struct err *e)
{
	struct statement *now = &s->now;
	/* if.x and x.if are names. */
	enum word_role role = now->dotted || t->named ? WORD_PLAIN
						      : role_of(s, t);
	bool top = s->scan.depth == 0;
	bool prefix = role == WORD_PREFIX && !t->tight;

	now->prefixed = false;
	if (top && now->after && goes_on(s, t, role)) {
		go_on(now, role);
		now->prefixed = role == WORD_ELSE;
		return ERR_OK;
	}
	if (top && now->after)
		return begin(s, t, e);
	if (now->after && role == WORD_INFIX) {
		now->after = false;
		return ERR_OK;
	}
	now->after = !prefix;
	now->prefixed = prefix;
	return ERR_OK;
}

static void
take_open(struct statement *now, const struct rule_token *t, bool top)
{
	if (top && now->after && t->text[0] == '{')
		now->clause = true;
	now->after = false;
	now->prefixed = false;
}

static void
take_operator(struct statement *now, const struct rule_token *t, bool top)
{
	if (top && !now->clause && !now->has_else &&
	    (rule_token_is(t, ":=") || rule_token_is(t, "=")))
		now->value = true;
	now->after = false;
	now->prefixed = false;
}

/* Blanks before a bracket or a dot that could belong to what is before it make
 * a difference, but for a head's name and its first part. */
static bool
blank_counts(const struct statement *now, const struct rule_token *t)
{
	bool joins = t->kind == RULE_DOT ||
	    (t->kind == RULE_OPEN && (t->text[0] == '[' || t->text[0] == '('));

	if (!joins || !(t->spaced || now->semicolon))
		return false;
	if (now->kind == STATEMENT_RULE &&
	    now->tokens == (now->is_default ? 2 : 1))
		return false;
	return now->after || (now->prefixed && t->text[0] != '(');
}

static bool
semicolon_counts(const struct splitter *s, const struct rule_token *t)
{
	if (t->kind == RULE_WORD)
		return role_of(s, t) == WORD_INFIX && !t->named;
	return t->kind != RULE_NUMBER && t->kind != RULE_TEXT;
}

static void
write_down(struct splitter *s, const struct rule_token *t, bool blank)
{
	struct statement *now = &s->now;

	if (now->semicolon && semicolon_counts(s, t))
		buf_add(&s->normal, ";", 2);
	now->semicolon = false;
	if (blank)
		buf_add_char(&s->normal, ' ');
	buf_add(&s->normal, t->text, t->len);
	buf_add_char(&s->normal, '\0');
	now->tokens++;
	now->end = t->start + t->len;
}

static enum err_code
take(struct splitter *s, const struct rule_token *t, struct err *e)
{
	struct statement *now = &s->now;
	bool blank = blank_counts(now, t);
	/* A bracket that opens is inside itself. */
	bool top = s->scan.depth == (t->kind == RULE_OPEN ? 1 : 0);

	if (t->kind == RULE_SEMICOLON && s->scan.depth == 0)
		return finish(s, e);
	if (t->kind == RULE_SEMICOLON) {
		now->semicolon = true;
		now->after = false;
		return ERR_OK;
	}
	if (now->kind == STATEMENT_NONE)
		TRY(begin(s, t, e));
	else if (t->kind == RULE_WORD)
		TRY(take_word(s, t, e));
	else if (t->kind == RULE_OPEN)
		take_open(now, t, top);
	else if (t->kind == RULE_OPERATOR || t->kind == RULE_DOT ||
	    t->kind == RULE_MIDDLE)
		take_operator(now, t, top);
	else
		now->after = true;
	now->dotted = t->kind == RULE_DOT;
	write_down(s, t, blank);
	return ERR_OK;
}

static enum err_code
split(struct splitter *s, struct err *e)
{
	struct rule_token t;

	for (;;) {
		TRY(rule_token_next(&t, &s->scan, e));
		if (t.kind == RULE_END)
			return finish(s, e);
		TRY(take(s, &t, e));
	}
}

enum err_code
rule_read(struct rule_list *out, const char *name, const char *text, size_t len,
    int rego_version, struct err *e)
{
	static const char mark[] = "\xef\xbb\xbf";
	struct rule_list list = { 0 };
	struct splitter s = {
		.scan = { .name = name, .text = text, .len = len, .line = 1 },
		.out = &list,
		.later = rego_version == 0 ? 0 : LATER_V1,
	};
	enum err_code code;

	if (len >= 3 && memcmp(text, mark, 3) == 0)
		s.scan.at = 3;
	/* A token of one byte takes three: a blank, itself, a NUL; and a
	 * semicolon two. */
	buf_init(&s.normal, 3 * len + 3);
	code = split(&s, e);
	buf_clear(&s.normal);
	if (code != ERR_OK)
		rule_list_clear(&list);
	else
		*out = list;
	return code;
}
