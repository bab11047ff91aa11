#include "policies/definition_private.h"

#include <string.h>

#include "core/canon.h"
#include "core/mem.h"

/* What `opa build` is asked for, and what policies may use. */

bool
definition_is_compiled(const struct definition_bundle *d)
{
	return d->compile.target != TARGET_REGO || d->compile.optimize > 0;
}

/* As `opa capabilities` lists them: v0.17.0 and on. */
bool
definition_capabilities_is_version(const char *capabilities)
{
	size_t dots = 0;
	const char *s = capabilities;

	if (*s++ != 'v' || strlen(s) > 20)
		return false;
	for (; *s != '\0'; s++) {
		if (*s == '.' && s[-1] >= '0' && s[-1] <= '9')
			dots++;
		else if (*s < '0' || *s > '9')
			return false;
	}
	return dots == 2 && s[-1] != '.';
}

const char *
definition_capabilities(const struct definition *d,
    const struct definition_bundle *b)
{
	return b->capabilities != NULL ? b->capabilities : d->gate.capabilities;
}

static bool
is_entrypoint(const char *text)
{
	return text[0] != '\0' && definition_is_clean(text) &&
	    strlen(text) <= DEFINITION_ENTRYPOINT_MAX;
}

/* As Rego writes it; no package begins with a name that has a dot. */
static bool
has_dots_alone(const char *text)
{
	return strchr(text, '.') != NULL && strchr(text, '/') == NULL;
}

static void
suggest_slashes(const struct reading *r, const struct value *at,
    const char *text)
{
	bool data = strncmp(text, "data.", strlen("data.")) == 0;
	AUTO_STR better = mem_strdup(data ? text + strlen("data.") : text);

	for (char *s = better; *s != '\0'; s++) {
		if (*s == '.')
			*s = '/';
	}
	spec_fault(r->faults, at, "\"%s\" is no entrypoint: write %s", text,
	    better);
}

static void
check_entrypoints(const struct reading *r, const struct value *at,
    const struct definition_compile *c)
{
	for (size_t i = 0; i < c->entrypoints.count; i++) {
		const char *text = c->entrypoints.items[i];
		const struct value *here =
		    definition_at_item(at, "entrypoints", i);

		if (!is_entrypoint(text))
			spec_fault(r->faults, here,
			    "\"%s\" is no entrypoint: write package and rule "
			    "with \"/\" between, as in authz/allow, in at most "
			    "%d bytes",
			    text, DEFINITION_ENTRYPOINT_MAX);
		else if (has_dots_alone(text))
			suggest_slashes(r, here, text);
		else if (c->optimize > 0 && strchr(text, '/') == NULL)
			spec_fault(r->faults, here,
			    "\"%s\" names no rule, which optimize needs: write "
			    "it as in authz/allow",
			    text);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(text, c->entrypoints.items[k]) == 0)
				spec_fault(r->faults, here,
				    "entrypoint \"%s\" is listed twice", text);
		}
	}
}

/* opa names files after it, in an order of its own where it is not plain. */
static bool
is_namespace(const char *text)
{
	for (const char *s = text; *s != '\0'; s++) {
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
		    !(*s >= '0' && *s <= '9') && *s != '_' && *s != '-')
			return false;
	}
	return true;
}

void
definition_check_compile(const struct reading *r, const struct value *item,
    const struct definition_bundle *b)
{
	const struct definition_compile *c = &b->compile;
	const struct value *at = definition_at(item, "compile");

	check_entrypoints(r, at, c);
	if (definition_is_compiled(b) && c->entrypoints.count == 0)
		spec_fault(r->faults, at,
		    "%s%s needs entrypoints: the decisions that will be asked "
		    "for, as in entrypoints: [authz/allow]",
		    c->target != TARGET_REGO ? "target " : "optimize",
		    c->target != TARGET_REGO ? definition_target_name(c->target)
					     : "");
	if (c->prune_unused && c->target == TARGET_REGO)
		spec_fault(r->faults, definition_at(at, "prune_unused"),
		    "prune_unused changes nothing with target rego; remove it");
	if (c->wasm_include_print && c->target != TARGET_WASM)
		spec_fault(r->faults, definition_at(at, "wasm_include_print"),
		    "wasm_include_print is for target wasm");
	if (c->partial_namespace == NULL)
		return;
	if (c->optimize == 0)
		spec_fault(r->faults, definition_at(at, "partial_namespace"),
		    "partial_namespace changes nothing without optimize; "
		    "remove it");
	else if (!is_namespace(c->partial_namespace))
		spec_fault(r->faults, definition_at(at, "partial_namespace"),
		    "\"%s\": only letters, digits, \"_\" and \"-\"",
		    c->partial_namespace);
}

/* What it says is opa's to judge; that it can be read is ours, since opa
 * reports a bad one without saying where. */
static void
check_capabilities_file(const struct reading *r, const struct value *at,
    const char *path)
{
	const struct tree_entry *file = tree_find(r->tree, path);
	AUTO(document, doc) = NULL;
	AUTO_BUF text = { 0 };
	struct err e = { 0 };

	if (file == NULL) {
		spec_fault(r->faults, at,
		    "\"%s\" is a folder; name a JSON file", path);
		return;
	}
	buf_init(&text, DEFINITION_CAPABILITIES_MAX);
	if (tree_read(r->tree, file, &text, &e) != ERR_OK ||
	    buf_check(&text, path, &e) != ERR_OK ||
	    canon_read(&doc, path, text.data, text.len, &e) != ERR_OK)
		spec_fault(r->faults, at, "%s", e.text);
	else if (document_root(doc)->kind != VALUE_OBJECT)
		spec_fault(r->faults, at,
		    "\"%s\" is not what `opa capabilities` prints: a JSON "
		    "object with builtins",
		    path);
}

static bool
lacks_v(const char *version)
{
	AUTO_STR whole = mem_printf("v%s", version);

	return definition_capabilities_is_version(whole);
}

void
definition_check_capabilities(const struct reading *r, const struct value *at,
    char **capabilities)
{
	size_t faults = r->faults->count;

	if (*capabilities == NULL)
		return;
	if (lacks_v(*capabilities) &&
	    !definition_exists(r->tree, *capabilities))
		spec_fault(r->faults, at, "\"%s\": write v%s", *capabilities,
		    *capabilities);
	else if (!definition_capabilities_is_version(*capabilities))
		definition_check_argument(r, at, capabilities);
	if (r->faults->count > faults)
		return;
	/* Whoever reads the definition goes by the name alone. */
	if (!definition_capabilities_is_version(*capabilities))
		check_capabilities_file(r, at, *capabilities);
	else if (definition_exists(r->tree, *capabilities))
		spec_fault(r->faults, at,
		    "\"%s\" is a version of opa, and a file is called so; "
		    "rename the file",
		    *capabilities);
}
