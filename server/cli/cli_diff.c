/* diff: what is different between two bundles. */

#include <string.h>
#include <sys/stat.h>

#include "bundler/delta.h"
#include "bundler/inspect.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_commit.h"
#include "server/cli/cli_delta.h"

static const struct cli_option diff_options[] = {
	{ "bundle", 0, "NAME", "which one; needed where there are several" },
	{ "repo", 0, "DIR", "where the commits are; default: here" },
	{ "exit-code", 0, NULL, "end with status 1 when they differ" },
	CLI_COMMIT_OPTIONS,
	{ "server", 0, "URL", "compare what this server stores" },
	{ "data-dir", 0, "DIR", "the same, on the server's own machine" },
	CLIENT_ACCESS_OPTIONS,
	{ 0 },
};

/* One of the two: a bundle file, or a commit's bundle. */
struct side {
	const char *what;
	bool is_file;
	struct bundle_archive archive; /* read, or a view of bundle */
	struct bundle *bundle;
};

static void
side_clear(struct side *s)
{
	if (s->is_file)
		bundle_archive_clear(&s->archive);
	bundle_free(s->bundle);
}

static bool
is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static enum err_code
side_read_file(struct side *s, struct err *e)
{
	AUTO_BUF bytes = { 0 };

	return cli_commit_file(&s->archive, s->what, &bytes, e);
}

/* --bundle, or the name that the other side gives itself. */
static enum err_code
name_for(char **out, const struct cli_args *a, const struct side *other,
    struct err *e)
{
	const char *name = cli_value(a, "bundle");
	struct inspect_origin origin = { 0 };

	if (name == NULL && other->is_file)
		TRY(inspect_origin_read(&origin, &other->archive, e));
	*out = mem_strdup(name != NULL ? name : origin.bundle);
	inspect_origin_clear(&origin);
	return ERR_OK;
}

static enum err_code
side_build(struct side *s, const struct cli_args *a, const struct side *other,
    struct err *e)
{
	const char *dir = cli_value(a, "repo");
	AUTO_STR name = NULL;

	TRY(name_for(&name, a, other, e));
	TRY(cli_commit_bundle(&s->bundle, a, dir != NULL ? dir : ".", s->what,
	    name, e));
	s->archive = delta_view(s->bundle);
	return ERR_OK;
}

/* Files first: they may say which bundle it is about. */
static enum err_code
read_sides(struct side sides[2], const struct cli_args *a, struct err *e)
{
	for (int i = 0; i < 2; i++) {
		sides[i].what = a->rest[i];
		sides[i].is_file = is_file(a->rest[i]);
		if (sides[i].is_file)
			TRY(side_read_file(&sides[i], e));
	}
	for (int i = 0; i < 2; i++)
		if (!sides[i].is_file)
			TRY(side_build(&sides[i], a, &sides[1 - i], e));
	return ERR_OK;
}

static enum err_code
compare_here(json_t **out, const struct cli_args *a, struct err *e)
{
	struct side sides[2] = { 0 };
	enum err_code code = read_sides(sides, a, e);

	if (code == ERR_OK)
		code = delta_make(out, &sides[0].archive, &sides[1].archive,
		    DELTA_VALUES_MAX, e);
	side_clear(&sides[0]);
	side_clear(&sides[1]);
	return code;
}

static enum err_code
compare_there(json_t **out, const struct cli_args *a, struct err *e)
{
	AUTO(client, c) = NULL;
	AUTO_STR bundle = client_segment(cli_value(a, "bundle"));
	AUTO_STR from = client_segment(a->rest[0]);
	AUTO_STR to = client_segment(a->rest[1]);
	AUTO_STR path =
	    mem_printf("/bundles/%s/diff?from=%s&to=%s", bundle, from, to);

	TRY(client_open(&c, a, e));
	return client_call(c, "GET", path, NULL, out, NULL, e);
}

static int
diff(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	json_t *delta = NULL;
	bool there;
	bool same;
	int n = cli_parse(&a, &cli_diff, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 2)
		return cli_usage(&cli_diff, "name two bundles or commits");
	there = cli_given(&a, "server") || cli_given(&a, "data-dir");
	if (there && cli_value(&a, "bundle") == NULL)
		return cli_usage(&cli_diff,
		    "a server has many bundles: name one with --bundle");
	if ((there ? compare_there(&delta, &a, &e)
		   : compare_here(&delta, &a, &e)) != ERR_OK)
		return client_fail(&a, &e);
	if (cli_given(&a, "json"))
		(void)client_print_json(delta);
	else
		cli_delta_print(delta, a.rest[0], a.rest[1]);
	same = json_is_true(json_object_get(delta, "same"));
	json_decref(delta);
	return cli_given(&a, "exit-code") && !same ? 1 : 0;
}

const struct cli_command cli_diff = {
	.name = "diff",
	.group = "Policies",
	.usage = "A B [options]",
	.summary = "what differs between two bundles or commits",
	.help =
	    "Shows files, packages, rules and data paths that were added,\n"
	    "removed or changed. A rule has changed when its words have:\n"
	    "comments and layout do not count, and one that moved to another\n"
	    "file is the same. A and B are bundle files or commits; with\n"
	    "--server or --data-dir they are revisions that a server stores;\n"
	    "EDICT_SERVER and EDICT_DATA_DIR do not make it ask one.\n"
	    "Values of data are shortened, long lists are cut and counted.\n"
	    "\n"
	    "  edict diff old.tar.gz new.tar.gz\n"
	    "  edict diff main~1 main --bundle authz\n"
	    "  edict diff HEAD~1 HEAD --bundle authz --server "
	    "https://edict.example.org",
	.options = diff_options,
	.run = diff,
};
