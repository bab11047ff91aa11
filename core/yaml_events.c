#include <assert.h>
#include <search.h>
#include <string.h>
#include <yaml.h>

#include "core/mem.h"
#include "core/yaml.h"
#include "core/yaml_graph.h"

struct anchor {
	char *name;
	uint32_t node;
};

struct event_reader {
	struct yaml_graph *graph;
	const char *text;
	size_t len;
	/* A place in the text, counted in characters as libyaml does. */
	size_t cursor_bytes, cursor_chars;
	yaml_parser_t parser;
	uint32_t open[YAML_DEPTH_MAX];
	size_t depth;
	size_t flow_depth; /* from this depth on all is in [] or {}; 0: none */
	void *anchors;     /* tsearch tree of struct anchor */
};

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
anchor_set(struct event_reader *r, const yaml_char_t *name, uint32_t node)
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
anchor_get(const struct event_reader *r, char *name)
{
	struct anchor wanted = { .name = name };
	struct anchor *const *found =
	    tfind(&wanted, &r->anchors, compare_anchors);

	return found != NULL ? (*found)->node : 0;
}

static uint32_t
line_of(const yaml_event_t *event)
{
	return (uint32_t)event->start_mark.line + 1;
}

static uint32_t
column_of(const yaml_event_t *event)
{
	return (uint32_t)event->start_mark.column + 1;
}

static enum err_code
event_fault(const struct event_reader *r, const yaml_event_t *event,
    const char *what)
{
	return yaml_fault_at(r->graph, ERR_INVALID, line_of(event),
	    column_of(event), what);
}

static enum err_code
add_node(struct event_reader *r, uint32_t *out, enum node_kind kind,
    const yaml_event_t *event)
{
	uint32_t parent = r->depth > 0 ? r->open[r->depth - 1] : 0;

	return yaml_graph_add(r->graph, out, parent,
	    &(struct yaml_node){
		.kind = kind,
		.line = line_of(event),
		.column = column_of(event),
	    });
}

static bool
is_first_byte(char c)
{
	return (c & 0xc0) != 0x80;
}

/* Marks are near each other and rise, so all calls together walk the text
 * about once. What libyaml has read so far is valid UTF-8. */
static const char *
text_at(struct event_reader *r, size_t index)
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
has_lone_mark(struct event_reader *r, const yaml_event_t *event)
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
check_flow(struct event_reader *r, const yaml_event_t *event)
{
	const char *end;

	if (r->flow_depth == 0 ||
	    event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return ERR_OK;
	if (memchr(event->data.scalar.value, '?', event->data.scalar.length) !=
	    NULL)
		return event_fault(r, event,
		    "OPA does not take a ? here; put this text in quotes");
	if (event->data.scalar.length > 0 || event->data.scalar.tag == NULL)
		return ERR_OK;
	end = text_at(r, event->end_mark.index);
	if (end < r->text + r->len && *end == ',')
		return event_fault(r, event,
		    "OPA does not take a comma right behind a tag");
	return ERR_OK;
}

/* Nor does it take JSON's escape for a slash. */
static enum err_code
check_escapes(struct event_reader *r, const yaml_event_t *event)
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
			return event_fault(r, event,
			    "OPA does not take the escape \\/ in YAML; write "
			    "/ alone");
		p += 2;
	}
	return ERR_OK;
}

static enum err_code
take_scalar(struct event_reader *r, yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	const char *tag = (const char *)event->data.scalar.tag;
	bool implicit = event->data.scalar.plain_implicit != 0;
	struct yaml_node *n;
	uint32_t at;

	TRY(check_flow(r, event));
	TRY(check_escapes(r, event));
	TRY(add_node(r, &at, NODE_SCALAR, event));
	anchor_set(r, event->data.scalar.anchor, at);
	n = &r->graph->nodes[at];
	n->tag = yaml_tag_of(tag);
	n->merge = event->data.scalar.length == 2 &&
	    memcmp(text, "<<", 2) == 0 &&
	    (implicit || n->tag == YAML_TAG_MERGE);
	n->plain = n->tag != YAML_TAG_NONE ||
	    (implicit && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		!has_lone_mark(r, event));
	n->raw = document_value(r->graph->document, VALUE_STRING, n->line,
	    n->column);
	document_text(r->graph->document, n->raw, text,
	    event->data.scalar.length);
	return ERR_OK;
}

static enum err_code
take_alias(struct event_reader *r, yaml_event_t *event)
{
	char *name = (char *)event->data.alias.anchor;
	char quoted[VALUE_QUOTE_SIZE];
	uint32_t target = anchor_get(r, name);
	uint32_t at;

	TRY(add_node(r, &at, NODE_ALIAS, event));
	value_quote(quoted, name, strlen(name));
	if (target == 0)
		return err_set(r->graph->e, ERR_INVALID,
		    "%s:%u:%u: the alias %s names no anchor before it",
		    r->graph->name, r->graph->nodes[at].line,
		    r->graph->nodes[at].column, quoted);
	if (r->graph->nodes[target].open)
		return err_set(r->graph->e, ERR_INVALID,
		    "%s:%u:%u: the anchor %s contains itself", r->graph->name,
		    r->graph->nodes[at].line, r->graph->nodes[at].column,
		    quoted);
	r->graph->nodes[at].target = target;
	return ERR_OK;
}

static enum err_code
take_start(struct event_reader *r, enum node_kind kind,
    const yaml_char_t *anchor, bool flow, const yaml_event_t *event)
{
	uint32_t at;

	TRY(add_node(r, &at, kind, event));
	if (r->depth == YAML_DEPTH_MAX)
		return err_set(r->graph->e, ERR_LIMIT,
		    "%s:%u:%u: nested deeper than %d", r->graph->name,
		    r->graph->nodes[at].line, r->graph->nodes[at].column,
		    (int)YAML_DEPTH_MAX);
	anchor_set(r, anchor, at);
	r->graph->nodes[at].open = true;
	r->open[r->depth++] = at;
	if (flow && r->flow_depth == 0)
		r->flow_depth = r->depth;
	return ERR_OK;
}

static void
take_end(struct event_reader *r)
{
	if (r->flow_depth == r->depth)
		r->flow_depth = 0;
	r->graph->nodes[r->open[--r->depth]].open = false;
}

/* OPA's reader knows YAML 1.1 only; libyaml takes 1.2 as well. */
static enum err_code
take_document(struct event_reader *r, const yaml_event_t *event)
{
	const yaml_version_directive_t *v =
	    event->data.document_start.version_directive;

	if (v == NULL || (v->major == 1 && v->minor == 1))
		return ERR_OK;
	return err_set(r->graph->e, ERR_INVALID,
	    "%s:%zu:1: %%YAML %d.%d is not supported; OPA reads YAML 1.1, so "
	    "leave that line out",
	    r->graph->name, event->start_mark.line + 1, v->major, v->minor);
}

static enum err_code
take_event(struct event_reader *r, yaml_event_t *event, bool *done)
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
		take_end(r);
		return ERR_OK;
	default:
		return ERR_OK;
	}
}

/* An error at a byte, when all that is known of a place is its offset. */
static enum err_code
byte_fault(const struct event_reader *r, size_t offset, const char *what)
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
	return yaml_fault_at(r->graph, ERR_INVALID, line, column, what);
}

static enum err_code
parser_fault(const struct event_reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem != NULL ? p->problem : "cannot read";
	size_t line = p->problem_mark.line + 1;
	size_t column = p->problem_mark.column + 1;

	if (p->error == YAML_READER_ERROR)
		return byte_fault(r, p->problem_offset, problem);
	if (p->context == NULL)
		return err_set(r->graph->e, ERR_INVALID, "%s:%zu:%zu: %s",
		    r->graph->name, line, column, problem);
	return err_set(r->graph->e, ERR_INVALID,
	    "%s:%zu:%zu: %s (%s from line %zu)", r->graph->name, line, column,
	    problem, p->context, p->context_mark.line + 1);
}

/* libyaml drops some of these where OPA keeps them. */
static enum err_code
check_marks(const struct event_reader *r)
{
	static const char mark[] = "\xef\xbb\xbf";
	const char *found = memmem(r->text, r->len, mark, sizeof mark - 1);

	if (found == NULL)
		return ERR_OK;
	return byte_fault(r, (size_t)(found - r->text),
	    "a byte order mark (U+FEFF) within the text");
}

static enum err_code
read_nodes(struct event_reader *r)
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

enum err_code
yaml_graph_read(struct yaml_graph *g, const char *text, size_t len)
{
	struct event_reader r = { .graph = g, .text = text, .len = len };
	enum err_code code;

	TRY(check_marks(&r));
	if (!yaml_parser_initialize(&r.parser))
		mem_alloc(SIZE_MAX); /* out of memory, the only cause */
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text,
	    len);
	code = read_nodes(&r);
	yaml_parser_delete(&r.parser);
	tdestroy(r.anchors, anchor_free);
	return code;
}
