/* What people see of a server on a terminal of 80 columns and in a pipe, and
 * what machines get, which is what docs/json.md says and nothing else. */

#include "fixture.h"
#include "manual.h"

#include <errno.h>
#include <locale.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

enum { COLUMNS = 80, SCREEN_MAX = 1 << 20 };

/* ---- a terminal ---- */

static void
run_inside(const char *settings, const char *command)
{
	const char *script = daemon_printf(
	    "cd '%s' || exit 99\n"
	    "edict() { '%s' \"$@\"; }\n"
	    "export TERM=xterm LC_ALL=C.UTF-8 EDICT_DATA_DIR=\"$PWD/data\"\n"
	    "unset NO_COLOR\n%s\n%s",
	    daemon_path("."), EDICT_PROGRAM, settings, command);

	(void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
	_exit(99);
}

/* All that comes out until the other side is closed: that is EIO. */
static const char *
read_screen(int fd)
{
	char *text = calloc(1, SCREEN_MAX);
	const char *kept;
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, SCREEN_MAX - 1 - len)) > 0 ||
	    (n < 0 && errno == EINTR))
		len += n > 0 ? (size_t)n : 0;
	kept = daemon_printf("%s", text);
	free(text);
	return kept;
}

/* settings are lines of shell: "export NO_COLOR=1". */
static const char *
on_terminal(const char *settings, const char *command)
{
	struct winsize size = { .ws_row = 24, .ws_col = COLUMNS };
	const char *text;
	int fd, status;
	pid_t pid = forkpty(&fd, NULL, NULL, &size);

	assert_true(pid >= 0);
	if (pid == 0)
		run_inside(settings, command);
	text = read_screen(fd);
	(void)close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return text;
}

/* Columns of one line, without its colours. Everything else that is not to be
 * printed fails. */
static int
columns_of(const char *what, const char *line, size_t len)
{
	mbstate_t state = { 0 };
	int columns = 0;

	for (size_t i = 0; i < len;) {
		wchar_t c;
		size_t n;

		if (line[i] == '\033') {
			size_t k = strspn(line + i + 2, "0123456789;");

			if (line[i + 1] != '[' || line[i + 2 + k] != 'm')
				fail_msg("%s: an escape in: %s", what, line);
			i += k + 3;
			continue;
		}
		n = mbrtowc(&c, line + i, len - i, &state);
		if (n == 0 || n > len - i || wcwidth(c) < 0 ||
		    (c >= 0x202a && c <= 0x202e))
			fail_msg("%s: byte %zu cannot be printed: %.*s", what,
			    i, (int)len, line);
		columns += wcwidth(c);
		i += n;
	}
	return columns;
}

static void
check_lines(const char *what, const char *text, int most)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\r\n");
		int columns = columns_of(what, text, len);

		if (columns > most)
			fail_msg("%s: %d columns: %.*s", what, columns,
			    (int)len, text);
		text += len;
		text += strspn(text, "\r\n");
	}
}

static void
assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static void
assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("\"%s\" in:\n%s", part, text);
}

/* ---- what there is to see ---- */

#define LONG_REASON                                                         \
	"the login service of the second region refused everybody who had " \
	"a name with an apostrophe in it, see the incident of Tuesday"

/* Wide, coloured, a window's title, turned around, and too long. */
#define HOSTILE                                                                \
	"Wide \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \033[31mred\033[0m "        \
	"\033]0;title\007 \xe2\x80\xaeturned\xe2\x80\xac e\xcc\x81 and still " \
	"going on when every terminal has long come to its end"

struct estate {
	const char *first, *second, *bad, *last;
};

static const char *
commit(const char *subject, int level, int tested, bool with_test)
{
	return daemon_commit(subject,
	    { "edict.yaml",
		daemon_printf(
		    "bundles:\n"
		    "  authz: {paths: [authz], exclude: [\"nowhere/**\"]}\n"
		    "  billing: {paths: [billing]}\n"
		    "clusters:\n"
		    "  prod-eu: {bundles: [authz, billing]}\n"
		    "  prod-us-with-a-rather-long-name: {bundles: [authz]}\n"
		    "%s",
		    with_test ? "  test: {bundles: [billing]}\n" : "") },
	    { "authz/authz.rego",
		daemon_printf("package authz\n\nlevel := %d\n", level) },
	    { "authz/a_test.rego",
		daemon_printf(
		    "package authz_test\n\n"
		    "test_that_the_level_is_the_one_that_was_agreed_on_in_"
		    "the_meeting_of_all if data.authz.level == %d\n",
		    tested) },
	    { "billing/billing.rego", "package billing\n\nlevel := 1\n" });
}

/* What an engine says by polling: it has this. */
static const char *
poll(const char *engine, const char *etag)
{
	struct answer a = daemon_send(&(struct request){
	    .path = "/clusters/prod-eu/bundles/authz",
	    .token = daemon_engine(),
	    .header = daemon_printf("X-Edict-Engine: %s", engine),
	    .header2 = etag != NULL ? daemon_printf("If-None-Match: %s", etag)
				    : NULL });

	return a.status == 200 ? daemon_printf("%s", answer_header(&a, "ETag"))
			       : etag;
}

/* One engine has what it shall, one never comes back for it, one is sent it and
 * goes on without. */
static void
make_engines(struct estate *s)
{
	const char *old = poll("late", NULL);
	const char *now;

	poll("late", old);
	poll("stubborn", old);
	s->second = commit(HOSTILE, 2, 2, true);
	daemon_wait_revision("prod-eu", "authz", s->second, DAEMON_DEADLINE_MS);
	now = poll("good", NULL);
	poll("good", now);
	for (int i = 0; i < 3; i++)
		poll("stubborn", old);
}

static bool
is_orphan(void *arg)
{
	(void)arg;
	return json_is_true(daemon_at(daemon_api("GET", "/clusters/test", NULL,
					  200),
	    "orphan"));
}

static struct estate
live(void)
{
	struct estate s = { 0 };

	s.first = commit("A first policy", 1, 1, true);
	daemon_start(NULL);
	daemon_wait_revision("prod-eu", "authz", s.first, DAEMON_DEADLINE_MS);
	make_engines(&s);
	daemon_sh("edict rollback authz --to %s --reason '%s'"
		  " --cluster prod-us-with-a-rather-long-name",
	    s.first, LONG_REASON);
	s.bad = commit("One that fails", 3, 4, true);
	daemon_wait_verdict(s.bad, "failed", DAEMON_DEADLINE_MS);
	s.last = commit("The test cluster goes", 2, 2, false);
	daemon_wait("an orphan", is_orphan, NULL, DAEMON_DEADLINE_MS);
	daemon_sh("cd work && git checkout -q -B main %s && git commit -q"
		  " --allow-empty -m Rewritten && git push -q -f origin main",
	    s.first);
	daemon_wait_state("remote", "alarm");
	return s;
}

/* ---- for people ---- */

SCENARIO(a_terminal_of_80_columns)
{
	static const char *const commands[] = { "edict status",
		"edict status --engines", "edict log", "edict show HEAD",
		"edict show HEAD~1 --tests", "edict show HEAD~2", "edict audit",
		"edict audit verify", "edict token list",
		"edict check work --tests",
		"cd work && edict diff HEAD~1 HEAD --bundle authz",
		"edict status --help", "edict audit --help",
		"edict show --help", "edict check --help" };

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)live();
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		const char *plain =
		    on_terminal("export NO_COLOR=1", commands[i]);

		check_lines(commands[i], on_terminal("", commands[i]), COLUMNS);
		check_lines(commands[i], plain, COLUMNS);
		assert_lacks(plain, "\033");
	}
}

SCENARIO(colours_are_for_terminals)
{
	static const char *const commands[] = { "edict status", "edict log",
		"edict show HEAD", "edict check work" };
	static const char *const without[] = { "export NO_COLOR=1",
		"export TERM=dumb", "unset TERM" };

	(void)live();
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		assert_has(on_terminal("", commands[i]), "\033[");
		assert_has(on_terminal("export NO_COLOR=", commands[i]),
		    "\033[");
		for (size_t k = 0; k < sizeof without / sizeof *without; k++)
			assert_lacks(on_terminal(without[k], commands[i]),
			    "\033");
		assert_lacks(
		    daemon_try("export TERM=xterm; %s", commands[i]).text,
		    "\033");
	}
	assert_has(on_terminal("", "edict log"), "\033[31mfailed\033[0m");
	assert_has(on_terminal("", "edict log"), "\033[32mpassed\033[0m");
}

/* Whatever is going on, in one place. */
SCENARIO(status_says_what_is_going_on)
{
	struct estate s = live();
	const char *text = daemon_sh("edict status");

	/* In a pipe nothing is cut. */
	assert_has(text, "long come to its end");
	assert_has(text, "prod-us-with-a-rather-long-name");
	assert_has(text, "alarm");
	assert_has(text, "edict accept");
	assert_has(text, daemon_printf("%.8s", s.first));
	assert_has(text, "A first policy");
	assert_has(text, "held by admin, ");
	assert_has(text, LONG_REASON);
	assert_has(text, "1 content quarantined until resume");
	assert_has(text, "1 of 3");
	assert_has(text, "1 behind, 1 rejecting");
	assert_has(text, "no longer defined in edict.yaml, still served");
	assert_has(text,
	    daemon_printf("current with %.8s, whose content is the same",
		s.last));
	/* No more than what there is to say of the others. */
	assert_null(strstr(strstr(text, "held by admin"), "held by pipeline"));
	text = on_terminal("export NO_COLOR=1", "edict status");
	assert_has(text, "\xe2\x80\xa6");
	assert_has(text, "apostrophe");
	text = daemon_sh("edict log");
	assert_has(text, daemon_printf("%.12s  failed   0/1", s.bad));
	assert_has(text, "runs in prod-eu:authz, ");
	assert_has(text, "prod-us-with-a-rather-long-name:authz (held)");
}

/* What an admin forced, and what holds only for a while. */
SCENARIO(status_says_who_forced_what)
{
	struct estate s = live();
	const char *text;

	daemon_sh("edict rollback authz --to %s --force --cluster prod-eu"
		  " --reason 'we know better'",
	    s.bad);
	daemon_sh("edict rollback billing --to %s --until-next"
		  " --cluster prod-eu --reason 'for now'",
	    s.first);
	text = daemon_sh("edict status");
	assert_has(text, "  forced  ");
	assert_has(text, "forced, with no passing verdict, by admin, ");
	assert_has(text, "we know better");
	assert_has(text, "held until the next passing commit by admin, ");
	check_lines("edict status",
	    on_terminal("export NO_COLOR=1", "edict status"), COLUMNS);
}

SCENARIO(show_says_all_there_is_to_know)
{
	struct estate s = live();
	const json_t *commit;
	const char *text = daemon_sh("edict show %s", s.first);

	commit =
	    daemon_api("GET", daemon_printf("/commits/%s", s.first), NULL, 200);
	assert_has(text, "tests    1 of 1 passed");
	assert_has(text,
	    "bundle authz: exclude \"nowhere/**\" matches nothing");
	assert_has(text, daemon_text(commit, "bundles.0.content"));
	assert_has(text, daemon_text(commit, "bundles.0.artifact.sha256"));
	assert_has(text, "prod-us-with-a-rather-long-name  authz");
	/* Moved there, and away from there. */
	assert_has(text, "rollback");
	assert_has(text, LONG_REASON);
	assert_has(text, daemon_printf("away to %.8s", s.second));
	text = daemon_sh("edict show %s", s.bad);
	assert_has(text, "verdict  failed");
	assert_has(text, "test_that_the_level");
	/* One who may not read the audit sees all but that. */
	daemon_write("in-token",
	    daemon_token("{\"name\": \"in\", \"role\": \"viewer\","
			 " \"clusters\": [\"prod-eu\"]}"));
	daemon_sh("chmod 600 in-token");
	text = daemon_sh("edict show %s --token-file in-token --server %s",
	    s.second, daemon_url());
	assert_has(text, "prod-eu");
	assert_lacks(text, "EVENT");
	assert_lacks(text, "prod-us");
}

/* ---- for machines ---- */

/* The commands of docs/json.md, as they are run here. */
static const struct {
	const char *command, *run;
} runs[] = {
	{ "edict status", "edict status --engines" },
	{ "edict log", "edict log" },
	{ "edict show", "edict show HEAD~2" },
	{ "edict audit", "edict audit -n 1000" },
	{ "edict audit sign", "edict audit sign" },
	{ "edict audit verify", "edict audit verify" },
	{ "edict check", "edict check work" },
	{ "edict verify", "edict verify out.tar.gz --key ci.pub --scope no" },
	{ "edict build", "edict build work --bundle billing -o b.tar.gz" },
	{ "edict diff", "edict diff out.tar.gz b.tar.gz" },
	{ "edict token list", "edict token list" },
	{ "edict token create", "edict token create eve --role viewer" },
	{ "edict key list", "edict key list" },
	{ "edict key use", "edict key use ci --cluster prod-eu --reason x" },
	{ "edict cluster list", "edict cluster list" },
	{ "edict fetch", "edict fetch" },
	{ "edict gc", "edict gc" },
	{ "edict backup", "edict backup kept.tar" },
	{ "edict restore", "edict restore kept.tar --data-dir again" },
	{ "edict pin", "edict pin billing --reason x" },
	{ "edict resume", "edict resume billing" },
	{ "edict retest", "edict retest HEAD" },
};

static const char *
run_of(const char *command)
{
	for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
		if (strcmp(runs[i].command, command) == 0)
			return runs[i].run;
	fail_msg("docs/json.md tells of %s, which nobody tries", command);
	return NULL;
}

static void
check_command(struct manual *m, const char *command, const char *holds)
{
	struct shell s = daemon_try("%s --json 2>/dev/null", run_of(command));
	json_t *j = json_loads(s.text, 0, NULL);

	if (j == NULL)
		fail_msg("%s: no JSON: %s", command, s.text);
	manual_check(m, holds, j, command);
	json_decref(j);
}

/* They come and go. */
static bool
has_alarms(void *arg)
{
	const json_t *items =
	    daemon_at(daemon_api("GET", "/alarms", NULL, 200), "items");

	if (json_array_size(items) == 0)
		return false;
	manual_check(arg, "list of standing alarm", items, "alarms");
	return true;
}

/* A key that is missing, one that is not documented, one of another type: each
 * fails, as does a part of the manual that nothing here comes by. */
SCENARIO(json_is_as_documented)
{
	struct manual m = manual_read();
	json_t *commands = json_object_get(m.kinds, "Commands");
	const char *name;
	json_t *value;

	(void)live();
	daemon_wait("an alarm", has_alarms, &m, DAEMON_DEADLINE_MS);
	daemon_sh("edict keygen ci && edict build work --bundle authz"
		  " -o out.tar.gz --signing-key ci.key --key-id ci"
		  " && edict key add ci.key --id ci");
	assert_int_equal(json_object_size(commands),
	    sizeof runs / sizeof *runs);
	json_object_foreach(commands, name, value)
		check_command(&m, name, json_string_value(value));
	json_object_foreach(m.kinds, name, value)
		if (value != commands && json_object_size(value) > 0 &&
		    json_object_get(m.seen, name) == NULL)
			fail_msg("docs/json.md: nothing here is a %s", name);
	json_decref(m.kinds);
	json_decref(m.seen);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(a_terminal_of_80_columns),
		PLAY(colours_are_for_terminals),
		PLAY(status_says_what_is_going_on),
		PLAY(status_says_who_forced_what),
		PLAY(show_says_all_there_is_to_know),
		PLAY(json_is_as_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
