#ifndef CORE_YAML_GRAPH_H
#define CORE_YAML_GRAPH_H

/* The nodes of one YAML text, aliases still being references, and the three
 * steps over them: yaml_events.c makes them from the text, yaml_limits.c counts
 * them as they will be once aliases are expanded, so that nothing grows before
 * its size is known, yaml_values.c makes values of them. Only yaml*.c needs
 * this. Errors name the place in the text and are INVALID or LIMIT. Pure, any
 * thread. */

#include <stdbool.h>
#include <stdint.h>

#include "core/value.h"
#include "core/yaml_scalar.h"

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING, NODE_ALIAS };

/* Indices are those of yaml_graph.nodes; 0 is none. */
struct yaml_node {
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

struct yaml_graph {
	const char *name;          /* of the text, for errors */
	struct document *document; /* owned by the caller; holds the values */
	struct yaml_node *nodes;
	uint32_t node_count, node_cap;
	uint32_t root; /* 0: nothing but comments */
	struct err *e;
};

void yaml_graph_init(struct yaml_graph *g, const char *name,
    struct document *document, struct err *e);
void yaml_graph_clear(struct yaml_graph *g);

/* A node behind the others of its parent (0: it is the root). Pointers to nodes
 * hold until the next call. */
enum err_code yaml_graph_add(struct yaml_graph *g, uint32_t *out,
    uint32_t parent, const struct yaml_node *node) MUST_CHECK;

/* Reads the text's first document. */
enum err_code yaml_graph_read(struct yaml_graph *g, const char *text,
    size_t len) MUST_CHECK;

/* Refuses what would be too much, too deep, or too much of it from aliases. */
enum err_code yaml_graph_check(const struct yaml_graph *g) MUST_CHECK;

/* The value of one node, made once and shared by all that name it. */
enum err_code yaml_value_make(struct yaml_graph *g, uint32_t at,
    struct value **out) MUST_CHECK;
/* The string for a scalar that is used as a key, as nodes[at].key. */
enum err_code yaml_key_make(struct yaml_graph *g, uint32_t at) MUST_CHECK;
/* The members of an object, into nodes[at].value, with those that << merges. */
enum err_code yaml_members_make(struct yaml_graph *g, uint32_t at) MUST_CHECK;

enum err_code yaml_fault_at(const struct yaml_graph *g, enum err_code code,
    uint32_t line, uint32_t column, const char *what);
enum err_code yaml_fault(const struct yaml_graph *g, enum err_code code,
    uint32_t node, const char *what);
/* Puts the node's place before a text that is set already. */
enum err_code yaml_fault_add(const struct yaml_graph *g, uint32_t node);

#endif
