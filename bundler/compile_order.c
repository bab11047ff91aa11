#include "bundler/compile_order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/compile_nots.h"
#include "bundler/compile_variables.h"
#include "bundler/rule.h"
#include "bundler/rule_token.h"
#include "core/mem.h"
#include "core/order.h"
#include "signing/digest.h"

enum {
	TEXT_MAX = 256 << 20,
	DEPTH_MAX = 200, /* helpers of helpers */
	HELPER_MAX = 64  /* bytes of a helper's name */
};

/* A rule, its variables counted anew. */
struct piece {
	char *text;
	char head[HELPER_MAX]; /* its name if it is a helper, else "" */
	char *finished;        /* with the helpers' new names */
	bool is_import;
};

struct part { /* a module */
	char *package;
	struct rule_list rules;
	struct piece *pieces;
	size_t count;
};

struct helper {
	char name[HELPER_MAX];
	char made[HELPER_MAX]; /* "" until it is known */
	struct piece **pieces; /* of its rules */
	size_t count;
	bool open; /* being worked out */
};

struct ordering {
	struct part *parts;
	size_t count;
	struct helper *helpers; /* sorted by name */
	size_t helper_count;
	size_t depth;
	const char *namespace;
	uint64_t first; /* number of a rule's first variable */
	struct err *e;
};

static void
ordering_clear(struct ordering *o)
{
	for (size_t i = 0; i < o->count; i++) {
		for (size_t k = 0; k < o->parts[i].count; k++) {
			mem_free(o->parts[i].pieces[k].text);
			mem_free(o->parts[i].pieces[k].finished);
		}
		mem_free(o->parts[i].pieces);
		rule_list_clear(&o->parts[i].rules);
		mem_free(o->parts[i].package);
	}
	mem_free(o->parts);
	for (size_t i = 0; i < o->helper_count; i++)
		mem_free(o->helpers[i].pieces);
	mem_free(o->helpers);
}

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

/* "__not1_4_6__" */
static bool
is_helper(const char *word, size_t len)
{
	size_t i = 5;

	if (len < 8 || len >= HELPER_MAX || memcmp(word, "__not", 5) != 0 ||
	    memcmp(word + len - 2, "__", 2) != 0 || !is_digit(word[i]))
		return false;
	for (; i < len; i++) {
		if (!is_digit(word[i]) && word[i] != '_')
			return false;
	}
	return true;
}

/* Where a rule's own name begins. */
static const char *
head_of(const char *text)
{
	return strncmp(text, "default ", 8) == 0 ? text + 8 : text;
}

static void
find_head(struct piece *p)
{
	const char *word = head_of(p->text);
	size_t len = 0;

	while (is_word(word[len]))
		len++;
	if (is_helper(word, len))
		(void)snprintf(p->head, sizeof p->head, "%.*s", (int)len, word);
}

/* Negations are sorted by their shape first: variables are counted in the order
 * in which they come. */
static enum err_code
read_piece(struct piece *p, const struct compile_module *m,
    const struct rule *rule, uint64_t first, struct err *e)
{
	AUTO_STR given = mem_strndup(m->text + rule->start, rule->len);
	AUTO_BUF text = { 0 };

	p->is_import = rule->kind == RULE_IMPORT;
	if (p->is_import) {
		p->text = STEAL(given);
		return ERR_OK;
	}
	compile_sort_nots(given, true);
	buf_init(&text, TEXT_MAX);
	TRY(compile_count_variables(&text, given, strlen(given), first, m->name,
	    e));
	TRY(buf_check(&text, m->name, e));
	p->text = buf_steal(&text, NULL);
	if (m->kind == COMPILE_HELPERS)
		find_head(p);
	return ERR_OK;
}

static size_t
without_blanks(const char *text, size_t len)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	return len;
}

static enum err_code
read_rules(struct ordering *o, struct part *p, const struct compile_module *m)
{
	if (memchr(m->text, '\0', m->len) != NULL)
		return err_set(o->e, ERR_INVALID,
		    "%s: opa build wrote a NUL byte", m->name);
	if (m->kind == COMPILE_SOURCE) {
		compile_pass_names(&o->first, m->text, m->len, false);
		return ERR_OK;
	}
	TRY(rule_read(&p->rules, m->name, m->text, m->len, m->version, o->e));
	for (size_t i = 0; i < p->rules.count; i++) {
		const char *head = head_of(m->text + p->rules.items[i].start);

		compile_pass_names(&o->first, head,
		    m->len - (size_t)(head - m->text), true);
	}
	return ERR_OK;
}

static enum err_code
read_part(const struct ordering *o, struct part *p,
    const struct compile_module *m)
{
	const struct rule_list *rules = &p->rules;
	size_t end = rules->count > 0 ? rules->items[0].start : m->len;

	p->package = mem_strndup(m->text, without_blanks(m->text, end));
	p->pieces = mem_array(rules->count + 1, sizeof *p->pieces);
	for (; p->count < rules->count; p->count++)
		TRY(read_piece(&p->pieces[p->count], m, &rules->items[p->count],
		    o->first, o->e));
	return ERR_OK;
}

/* ---- helpers ---- */

static int
compare_helpers(const void *a, const void *b)
{
	const struct helper *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static struct helper *
find_helper(const struct ordering *o, const char *word, size_t len)
{
	struct helper key = { .count = 0 };

	if (o->helper_count == 0 || !is_helper(word, len))
		return NULL;
	memcpy(key.name, word, len);
	return bsearch(&key, o->helpers, o->helper_count, sizeof key,
	    compare_helpers);
}

static void
add_helper(struct ordering *o, const char *name)
{
	o->helpers =
	    mem_grow(o->helpers, o->helper_count + 1, sizeof *o->helpers);
	o->helpers[o->helper_count] = (struct helper){ .count = 0 };
	memcpy(o->helpers[o->helper_count++].name, name, HELPER_MAX);
}

static void
unite_helpers(struct ordering *o)
{
	size_t count = 0;

	if (o->helper_count > 0)
		order_sort(o->helpers, o->helper_count, sizeof *o->helpers,
		    compare_helpers);
	for (size_t i = 0; i < o->helper_count; i++) {
		if (count == 0 ||
		    strcmp(o->helpers[count - 1].name, o->helpers[i].name) != 0)
			o->helpers[count++] = o->helpers[i];
	}
	o->helper_count = count;
}

static void
find_helpers(struct ordering *o)
{
	for (size_t i = 0; i < o->count; i++) {
		for (size_t k = 0; k < o->parts[i].count; k++) {
			if (o->parts[i].pieces[k].head[0] != '\0')
				add_helper(o, o->parts[i].pieces[k].head);
		}
	}
	unite_helpers(o);
	for (size_t i = 0; i < o->count; i++) {
		for (size_t k = 0; k < o->parts[i].count; k++) {
			struct piece *p = &o->parts[i].pieces[k];
			struct helper *h =
			    find_helper(o, p->head, strlen(p->head));

			if (h == NULL)
				continue;
			h->pieces = mem_grow(h->pieces, h->count + 1,
			    sizeof *h->pieces);
			h->pieces[h->count++] = p;
		}
	}
}

static enum err_code name_helper(struct ordering *o, struct helper *h);

/* How much of data.NAMESPACE or data["NAMESPACE"] has passed. */
enum place {
	PLACE_NONE,
	PLACE_DATA,
	PLACE_OPEN,
	PLACE_INSIDE,
	PLACE_NAMESPACE
};

struct naming {
	const char *namespace;
	bool headed, after_dot;
	enum place place;
};

static bool
says(const struct rule_token *t, const char *text, size_t around)
{
	size_t len = strlen(text);

	return t->len == len + 2 * around &&
	    memcmp(t->text + around, text, len) == 0;
}

static enum place
next_place(const struct naming *n, const struct rule_token *t)
{
	enum place p = n->place;

	switch (t->kind) {
	case RULE_WORD:
		if (!n->after_dot)
			return says(t, "data", 0) ? PLACE_DATA : PLACE_NONE;
		return p == PLACE_DATA && says(t, n->namespace, 0)
		    ? PLACE_NAMESPACE
		    : PLACE_NONE;
	case RULE_DOT:
		return p == PLACE_DATA || p == PLACE_NAMESPACE ? p : PLACE_NONE;
	case RULE_OPEN:
		return p == PLACE_DATA && says(t, "[", 0) ? PLACE_OPEN
							  : PLACE_NONE;
	case RULE_TEXT:
		return p == PLACE_OPEN && says(t, n->namespace, 1)
		    ? PLACE_INSIDE
		    : PLACE_NONE;
	case RULE_CLOSE:
		return p == PLACE_INSIDE ? PLACE_NAMESPACE : PLACE_NONE;
	case RULE_END:
	case RULE_NUMBER:
	case RULE_MIDDLE:
	case RULE_SEMICOLON:
	case RULE_OPERATOR:
	default:
		return PLACE_NONE;
	}
}

/* Is it one that a helper may have: a rule's own name, or the member of the
 * namespace? */
static bool
is_name(struct naming *n, const struct rule_token *t, bool of_helper)
{
	bool member = n->after_dot && n->place == PLACE_NAMESPACE;

	n->place = next_place(n, t);
	n->after_dot = t->kind == RULE_DOT;
	if (t->kind != RULE_WORD)
		return false;
	if (!compile_pass_head(&n->headed, t->text, t->len))
		return of_helper;
	return member;
}

static enum err_code
rename_helpers(struct buf *out, struct ordering *o, const struct piece *p)
{
	struct rule_scan *s = mem_zalloc(sizeof *s);
	size_t len = strlen(p->text), done = 0;
	struct naming names = { .namespace = o->namespace };
	struct rule_token t;
	enum err_code code;

	*s = (struct rule_scan){ .name = "opa build",
		.text = p->text,
		.len = len,
		.line = 1 };
	while ((code = rule_token_next(&t, s, o->e)) == ERR_OK &&
	    t.kind != RULE_END) {
		struct helper *h = is_name(&names, &t, p->head[0] != '\0')
		    ? find_helper(o, p->text + t.start, t.len)
		    : NULL;

		if (h == NULL)
			continue;
		if (!h->open && h->made[0] == '\0')
			code = name_helper(o, h);
		if (code != ERR_OK)
			break;
		buf_add(out, p->text + done, t.start - done);
		buf_add_str(out, h->open ? "self" : h->made);
		done = t.start + t.len;
	}
	buf_add(out, p->text + done, len - done);
	mem_free(s);
	return code;
}

/* The rule with new names for helpers; one whose name is being worked out is
 * called "self". The caller's. */
static enum err_code
write_piece(char **out, struct ordering *o, const struct piece *p)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, TEXT_MAX);
	TRY(rename_helpers(&text, o, p));
	TRY(buf_check(&text, "opa build", o->e));
	*out = buf_steal(&text, NULL);
	compile_sort_nots(*out, false);
	return ERR_OK;
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		mem_free(texts[i]);
	mem_free(texts);
}

static enum err_code
digest_helper(struct ordering *o, const struct helper *h,
    char out[DIGEST_HEX_SIZE])
{
	char **texts = mem_array(h->count + 1, sizeof *texts);
	struct digest *g;
	enum err_code code = ERR_OK;
	size_t n = 0;

	while (code == ERR_OK && n < h->count) {
		code = write_piece(&texts[n], o, h->pieces[n]);
		n += code == ERR_OK;
	}
	order_sort(texts, n, sizeof *texts, compare_texts);
	g = digest_new();
	for (size_t i = 0; i < n; i++)
		digest_add_piece(g, texts[i], strlen(texts[i]));
	digest_end(g, out);
	free_texts(texts, n);
	return code;
}

static enum err_code
name_helper(struct ordering *o, struct helper *h)
{
	char hash[DIGEST_HEX_SIZE];
	enum err_code code;

	if (o->depth >= DEPTH_MAX)
		return err_set(o->e, ERR_LIMIT,
		    "opa build made helper rules more than %d deep", DEPTH_MAX);
	o->depth++;
	h->open = true;
	code = digest_helper(o, h, hash);
	h->open = false;
	o->depth--;
	(void)snprintf(h->made, sizeof h->made, COMPILE_HELPER_PREFIX "%.16s__",
	    hash);
	return code;
}

/* ---- rules ---- */

static enum err_code
finish_pieces(struct ordering *o)
{
	for (size_t i = 0; i < o->helper_count; i++) {
		if (o->helpers[i].made[0] == '\0')
			TRY(name_helper(o, &o->helpers[i]));
	}
	for (size_t i = 0; i < o->count; i++) {
		for (size_t k = 0; k < o->parts[i].count; k++) {
			struct piece *p = &o->parts[i].pieces[k];

			TRY(write_piece(&p->finished, o, p));
		}
	}
	return ERR_OK;
}

/* A rule that is there twice says nothing more. */
static void
write_rules(struct buf *out, const struct part *p)
{
	char **texts = mem_array(p->count + 1, sizeof *texts);
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++) {
		if (!p->pieces[i].is_import)
			texts[n++] = p->pieces[i].finished;
	}
	order_sort(texts, n, sizeof *texts, compare_texts);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(texts[i - 1], texts[i]) != 0)
			buf_printf(out, "\n%s\n", texts[i]);
	}
	mem_free(texts);
}

static enum err_code
write_part(struct compile_module *m, const struct part *p, struct err *e)
{
	buf_printf(&m->out, "%s\n", p->package);
	for (size_t i = 0; i < p->count; i++) {
		if (p->pieces[i].is_import)
			buf_printf(&m->out, "\n%s\n", p->pieces[i].finished);
	}
	write_rules(&m->out, p);
	return buf_check(&m->out, m->name, e);
}

static enum err_code
order(struct ordering *o, struct compile_module *modules)
{
	for (size_t i = 0; i < o->count; i++)
		TRY(read_rules(o, &o->parts[i], &modules[i]));
	for (size_t i = 0; i < o->count; i++) {
		if (modules[i].kind != COMPILE_SOURCE)
			TRY(read_part(o, &o->parts[i], &modules[i]));
	}
	find_helpers(o);
	TRY(finish_pieces(o));
	for (size_t i = 0; i < o->count; i++) {
		if (modules[i].kind != COMPILE_SOURCE)
			TRY(write_part(&modules[i], &o->parts[i], o->e));
	}
	return ERR_OK;
}

enum err_code
compile_order(struct compile_module *modules, size_t count,
    const char *namespace, struct err *e)
{
	struct ordering o = { .parts = mem_array(count + 1, sizeof *o.parts),
		.count = count,
		.namespace = namespace != NULL ? namespace : "",
		.e = e };
	enum err_code code;

	for (size_t i = 0; i < count; i++)
		buf_init(&modules[i].out, TEXT_MAX);
	code = order(&o, modules);
	ordering_clear(&o);
	return code;
}
