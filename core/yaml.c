#include "core/yaml.h"

#include <string.h>

#include "core/canon.h"
#include "core/mem.h"
#include "core/yaml_graph.h"

static enum err_code
read_root(struct yaml_graph *g, const char *text, size_t len)
{
	struct value *root;

	TRY(yaml_graph_read(g, text, len));
	if (g->root == 0) {
		/* Nothing but comments: null, as there. */
		root = document_value(g->document, VALUE_NULL, 1, 1);
	} else {
		TRY(yaml_graph_check(g));
		TRY(yaml_value_make(g, g->root, &root));
	}
	document_set_root(g->document, root);
	return ERR_OK;
}

static enum err_code
read_yaml(struct document **out, const char *name, const char *text, size_t len,
    struct err *e)
{
	AUTO(document, d) = document_new();
	struct yaml_graph g;
	enum err_code code;

	yaml_graph_init(&g, name, d, e);
	code = read_root(&g, text, len);
	yaml_graph_clear(&g);
	if (code == ERR_OK)
		*out = STEAL(d);
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
