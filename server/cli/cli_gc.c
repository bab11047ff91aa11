/* gc: what is kept no longer. */

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"

static const struct cli_option gc_options[] = {
	{ "dry-run", 0, NULL, "say what would go, and remove nothing" },
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	CLIENT_OPTIONS,
	{ 0 },
};

/* ---- what it says ---- */

static const struct {
	const char *what, *count, *bytes;
} lines[] = {
	{ "files of bundles", "files", "file_bytes" },
	{ "  of artifacts that go", "artifacts", NULL },
	{ "reports of verdicts", "reports", "report_bytes" },
	{ "operations", "operations", NULL },
	{ "silent engines", "engines", NULL },
	{ "compiled by opa", "compiled", "compiled_bytes" },
	{ "left by gate runs", "leftovers", NULL },
};

static char *
size_text(int64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double size = (double)bytes;
	size_t i = 0;

	while (size >= 1024 && i + 1 < sizeof units / sizeof *units) {
		size /= 1024;
		i++;
	}
	return mem_printf(i == 0 ? "%.0f %s" : "%.1f %s", size, units[i]);
}

static void
print_result(const json_t *result)
{
	bool dry_run = json_is_true(json_object_get(result, "dry_run"));
	const char *headings[] = { dry_run ? "WOULD GO" : "REMOVED", "COUNT",
		"SIZE", NULL };
	struct table *t = table_new(headings);

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		AUTO_STR count = mem_printf("%lld",
		    (long long)table_number(result, lines[i].count));
		AUTO_STR size = lines[i].bytes == NULL
		    ? NULL
		    : size_text(table_number(result, lines[i].bytes));
		const char *cells[] = { lines[i].what, count, size };

		table_row(t, cells);
	}
	table_print(t);
	if (json_is_true(json_object_get(result, "postponed")))
		(void)printf("A backup is being taken: files go the next "
			     "time.\n");
}

/* ---- asking ---- */

static enum err_code
ask(const struct cli_args *a, json_t **done, struct err *e)
{
	AUTO(client, c) = NULL;
	json_t *operation = NULL;
	json_t *body;
	enum err_code code;

	TRY(client_open(&c, a, e));
	body = json_pack("{s:b, s:s*}", "dry_run", cli_given(a, "dry-run"),
	    "reason", cli_value(a, "reason"));
	if (body == NULL)
		return err_set(e, ERR_INVALID, "--reason: not UTF-8");
	code = client_call(c, "POST", "/gc", body, &operation, NULL, e);
	json_decref(body);
	if (code == ERR_OK)
		code = client_await(c, operation, done, e);
	json_decref(operation);
	return code;
}

static int
gc(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	json_t *done = NULL;
	const json_t *result;
	int n = cli_parse(&a, &cli_gc, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 0)
		return cli_usage(&cli_gc, "%s: not expected", a.rest[0]);
	if (ask(&a, &done, &e) != ERR_OK)
		return client_fail(&a, &e);
	result = json_object_get(done, "result");
	if (cli_given(&a, "json"))
		(void)client_print_json(result);
	else
		print_result(result);
	json_decref(done);
	return 0;
}

const struct cli_command cli_gc = {
	.name = "gc",
	.group = "Server",
	.usage = "[--dry-run] [--reason TEXT]",
	.summary = "remove what is kept no longer",
	.help =
	    "Artifacts that are neither among the newest of their bundle nor\n"
	    "were of use lately, the tests of old verdicts, old operations, and\n"
	    "files that nothing names. The server does it once a day; how much\n"
	    "is kept says `retention` in server.yaml (docs/settings.md).\n"
	    "\n"
	    "What is assigned anywhere, held, quarantined or just being built\n"
	    "always stays, and so do commits, verdicts and the audit. A revision\n"
	    "whose artifact went can be rolled back to: it is built again.\n"
	    "\n"
	    "  edict gc --dry-run",
	.options = gc_options,
	.run = gc,
};
