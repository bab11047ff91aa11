#ifndef BUNDLER_RULE_TOKEN_H
#define BUNDLER_RULE_TOKEN_H

/* Rego's tokens, as OPA's scanner makes them (v1/ast/internal/scanner), for
 * rule.c. Brackets are matched on the way, because the braces of a template
 * string can be told from others only so. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bundler/rule.h"
#include "core/err.h"

enum rule_token_kind {
	RULE_END,
	RULE_WORD,
	RULE_NUMBER,
	RULE_TEXT,   /* a string; a template string without expressions */
	RULE_OPEN,   /* a bracket; a template string up to an expression */
	RULE_MIDDLE, /* a template string between two expressions */
	RULE_CLOSE,
	RULE_DOT,
	RULE_SEMICOLON,
	RULE_OPERATOR /* comma and colon among them */
};

struct rule_token {
	enum rule_token_kind kind;
	const char *text;
	size_t start; /* where it is */
	size_t len;
	uint32_t line;
	bool spaced; /* blanks or comments stand before it */
	bool tight;  /* "." or "[" stands right behind it */
	bool named;  /* "." and a letter do */
};

struct rule_scan {
	const char *name;
	const char *text;
	size_t len;
	size_t at;
	uint32_t line;
	size_t depth; /* open brackets */
	char stack[RULE_DEPTH_MAX];
};

/* INVALID or LIMIT: "<name>:<line>: <what>". At the end RULE_END, for ever. */
enum err_code rule_token_next(struct rule_token *out, struct rule_scan *s,
    struct err *e) MUST_CHECK;

bool rule_token_is(const struct rule_token *t, const char *text);

#endif
