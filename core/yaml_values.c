#include <string.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "core/yaml_graph.h"

static enum err_code
make_binary(struct yaml_graph *g, uint32_t at, struct value *v)
{
	const struct value *raw = g->nodes[at].raw;
	AUTO_STR bytes = mem_alloc(raw->text_len);
	size_t len;

	if (!base64_read(bytes, &len, raw->text, raw->text_len))
		return yaml_fault(g, ERR_INVALID, at,
		    "this is no base64, which !!binary takes");
	if (!utf8_is_valid(bytes, len))
		return yaml_fault(g, ERR_INVALID, at,
		    "!!binary with bytes that are not UTF-8 has no JSON form; "
		    "leave out the tag and decode in Rego");
	document_text(g->document, v, bytes, len);
	return ERR_OK;
}

static enum err_code
resolve(struct yaml_graph *g, uint32_t at, struct yaml_scalar *s)
{
	const struct yaml_node *n = &g->nodes[at];

	*s = (struct yaml_scalar){ .kind = YAML_STRING };
	if (!n->plain)
		return ERR_OK;
	if (yaml_resolve(s, n->tag, n->raw->text, n->raw->text_len, g->e) !=
	    ERR_OK)
		return yaml_fault_add(g, at);
	return ERR_OK;
}

enum err_code
yaml_key_make(struct yaml_graph *g, uint32_t at)
{
	struct yaml_node *n = &g->nodes[at];
	struct yaml_scalar s;
	char text[YAML_NUMBER_SIZE];

	if (n->key != NULL)
		return ERR_OK;
	if (n->tag == YAML_TAG_BINARY)
		return yaml_fault(g, ERR_INVALID, at,
		    "a key cannot be !!binary");
	TRY(resolve(g, at, &s));
	n->key_kind = s.kind;
	if (s.kind == YAML_STRING) {
		n->key = n->raw;
		return ERR_OK;
	}
	n->key = document_value(g->document, VALUE_STRING, n->line, n->column);
	if (yaml_key(text, &s, g->e) != ERR_OK)
		return yaml_fault_add(g, at);
	document_text(g->document, n->key, text, strlen(text));
	return ERR_OK;
}

static enum err_code
make_scalar(struct yaml_graph *g, uint32_t at)
{
	static const enum value_kind kinds[] = {
		[YAML_NULL] = VALUE_NULL,
		[YAML_BOOL] = VALUE_BOOL,
		[YAML_INT] = VALUE_NUMBER,
		[YAML_UINT] = VALUE_NUMBER,
		[YAML_FLOAT] = VALUE_NUMBER,
		[YAML_STRING] = VALUE_STRING,
	};
	struct yaml_node *n = &g->nodes[at];
	struct yaml_scalar s;
	char number[YAML_NUMBER_SIZE];

	TRY(resolve(g, at, &s));
	if (s.kind == YAML_STRING && n->tag != YAML_TAG_BINARY) {
		n->value = n->raw;
		return ERR_OK;
	}
	n->value =
	    document_value(g->document, kinds[s.kind], n->line, n->column);
	n->value->truth = s.truth;
	if (n->tag == YAML_TAG_BINARY)
		return make_binary(g, at, n->value);
	if (n->value->kind == VALUE_NUMBER) {
		if (yaml_number(number, &s, g->e) != ERR_OK)
			return yaml_fault_add(g, at);
		document_text(g->document, n->value, number, strlen(number));
	}
	return ERR_OK;
}

static enum err_code
make_sequence(struct yaml_graph *g, uint32_t at)
{
	struct value *v = g->nodes[at].value;
	size_t n = 0;

	v->count = g->nodes[at].count;
	if (v->count > 0)
		v->items = document_pointers(g->document, v->count);
	for (uint32_t i = g->nodes[at].first; i != 0; i = g->nodes[i].next)
		TRY(yaml_value_make(g, i, &v->items[n++]));
	return ERR_OK;
}

enum err_code
yaml_value_make(struct yaml_graph *g, uint32_t at, struct value **out)
{
	struct yaml_node *n = &g->nodes[at];

	if (n->kind == NODE_ALIAS)
		return yaml_value_make(g, n->target, out);
	if (n->value == NULL) {
		if (n->kind == NODE_SCALAR) {
			TRY(make_scalar(g, at));
		} else {
			bool list = n->kind == NODE_SEQUENCE;

			n->value = document_value(g->document,
			    list ? VALUE_ARRAY : VALUE_OBJECT, n->line,
			    n->column);
			TRY(list ? make_sequence(g, at)
				 : yaml_members_make(g, at));
		}
	}
	*out = n->value;
	return ERR_OK;
}
