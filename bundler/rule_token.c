#include "bundler/rule_token.h"

#include <string.h>

/* On the stack, beside brackets: a template string that goes on behind the
 * next "}". */
enum { TEMPLATE = '"', RAW_TEMPLATE = '`' };

static enum err_code
bad(const struct rule_scan *s, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s:%u: %s", s->name, s->line, what);
}

/* The byte at this distance, or NUL past the end. */
static char
peek(const struct rule_scan *s, size_t ahead)
{
	return ahead < s->len - s->at ? s->text[s->at + ahead] : '\0';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool
rule_token_is(const struct rule_token *t, const char *text)
{
	return strlen(text) == t->len && memcmp(t->text, text, t->len) == 0;
}

/* Blanks and comments; true when there were any. */
static bool
skip_blanks(struct rule_scan *s)
{
	size_t start = s->at;

	for (; s->at < s->len; s->at++) {
		char c = s->text[s->at];

		if (c == '#')
			while (s->at + 1 < s->len && s->text[s->at + 1] != '\n')
				s->at++;
		else if (c == '\n')
			s->line++;
		else if (c != ' ' && c != '\t' && c != '\r')
			break;
	}
	return s->at > start;
}

static enum err_code
push(struct rule_scan *s, char what, struct err *e)
{
	if (s->depth == RULE_DEPTH_MAX)
		return err_set(e, ERR_LIMIT,
		    "%s:%u: more than %d brackets deep", s->name, s->line,
		    RULE_DEPTH_MAX);
	s->stack[s->depth++] = what;
	return ERR_OK;
}

/* ---- strings ---- */

static enum err_code
scan_escape(struct rule_scan *s, bool template, struct err *e)
{
	static const char known[] = "\\\"/bfnrtu";
	char c = peek(s, 1);

	if (c == '\0' || (strchr(known, c) == NULL && !(template && c == '{')))
		return bad(s, "unknown escape in a string", e);
	s->at += 2;
	return ERR_OK;
}

static enum err_code
scan_string(struct rule_scan *s, struct err *e)
{
	s->at++;
	while (peek(s, 0) != '"') {
		if (s->at == s->len || s->text[s->at] == '\n')
			return bad(s, "the string does not end", e);
		if (s->text[s->at] == '\\')
			TRY(scan_escape(s, false, e));
		else
			s->at++;
	}
	s->at++;
	return ERR_OK;
}

static enum err_code
scan_raw(struct rule_scan *s, struct err *e)
{
	uint32_t line = s->line;

	for (s->at++; s->at < s->len; s->at++) {
		if (s->text[s->at] == '`') {
			s->at++;
			return ERR_OK;
		}
		s->line += s->text[s->at] == '\n';
	}
	s->line = line;
	return bad(s, "the raw string does not end", e);
}

/* Up to its end, or to the next expression; true: that. */
static enum err_code
scan_template(struct rule_scan *s, char quote, bool *more, struct err *e)
{
	for (;;) {
		char c = peek(s, 0);

		if (s->at == s->len || (c == '\n' && quote == TEMPLATE))
			return bad(s, "the template string does not end", e);
		if (c == '\\' && quote == TEMPLATE) {
			TRY(scan_escape(s, true, e));
			continue;
		}
		if (c == '\\' && peek(s, 1) == '{')
			s->at++;
		s->line += c == '\n';
		s->at++;
		*more = c == '{';
		if (c == quote || *more)
			return ERR_OK;
	}
}

static enum err_code
open_template(struct rule_token *t, struct rule_scan *s, struct err *e)
{
	char quote = peek(s, 1);
	bool more;

	if (quote != TEMPLATE && quote != RAW_TEMPLATE)
		return bad(s, "unexpected \"$\"", e);
	s->at += 2;
	TRY(scan_template(s, quote, &more, e));
	t->kind = more ? RULE_OPEN : RULE_TEXT;
	return more ? push(s, quote, e) : ERR_OK;
}

/* ---- all else ---- */

static void
skip_digits(struct rule_scan *s)
{
	while (is_digit(peek(s, 0)))
		s->at++;
}

/* What is no number is the engine's to refuse. */
static void
scan_number(struct rule_scan *s)
{
	skip_digits(s);
	if (peek(s, 0) == '.') {
		s->at++;
		skip_digits(s);
	}
	if (peek(s, 0) == 'e' || peek(s, 0) == 'E') {
		s->at++;
		if (peek(s, 0) == '+' || peek(s, 0) == '-')
			s->at++;
		skip_digits(s);
	}
	while (is_letter(peek(s, 0)) || is_digit(peek(s, 0)))
		s->at++;
}

static enum err_code
scan_close(struct rule_token *t, struct rule_scan *s, struct err *e)
{
	char c = s->text[s->at];
	char top = s->depth > 0 ? s->stack[s->depth - 1] : '\0';
	bool more = false;

	t->kind = RULE_CLOSE;
	s->at++;
	if (c == '}' && (top == TEMPLATE || top == RAW_TEMPLATE)) {
		TRY(scan_template(s, top, &more, e));
		t->kind = more ? RULE_MIDDLE : RULE_CLOSE;
	} else if ((c == ')' && top != '(') || (c == ']' && top != '[') ||
	    (c == '}' && top != '{')) {
		return bad(s, "a closing bracket that closes nothing", e);
	}
	s->depth -= more ? 0 : 1;
	return ERR_OK;
}

static enum err_code
scan_sign(struct rule_token *t, struct rule_scan *s, struct err *e)
{
	static const char signs[] = ",:+-*/%&|=<>!";
	char c = s->text[s->at];

	if (c == '\0' || strchr(signs, c) == NULL)
		return bad(s, "a character that Rego does not know", e);
	t->kind = RULE_OPERATOR;
	s->at += peek(s, 1) == '=' && strchr(":=<>!", c) != NULL ? 2 : 1;
	return ERR_OK;
}

static enum err_code
scan_token(struct rule_token *t, struct rule_scan *s, struct err *e)
{
	char c = s->text[s->at];

	if (is_letter(c)) {
		t->kind = RULE_WORD;
		while (is_letter(peek(s, 0)) || is_digit(peek(s, 0)))
			s->at++;
	} else if (is_digit(c)) {
		t->kind = RULE_NUMBER;
		scan_number(s);
	} else if (c == '"' || c == '`') {
		t->kind = RULE_TEXT;
		return c == '"' ? scan_string(s, e) : scan_raw(s, e);
	} else if (c == '$') {
		return open_template(t, s, e);
	} else if (c == '(' || c == '[' || c == '{') {
		t->kind = RULE_OPEN;
		s->at++;
		return push(s, c, e);
	} else if (c == ')' || c == ']' || c == '}') {
		return scan_close(t, s, e);
	} else if (c == '.' || c == ';') {
		t->kind = c == '.' ? RULE_DOT : RULE_SEMICOLON;
		s->at++;
	} else {
		return scan_sign(t, s, e);
	}
	return ERR_OK;
}

enum err_code
rule_token_next(struct rule_token *out, struct rule_scan *s, struct err *e)
{
	struct rule_token t = { .spaced = skip_blanks(s) };

	t.start = s->at;
	t.text = s->text + s->at;
	t.line = s->line;
	if (s->at < s->len)
		TRY(scan_token(&t, s, e));
	else if (s->depth > 0)
		return bad(s, "a bracket is not closed", e);
	t.len = s->at - t.start;
	t.named = peek(s, 0) == '.' && is_letter(peek(s, 1));
	t.tight = peek(s, 0) == '.' || peek(s, 0) == '[';
	*out = t;
	return ERR_OK;
}
