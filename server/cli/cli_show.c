/* show: all there is to know of one commit. */

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_audit.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_engines.h"
#include "server/cli/cli_table.h"

enum { SHOW_CLUSTERS_MAX = 10000, SHOW_EVENTS_MAX = 50 };

static const struct cli_option show_options[] = {
	{ "tests", 0, NULL, "every test, not only those that did not pass" },
	CLIENT_OPTIONS,
	{ 0 },
};

/* ---- facts ---- */

/* Only what is known: opa may have run no test, or not at all. */
static void
print_run(const json_t *v)
{
	const json_t *tests = json_object_get(v, "tests");
	const json_t *coverage = json_object_get(v, "coverage");
	const char *engine = table_string(v, "engine");
	long long total = (long long)table_number(tests, "total");

	if (engine != NULL && engine[0] != '\0') {
		AUTO_STR counts = total == 0
		    ? mem_strdup("none")
		    : mem_printf("%lld of %lld passed",
			  (long long)table_number(tests, "passed"), total);
		AUTO_STR line = mem_printf("%s, in %lld ms, by opa %s", counts,
		    (long long)table_number(v, "duration_ms"), engine);

		screen_fact("tests", line);
	}
	if (json_is_number(coverage)) {
		AUTO_STR line =
		    mem_printf("%.1f %%", json_number_value(coverage));

		screen_fact("coverage", line);
	}
}

static void
print_verdict(const json_t *v)
{
	const char *state = table_string(v, "state");
	const char *stage = table_string(v, "stage");
	enum screen_tint tint = state != NULL ? screen_tint_of(state)
					      : TINT_NONE;

	(void)printf("verdict  %s%s%s", screen_tint(tint),
	    state != NULL ? state : "not tested", screen_plain(tint));
	if (stage != NULL)
		(void)printf(" (%s)", stage);
	(void)printf("\n");
	if (state == NULL)
		return;
	print_run(v);
	if (table_string(v, "reason") != NULL)
		(void)printf("\n");
	table_text(table_string(v, "reason"), 2, 40);
	screen_fact("note", table_string(v, "note"));
}

static void
print_facts(const json_t *c)
{
	AUTO_STR commit = mem_printf("%s (%s)", table_string(c, "revision"),
	    table_string(c, "repository"));
	AUTO_STR age = table_age(table_string(c, "committed_at"));
	AUTO_STR date =
	    mem_printf("%s (%s ago)", table_string(c, "committed_at"), age);

	screen_fact("commit", commit);
	screen_fact("author", table_string(c, "author"));
	screen_fact("date", date);
	screen_fact("subject", table_string(c, "subject"));
	print_verdict(json_object_get(c, "verdict"));
}

/* ---- tables ---- */

/* With an empty line before, or nothing where there is no row. */
static void
print_table(struct table *t)
{
	if (table_rows(t) == 0) {
		table_free(t);
		return;
	}
	(void)printf("\n");
	table_print(t);
}

static void
print_tests(const json_t *c, bool all)
{
	static const char *const headings[] = { "OUTCOME", "WHERE", "TEST",
		NULL };
	const json_t *newest =
	    json_array_get(json_object_get(c, "verdicts"), 0);
	struct table *t = table_new(headings);
	const json_t *r;
	size_t i;

	table_states(t, 0);
	table_ends(t, 1);
	table_ends(t, 2);
	json_array_foreach(json_object_get(newest, "results"), i, r) {
		const char *outcome = table_string(r, "outcome");
		AUTO_STR name = mem_printf("%s.%s", table_string(r, "package"),
		    table_string(r, "name"));
		AUTO_STR place = mem_printf("%s:%lld", table_string(r, "file"),
		    (long long)table_number(r, "line"));
		const char *cells[] = { outcome, place, name };

		if (all || outcome == NULL || strcmp(outcome, "passed") != 0)
			table_row(t, cells);
	}
	print_table(t);
}

/* What is long and meant to be copied stands below its row. */
static void
add_bundle(struct table *t, const json_t *b)
{
	const json_t *artifact = json_object_get(b, "artifact");
	const json_t *root;
	AUTO_STR size = json_is_object(artifact)
	    ? mem_printf("%lld", (long long)table_number(artifact, "size"))
	    : mem_strdup("as before");
	AUTO_BUF roots = { 0 };
	size_t k;

	buf_init(&roots, 4096);
	json_array_foreach(json_object_get(b, "roots"), k, root) {
		const char *name = json_string_value(root);

		buf_printf(&roots, "%s%s", k > 0 ? " " : "",
		    *name != '\0' ? name : "(everything)");
	}
	const char *cells[] = { table_string(b, "bundle"), size,
		table_string(artifact, "key"), roots.data };

	table_row(t, cells);
	table_note(t, TINT_NONE, "content  %s", table_string(b, "content"));
	if (json_is_object(artifact))
		table_note(t, TINT_NONE, "artifact %s",
		    table_string(artifact, "sha256"));
}

static void
print_bundles(const json_t *c)
{
	static const char *const headings[] = { "BUNDLE", "BYTES", "KEY",
		"ROOTS", NULL };
	struct table *t = table_new(headings);
	const json_t *b;
	size_t i;

	json_array_foreach(json_object_get(c, "bundles"), i, b)
		add_bundle(t, b);
	print_table(t);
}

/* Engines of this assignment that have this revision, whatever is assigned. */
static int64_t
engines_with(const json_t *a, const char *revision)
{
	const json_t *r;
	int64_t n = 0;
	size_t i;

	json_array_foreach(json_object_get(a, "running"), i, r) {
		const char *has = table_string(r, "revision");

		if (has != NULL && strcmp(has, revision) == 0)
			n += table_number(r, "engines");
	}
	return n;
}

static bool
is_at(const json_t *a, const char *key, const char *revision)
{
	const char *value = table_string(a, key);

	return value != NULL && strcmp(value, revision) == 0;
}

static void
add_place(struct table *t, const json_t *cluster, const json_t *a,
    const char *revision)
{
	bool assigned = is_at(a, "revision", revision);
	/* Not itself, but what has the same content. */
	bool same = !assigned && is_at(a, "current_with", revision);
	const char *served = table_string(a, "revision");
	int64_t have = engines_with(a, same ? served : revision);
	AUTO_STR engines = mem_printf("%lld", (long long)have);
	AUTO_STR age = table_age(table_string(a, "at"));
	const char *cells[] = { table_string(cluster, "name"),
		table_string(a, "bundle"), table_string(a, "mode"), age,
		table_string(a, "by"), engines };

	if (!assigned && !same && have == 0)
		return;
	if (!assigned && !same)
		cells[2] = "replaced";
	table_row(t, cells);
	if (same)
		table_note(t, TINT_FAINT, "as %.8s, whose content is the same",
		    served);
	else if (!assigned)
		table_note(t, TINT_FAINT,
		    "by %.8s, which these engines do not "
		    "have yet",
		    served);
}

static void
print_places(const json_t *clusters, const char *revision)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "MODE",
		"SINCE", "BY", "ENGINES", NULL };
	struct table *t = table_new(headings);
	const json_t *cluster, *a;
	size_t i, k;

	table_states(t, 2);
	json_array_foreach(clusters, i, cluster)
		json_array_foreach(json_object_get(cluster, "assignments"), k,
		    a)
			add_place(t, cluster, a, revision);
	print_table(t);
}

/* What an event says, of this commit: moved to it, or away from it. */
static char *
tell(const json_t *event, const char *revision)
{
	const json_t *detail = json_object_get(event, "detail");
	const char *to = table_string(detail, "revision");
	char *text = cli_audit_detail(detail);
	char *longer;

	if (to == NULL || strcmp(to, revision) == 0 ||
	    !is_at(detail, "previous", revision))
		return text;
	longer =
	    mem_printf("away to %.8s%s%s", to, *text != '\0' ? ", " : "", text);
	mem_free(text);
	return longer;
}

/* REPO@COMMIT: of this one, as all here. */
static char *
about(const char *subject)
{
	return subject == NULL ? mem_strdup("-")
			       : mem_strndup(subject, strcspn(subject, "@"));
}

static void
print_events(const json_t *events, const char *revision)
{
	static const char *const headings[] = { "EVENT", "AGE", "WHO", "KIND",
		"SUBJECT", "DETAIL", NULL };
	struct table *t = table_new(headings);
	const json_t *event;
	size_t i;

	json_array_foreach(events, i, event) {
		AUTO_STR seq =
		    mem_printf("%lld", (long long)table_number(event, "seq"));
		AUTO_STR age = table_age(table_string(event, "at"));
		AUTO_STR subject = about(table_string(event, "subject"));
		AUTO_STR more = tell(event, revision);
		const char *cells[] = { seq, age, table_string(event, "who"),
			table_string(event, "kind"), subject, more };

		table_row(t, cells);
	}
	print_table(t);
}

/* ---- the command ---- */

/* Who is limited to clusters or bundles may not read the audit. */
static enum err_code
read_events(struct client *c, const char *revision, json_t **out, struct err *e)
{
	AUTO_STR path = mem_printf("/audit?commit=%s", revision);
	enum err_code code = client_list(c, path, SHOW_EVENTS_MAX, out, e);

	if (code != ERR_DENIED && code != ERR_NOT_FOUND)
		return code;
	*out = NULL;
	return ERR_OK;
}

static enum err_code
ask(json_t **commit, json_t **clusters, const struct cli_args *a, struct err *e)
{
	AUTO(client, c) = NULL;
	AUTO_STR segment = client_segment(a->rest[0]);
	AUTO_STR path = mem_printf("/commits/%s", segment);
	json_t *events = NULL;

	TRY(client_open(&c, a, e));
	TRY(client_call(c, "GET", path, NULL, commit, NULL, e));
	TRY(read_events(c, table_string(*commit, "revision"), &events, e));
	(void)json_object_set_new(*commit, "audit",
	    events != NULL ? events : json_null());
	if (cli_given(a, "json"))
		return ERR_OK;
	return client_list(c, "/clusters", SHOW_CLUSTERS_MAX, clusters, e);
}

static int
show(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	json_t *commit = NULL;
	json_t *clusters = NULL;
	enum err_code code;
	int n = cli_parse(&a, &cli_show, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_show, "name one commit");
	code = ask(&commit, &clusters, &a, &e);
	if (code == ERR_OK && cli_given(&a, "json")) {
		(void)client_print_json(commit);
	} else if (code == ERR_OK) {
		print_facts(commit);
		print_tests(commit, cli_given(&a, "tests"));
		print_bundles(commit);
		print_places(clusters, table_string(commit, "revision"));
		print_events(json_object_get(commit, "audit"),
		    table_string(commit, "revision"));
	}
	json_decref(commit);
	json_decref(clusters);
	return code == ERR_OK ? 0 : client_fail(&a, &e);
}

const struct cli_command cli_show = {
	.name = "show",
	.group = "Looking",
	.usage = "REV [options]",
	.summary = "one commit: verdict, tests, bundles, where it runs",
	.help =
	    "Shows what the tests said of a commit, the bundles made of it,\n"
	    "the clusters that have them and how many engines run them, and\n"
	    "what the audit says of it. REV is a commit id, a prefix of four\n"
	    "digits or more, HEAD or the branch's name, with ~N behind it if\n"
	    "wished.\n"
	    "\n"
	    "  edict show HEAD\n"
	    "  edict show HEAD~1 --tests",
	.options = show_options,
	.run = show,
};
