/* audit: who did what, and whether that is still what was written down. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/store_audit.h"
#include "core/clock.h"
#include "core/mem.h"
#include "server/cli.h"
#include "server/cli_audit.h"
#include "server/cli_client.h"
#include "server/cli_table.h"

enum { AUDIT_LINES = 20, AUDIT_LINES_MAX = 10000, AUDIT_MAX = 1000000 };

static const struct cli_option audit_options[] = {
	{ "kind", 0, "KIND", "only these: rollback, verdict, token, key, ..." },
	{ "who", 0, "NAME", "only what the token of this name did" },
	{ "subject", 0, "NAME", "only what is about this" },
	{ "since", 0, "TIME", "a time, or for how long: 7d, 12h, 30m" },
	{ "lines", 'n', "N", "how many events; default: 20" },
	{ "export", 0, NULL, "all of them as JSON lines, oldest first" },
	{ "verify", 0, NULL, "check that nothing was changed" },
	{ "head", 0, "HEAD", "with --verify: a head that it printed before" },
	{ "copy", 0, "DIR", "with --verify: a data_dir, without a server" },
	CLIENT_OPTIONS,
	{ 0 },
};

/* ---- which events ---- */

static enum err_code
read_since(char out[CLOCK_TEXT_SIZE], const char *text, struct err *e)
{
	int64_t seconds = cli_seconds(text);
	int64_t at_ms = clock_now_ms() - seconds * 1000;

	if (seconds == 0 && clock_read(&at_ms, text, NULL) != ERR_OK)
		return err_set(e, ERR_INVALID,
		    "--since %s: write 7d, 12h, 30m, or a time as "
		    "2026-01-31T10:15:02Z",
		    text);
	clock_text(out, at_ms > 0 ? at_ms : 0);
	return ERR_OK;
}

static void
add_word(struct buf *path, const char *name, const char *value)
{
	AUTO_STR word = value != NULL ? client_segment(value) : NULL;

	if (word != NULL)
		buf_printf(path, "%c%s=%s",
		    strchr(path->data, '?') != NULL ? '&' : '?', name, word);
}

static enum err_code
make_path(struct buf *path, const struct cli_args *a, struct err *e)
{
	const char *since = cli_value(a, "since");
	char time[CLOCK_TEXT_SIZE];

	if (since != NULL)
		TRY(read_since(time, since, e));
	buf_add_str(path, "/audit");
	add_word(path, "kind", cli_value(a, "kind"));
	add_word(path, "who", cli_value(a, "who"));
	add_word(path, "subject", cli_value(a, "subject"));
	add_word(path, "since", since != NULL ? time : NULL);
	return buf_check(path, "what is asked for", e);
}

static enum err_code
read_events(json_t **out, const struct cli_args *a, size_t max, struct err *e)
{
	AUTO(client, c) = NULL;
	AUTO_BUF path = { 0 };

	buf_init(&path, 4096);
	TRY(make_path(&path, a, e));
	TRY(client_open(&c, a, e));
	return client_list(c, path.data, max, out, e);
}

static enum err_code
read_all(json_t **out, const struct cli_args *a, struct err *e)
{
	TRY(read_events(out, a, AUDIT_MAX + 1, e));
	if (json_array_size(*out) <= AUDIT_MAX)
		return ERR_OK;
	json_decref(*out);
	return err_set(e, ERR_LIMIT,
	    "more than %d events; say --since, or on the server's machine "
	    "--copy",
	    AUDIT_MAX);
}

/* ---- showing them ---- */

char *
cli_audit_detail(const json_t *detail)
{
	static const char *const keys[] = { "state", "stage", "role", "mode",
		"to", "reason" };
	AUTO_STR all = mem_strdup("");

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const char *value = table_string(detail, keys[i]);
		char *longer;

		if (value == NULL || *value == '\0')
			continue;
		longer =
		    mem_printf("%s%s%s", all, *all != '\0' ? ", " : "", value);
		mem_free(all);
		all = longer;
	}
	return STEAL(all);
}

static void
add_event(struct table *t, const json_t *event)
{
	AUTO_STR seq =
	    mem_printf("%lld", (long long)table_number(event, "seq"));
	AUTO_STR age = table_age(table_string(event, "at"));
	AUTO_STR more = cli_audit_detail(json_object_get(event, "detail"));
	const char *peer = table_string(event, "peer");
	const char *cells[] = { seq, age, table_string(event, "who"),
		peer != NULL && *peer != '\0' ? peer : NULL,
		table_string(event, "kind"), table_string(event, "subject"),
		more };

	table_row(t, cells);
}

static void
show_table(const json_t *events)
{
	static const char *const headings[] = { "EVENT", "AGE", "WHO", "FROM",
		"KIND", "SUBJECT", "DETAIL", NULL };
	struct table *t = table_new(headings);
	const json_t *event;
	size_t i;

	json_array_foreach(events, i, event)
		add_event(t, event);
	table_print(t);
}

static enum err_code
list(const struct cli_args *a, struct err *e)
{
	const char *lines = cli_value(a, "lines");
	size_t max = AUDIT_LINES;
	json_t *events;

	if (lines != NULL)
		max = strspn(lines, "0123456789") == strlen(lines)
		    ? strtoul(lines, NULL, 10)
		    : 0;
	if (max < 1 || max > AUDIT_LINES_MAX)
		return err_set(e, ERR_INVALID,
		    "--lines %s: a number from 1 to %d", lines,
		    AUDIT_LINES_MAX);
	TRY(read_events(&events, a, max, e));
	if (cli_given(a, "json"))
		(void)client_print_json(events);
	else
		show_table(events);
	json_decref(events);
	return ERR_OK;
}

static enum err_code export(const struct cli_args *a, struct err *e) {
	json_t *events; bool failed;

	TRY(read_all(&events, a, e));
	for (size_t i = json_array_size(events); i > 0; i--){
	    char *line = json_dumps(json_array_get(events, i - 1),
		JSON_COMPACT);

	    (void)printf("%s\n", line != NULL ? line : "null"); free(line); }
json_decref(events);
failed = fflush(stdout) != 0 || ferror(stdout) != 0;
return failed ? err_errno(e, "standard output") : ERR_OK;
}

/* ---- checking them ---- */

static enum err_code
walk_server(struct chain *c, const struct cli_args *a, struct err *e)
{
	enum err_code code = ERR_OK;
	json_t *events;

	TRY(read_all(&events, a, e));
	for (size_t i = json_array_size(events); code == ERR_OK && i > 0; i--)
		code = chain_follow_json(c, json_array_get(events, i - 1), e);
	json_decref(events);
	return code == ERR_OK ? chain_finish(c, e) : code;
}

static void
print_result(const struct cli_args *a, const struct chain *c, const char *fault)
{
	char head[CHAIN_HEAD_SIZE];
	json_t *j;

	chain_head_text(head, &c->at);
	if (cli_given(a, "json")) {
		j = json_pack("{s:b, s:I, s:s?, s:s?}", "good", fault == NULL,
		    "events", (json_int_t)c->at.seq, "head",
		    c->at.seq > 0 ? head : NULL, "fault", fault);
		(void)client_print_json(j);
		json_decref(j);
	} else if (fault == NULL) {
		(void)printf("%lld events, each as it was written\nhead %s\n",
		    (long long)c->at.seq, head);
		if (c->known.seq == 0)
			(void)printf("keep the head elsewhere: only --head "
				     "with it shows that no end was cut off\n");
	}
}

static enum err_code
verify(const struct cli_args *a, struct err *e)
{
	const char *copy = cli_value(a, "copy");
	const char *head = cli_value(a, "head");
	struct chain c = { 0 };
	enum err_code code;

	if (head != NULL)
		TRY(chain_head_read(&c.known, head, e));
	code = copy != NULL ? store_walk_copy(copy, &c, e)
			    : walk_server(&c, a, e);
	if (code == ERR_OK || code == ERR_CORRUPT)
		print_result(a, &c, code == ERR_OK ? NULL : e->text);
	return code;
}

/* ---- the command ---- */

/* What does not go together, or NULL. */
static const char *
find_misuse(const struct cli_args *a)
{
	bool some = cli_given(a, "kind") || cli_given(a, "who") ||
	    cli_given(a, "subject") || cli_given(a, "since");

	if (a->rest_count != 0)
		return "takes no words";
	if (cli_given(a, "verify") && (some || cli_given(a, "export")))
		return "--verify is of all events: it takes no choice of them";
	if (!cli_given(a, "verify") &&
	    (cli_given(a, "head") || cli_given(a, "copy")))
		return "--head and --copy go with --verify";
	if (cli_given(a, "lines") &&
	    (cli_given(a, "verify") || cli_given(a, "export")))
		return "--lines goes with neither --verify nor --export";
	return NULL;
}

static int
audit(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	const char *misuse;
	enum err_code code;
	int n = cli_parse(&a, &cli_audit, argc, argv);

	if (n != 0)
		return n - 1;
	misuse = find_misuse(&a);
	if (misuse != NULL)
		return cli_usage(&cli_audit, "%s", misuse);
	if (cli_given(&a, "verify"))
		code = verify(&a, &e);
	else if (cli_given(&a, "export"))
		code = export(&a, &e);
	else
		code = list(&a, &e);
	return code == ERR_OK ? 0 : client_fail(&a, &e);
}

const struct cli_command cli_audit = {
	.name = "audit",
	.group = "Server",
	.usage = "[--kind K] [--who W] [--subject S] [--since T] | --verify",
	.summary = "who did what, when, from where and why",
	.help =
	    "Every verdict, publication, assignment, rollback, and whatever\n"
	    "became of tokens and signing keys, newest first. A kind is one\n"
	    "(rollback) or a group (token, key); a subject is a cluster, a\n"
	    "bundle, a repository, a commit's full id, or both of them as they\n"
	    "are shown (prod-eu/authz). --export writes JSON lines for other\n"
	    "programs.\n"
	    "\n"
	    "Each event holds the hash of the one before. --verify goes through\n"
	    "all of them and names the first that was changed, taken out, put\n"
	    "in or moved. That the end was cut off shows only to who knows how\n"
	    "far it had come: keep the head that --verify prints where the\n"
	    "server cannot reach it, and give it the next time. With --copy it\n"
	    "reads a stopped server's data_dir, or a copy of it, instead of\n"
	    "believing a server.\n"
	    "\n"
	    "  edict audit --subject prod-eu --since 7d\n"
	    "  edict audit --export >audit.jsonl\n"
	    "  edict audit --verify\n"
	    "  edict audit --verify --copy /backup/edict --head 42:9f86d0...",
	.options = audit_options,
	.run = audit,
};
