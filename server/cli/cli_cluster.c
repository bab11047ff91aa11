/* cluster: what is there, and what edict.yaml no longer has. */

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"
#include "server/cli/cli_verb.h"

enum { CLI_CLUSTERS_MAX = 10000 };

static const struct cli_option cluster_options[] = {
	{ "selector", 0, "TERMS", "list: only those with these labels" },
	{ "bundle", 0, "BUNDLE", "remove: only this bundle of the cluster" },
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	CLIENT_OPTIONS,
	{ 0 },
};

/* "env=prod region=eu"; mem_ memory. */
static char *
labels_text(const json_t *cluster)
{
	char *text = mem_strdup("");
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(cluster, "labels"), key, value) {
		char *more = mem_printf("%s%s%s=%s", text,
		    *text != '\0' ? " " : "", key, json_string_value(value));

		mem_free(text);
		text = more;
	}
	return text;
}

/* Those that edict.yaml no longer gives it are in brackets; mem_ memory. */
static char *
bundles_text(const json_t *cluster)
{
	char *text = mem_strdup("");
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(cluster, "assignments"), i, a) {
		bool orphan = json_is_true(json_object_get(a, "orphan"));
		char *more = mem_printf("%s%s%s%s%s", text, i > 0 ? " " : "",
		    orphan ? "[" : "", table_string(a, "bundle"),
		    orphan ? "]" : "");

		mem_free(text);
		text = more;
	}
	return text;
}

static void
print_list(const json_t *list)
{
	static const char *const headings[] = { "CLUSTER", "REPOSITORY",
		"STATE", "LABELS", "BUNDLES", NULL };
	struct table *t = table_new(headings);
	const json_t *c;
	size_t i;

	json_array_foreach(list, i, c) {
		AUTO_STR labels = labels_text(c);
		AUTO_STR bundles = bundles_text(c);
		const char *cells[] = { table_string(c, "name"),
			table_string(c, "repository"),
			json_is_true(json_object_get(c, "orphan")) ? "orphan"
								   : "defined",
			labels, bundles };

		table_row(t, cells);
	}
	table_print(t);
}

static enum err_code
list(struct client *c, const struct cli_args *a, struct err *e)
{
	AUTO_STR selector = cli_value(a, "selector") != NULL
	    ? client_segment(cli_value(a, "selector"))
	    : NULL;
	AUTO_STR path = selector != NULL
	    ? mem_printf("/clusters?selector=%s", selector)
	    : mem_strdup("/clusters");
	json_t *all = NULL;

	TRY(client_list(c, path, CLI_CLUSTERS_MAX, &all, e));
	if (cli_given(a, "json"))
		(void)client_print_json(all);
	else
		print_list(all);
	json_decref(all);
	return ERR_OK;
}

static void
print_removed(const struct cli_args *a, const json_t *answer)
{
	const json_t *b;
	size_t i;

	(void)a;
	(void)printf("removed from cluster %s:\n",
	    table_string(answer, "cluster"));
	json_array_foreach(json_object_get(answer, "removed"), i, b)
		(void)printf("  %s, revision %.12s\n",
		    table_string(b, "bundle"), table_string(b, "revision"));
}

static enum err_code
take_away(struct client *c, const struct cli_args *a, struct err *e)
{
	const char *name = cli_value(a, "bundle");
	AUTO_STR cluster = client_segment(a->rest[1]);
	AUTO_STR bundle = name != NULL ? client_segment(name) : NULL;
	AUTO_STR path = bundle != NULL
	    ? mem_printf("/clusters/%s/bundles/%s", cluster, bundle)
	    : mem_printf("/clusters/%s", cluster);

	return cli_verb_delete(c, a, path, print_removed, e);
}

static const struct cli_verb verbs[] = {
	{ "list", 1, list },
	{ "remove", 2, take_away },
	{ 0 },
};

static int
cluster(int argc, char **argv)
{
	const struct cli_verb *verb;
	struct cli_args a;
	int n = cli_parse(&a, &cli_cluster, argc, argv);

	if (n != 0)
		return n - 1;
	verb = cli_verb_find(verbs, &a);
	if (verb == NULL)
		return cli_usage(&cli_cluster, "say list, or remove NAME");
	return cli_verb_run(verb, &a);
}

const struct cli_command cli_cluster = {
	.name = "cluster",
	.group = "Who gets what",
	.usage = "list [options] | remove NAME [options]",
	.summary = "clusters; remove those that edict.yaml no longer has",
	.help =
	    "Clusters are defined in edict.yaml. A cluster, or a bundle of one,\n"
	    "that leaves the file is still served as it was, and shown as an\n"
	    "orphan, until an operator removes it here: then its engines get\n"
	    "nothing any more, and keep what they have. What edict.yaml has\n"
	    "cannot be removed.\n"
	    "\n"
	    "  edict cluster list --selector env=prod\n"
	    "  edict cluster remove prod-old --reason 'switched off'\n"
	    "  edict cluster remove prod-eu --bundle legacy",
	.options = cluster_options,
	.run = cluster,
};
