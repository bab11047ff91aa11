#include "bundler/compile_order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "bundler/compile_nots.h"
#include "bundler/rule.h"
#include "bundler/rule_token.h"
#include "core/mem.h"
#include "core/order.h"
#include "signing/digest.h"

enum {
	TEXT_MAX = 256 << 20,
	DEPTH_MAX = 200,         /* helpers of helpers */
	VARIABLES_MAX = 1 << 20, /* of one rule */
	HELPER_MAX = 64          /* bytes of a helper's name */
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

/* "__not1_4_6__" */
static bool
is_helper(const char *word, size_t len)
{
	size_t i = 2;

	if (len < 6 || len >= HELPER_MAX || memcmp(word, "__", 2) != 0 ||
	    memcmp(word + len - 2, "__", 2) != 0 || is_local(word, len))
		return false;
	while (i < len && word[i] >= 'a' && word[i] <= 'z')
		i++;
	if (i == 2 || !is_digit(word[i]))
		return false;
	for (; i < len; i++) {
		if (!is_digit(word[i]) && word[i] != '_')
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
	size_t number;
	UT_hash_handle hh; /* by its name, in the text */
};

struct renaming {
	const char *text;
	size_t len;
	struct variable *seen;
	bool headed;    /* the rule's name has passed */
	bool after_dot; /* what comes is a member */
};

/* Has the rule's name passed before this word? */
static bool
pass_head(bool *headed, const char *word, size_t len)
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
	if (t->kind != RULE_WORD || !pass_head(&r->headed, word, t->len))
		return false;
	/* Whatever a member of input or data is called, it is called so. */
	if (member || is_builtin(word, t->len))
		return false;
	return is_local(word, t->len) ||
	    (is_digit(word[t->len - 1]) &&
		!is_called(r->text, r->len, t->start + t->len));
}

static enum err_code
number_of(size_t *out, struct renaming *r, const struct rule_token *t,
    const char *name, struct err *e)
{
	const char *word = r->text + t->start;
	struct variable *v;

	HASH_FIND(hh, r->seen, word, t->len, v);
	if (v == NULL) {
		if (HASH_COUNT(r->seen) == VARIABLES_MAX)
			return err_set(e, ERR_LIMIT,
			    "%s: opa build made a rule of more than %d "
			    "variables; give the rule less data to work out "
			    "beforehand, or leave compile.optimize out",
			    name, VARIABLES_MAX);
		v = mem_alloc(sizeof *v);
		v->number = HASH_COUNT(r->seen);
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
		size_t number;

		if (!is_variable(r, &t))
			continue;
		code = number_of(&number, r, &t, name, e);
		if (code != ERR_OK)
			break;
		buf_add(out, r->text + done, t.start - done);
		buf_printf(out, "__local%zu__", number);
		done = t.start + t.len;
	}
	buf_add(out, r->text + done, r->len - done);
	mem_free(s);
	return code;
}

static void
find_head(struct piece *p)
{
	const char *word = p->text;
	size_t len = 0;

	if (strncmp(word, "default ", 8) == 0)
		word += 8;
	while (is_word(word[len]))
		len++;
	if (is_helper(word, len))
		(void)snprintf(p->head, sizeof p->head, "%.*s", (int)len, word);
}

/* Negations are sorted by their shape first: variables are counted in the order
 * in which they come. */
static enum err_code
read_piece(struct piece *p, const struct compile_module *m,
    const struct rule *rule, struct err *e)
{
	AUTO_STR given = mem_strndup(m->text + rule->start, rule->len);
	struct renaming r = { .text = given };
	AUTO_BUF text = { 0 };
	enum err_code code;

	p->is_import = rule->kind == RULE_IMPORT;
	if (p->is_import) {
		p->text = STEAL(given);
		return ERR_OK;
	}
	compile_sort_nots(given, true);
	r.len = strlen(given);
	buf_init(&text, TEXT_MAX);
	code = write_renamed(&text, &r, m->name, e);
	renaming_clear(&r);
	if (code != ERR_OK)
		return code;
	TRY(buf_check(&text, m->name, e));
	p->text = buf_steal(&text, NULL);
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
read_part(struct part *p, const struct compile_module *m, struct err *e)
{
	struct rule_list rules = { 0 };
	enum err_code code =
	    rule_read(&rules, m->name, m->text, m->len, m->version, e);
	size_t end;

	if (code != ERR_OK)
		return code;
	end = rules.count > 0 ? rules.items[0].start : m->len;
	p->package = mem_strndup(m->text, without_blanks(m->text, end));
	p->pieces = mem_array(rules.count + 1, sizeof *p->pieces);
	for (; code == ERR_OK && p->count < rules.count; p->count++)
		code = read_piece(&p->pieces[p->count], m,
		    &rules.items[p->count], e);
	rule_list_clear(&rules);
	return code;
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

/* Where a rule's own name stands, and names of others: data.a.NAME. */
struct naming {
	bool headed, after_dot, in_data;
};

static bool
is_name(struct naming *n, const char *text, const struct rule_token *t)
{
	const char *word = text + t->start;
	bool member = n->after_dot;

	n->after_dot = t->kind == RULE_DOT;
	if (t->kind != RULE_WORD) {
		n->in_data = n->in_data && n->after_dot;
		return false;
	}
	if (!member)
		n->in_data = t->len == 4 && memcmp(word, "data", 4) == 0;
	return !pass_head(&n->headed, word, t->len) || (member && n->in_data);
}

static enum err_code
rename_helpers(struct buf *out, struct ordering *o, const struct piece *p)
{
	struct rule_scan *s = mem_zalloc(sizeof *s);
	size_t len = strlen(p->text), done = 0;
	struct naming names = { 0 };
	struct rule_token t;
	enum err_code code;

	*s = (struct rule_scan){ .name = "opa build",
		.text = p->text,
		.len = len,
		.line = 1 };
	while ((code = rule_token_next(&t, s, o->e)) == ERR_OK &&
	    t.kind != RULE_END) {
		struct helper *h = is_name(&names, p->text, &t)
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
	(void)snprintf(h->made, sizeof h->made, "__made_%.16s__", hash);
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
		TRY(read_part(&o->parts[i], &modules[i], o->e));
	find_helpers(o);
	TRY(finish_pieces(o));
	for (size_t i = 0; i < o->count; i++)
		TRY(write_part(&modules[i], &o->parts[i], o->e));
	return ERR_OK;
}

enum err_code
compile_order(struct compile_module *modules, size_t count, struct err *e)
{
	struct ordering o = { .parts = mem_array(count + 1, sizeof *o.parts),
		.count = count,
		.e = e };
	enum err_code code;

	for (size_t i = 0; i < count; i++)
		buf_init(&modules[i].out, TEXT_MAX);
	code = order(&o, modules);
	ordering_clear(&o);
	return code;
}
