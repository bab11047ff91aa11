#include "core/canon.h"
#include "core/yaml.h"
#include "core/yaml_graph.h"

/* What the document is once aliases are expanded. */
struct tally {
	const struct yaml_graph *graph;
	size_t decoded, decoded_in_alias, decoded_bytes;
};

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
count_one(struct tally *t, uint32_t at, bool in_alias)
{
	t->decoded++;
	if (in_alias)
		t->decoded_in_alias++;
	if (t->graph->nodes[at].raw != NULL)
		t->decoded_bytes += t->graph->nodes[at].raw->text_len;
	if (t->decoded > YAML_NODES_MAX)
		return yaml_fault(t->graph, ERR_LIMIT, at,
		    "too many values once aliases are expanded");
	if (t->decoded_bytes > CANON_SIZE_MAX)
		return yaml_fault(t->graph, ERR_LIMIT, at,
		    "too much text once aliases are expanded");
	if (t->decoded_in_alias > 100 && t->decoded > 1000 &&
	    (double)t->decoded_in_alias / (double)t->decoded >
		alias_share_max(t->decoded))
		return yaml_fault(t->graph, ERR_LIMIT, at,
		    "too much of this document comes from aliases");
	return ERR_OK;
}

static enum err_code count_node(struct tally *t, uint32_t at, size_t depth,
    bool in_alias);

/* The value of a << is a mapping, an alias of one, or a list of those. */
static enum err_code
check_merge(const struct yaml_graph *g, uint32_t at, bool list_allowed)
{
	const struct yaml_node *n = &g->nodes[at];

	if (n->kind == NODE_ALIAS)
		n = &g->nodes[n->target];
	else if (n->kind == NODE_SEQUENCE && list_allowed) {
		for (uint32_t i = n->first; i != 0; i = g->nodes[i].next)
			TRY(check_merge(g, i, false));
		return ERR_OK;
	}
	if (n->kind == NODE_MAPPING)
		return ERR_OK;
	return yaml_fault(g, ERR_INVALID, at,
	    "<< takes an object, or a list of objects");
}

static enum err_code
count_merge(struct tally *t, uint32_t at, size_t depth, bool in_alias)
{
	TRY(check_merge(t->graph, at, true));
	if (t->graph->nodes[at].kind != NODE_SEQUENCE)
		return count_node(t, at, depth, in_alias);
	for (uint32_t i = t->graph->nodes[at].first; i != 0;
	     i = t->graph->nodes[i].next)
		TRY(count_node(t, i, depth, in_alias));
	return ERR_OK;
}

static enum err_code
count_children(struct tally *t, uint32_t at, size_t depth, bool in_alias)
{
	bool mapping = t->graph->nodes[at].kind == NODE_MAPPING;
	uint32_t i = t->graph->nodes[at].first;

	for (; i != 0; i = t->graph->nodes[i].next) {
		bool merge = mapping && t->graph->nodes[i].merge;

		if (!merge)
			TRY(count_node(t, i, depth, in_alias));
		if (!mapping)
			continue;
		i = t->graph->nodes[i].next; /* the key's value */
		TRY(merge ? count_merge(t, i, depth, in_alias)
			  : count_node(t, i, depth, in_alias));
	}
	return ERR_OK;
}

/* Counts as OPA's reader does: aliases and what they name. */
static enum err_code
count_node(struct tally *t, uint32_t at, size_t depth, bool in_alias)
{
	TRY(count_one(t, at, in_alias));
	switch (t->graph->nodes[at].kind) {
	case NODE_SCALAR:
		return ERR_OK;
	case NODE_ALIAS:
		return count_node(t, t->graph->nodes[at].target, depth, true);
	default:
		break;
	}
	if (depth == YAML_DEPTH_MAX)
		return yaml_fault(t->graph, ERR_LIMIT, at,
		    "nested too deep once aliases are expanded");
	return count_children(t, at, depth + 1, in_alias);
}

enum err_code
yaml_graph_check(const struct yaml_graph *g)
{
	struct tally t = { .graph = g, .decoded = 1 }; /* the document itself */

	return count_node(&t, g->root, 0, false);
}
