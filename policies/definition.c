#include "policies/definition_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/yaml.h"

enum {
	NAME_MAX_LEN = 200,
	VALUE_MAX_LEN = 256,
	ARGUMENTS_MAX = 100,
	COMMANDS_MAX = 20,
	LABELS_MAX = 100,
	TIMEOUT_MAX = 3600,
	TIMEOUT_DEFAULT = 120
};

/* The text of a path, checked; NULL after a fault. */
static char *
read_path(const struct value *v, const char *what, struct spec_faults *faults)
{
	char *path = NULL;

	if (v->kind != VALUE_STRING) {
		spec_fault(faults, v, "%s is a string, not %s", what,
		    value_kind_name(v->kind));
		return NULL;
	}
	if (strlen(v->text) == v->text_len)
		path = definition_clean_path(v->text);
	if (path != NULL && definition_is_clean(path))
		return path;
	mem_free(path);
	spec_fault(faults, v,
	    "\"%s\": write a path within the repository, as in policies/authz, "
	    "without \"..\" and less than %d bytes",
	    v->text, TREE_PATH_MAX);
	return NULL;
}

static const struct value *
path_pair(const struct value *v, const struct value **to,
    struct spec_faults *faults)
{
	const struct value *from = value_get(v, "from");

	*to = value_get(v, "to");
	for (size_t i = 0; i < v->count; i++) {
		if (strcmp(v->keys[i]->text, "from") != 0 &&
		    strcmp(v->keys[i]->text, "to") != 0)
			spec_fault(faults, v->keys[i],
			    "unknown key \"%s\"; there are from and to",
			    v->keys[i]->text);
	}
	if (from == NULL)
		spec_fault(faults, v, "needs from: a path of the repository");
	return from;
}

/* A path is "policies/authz" or {from: data/roles, to: roles}. */
static bool
read_one_path(struct definition_path *out, const struct value *v,
    struct spec_faults *faults)
{
	const struct value *from = v, *to = NULL;

	if (v->kind == VALUE_OBJECT)
		from = path_pair(v, &to, faults);
	if (from == NULL)
		return false;
	out->from = read_path(from, "from", faults);
	if (out->from == NULL)
		return false;
	out->to = to != NULL ? read_path(to, "to", faults)
			     : mem_strdup(out->from);
	if (out->to != NULL)
		return true;
	mem_free(STEAL(out->from));
	return false;
}

static void
read_paths(void *field, const struct value *v, const struct spec *s,
    struct spec_faults *faults)
{
	struct spec_list *list = field;
	struct definition_path *items;

	(void)s;
	if (v == NULL)
		return;
	if (v->kind != VALUE_ARRAY || v->count > DEFINITION_PATHS_MAX) {
		spec_fault(faults, v, "is a list of at most %d paths",
		    DEFINITION_PATHS_MAX);
		return;
	}
	if (v->count == 0)
		spec_fault(faults, v,
		    "is empty; leave it out to take the whole repository");
	items = mem_array(v->count, sizeof *items);
	list->items = items;
	for (size_t i = 0; i < v->count; i++) {
		if (read_one_path(&items[list->count], v->items[i], faults))
			list->count++;
	}
}

static void
clear_paths(void *field)
{
	struct spec_list *list = field;
	struct definition_path *items = list->items;

	for (size_t i = 0; i < list->count; i++) {
		mem_free(items[i].from);
		mem_free(items[i].to);
	}
	mem_free(items);
	*list = (struct spec_list){ 0 };
}

static int
label_order(const void *a, const void *b)
{
	const struct definition_label *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static bool
label_fits(const struct value *key, const struct value *v)
{
	return v->kind == VALUE_STRING && v->text_len <= VALUE_MAX_LEN &&
	    strlen(v->text) == v->text_len && key->text_len > 0 &&
	    key->text_len <= NAME_MAX_LEN && strlen(key->text) == key->text_len;
}

static void
read_labels(void *field, const struct value *v, const struct spec *s,
    struct spec_faults *faults)
{
	struct spec_list *list = field;
	struct definition_label *items;

	(void)s;
	if (v == NULL)
		return;
	if (v->kind != VALUE_OBJECT || v->count > LABELS_MAX) {
		spec_fault(faults, v, "is a map of at most %d strings",
		    LABELS_MAX);
		return;
	}
	items = mem_array(v->count, sizeof *items);
	list->items = items;
	for (size_t i = 0; i < v->count; i++) {
		if (!label_fits(v->keys[i], v->items[i])) {
			spec_fault(faults, v->items[i],
			    "label \"%s\" is a string of at most %d bytes; "
			    "quote it if it looks like a number",
			    v->keys[i]->text, VALUE_MAX_LEN);
			continue;
		}
		items[list->count++] =
		    (struct definition_label){ mem_strdup(v->keys[i]->text),
			    mem_strdup(v->items[i]->text) };
	}
	qsort(items, list->count, sizeof *items, label_order);
}

static void
clear_labels(void *field)
{
	struct spec_list *list = field;
	struct definition_label *items = list->items;

	for (size_t i = 0; i < list->count; i++) {
		mem_free(items[i].key);
		mem_free(items[i].value);
	}
	mem_free(items);
	*list = (struct spec_list){ 0 };
}

#define AT(type, field) offsetof(struct type, field)

static const char *const targets[] = { "rego", "wasm", "plan", NULL };

const char *
definition_target_name(int target)
{
	return targets[target];
}

static const struct spec compile_spec[] = {
	{ .key = "target",
	    .kind = SPEC_ENUM,
	    .offset = AT(definition_compile, target),
	    .fallback = TARGET_REGO,
	    .help = "What engines get: `rego` policies, a `wasm` module, or a "
		    "`plan` for other evaluators.",
	    .choices = targets },
	{ .key = "optimize",
	    .kind = SPEC_INT,
	    .offset = AT(definition_compile, optimize),
	    .min = 0,
	    .max = DEFINITION_OPTIMIZE_MAX,
	    .help = "How far `opa build` evaluates policies beforehand. 0: not "
		    "at all." },
	{ .key = "entrypoints",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_compile, entrypoints),
	    .max = DEFINITION_ENTRYPOINTS_MAX,
	    .help = "The decisions that will be asked for, with slashes: "
		    "`authz/allow`. Needed for `wasm`, for `plan`, and with "
		    "`optimize`." },
	{ .key = "prune_unused",
	    .kind = SPEC_BOOL,
	    .offset = AT(definition_compile, prune_unused),
	    .help = "Leave out of the module or plan what depends on the "
		    "entrypoints but is none itself." },
	{ .key = "partial_namespace",
	    .kind = SPEC_STRING,
	    .offset = AT(definition_compile, partial_namespace),
	    .min = 1,
	    .max = SPEC_NAME_MAX,
	    .help = "With `optimize`: the package of rules that the optimizer "
		    "makes up. Left out: `partial_` and the bundle's name, so "
		    "that two bundles never share one." },
	{ .key = "wasm_include_print",
	    .kind = SPEC_BOOL,
	    .offset = AT(definition_compile, wasm_include_print),
	    .help = "Keep `print` in the WebAssembly module." },
	{ 0 }
};

#define CAPABILITIES_MAX_LEN (TREE_PATH_MAX - 1)

static const struct spec bundle_spec[] = {
	{ .key = "", .kind = SPEC_NAME, .offset = AT(definition_bundle, name) },
	{ .key = "paths",
	    .kind = SPEC_CUSTOM,
	    .offset = AT(definition_bundle, paths),
	    .help = "Folders and files of the repository: `policies/authz`, or "
		    "`{from: data/roles, to: roles}` to put them elsewhere in "
		    "the bundle. Left out: everything.",
	    .read = read_paths,
	    .clear = clear_paths },
	{ .key = "exclude",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_bundle, exclude),
	    .max = DEFINITION_PATHS_MAX,
	    .help =
		"Patterns of repository paths to leave out: `*` stops at "
		"`/`, `**` crosses it. What matches a folder leaves out all "
		"of it. Tests and hidden files are always left out." },
	{ .key = "ignore",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_bundle, ignore),
	    .max = DEFINITION_PATHS_MAX,
	    .help = "Names of files and folders to leave out wherever they "
		    "are, as `opa build --ignore` takes them: `testdata`, "
		    "`*.yaml`." },
	{ .key = "roots",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_bundle, roots),
	    .max = DEFINITION_PATHS_MAX,
	    .help =
		"What the bundle owns below `data`, with slashes. Left out: "
		"worked out from packages and data." },
	{ .key = "rego_version",
	    .kind = SPEC_INT,
	    .offset = AT(definition_bundle, rego_version),
	    .min = 0,
	    .max = 1,
	    .fallback = -1,
	    .help = "0 for policies written before OPA 1.0. Left out: what a "
		    "`.manifest` says, else 1." },
	{ .key = "metadata",
	    .kind = SPEC_VALUE,
	    .offset = AT(definition_bundle, metadata),
	    .help = "An object that goes into the bundle's manifest." },
	{ .key = "compile",
	    .kind = SPEC_OBJECT,
	    .offset = AT(definition_bundle, compile),
	    .help = "What `opa build` makes of the bundle before it is signed.",
	    .sub = compile_spec },
	{ .key = "capabilities",
	    .kind = SPEC_STRING,
	    .offset = AT(definition_bundle, capabilities),
	    .min = 1,
	    .max = CAPABILITIES_MAX_LEN,
	    .help =
		"What its policies may use: a JSON file of the repository as "
		"`opa capabilities` prints it, or a version of OPA as in "
		"`v1.4.0`. Left out: `gate.capabilities`." },
	{ 0 }
};

static const struct spec cluster_spec[] = { { .key = "",
						.kind = SPEC_NAME,
						.offset = AT(definition_cluster,
						    name) },
	{ .key = "labels",
	    .kind = SPEC_CUSTOM,
	    .offset = AT(definition_cluster, labels),
	    .help = "Strings to select clusters by, as in `env: prod`.",
	    .read = read_labels,
	    .clear = clear_labels },
	{ .key = "bundles",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_cluster, bundles),
	    .max = DEFINITION_BUNDLES_MAX,
	    .help = "Names of the bundles its engines load. Left out: all." },
	{ .key = "follow",
	    .kind = SPEC_STRING,
	    .offset = AT(definition_cluster, follow),
	    .min = 1,
	    .max = VALUE_MAX_LEN,
	    .help = "The branch that the cluster follows. Left out: the one "
		    "that the server tracks." },
	{ 0 } };

static const struct spec check_spec[] = {
	{ .key = "strict",
	    .kind = SPEC_BOOL,
	    .offset = AT(definition_gate, strict),
	    .fallback = 1,
	    .help = "Refuse unused variables and imports, as `opa check "
		    "--strict` does." },
	{ .key = "schemas",
	    .kind = SPEC_STRING,
	    .offset = AT(definition_gate, schemas),
	    .min = 1,
	    .max = TREE_PATH_MAX,
	    .help = "Folder or file of JSON schemas that policies are checked "
		    "against." },
	{ 0 }
};

static const char *const scopes[] = { "repository", "bundle", NULL };
static const char *const modes[] = { "files", "bundle", NULL };
static const char *const empties[] = { "fail", "pass", NULL };

static const struct spec test_spec[] = {
	{ .key = "scope",
	    .kind = SPEC_ENUM,
	    .offset = AT(definition_gate, scope),
	    .fallback = SCOPE_REPOSITORY,
	    .help = "`repository`: one run over everything. `bundle`: one run "
		    "per bundle, with its own files and tests only.",
	    .choices = scopes },
	{ .key = "mode",
	    .kind = SPEC_ENUM,
	    .offset = AT(definition_gate, mode),
	    .fallback = MODE_FILES,
	    .help = "`files`: every JSON and YAML file is data. `bundle`: as "
		    "`opa test -b`.",
	    .choices = modes },
	{ .key = "paths",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_gate, test_paths),
	    .max = DEFINITION_PATHS_MAX,
	    .help = "What `opa test` loads. Left out: the whole repository." },
	{ .key = "ignore",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_gate, ignore),
	    .max = DEFINITION_PATHS_MAX,
	    .help = "Names of files and folders not to load, as `--ignore` "
		    "takes them: `testdata`, `*.yaml`." },
	{ .key = "coverage",
	    .kind = SPEC_INT,
	    .offset = AT(definition_gate, coverage),
	    .min = 0,
	    .max = 100,
	    .help = "Percent of lines that tests have to cover. 0: not "
		    "measured." },
	{ .key = "timeout",
	    .kind = SPEC_SECONDS,
	    .offset = AT(definition_gate, timeout),
	    .min = 1,
	    .max = TIMEOUT_MAX,
	    .fallback = TIMEOUT_DEFAULT,
	    .help = "For all tests together." },
	{ .key = "empty",
	    .kind = SPEC_ENUM,
	    .offset = AT(definition_gate, empty),
	    .fallback = EMPTY_FAIL,
	    .help = "What a repository without any test gets: `fail` or "
		    "`pass`.",
	    .choices = empties },
	{ 0 }
};

static const struct spec command_spec[] = {
	{ .key = "name",
	    .kind = SPEC_NAME,
	    .offset = AT(definition_command, name),
	    .help = "How it is called in verdicts.",
	    .required = true },
	{ .key = "run",
	    .kind = SPEC_STRINGS,
	    .offset = AT(definition_command, run),
	    .max = ARGUMENTS_MAX,
	    .help =
		"Name of a program that the server's configuration allows, "
		"and its arguments. It runs in a copy of the repository; an "
		"exit status other than 0 refuses the commit.",
	    .required = true },
	{ 0 }
};

/* check and test are members of one struct: their tables start at its start. */
static const struct spec gate_spec[] = {
	{ .key = "check",
	    .kind = SPEC_OBJECT,
	    .help = "How `opa check` looks at the policies.",
	    .sub = check_spec },
	{ .key = "test",
	    .kind = SPEC_OBJECT,
	    .help = "How `opa test` is run.",
	    .sub = test_spec },
	{ .key = "capabilities",
	    .kind = SPEC_STRING,
	    .offset = AT(definition_gate, capabilities),
	    .min = 1,
	    .max = CAPABILITIES_MAX_LEN,
	    .help =
		"What policies and tests may use, for check, test and compile: "
		"a JSON file of the repository as `opa capabilities` prints "
		"it, or a version of OPA as in `v1.4.0`." },
	{ .key = "commands",
	    .kind = SPEC_LIST,
	    .offset = AT(definition_gate, commands),
	    .max = COMMANDS_MAX,
	    .help = "Programs of the server's to run besides, one after the "
		    "other.",
	    .sub = command_spec,
	    .size = sizeof(struct definition_command) },
	{ 0 }
};

static const struct spec definition_spec[] = {
	{ .key = "name",
	    .kind = SPEC_NAME,
	    .offset = AT(definition, name),
	    .help = "The repository's name. Left out: the server's name for "
		    "it." },
	{ .key = "bundles",
	    .kind = SPEC_MAP,
	    .offset = AT(definition, bundles),
	    .max = DEFINITION_BUNDLES_MAX,
	    .help =
		"What is built, by name. Left out: one bundle `main` of the "
		"whole repository.",
	    .sub = bundle_spec,
	    .size = sizeof(struct definition_bundle) },
	{ .key = "clusters",
	    .kind = SPEC_MAP,
	    .offset = AT(definition, clusters),
	    .max = DEFINITION_CLUSTERS_MAX,
	    .help = "Who gets what, by name. Left out: one cluster `default` "
		    "that gets all bundles.",
	    .sub = cluster_spec,
	    .size = sizeof(struct definition_cluster) },
	{ .key = "gate",
	    .kind = SPEC_OBJECT,
	    .offset = AT(definition, gate),
	    .help = "What a commit has to pass.",
	    .sub = gate_spec },
	{ 0 }
};

void
definition_describe(struct buf *out)
{
	spec_describe(out, definition_spec, DEFINITION_FILE);
}

void
definition_free(struct definition *d)
{
	if (d == NULL)
		return;
	spec_clear(d, definition_spec);
	document_free(d->document);
	mem_free(d);
}

/* Appends one zeroed item that has only a name. */
static void *
add_default(struct spec_list *list, size_t size, const char *name)
{
	list->items = mem_array(1, size);
	list->count = 1;
	*(char **)list->items = mem_strdup(name);
	return list->items;
}

static void
add_all_bundles(const struct definition *d, struct definition_cluster *c)
{
	const struct definition_bundle *bundles = d->bundles.items;

	c->bundles.items = mem_array(d->bundles.count, sizeof(char *));
	for (size_t i = 0; i < d->bundles.count; i++)
		c->bundles.items[i] = mem_strdup(bundles[i].name);
	c->bundles.count = d->bundles.count;
}

static bool
names_bundles(const struct reading *r, const char *cluster)
{
	const struct value *item;

	if (r->root == NULL)
		return false;
	item = value_get(r->root, "clusters");
	item = item != NULL ? value_get(item, cluster) : NULL;
	return item != NULL && item->kind == VALUE_OBJECT &&
	    value_get(item, "bundles") != NULL;
}

static void
fill_in(const struct reading *r)
{
	struct definition *d = r->d;
	struct definition_cluster *clusters;

	if (d->bundles.count == 0) {
		struct definition_bundle *main_bundle = add_default(&d->bundles,
		    sizeof(struct definition_bundle), "main");

		main_bundle->rego_version = -1;
	}
	qsort(d->bundles.items, d->bundles.count,
	    sizeof(struct definition_bundle), definition_by_name);
	if (d->clusters.count == 0)
		add_default(&d->clusters, sizeof(struct definition_cluster),
		    "default");
	qsort(d->clusters.items, d->clusters.count,
	    sizeof(struct definition_cluster), definition_by_name);
	clusters = d->clusters.items;
	for (size_t i = 0; i < d->clusters.count; i++) {
		if (!names_bundles(r, clusters[i].name))
			add_all_bundles(d, &clusters[i]);
	}
}

static enum err_code
read_and_check(struct reading *r, struct err *e)
{
	/* An empty file says nothing: the defaults. */
	if (r->root != NULL && r->root->kind == VALUE_NULL)
		r->root = NULL;
	spec_read(r->d, definition_spec, r->root, r->faults);
	/* What has no good name cannot be looked up; say that much first. */
	TRY(spec_verdict(r->faults, e));
	fill_in(r);
	return definition_check(r, e);
}

enum err_code
definition_read(struct definition **out, const struct tree *t, struct err *e)
{
	return definition_read_with(out, t, NULL, e);
}

enum err_code
definition_read_with(struct definition **out, const struct tree *t,
    const struct definition_elsewhere *elsewhere, struct err *e)
{
	const struct tree_entry *file = tree_find(t, DEFINITION_FILE);
	AUTO(definition, d) = mem_zalloc(sizeof *d);
	struct spec_faults faults;
	struct reading r = { .d = d,
		.tree = t,
		.faults = &faults,
		.elsewhere = elsewhere };
	enum err_code code;

	if (file != NULL) {
		AUTO_BUF text = { 0 };

		buf_init(&text, DEFINITION_FILE_MAX);
		TRY(tree_read(t, file, &text, e));
		TRY(buf_check(&text, DEFINITION_FILE, e));
		TRY(yaml_read(&d->document, DEFINITION_FILE, text.data,
		    text.len, e));
		r.root = document_root(d->document);
		d->from_file = true;
	}
	spec_faults_init(&faults, DEFINITION_FILE);
	code = read_and_check(&r, e);
	spec_faults_clear(&faults);
	if (code == ERR_OK)
		*out = STEAL(d);
	return code;
}
