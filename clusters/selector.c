#include "clusters/selector.h"

#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_view.h"
#include "core/mem.h"

enum term_kind { TERM_IS, TERM_IS_NOT, TERM_HAS, TERM_HAS_NOT };

struct term {
	enum term_kind kind;
	char *key, *value; /* value NULL: TERM_HAS, TERM_HAS_NOT */
};

struct selector {
	struct term terms[SELECTOR_TERMS_MAX];
	size_t count;
};

/* What is left of the text; columns count from its begin. */
struct reading {
	const char *begin, *at;
};

static enum err_code
wrong(const struct reading *r, struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID,
	    "selector: column %zu: %s (as in env=prod,region!=us,!old)",
	    (size_t)(r->at - r->begin) + 1, what);
}

static void
skip_spaces(struct reading *r)
{
	r->at += strspn(r->at, " ");
}

/* Up to the next sign, without spaces at its ends; mem_ memory. */
static char *
read_word(struct reading *r)
{
	size_t len;
	char *word;

	skip_spaces(r);
	len = strcspn(r->at, ",=!");
	while (len > 0 && r->at[len - 1] == ' ')
		len--;
	word = mem_strndup(r->at, len);
	r->at += len;
	skip_spaces(r);
	return word;
}

static enum err_code
read_sign(struct reading *r, struct term *t, struct err *e)
{
	static const struct {
		const char *text;
		enum term_kind kind;
	} signs[] = { { "==", TERM_IS }, { "!=", TERM_IS_NOT },
		{ "=", TERM_IS } };

	if (*r->at == ',' || *r->at == '\0')
		return ERR_OK;
	for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
		size_t len = strlen(signs[i].text);

		if (strncmp(r->at, signs[i].text, len) != 0)
			continue;
		if (t->kind == TERM_HAS_NOT)
			return wrong(r, e, "!key takes no value");
		t->kind = signs[i].kind;
		r->at += len;
		t->value = read_word(r);
		return ERR_OK;
	}
	return wrong(r, e, "\"!\" stands before a key, or in \"!=\"");
}

static enum err_code
read_term(struct reading *r, struct term *t, struct err *e)
{
	skip_spaces(r);
	t->kind = TERM_HAS;
	if (*r->at == '!') {
		t->kind = TERM_HAS_NOT;
		r->at++;
	}
	t->key = read_word(r);
	if (*t->key == '\0')
		return wrong(r, e, "here a label's name is missing");
	TRY(read_sign(r, t, e));
	if (*r->at != ',' && *r->at != '\0')
		return wrong(r, e, "here a comma or the end is missing");
	return ERR_OK;
}

static enum err_code
read_terms(struct selector *s, struct reading *r, struct err *e)
{
	for (;;) {
		if (s->count == SELECTOR_TERMS_MAX)
			return err_set(e, ERR_LIMIT,
			    "selector: more than %d terms",
			    (int)SELECTOR_TERMS_MAX);
		TRY(read_term(r, &s->terms[s->count++], e));
		if (*r->at == '\0')
			return ERR_OK;
		r->at++;
	}
}

enum err_code
selector_parse(struct selector **out, const char *text, struct err *e)
{
	AUTO(selector, s) = NULL;
	struct reading r = { text, text };

	if (strlen(text) > SELECTOR_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "selector: longer than %d bytes",
		    (int)SELECTOR_SIZE_MAX);
	s = mem_zalloc(sizeof *s);
	TRY(read_terms(s, &r, e));
	*out = STEAL(s);
	return ERR_OK;
}

void
selector_free(struct selector *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++) {
		mem_free(s->terms[i].key);
		mem_free(s->terms[i].value);
	}
	mem_free(s);
}

static bool
term_fits(const struct term *t, const char *value)
{
	switch (t->kind) {
	case TERM_IS:
		return value != NULL && strcmp(value, t->value) == 0;
	case TERM_IS_NOT:
		return value == NULL || strcmp(value, t->value) != 0;
	case TERM_HAS:
		return value != NULL;
	default:
		return value == NULL;
	}
}

bool
selector_fits(const struct selector *s, const json_t *labels)
{
	for (size_t i = 0; i < s->count; i++)
		if (!term_fits(&s->terms[i],
			payload_text(labels, s->terms[i].key)))
			return false;
	return true;
}

static bool
holds_name(const json_t *rows, const char *name)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
		if (strcmp(payload_text(row, "cluster"), name) == 0)
			return true;
	return false;
}

enum err_code
selector_clusters(json_t **out, struct store *s, const char *text,
    const struct scope *scope, const char *bundle, struct err *e)
{
	AUTO(selector, parsed) = NULL;
	AUTO_JSON rows = NULL;
	AUTO_JSON having = NULL;
	AUTO_JSON names = json_array();
	size_t i;
	json_t *row;

	TRY(selector_parse(&parsed, text, e));
	TRY(store_view_clusters(s, NULL, NULL, INT64_MAX, &rows, e));
	if (bundle != NULL)
		TRY(store_view_assignments(s, NULL, bundle, &having, e));
	json_array_foreach(rows, i, row) {
		const char *name = payload_text(row, "name");

		if ((scope == NULL || scope_cluster(scope, name)) &&
		    (bundle == NULL || holds_name(having, name)) &&
		    selector_fits(parsed, json_object_get(row, "labels")))
			json_array_append_new(names, json_string(name));
	}
	if (json_array_size(names) == 0)
		return err_set(e, ERR_NOT_FOUND, "no cluster%s%s fits %s",
		    bundle != NULL ? " with bundle " : "",
		    bundle != NULL ? bundle : "", text);
	*out = STEAL(names);
	return ERR_OK;
}
