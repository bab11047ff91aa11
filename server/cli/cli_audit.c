/* audit: who did what, and whether that is still what was written down. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_audit.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"

enum { AUDIT_LINES = 20, AUDIT_LINES_MAX = 10000 };

static const struct cli_option audit_options[] = {
	{ "kind", 0, "KIND", "only these: rollback, verdict, token, key, ..." },
	{ "who", 0, "NAME", "only what the token of this name did" },
	{ "subject", 0, "NAME", "only what is about this" },
	{ "since", 0, "TIME", "a time, or for how long: 7d, 12h, 30m" },
	{ "lines", 'n', "N", "how many events; default: 20" },
	{ "export", 0, NULL, "all of them as JSON lines, oldest first" },
	{ "verify", 0, NULL, "the same as the word verify" },
	{ "head", 0, "HEAD", "verify: a head that it printed before" },
	{ "heads", 0, "FILE", "verify: signed heads, as exported or alone" },
	{ "key", 0, "FILES", "verify: public keys, with commas between" },
	{ "signing-alg", 0, "NAME", "verify: of these keys; default: ES256" },
	{ "copy", 0, "DIR", "verify: a data_dir, without a server" },
	{ "reason", 0, "TEXT", "sign: why; kept in the audit log" },
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
read_events(json_t **out, struct client *c, const struct cli_args *a,
    size_t max, struct err *e)
{
	AUTO_BUF path = { 0 };

	buf_init(&path, 4096);
	TRY(make_path(&path, a, e));
	return client_list(c, path.data, max, out, e);
}

enum err_code
cli_audit_events(json_t **out, struct client *c, const struct cli_args *a,
    struct err *e)
{
	TRY(read_events(out, c, a, CLI_AUDIT_MAX + 1, e));
	if (json_array_size(*out) <= CLI_AUDIT_MAX)
		return ERR_OK;
	json_decref(*out);
	return err_set(e, ERR_LIMIT,
	    "more than %d events; say --since, or on the server's machine "
	    "--copy",
	    CLI_AUDIT_MAX);
}

enum err_code
cli_audit_heads(json_t **out, struct client *c, struct err *e)
{
	return client_list(c, "/audit/heads", CLI_AUDIT_HEADS_MAX, out, e);
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
	/* Of those that tell of a signature and nothing else. */
	if (*all == '\0' && table_string(detail, "key") != NULL)
		return mem_printf("signed by key %s",
		    table_string(detail, "key"));
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
read_lines(size_t *out, const char *lines, struct err *e)
{
	*out = AUDIT_LINES;
	if (lines != NULL)
		*out = strspn(lines, "0123456789") == strlen(lines)
		    ? strtoul(lines, NULL, 10)
		    : 0;
	if (*out < 1 || *out > AUDIT_LINES_MAX)
		return err_set(e, ERR_INVALID,
		    "--lines %s: a number from 1 to %d", lines,
		    AUDIT_LINES_MAX);
	return ERR_OK;
}

static enum err_code
list(const struct cli_args *a, struct err *e)
{
	AUTO(client, c) = NULL;
	json_t *events;
	size_t max;

	TRY(read_lines(&max, cli_value(a, "lines"), e));
	TRY(client_open(&c, a, e));
	TRY(read_events(&events, c, a, max, e));
	if (cli_given(a, "json"))
		(void)client_print_json(events);
	else
		show_table(events);
	json_decref(events);
	return ERR_OK;
}

static void
print_line(const json_t *j)
{
	char *line = json_dumps(j, JSON_COMPACT);

	(void)printf("%s\n", line != NULL ? line : "null");
	free(line);
}

static bool
is_choice(const struct cli_args *a)
{
	return cli_given(a, "kind") || cli_given(a, "who") ||
	    cli_given(a, "subject") || cli_given(a, "since");
}

/* Oldest first; signed heads, which are of all events, behind them. */
static enum err_code export(const struct cli_args *a, struct err *e) {
	AUTO(client, c) = NULL; json_t * events; json_t *heads = NULL;
	enum err_code code = ERR_OK;

	TRY(client_open(&c, a, e)); TRY(cli_audit_events(&events, c, a, e));
	if (!is_choice(a)) code = cli_audit_heads(&heads, c, e);
	for (size_t i = json_array_size(events); code == ERR_OK && i > 0; i--)
	    print_line(json_array_get(events, i - 1));
	for (size_t i = json_array_size(heads); i > 0; i--){
	    json_t *line = json_pack("{s:O}", "head",
		json_array_get(heads, i - 1));

	    print_line(line); json_decref(line); }
json_decref(events);
json_decref(heads);
if (code == ERR_OK && (fflush(stdout) != 0 || ferror(stdout) != 0))
	return err_errno(e, "standard output");
return code;
}

/* ---- the command ---- */

enum what { WHAT_LIST, WHAT_EXPORT, WHAT_VERIFY, WHAT_SIGN, WHAT_UNKNOWN };

static enum what
what_is_asked(const struct cli_args *a)
{
	const char *word = a->rest_count > 0 ? a->rest[0] : "";

	if (a->rest_count > 1)
		return WHAT_UNKNOWN;
	if (strcmp(word, "sign") == 0)
		return WHAT_SIGN;
	if (strcmp(word, "verify") == 0 ||
	    (*word == '\0' && cli_given(a, "verify")))
		return WHAT_VERIFY;
	if (*word != '\0')
		return WHAT_UNKNOWN;
	return cli_given(a, "export") ? WHAT_EXPORT : WHAT_LIST;
}

/* What does not go together, or NULL. */
static const char *
find_misuse(const struct cli_args *a, enum what what)
{
	if (what == WHAT_UNKNOWN)
		return "takes one word: verify or sign, or none";
	if (what == WHAT_VERIFY && (is_choice(a) || cli_given(a, "export")))
		return "verify is of all events: it takes no choice of them";
	if (what != WHAT_VERIFY &&
	    (cli_given(a, "head") || cli_given(a, "copy") ||
		cli_given(a, "key") || cli_given(a, "heads")))
		return "--head, --heads, --key and --copy go with verify";
	if (what != WHAT_LIST && cli_given(a, "lines"))
		return "--lines goes with none of verify, sign and --export";
	if (what == WHAT_SIGN &&
	    (is_choice(a) || cli_given(a, "export") || cli_given(a, "verify")))
		return "sign is of all events: it takes no choice of them";
	if (what != WHAT_SIGN && cli_given(a, "reason"))
		return "--reason goes with sign";
	return NULL;
}

static int
audit(int argc, char **argv)
{
	static enum err_code (*const run[])(const struct cli_args *a,
	    struct err *e) = { [WHAT_LIST] = list,
		[WHAT_EXPORT] = export,
		[WHAT_VERIFY] = cli_audit_verify,
		[WHAT_SIGN] = cli_audit_sign };
	struct cli_args a;
	struct err e = { 0 };
	const char *misuse;
	enum what what;
	int n = cli_parse(&a, &cli_audit, argc, argv);

	if (n != 0)
		return n - 1;
	what = what_is_asked(&a);
	misuse = find_misuse(&a, what);
	if (misuse != NULL)
		return cli_usage(&cli_audit, "%s", misuse);
	return run[what](&a, &e) == ERR_OK ? 0 : client_fail(&a, &e);
}

const struct cli_command cli_audit = {
	.name = "audit",
	.group = "Server",
	.usage = "[verify|sign] [--kind K] [--who W] [--subject S] [--since T]",
	.summary = "who did what, when, from where and why",
	.help =
	    "Every verdict, publication, assignment, rollback, and whatever\n"
	    "became of tokens and signing keys, newest first. A kind is one\n"
	    "(rollback) or a group (token, key); a subject is a cluster, a\n"
	    "bundle, a repository, a commit's full id, or both of them as they\n"
	    "are shown (prod-eu/authz). --export writes JSON lines for other\n"
	    "programs, signed heads among them.\n"
	    "\n"
	    "Each event holds the hash of the one before. `edict audit verify`\n"
	    "goes through all of them and names the first that was changed,\n"
	    "taken out, put in or moved. That the end was cut off shows only to\n"
	    "who knows how far it had come. So the server signs the last event's\n"
	    "hash, the head, once a day and when `edict audit sign` asks, by a\n"
	    "key that signs nothing else; verify checks these heads, too. Keep\n"
	    "an export, or single heads, where the server cannot reach them, and\n"
	    "give them with --heads; and take the key's public half (data_dir,\n"
	    "keys/audit-*.pub) along for --key: the server's own word for which\n"
	    "key is its own proves less. With --copy it reads a stopped server's\n"
	    "data_dir, or a copy of it, instead of believing a server.\n"
	    "\n"
	    "  edict audit --subject prod-eu --since 7d\n"
	    "  edict audit sign\n"
	    "  edict audit --export >audit.jsonl\n"
	    "  edict audit verify --key audit.pub --heads audit.jsonl\n"
	    "  edict audit verify --copy /backup/edict --head 42:9f86d0...",
	.options = audit_options,
	.run = audit,
};
