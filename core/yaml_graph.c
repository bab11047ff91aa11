#include "core/yaml_graph.h"

#include "core/mem.h"
#include "core/yaml.h"

void
yaml_graph_init(struct yaml_graph *g, const char *name,
    struct document *document, struct err *e)
{
	*g = (struct yaml_graph){
		.name = name,
		.document = document,
		.node_count = 1, /* 0 is no node */
		.e = e,
	};
}

void
yaml_graph_clear(struct yaml_graph *g)
{
	mem_free(g->nodes);
}

static void
append_child(struct yaml_graph *g, uint32_t parent, uint32_t child)
{
	struct yaml_node *p = &g->nodes[parent];

	if (p->count++ == 0)
		p->first = child;
	else
		g->nodes[p->last].next = child;
	p->last = child;
}

enum err_code
yaml_graph_add(struct yaml_graph *g, uint32_t *out, uint32_t parent,
    const struct yaml_node *node)
{
	if (g->node_count > YAML_NODES_MAX)
		return err_set(g->e, ERR_LIMIT,
		    "%s:%u:%u: more than %d values in one text", g->name,
		    node->line, node->column, (int)YAML_NODES_MAX);
	if (g->node_count >= g->node_cap) {
		g->node_cap = g->node_cap < 64 ? 64 : g->node_cap * 2;
		g->nodes = mem_grow(g->nodes, g->node_cap, sizeof *g->nodes);
	}
	*out = g->node_count++;
	g->nodes[*out] = *node;
	if (parent == 0)
		g->root = *out;
	else
		append_child(g, parent, *out);
	return ERR_OK;
}

enum err_code
yaml_fault_at(const struct yaml_graph *g, enum err_code code, uint32_t line,
    uint32_t column, const char *what)
{
	return err_set(g->e, code, "%s:%u:%u: %s", g->name, line, column, what);
}

enum err_code
yaml_fault(const struct yaml_graph *g, enum err_code code, uint32_t node,
    const char *what)
{
	const struct yaml_node *n = &g->nodes[node];

	return yaml_fault_at(g, code, n->line, n->column, what);
}

enum err_code
yaml_fault_add(const struct yaml_graph *g, uint32_t node)
{
	const struct yaml_node *n = &g->nodes[node];

	return err_add(g->e, "%s:%u:%u", g->name, n->line, n->column);
}
