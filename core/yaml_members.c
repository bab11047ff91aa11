#include <assert.h>
#include <string.h>

#include "core/mem.h"
#include "core/yaml_graph.h"

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
members_add(struct yaml_graph *g, struct members *m, uint32_t key_at,
    uint32_t item_at, bool merged)
{
	struct value *item;

	if (g->nodes[key_at].kind == NODE_ALIAS)
		key_at = g->nodes[key_at].target;
	if (g->nodes[key_at].kind != NODE_SCALAR)
		return yaml_fault(g, ERR_INVALID, key_at,
		    "a key cannot be a list or an object");
	TRY(yaml_key_make(g, key_at));
	TRY(yaml_value_make(g, item_at, &item));
	if (m->count == m->cap) {
		m->cap = m->cap < 16 ? 16 : m->cap * 2;
		m->keys = mem_grow(m->keys, m->cap, sizeof *m->keys);
		m->more = mem_grow(m->more, m->cap, sizeof *m->more);
	}
	m->keys[m->count] = g->nodes[key_at].key;
	m->more[m->count++] =
	    (struct member){ item, g->nodes[key_at].key_kind, merged };
	return ERR_OK;
}

static enum err_code gather(struct yaml_graph *g, struct members *m,
    uint32_t mapping, bool merged);

static enum err_code
gather_merged(struct yaml_graph *g, struct members *m, uint32_t at)
{
	struct value *v;

	/* Made for itself first, so that its own faults are found. */
	TRY(yaml_value_make(g, at, &v));
	if (g->nodes[at].kind == NODE_ALIAS)
		at = g->nodes[at].target;
	return gather(g, m, at, true);
}

/* Of several objects the earlier one wins: they are set from the last to the
 * first. */
static enum err_code
gather_merge(struct yaml_graph *g, struct members *m, uint32_t at)
{
	uint32_t *list;
	size_t n = g->nodes[at].count;
	size_t filled = 0;
	enum err_code code = ERR_OK;

	if (g->nodes[at].kind != NODE_SEQUENCE)
		return gather_merged(g, m, at);
	list = mem_array(n, sizeof *list);
	for (uint32_t i = g->nodes[at].first; i != 0; i = g->nodes[i].next)
		list[filled++] = i;
	while (code == ERR_OK && filled > 0)
		code = gather_merged(g, m, list[--filled]);
	mem_free(list);
	return code;
}

static enum err_code
gather(struct yaml_graph *g, struct members *m, uint32_t mapping, bool merged)
{
	uint32_t key = g->nodes[mapping].first;

	while (key != 0) {
		uint32_t item = g->nodes[key].next;

		assert(item != 0);
		if (g->nodes[key].merge)
			TRY(gather_merge(g, m, item));
		else
			TRY(members_add(g, m, key, item, merged));
		key = g->nodes[item].next;
	}
	return ERR_OK;
}

/* Two members with one key, a before b. */
static enum err_code
settle_pair(struct yaml_graph *g, struct members *m, size_t a, size_t b)
{
	const struct value *x = m->keys[a];
	const struct value *y = m->keys[b];
	bool mixed = m->more[a].key_kind != m->more[b].key_kind;
	char quoted[VALUE_QUOTE_SIZE];

	/* Of keys of different types OPA picks one at random. */
	if (mixed || (!m->more[a].merged && !m->more[b].merged))
		return err_set(g->e, ERR_INVALID,
		    "%s:%u:%u: the key %s stands twice in one object (first at "
		    "%u:%u)%s",
		    g->name, y->line, y->column,
		    value_quote(quoted, y->text, y->text_len), x->line,
		    x->column, mixed ? ", with different types" : "");
	m->more[a].item = NULL;
	/* A later third one has to be compared with what was written. */
	m->more[b].merged = m->more[a].merged && m->more[b].merged;
	return ERR_OK;
}

static enum err_code
settle(struct yaml_graph *g, struct members *m)
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
				    settle_pair(g, m, order[i - 1], order[i]);
		}
	}
	mem_free(order);
	return code;
}

enum err_code
yaml_members_make(struct yaml_graph *g, uint32_t at)
{
	struct value *v = g->nodes[at].value;
	struct members m = { 0 };
	enum err_code code = gather(g, &m, at, false);

	if (code == ERR_OK)
		code = settle(g, &m);
	if (code == ERR_OK && m.count > 0) {
		v->keys = document_pointers(g->document, m.count);
		v->items = document_pointers(g->document, m.count);
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
