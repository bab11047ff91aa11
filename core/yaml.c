#include "core/yaml.h"

#include <assert.h>
#include <search.h>
#include <string.h>
#include <yaml.h>

#include "core/canon.h"
#include "core/mem.h"
#include "core/yaml_scalar.h"

/* Three steps. The events of the first document become nodes, aliases still
 * being references. Then the nodes are counted as they will be once aliases
 * are expanded, so that nothing grows before its size is known. Then values
 * are made; what an alias names is made once and shared. */

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING, NODE_ALIAS };

/* Indices into reader.nodes; 0 is none. */
struct node {
	enum node_kind kind;
	enum yaml_tag tag;
	bool plain; /* may mean something else than its text */
	bool merge; /* a << that merges when it is a key */
	bool open;  /* not ended yet */
	enum yaml_kind key_kind;
	uint32_t line, column;
	uint32_t first, last, next; /* children; keys and values in turn */
	uint32_t target;            /* NODE_ALIAS */
	uint32_t count;             /* of children */
	struct value *raw;          /* NODE_SCALAR: its text */
	struct value *value;        /* once it was made */
	struct value *key;          /* as a key, once it was one */
};

struct anchor {
	char *name;
	uint32_t node;
};

struct yaml_reader {
	const char *name;
	const char *text;
	size_t len;
	/* A place in the text, counted in characters as libyaml does. */
	size_t cursor_bytes, cursor_chars;
	yaml_parser_t parser;
	struct document *document;
	struct node *nodes;
	uint32_t node_count, node_cap;
	uint32_t open[YAML_DEPTH_MAX];
	size_t depth;
	size_t flow_depth; /* from this depth on all is in [] or {}; 0: none */
	void *anchors;     /* tsearch tree of struct anchor */
	uint32_t root;
	/* Of the expanded document. */
	size_t decoded, decoded_in_alias, decoded_bytes;
	struct err *e;
};

static enum err_code
fault_at(const struct yaml_reader *r, enum err_code code, uint32_t line,
    uint32_t column, const char *what)
{
	return err_set(r->e, code, "%s:%u:%u: %s", r->name, line, column, what);
}

static enum err_code
fault(const struct yaml_reader *r, enum err_code code, uint32_t node,
    const char *what)
{
	const struct node *n = &r->nodes[node];

	return fault_at(r, code, n->line, n->column, what);
}

/* Puts the node's place before a text that is set already. */
static enum err_code
fault_add(const struct yaml_reader *r, uint32_t node)
{
	const struct node *n = &r->nodes[node];

	return err_add(r->e, "%s:%u:%u", r->name, n->line, n->column);
}

static int
compare_anchors(const void *a, const void *b)
{
	const struct anchor *x = a;
	const struct anchor *y = b;

	return strcmp(x->name, y->name);
}

static void
anchor_free(void *p)
{
	struct anchor *a = p;

	mem_free(a->name);
	mem_free(a);
}

/* An anchor may be set again: aliases mean the latest before them. */
static void
anchor_set(struct yaml_reader *r, const yaml_char_t *name, uint32_t node)
{
	struct anchor *a;
	struct anchor **found;

	if (name == NULL)
		return;
	a = mem_zalloc(sizeof *a);
	a->name = mem_strdup((const char *)name);
	found = tsearch(a, &r->anchors, compare_anchors);
	assert(found != NULL);
	if (*found != a)
		anchor_free(a);
	(*found)->node = node;
}

static uint32_t
anchor_get(const struct yaml_reader *r, char *name)
{
	struct anchor wanted = { .name = name };
	struct anchor *const *found =
	    tfind(&wanted, &r->anchors, compare_anchors);

	return found != NULL ? (*found)->node : 0;
}

static void
reader_clear(struct yaml_reader *r)
{
	yaml_parser_delete(&r->parser);
	tdestroy(r->anchors, anchor_free);
	mem_free(r->nodes);
	document_free(r->document);
}

static enum err_code
node_add(struct yaml_reader *r, uint32_t *out, enum node_kind kind,
    const yaml_event_t *event)
{
	uint32_t line = (uint32_t)event->start_mark.line + 1;
	uint32_t column = (uint32_t)event->start_mark.column + 1;

	if (r->node_count > YAML_NODES_MAX)
		return err_set(r->e, ERR_LIMIT,
		    "%s:%u:%u: more than %d values in one text", r->name, line,
		    column, (int)YAML_NODES_MAX);
	if (r->node_count >= r->node_cap) {
		r->node_cap = r->node_cap < 64 ? 64 : r->node_cap * 2;
		r->nodes = mem_grow(r->nodes, r->node_cap, sizeof *r->nodes);
	}
	*out = r->node_count++;
	r->nodes[*out] = (struct node){
		.kind = kind,
		.line = line,
		.column = column,
	};
	if (r->depth == 0) {
		r->root = *out;
	} else {
		struct node *parent = &r->nodes[r->open[r->depth - 1]];

		if (parent->count++ == 0)
			parent->first = *out;
		else
			r->nodes[parent->last].next = *out;
		parent->last = *out;
	}
	return ERR_OK;
}

static bool
is_first_byte(char c)
{
	return (c & 0xc0) != 0x80;
}

/* Marks are near each other and rise, so all calls together walk the text
 * about once. What libyaml has read so far is valid UTF-8. */
static const char *
text_at(struct yaml_reader *r, size_t index)
{
	while (r->cursor_chars < index && r->cursor_bytes < r->len) {
		do
			r->cursor_bytes++;
		while (r->cursor_bytes < r->len &&
		    !is_first_byte(r->text[r->cursor_bytes]));
		r->cursor_chars++;
	}
	while (r->cursor_chars > index) {
		do
			r->cursor_bytes--;
		while (!is_first_byte(r->text[r->cursor_bytes]));
		r->cursor_chars--;
	}
	return r->text + r->cursor_bytes;
}

static bool
is_anchor_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

/* "! 1" is the string "1", but libyaml's events do not show that tag. The
 * text of a plain scalar never begins with an exclamation mark. */
static bool
has_lone_mark(struct yaml_reader *r, const yaml_event_t *event)
{
	const char *p = text_at(r, event->start_mark.index);
	const char *end = r->text + r->len;

	if (p < end && *p == '&') {
		for (p++; p < end && is_anchor_byte(*p);)
			p++;
		while (p < end && strchr(" \t\r\n", *p) != NULL)
			p++;
	}
	return p < end && *p == '!';
}

/* What libyaml takes and OPA's older copy of it does not: a question mark in
 * unquoted text within [] or {}, and a comma right behind a tag. */
static enum err_code
check_flow(struct yaml_reader *r, const yaml_event_t *event)
{
	uint32_t line = (uint32_t)event->start_mark.line + 1;
	uint32_t column = (uint32_t)event->start_mark.column + 1;
	const char *end;

	if (r->flow_depth == 0 ||
	    event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return ERR_OK;
	if (memchr(event->data.scalar.value, '?', event->data.scalar.length) !=
	    NULL)
		return fault_at(r, ERR_INVALID, line, column,
		    "OPA does not take a ? here; put this text in quotes");
	if (event->data.scalar.length > 0 || event->data.scalar.tag == NULL)
		return ERR_OK;
	end = text_at(r, event->end_mark.index);
	if (end < r->text + r->len && *end == ',')
		return fault_at(r, ERR_INVALID, line, column,
		    "OPA does not take a comma right behind a tag");
	return ERR_OK;
}

/* Nor does it take JSON's escape for a slash. */
static enum err_code
check_escapes(struct yaml_reader *r, const yaml_event_t *event)
{
	const char *p;
	const char *end;

	if (event->data.scalar.style != YAML_DOUBLE_QUOTED_SCALAR_STYLE)
		return ERR_OK;
	p = text_at(r, event->start_mark.index);
	end = text_at(r, event->end_mark.index);
	while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL &&
	    p + 1 < end) {
		if (p[1] == '/')
			return fault_at(r, ERR_INVALID,
			    (uint32_t)event->start_mark.line + 1,
			    (uint32_t)event->start_mark.column + 1,
			    "OPA does not take the escape \\/ in YAML; write "
			    "/ alone");
		p += 2;
	}
	return ERR_OK;
}

static enum err_code
take_scalar(struct yaml_reader *r, yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	const char *tag = (const char *)event->data.scalar.tag;
	bool implicit = event->data.scalar.plain_implicit != 0;
	struct node *n;
	uint32_t at;

	TRY(check_flow(r, event));
	TRY(check_escapes(r, event));
	TRY(node_add(r, &at, NODE_SCALAR, event));
	anchor_set(r, event->data.scalar.anchor, at);
	n = &r->nodes[at];
	n->tag = yaml_tag_of(tag);
	n->merge = event->data.scalar.length == 2 &&
	    memcmp(text, "<<", 2) == 0 &&
	    (implicit || n->tag == YAML_TAG_MERGE);
	n->plain = n->tag != YAML_TAG_NONE ||
	    (implicit && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		!has_lone_mark(r, event));
	n->raw = document_value(r->document, VALUE_STRING, n->line, n->column);
	document_text(r->document, n->raw, text, event->data.scalar.length);
	return ERR_OK;
}

static enum err_code
take_alias(struct yaml_reader *r, yaml_event_t *event)
{
	char *name = (char *)event->data.alias.anchor;
	char quoted[VALUE_QUOTE_SIZE];
	uint32_t target = anchor_get(r, name);
	uint32_t at;

	TRY(node_add(r, &at, NODE_ALIAS, event));
	value_quote(quoted, name, strlen(name));
	if (target == 0)
		return err_set(r->e, ERR_INVALID,
		    "%s:%u:%u: the alias %s names no anchor before it", r->name,
		    r->nodes[at].line, r->nodes[at].column, quoted);
	if (r->nodes[target].open)
		return err_set(r->e, ERR_INVALID,
		    "%s:%u:%u: the anchor %s contains itself", r->name,
		    r->nodes[at].line, r->nodes[at].column, quoted);
	r->nodes[at].target = target;
	return ERR_OK;
}

static enum err_code
take_start(struct yaml_reader *r, enum node_kind kind,
    const yaml_char_t *anchor, bool flow, const yaml_event_t *event)
{
	uint32_t at;

	TRY(node_add(r, &at, kind, event));
	if (r->depth == YAML_DEPTH_MAX)
		return err_set(r->e, ERR_LIMIT,
		    "%s:%u:%u: nested deeper than %d", r->name,
		    r->nodes[at].line, r->nodes[at].column,
		    (int)YAML_DEPTH_MAX);
	anchor_set(r, anchor, at);
	r->nodes[at].open = true;
	r->open[r->depth++] = at;
	if (flow && r->flow_depth == 0)
		r->flow_depth = r->depth;
	return ERR_OK;
}

/* OPA's reader knows YAML 1.1 only; libyaml takes 1.2 as well. */
static enum err_code
take_document(struct yaml_reader *r, const yaml_event_t *event)
{
	const yaml_version_directive_t *v =
	    event->data.document_start.version_directive;

	if (v == NULL || (v->major == 1 && v->minor == 1))
		return ERR_OK;
	return err_set(r->e, ERR_INVALID,
	    "%s:%zu:1: %%YAML %d.%d is not supported; OPA reads YAML 1.1, so "
	    "leave that line out",
	    r->name, event->start_mark.line + 1, v->major, v->minor);
}

static enum err_code
take_event(struct yaml_reader *r, yaml_event_t *event, bool *done)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return take_document(r, event);
	case YAML_DOCUMENT_END_EVENT:
	case YAML_STREAM_END_EVENT:
		*done = true;
		return ERR_OK;
	case YAML_SCALAR_EVENT:
		return take_scalar(r, event);
	case YAML_ALIAS_EVENT:
		return take_alias(r, event);
	case YAML_SEQUENCE_START_EVENT:
		return take_start(r, NODE_SEQUENCE,
		    event->data.sequence_start.anchor,
		    event->data.sequence_start.style ==
			YAML_FLOW_SEQUENCE_STYLE,
		    event);
	case YAML_MAPPING_START_EVENT:
		return take_start(r, NODE_MAPPING,
		    event->data.mapping_start.anchor,
		    event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE,
		    event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		if (r->flow_depth == r->depth)
			r->flow_depth = 0;
		r->nodes[r->open[--r->depth]].open = false;
		return ERR_OK;
	default:
		return ERR_OK;
	}
}

/* An error at a byte, when all that is known of a place is its offset. */
static enum err_code
byte_fault(const struct yaml_reader *r, size_t offset, const char *what)
{
	uint32_t line = 1;
	uint32_t column = 1;

	for (size_t i = 0; i < offset && i < r->len; i++) {
		column++;
		if (r->text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return fault_at(r, ERR_INVALID, line, column, what);
}

static enum err_code
parser_fault(const struct yaml_reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem != NULL ? p->problem : "cannot read";
	size_t line = p->problem_mark.line + 1;
	size_t column = p->problem_mark.column + 1;

	if (p->error == YAML_READER_ERROR)
		return byte_fault(r, p->problem_offset, problem);
	if (p->context == NULL)
		return err_set(r->e, ERR_INVALID, "%s:%zu:%zu: %s", r->name,
		    line, column, problem);
	return err_set(r->e, ERR_INVALID, "%s:%zu:%zu: %s (%s from line %zu)",
	    r->name, line, column, problem, p->context,
	    p->context_mark.line + 1);
}

static enum err_code
read_nodes(struct yaml_reader *r)
{
	enum err_code code = ERR_OK;
	bool done = false;

	while (code == ERR_OK && !done) {
		yaml_event_t event;

		if (!yaml_parser_parse(&r->parser, &event))
			return parser_fault(r);
		code = take_event(r, &event, &done);
		yaml_event_delete(&event);
	}
	return code;
}

/* The share of a document that may come from aliases before OPA refuses it
 * (yaml/v2, decode.go). */
static double
alias_share_max(size_t decoded)
{
	const double low = 400000;
	const double high = 4000000;

	if ((double)decoded <= low)
		return 0.99;
	if ((double)decoded >= high)
		return 0.10;
	return 0.99 - 0.89 * (((double)decoded - low) / (high - low));
}

static enum err_code
count_one(struct yaml_reader *r, uint32_t at, bool in_alias)
{
	r->decoded++;
	if (in_alias)
		r->decoded_in_alias++;
	if (r->nodes[at].raw != NULL)
		r->decoded_bytes += r->nodes[at].raw->text_len;
	if (r->decoded > YAML_NODES_MAX)
		return fault(r, ERR_LIMIT, at,
		    "too many values once aliases are expanded");
	if (r->decoded_bytes > CANON_SIZE_MAX)
		return fault(r, ERR_LIMIT, at,
		    "too much text once aliases are expanded");
	if (r->decoded_in_alias > 100 && r->decoded > 1000 &&
	    (double)r->decoded_in_alias / (double)r->decoded >
		alias_share_max(r->decoded))
		return fault(r, ERR_LIMIT, at,
		    "too much of this document comes from aliases");
	return ERR_OK;
}

static enum err_code count_node(struct yaml_reader *r, uint32_t at,
    size_t depth, bool in_alias);

/* The value of a << is a mapping, an alias of one, or a list of those. */
static enum err_code
check_merge(const struct yaml_reader *r, uint32_t at, bool list_allowed)
{
	const struct node *n = &r->nodes[at];

	if (n->kind == NODE_ALIAS)
		n = &r->nodes[n->target];
	else if (n->kind == NODE_SEQUENCE && list_allowed) {
		for (uint32_t i = n->first; i != 0; i = r->nodes[i].next)
			TRY(check_merge(r, i, false));
		return ERR_OK;
	}
	if (n->kind == NODE_MAPPING)
		return ERR_OK;
	return fault(r, ERR_INVALID, at,
	    "<< takes an object, or a list of objects");
}

static enum err_code
count_merge(struct yaml_reader *r, uint32_t at, size_t depth, bool in_alias)
{
	TRY(check_merge(r, at, true));
	if (r->nodes[at].kind != NODE_SEQUENCE)
		return count_node(r, at, depth, in_alias);
	for (uint32_t i = r->nodes[at].first; i != 0; i = r->nodes[i].next)
		TRY(count_node(r, i, depth, in_alias));
	return ERR_OK;
}

static enum err_code
count_children(struct yaml_reader *r, uint32_t at, size_t depth, bool in_alias)
{
	bool mapping = r->nodes[at].kind == NODE_MAPPING;
	uint32_t i = r->nodes[at].first;

	for (; i != 0; i = r->nodes[i].next) {
		bool merge = mapping && r->nodes[i].merge;

		if (!merge)
			TRY(count_node(r, i, depth, in_alias));
		if (!mapping)
			continue;
		i = r->nodes[i].next; /* the key's value */
		TRY(merge ? count_merge(r, i, depth, in_alias)
			  : count_node(r, i, depth, in_alias));
	}
	return ERR_OK;
}

/* Counts as OPA's reader does: aliases and what they name. */
static enum err_code
count_node(struct yaml_reader *r, uint32_t at, size_t depth, bool in_alias)
{
	TRY(count_one(r, at, in_alias));
	switch (r->nodes[at].kind) {
	case NODE_SCALAR:
		return ERR_OK;
	case NODE_ALIAS:
		return count_node(r, r->nodes[at].target, depth, true);
	default:
		break;
	}
	if (depth == YAML_DEPTH_MAX)
		return fault(r, ERR_LIMIT, at,
		    "nested too deep once aliases are expanded");
	return count_children(r, at, depth + 1, in_alias);
}

static enum err_code
make_binary(struct yaml_reader *r, uint32_t at, struct value *v)
{
	const struct value *raw = r->nodes[at].raw;
	AUTO_STR bytes = mem_alloc(raw->text_len);
	size_t len;

	if (!yaml_base64(bytes, &len, raw->text, raw->text_len))
		return fault(r, ERR_INVALID, at,
		    "this is no base64, which !!binary takes");
	for (size_t i = 0; i < len;) {
		size_t size = value_utf8(bytes + i, len - i);

		if (size == 0)
			return fault(r, ERR_INVALID, at,
			    "!!binary with bytes that are not UTF-8 has no "
			    "JSON form; leave out the tag and decode in Rego");
		i += size;
	}
	document_text(r->document, v, bytes, len);
	return ERR_OK;
}

static enum err_code
resolve(struct yaml_reader *r, uint32_t at, struct yaml_scalar *s)
{
	const struct node *n = &r->nodes[at];

	*s = (struct yaml_scalar){ .kind = YAML_STRING };
	if (!n->plain)
		return ERR_OK;
	if (yaml_resolve(s, n->tag, n->raw->text, n->raw->text_len, r->e) !=
	    ERR_OK)
		return fault_add(r, at);
	return ERR_OK;
}

/* The string for a scalar that is used as a key. */
static enum err_code
make_key(struct yaml_reader *r, uint32_t at)
{
	struct node *n = &r->nodes[at];
	struct yaml_scalar s;
	char text[YAML_NUMBER_SIZE];

	if (n->key != NULL)
		return ERR_OK;
	if (n->tag == YAML_TAG_BINARY)
		return fault(r, ERR_INVALID, at, "a key cannot be !!binary");
	TRY(resolve(r, at, &s));
	n->key_kind = s.kind;
	if (s.kind == YAML_STRING) {
		n->key = n->raw;
		return ERR_OK;
	}
	n->key = document_value(r->document, VALUE_STRING, n->line, n->column);
	if (yaml_key(text, &s, r->e) != ERR_OK)
		return fault_add(r, at);
	document_text(r->document, n->key, text, strlen(text));
	return ERR_OK;
}

static enum err_code
make_scalar(struct yaml_reader *r, uint32_t at)
{
	static const enum value_kind kinds[] = {
		[YAML_NULL] = VALUE_NULL,
		[YAML_BOOL] = VALUE_BOOL,
		[YAML_INT] = VALUE_NUMBER,
		[YAML_UINT] = VALUE_NUMBER,
		[YAML_FLOAT] = VALUE_NUMBER,
		[YAML_STRING] = VALUE_STRING,
	};
	struct node *n = &r->nodes[at];
	struct yaml_scalar s;
	char number[YAML_NUMBER_SIZE];

	TRY(resolve(r, at, &s));
	if (s.kind == YAML_STRING && n->tag != YAML_TAG_BINARY) {
		n->value = n->raw;
		return ERR_OK;
	}
	n->value =
	    document_value(r->document, kinds[s.kind], n->line, n->column);
	n->value->truth = s.truth;
	if (n->tag == YAML_TAG_BINARY)
		return make_binary(r, at, n->value);
	if (n->value->kind == VALUE_NUMBER) {
		if (yaml_number(number, &s, r->e) != ERR_OK)
			return fault_add(r, at);
		document_text(r->document, n->value, number, strlen(number));
	}
	return ERR_OK;
}

static enum err_code make_value(struct yaml_reader *r, uint32_t at,
    struct value **out);

static enum err_code
make_sequence(struct yaml_reader *r, uint32_t at)
{
	struct value *v = r->nodes[at].value;
	size_t n = 0;

	v->count = r->nodes[at].count;
	if (v->count > 0)
		v->items = document_pointers(r->document, v->count);
	for (uint32_t i = r->nodes[at].first; i != 0; i = r->nodes[i].next)
		TRY(make_value(r, i, &v->items[n++]));
	return ERR_OK;
}

/* Members of one object while they are gathered, in the order in which OPA's
 * reader sets them; the last one with a key wins. */
struct members {
	struct value **keys;
	struct member {
		struct value *item; /* NULL: another one won */
		enum yaml_kind key_kind;
		bool merged;
	} * more;
	size_t count, cap;
};

static void
members_clear(struct members *m)
{
	mem_free(m->keys);
	mem_free(m->more);
}

static enum err_code
members_add(struct yaml_reader *r, struct members *m, uint32_t key_at,
    uint32_t item_at, bool merged)
{
	struct value *item;

	if (r->nodes[key_at].kind == NODE_ALIAS)
		key_at = r->nodes[key_at].target;
	if (r->nodes[key_at].kind != NODE_SCALAR)
		return fault(r, ERR_INVALID, key_at,
		    "a key cannot be a list or an object");
	TRY(make_key(r, key_at));
	TRY(make_value(r, item_at, &item));
	if (m->count == m->cap) {
		m->cap = m->cap < 16 ? 16 : m->cap * 2;
		m->keys = mem_grow(m->keys, m->cap, sizeof *m->keys);
		m->more = mem_grow(m->more, m->cap, sizeof *m->more);
	}
	m->keys[m->count] = r->nodes[key_at].key;
	m->more[m->count++] =
	    (struct member){ item, r->nodes[key_at].key_kind, merged };
	return ERR_OK;
}

static enum err_code gather(struct yaml_reader *r, struct members *m,
    uint32_t mapping, bool merged);

static enum err_code
gather_merged(struct yaml_reader *r, struct members *m, uint32_t at)
{
	struct value *v;

	/* Made for itself first, so that its own faults are found. */
	TRY(make_value(r, at, &v));
	if (r->nodes[at].kind == NODE_ALIAS)
		at = r->nodes[at].target;
	return gather(r, m, at, true);
}

/* Of several objects the earlier one wins: they are set from the last to the
 * first. */
static enum err_code
gather_merge(struct yaml_reader *r, struct members *m, uint32_t at)
{
	uint32_t *list;
	size_t n = r->nodes[at].count;
	size_t filled = 0;
	enum err_code code = ERR_OK;

	if (r->nodes[at].kind != NODE_SEQUENCE)
		return gather_merged(r, m, at);
	list = mem_array(n, sizeof *list);
	for (uint32_t i = r->nodes[at].first; i != 0; i = r->nodes[i].next)
		list[filled++] = i;
	while (code == ERR_OK && filled > 0)
		code = gather_merged(r, m, list[--filled]);
	mem_free(list);
	return code;
}

static enum err_code
gather(struct yaml_reader *r, struct members *m, uint32_t mapping, bool merged)
{
	uint32_t key = r->nodes[mapping].first;

	while (key != 0) {
		uint32_t item = r->nodes[key].next;

		assert(item != 0);
		if (r->nodes[key].merge)
			TRY(gather_merge(r, m, item));
		else
			TRY(members_add(r, m, key, item, merged));
		key = r->nodes[item].next;
	}
	return ERR_OK;
}

/* Two members with one key, a before b. */
static enum err_code
settle_pair(struct yaml_reader *r, struct members *m, size_t a, size_t b)
{
	const struct value *x = m->keys[a];
	const struct value *y = m->keys[b];
	bool mixed = m->more[a].key_kind != m->more[b].key_kind;
	char quoted[VALUE_QUOTE_SIZE];

	/* Of keys of different types OPA picks one at random. */
	if (mixed || (!m->more[a].merged && !m->more[b].merged))
		return err_set(r->e, ERR_INVALID,
		    "%s:%u:%u: the key %s stands twice in one object (first at "
		    "%u:%u)%s",
		    r->name, y->line, y->column,
		    value_quote(quoted, y->text, y->text_len), x->line,
		    x->column, mixed ? ", with different types" : "");
	m->more[a].item = NULL;
	/* A later third one has to be compared with what was written. */
	m->more[b].merged = m->more[a].merged && m->more[b].merged;
	return ERR_OK;
}

static enum err_code
settle(struct yaml_reader *r, struct members *m)
{
	uint32_t *order = mem_array(m->count, sizeof *order);
	enum err_code code = ERR_OK;

	if (value_sort_keys(order, m->keys, m->count)) {
		for (size_t i = 1; code == ERR_OK && i < m->count; i++) {
			const struct value *a = m->keys[order[i - 1]];
			const struct value *b = m->keys[order[i]];

			if (a->text_len == b->text_len &&
			    memcmp(a->text, b->text, a->text_len) == 0)
				code =
				    settle_pair(r, m, order[i - 1], order[i]);
		}
	}
	mem_free(order);
	return code;
}

static enum err_code
make_mapping(struct yaml_reader *r, uint32_t at)
{
	struct value *v = r->nodes[at].value;
	struct members m = { 0 };
	enum err_code code = gather(r, &m, at, false);

	if (code == ERR_OK)
		code = settle(r, &m);
	if (code == ERR_OK && m.count > 0) {
		v->keys = document_pointers(r->document, m.count);
		v->items = document_pointers(r->document, m.count);
		for (size_t i = 0; i < m.count; i++) {
			if (m.more[i].item == NULL)
				continue;
			v->keys[v->count] = m.keys[i];
			v->items[v->count++] = m.more[i].item;
		}
	}
	members_clear(&m);
	return code;
}

static enum err_code
make_value(struct yaml_reader *r, uint32_t at, struct value **out)
{
	struct node *n = &r->nodes[at];

	if (n->kind == NODE_ALIAS)
		return make_value(r, n->target, out);
	if (n->value == NULL) {
		if (n->kind == NODE_SCALAR) {
			TRY(make_scalar(r, at));
		} else {
			bool list = n->kind == NODE_SEQUENCE;

			n->value = document_value(r->document,
			    list ? VALUE_ARRAY : VALUE_OBJECT, n->line,
			    n->column);
			TRY(list ? make_sequence(r, at) : make_mapping(r, at));
		}
	}
	*out = n->value;
	return ERR_OK;
}

static enum err_code
read_document(struct yaml_reader *r)
{
	static const char mark[] = "\xef\xbb\xbf";
	const char *found = memmem(r->text, r->len, mark, sizeof mark - 1);
	struct value *root;

	/* libyaml drops some of these where OPA keeps them. */
	if (found != NULL)
		return byte_fault(r, (size_t)(found - r->text),
		    "a byte order mark (U+FEFF) within the text");
	TRY(read_nodes(r));
	if (r->root == 0) {
		/* Nothing but comments: null, as there. */
		document_set_root(r->document,
		    document_value(r->document, VALUE_NULL, 1, 1));
		return ERR_OK;
	}
	r->decoded = 1; /* the document itself */
	TRY(count_node(r, r->root, 0, false));
	TRY(make_value(r, r->root, &root));
	document_set_root(r->document, root);
	return ERR_OK;
}

static enum err_code
read_yaml(struct document **out, const char *name, const char *text, size_t len,
    struct err *e)
{
	struct yaml_reader r = {
		.name = name,
		.text = text,
		.len = len,
		.node_count = 1,
		.e = e,
	};
	enum err_code code;

	if (!yaml_parser_initialize(&r.parser))
		mem_alloc(SIZE_MAX); /* out of memory, the only cause */
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text,
	    len);
	r.document = document_new();
	code = read_document(&r);
	if (code == ERR_OK)
		*out = STEAL(r.document);
	reader_clear(&r);
	return code;
}

enum err_code
yaml_read(struct document **out, const char *name, const char *text, size_t len,
    struct err *e)
{
	struct err ignored;
	enum err_code code;

	if (len > YAML_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "%s: larger than %d MiB", name,
		    (int)(YAML_SIZE_MAX >> 20));
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	/* What canon_read refuses for more than its syntax (duplicate keys,
	 * half surrogate pairs, bad UTF-8), read_yaml refuses as well. */
	code = canon_read(out, name, text, len, &ignored);
	if (code == ERR_LIMIT)
		return err_set(e, code, "%s", ignored.text);
	if (code == ERR_OK)
		return code;
	return read_yaml(out, name, text, len, e);
}
