#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/fetch.h"
#include "policies/fetch_private.h"
#include "policies/repo.h"
#include "tests/unit/policies/git_fixture.h"
#include "tests/unit/policies/host_fixture.h"

enum { LONG_MS = 60000, SHORT_MS = 1000 };

static struct repo *mirror;
static int fetches;

static int
setup(void **state)
{
	struct err e;

	(void)state;
	fixture_start();
	fetches = 0;
	assert_int_equal(repo_open(&mirror, fixture_path("repos/p/git"), true,
			     &e),
	    ERR_OK);
	sh("git init -q -b main r; cd r; seq 100 > f; git add f\n"
	   "git commit -qm one; git branch other");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	repo_free(mirror);
	mirror = NULL;
	fixture_end();
	return 0;
}

/* A child that fetches into repos/p/incoming/N, N counting from 1. */
static struct fetch_child *
child_for(const struct fetch_source *source, const char *known)
{
	struct fetch_child *c = NULL;
	char incoming[64];
	struct err e = { 0 };

	(void)snprintf(incoming, sizeof(incoming), "repos/p/incoming/%d",
	    ++fetches);
	assert_int_equal(file_make_dirs(fixture_path(incoming), &e), ERR_OK);
	if (fetch_child_new(&c, source, fixture_path("repos/p/git"),
		fixture_path(incoming), known, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return c;
}

static struct fetch_result
run_child(struct fetch_child *c, int ms)
{
	struct fetch_result result;
	struct child_result ended;
	struct err e = { 0 };

	if (child_run(&ended, fetch_child_spec(c), ms, FETCH_RESULT_MAX, &e) !=
	    ERR_OK)
		fail_msg("%s", e.text);
	fetch_result_read(&result, &ended);
	if (ended.err.len > 0)
		print_message("%s\n", ended.err.data);
	child_result_clear(&ended);
	return result;
}

static struct fetch_result
fetch_within(const struct fetch_source *source, const char *known, int ms)
{
	AUTO(fetch_child, c) = child_for(source, known);

	return run_child(c, ms);
}

static struct fetch_result
fetch(const struct fetch_source *source, const char *known)
{
	return fetch_within(source, known, LONG_MS);
}

static void
assert_outcome(struct fetch_result r, enum fetch_outcome o, const char *says)
{
	if (r.outcome != o || strstr(r.message, says) == NULL)
		fail_msg("%s: %s (not %s: %s)", fetch_outcome_name(r.outcome),
		    r.message, fetch_outcome_name(o), says);
}

/* A whole round: fetch, take in, same tip as git says. */
static void
assert_followed(const struct fetch_source *source, const char *known)
{
	struct fetch_result r = fetch(source, known);
	AUTO(tree, t) = NULL;
	char incoming[64];
	struct err e;

	assert_outcome(r, FETCH_OK, "");
	assert_string_equal(r.branch, "main");
	assert_string_equal(r.tip, sh_line("cd r; git rev-parse main"));
	(void)snprintf(incoming, sizeof(incoming), "repos/p/incoming/%d",
	    fetches);
	if (repo_take_in(mirror, fixture_path(incoming), r.tip, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(repo_set_ref(mirror, "tip", r.tip, &e), ERR_OK);
	assert_int_equal(repo_tree(mirror, r.tip, &t, &e), ERR_OK);
	assert_string_equal(t->commit.id, r.tip);
}

static const char *
head(void)
{
	return sh_line("cd r; git rev-parse main");
}

static void
commit_more(void)
{
	sh("cd r; date +%%N >> f; git commit -qam more");
}

/* -- local ---------------------------------------------------------------- */

static void
follow_local(const char *url)
{
	struct fetch_source s = { .name = "p", .url = url, .branch = "main" };
	const char *known;

	assert_followed(&s, "");
	known = head();
	assert_outcome(fetch(&s, known), FETCH_UNCHANGED, "");
	commit_more();
	assert_followed(&s, known);
	/* Only what is new was brought. */
	sh("P=$(ls repos/p/incoming/%d/objects/pack/*.pack)\n"
	   "test $(od -An -tu1 -j11 -N1 $P) -le 3",
	    fetches);
}

static void
test_path(void **state)
{
	(void)state;
	follow_local(fixture_path("r"));
}

static void
test_file_url(void **state)
{
	AUTO_STR url = mem_printf("file://%s", fixture_path("r"));

	(void)state;
	follow_local(url);
}

static void
test_bare(void **state)
{
	(void)state;
	follow_local(fixture_path("r/.git"));
}

static void
test_linked_work_tree(void **state)
{
	(void)state;
	sh("cd r; git worktree add -q ../linked other");
	follow_local(fixture_path("linked"));
}

static void
test_shared_objects(void **state)
{
	struct fetch_source s = { .name = "p" };

	(void)state;
	sh("git clone -q --shared r s");
	s.url = fixture_path("s");
	assert_followed(&s, "");
}

static void
test_default_branch(void **state)
{
	struct fetch_source s = { .name = "p" };

	(void)state;
	s.url = fixture_path("r");
	assert_followed(&s, "");
	s.branch = "";
	assert_outcome(fetch(&s, head()), FETCH_UNCHANGED, "");
}

static void
test_rewritten(void **state)
{
	struct fetch_source s = { .name = "p", .branch = "main" };
	const char *known;

	(void)state;
	s.url = fixture_path("r");
	assert_followed(&s, "");
	known = head();
	sh("cd r; git commit -q --amend -m other");
	assert_followed(&s, known);
	known = head();
	commit_more();
	assert_followed(&s, known);
	known = head();
	sh("cd r; git reset -q --hard HEAD~1");
	assert_followed(&s, known);
	known = head();
	sh("cd r; git checkout -q --orphan new; git commit -qm unrelated\n"
	   "git branch -qf main");
	assert_followed(&s, known);
}

static void
test_what_is_not_there(void **state)
{
	struct fetch_source s = { .name = "p", .branch = "gone" };

	(void)state;
	s.url = fixture_path("r");
	assert_outcome(fetch(&s, ""), FETCH_BRANCH_MISSING, "gone");
	sh("git init -q empty; mkdir plain; echo x > file");
	s.url = fixture_path("empty");
	assert_outcome(fetch(&s, ""), FETCH_EMPTY, "no branch");
	s.branch = NULL;
	assert_outcome(fetch(&s, ""), FETCH_EMPTY, "no branch");
	s.url = fixture_path("plain");
	assert_outcome(fetch(&s, ""), FETCH_UNREACHABLE, "no Git repository");
	s.url = fixture_path("none");
	assert_outcome(fetch(&s, ""), FETCH_UNREACHABLE, "no Git repository");
	s.url = fixture_path("file");
	assert_outcome(fetch(&s, ""), FETCH_UNREACHABLE, "no Git repository");
	sh("cd r; git checkout -q --detach; git branch -q -D main other\n"
	   "git tag kept");
	s.url = fixture_path("r");
	assert_outcome(fetch(&s, ""), FETCH_EMPTY, "no branch");
}

static void
test_damaged_source(void **state)
{
	struct fetch_source s = { .name = "p", .branch = "main" };

	(void)state;
	sh("cd r; rm -f .git/objects/$(git rev-parse HEAD:f | sed 's,^..,&/,')");
	s.url = fixture_path("r");
	assert_outcome(fetch(&s, ""), FETCH_FAILED, "fetch");
}

static void
test_too_large_a_file(void **state)
{
	struct fetch_source s = { .name = "p",
		.branch = "main",
		.bytes_max = 1000 };

	(void)state;
	sh("cd r; head -c 20000000 /dev/urandom > big; git add big\n"
	   "git commit -qm big");
	s.url = fixture_path("r");
	assert_outcome(fetch(&s, ""), FETCH_TOO_LARGE, "");
}

/* -- what others put into the folder, or wrote into the source ------------- */

static void
test_folder_not_empty(void **state)
{
	struct fetch_source s = { .name = "p", .branch = "main" };

	(void)state;
	s.url = fixture_path("r");
	sh("mkdir -p repos/p/incoming/1 repos/p/incoming/3 elsewhere\n"
	   "echo > repos/p/incoming/1/config");
	assert_outcome(fetch(&s, ""), FETCH_FAILED, "not empty");
	assert_outcome(fetch(&s, ""), FETCH_OK, "");
	{
		AUTO(fetch_child, c) = child_for(&s, "");

		sh("cd repos/p/incoming; rmdir 3; ln -s ../../../elsewhere 3");
		assert_outcome(run_child(c, LONG_MS), FETCH_FAILED,
		    "not a folder");
		sh("test -z \"$(ls elsewhere)\"");
	}
}

static int
prepare_then_lead_away(void *arg)
{
	struct fetch_child *c = arg;
	int rc = fetch_prepare(arg);

	sh("printf '[url \"/nowhere\"]\\n\\tinsteadOf = %s\\n' "
	   ">> %s/config",
	    c->url, c->incoming);
	return rc;
}

/* Whoever owns the folder may write into it while the child is at work. */
static void
test_config_is_not_read(void **state)
{
	struct fetch_source s = { .name = "p", .branch = "main" };

	(void)state;
	s.url = fixture_path("r");
	AUTO(fetch_child, c) = child_for(&s, "");
	c->spec.prepare = prepare_then_lead_away;
	assert_outcome(run_child(c, LONG_MS), FETCH_OK, "");
}

static bool
may_read(const struct fetch_child *c, const char *path)
{
	for (size_t i = 0; i < c->path_count; i++)
		if (strcmp(c->paths[i].path, path) == 0)
			return true;
	return false;
}

static void
test_alternates_refused(void **state)
{
	static const struct {
		const char *line; /* %s: the fixture's folder */
		bool fine;
	} cases[] = {
		{ "%s/r/.git/objects", true },
		{ "../../../r/.git/objects", true },
		{ "%s/bare/objects", true },
		{ "%s/gone/objects", true },
		{ "/", false },
		{ "/etc", false },
		{ "%s", false },
		{ "%s/repos", false },
		{ "%s/plain/objects", false },
		{ "%s/link/objects", false },
		{ "%s/r", false },
		{ "%s/repos/other/git/objects", false },
	};
	struct fetch_source s = { .name = "p" };
	AUTO_STR root = mem_strdup(fixture_path(""));

	(void)state;
	root[strlen(root) - 1] = '\0';
	sh("git init -q s; git init -q --bare bare\n"
	   "mkdir -p plain/objects repos/other link\n"
	   "git init -q --bare repos/other/git; ln -s / link/objects");
	s.url = fixture_path("s");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(fetch_child, c) = NULL;
		AUTO_STR line = NULL;
		struct err e = { 0 };
		const char *rest = cases[i].line;
		bool whole = strncmp(rest, "%s", 2) == 0;
		enum err_code code;

		line = mem_printf("%s%s", whole ? root : "",
		    rest + (whole ? 2 : 0));
		sh("echo '%s' > s/.git/objects/info/alternates", line);
		code = fetch_child_new(&c, &s, fixture_path("repos/p/git"),
		    fixture_path("repos/p/incoming/1"), "", &e);
		if ((code == ERR_OK) != cases[i].fine)
			fail_msg("%s: %d %s", line, (int)code, e.text);
		if (code != ERR_OK)
			assert_non_null(strstr(e.text, "info/alternates"));
	}
}

static void
test_alternates_in_a_ring(void **state)
{
	struct fetch_source s = { .name = "p" };
	AUTO(fetch_child, c) = NULL;
	AUTO(fetch_child, many) = NULL;
	struct err e;

	(void)state;
	sh("git clone -q --shared r s; cd s/.git/objects/info\n"
	   "yes ../../../r/.git/objects | head -2000 > alternates\n"
	   "yes ../../../s/.git/objects | head -2000 > "
	   "../../../../r/.git/objects/info/alternates");
	s.url = fixture_path("s");
	c = child_for(&s, "");
	assert_true(may_read(c, fixture_path("r/.git/objects")));
	assert_outcome(run_child(c, LONG_MS), FETCH_OK, "");
	sh("for n in $(seq 70); do mkdir -p many/$n/objects/pack\n"
	   "echo ../../../many/$n/objects; done > "
	   "s/.git/objects/info/alternates");
	assert_int_equal(fetch_child_new(&many, &s, fixture_path("repos/p/git"),
			     fixture_path("repos/p/incoming/1"), "", &e),
	    ERR_LIMIT);
}

/* A work tree's .git may be a file that names any folder. */
static void
test_links_lead_to_git_folders_only(void **state)
{
	static const char *const links[] = { "/", "/etc", "..", "../repos/p",
		"../repos/p/git" };
	struct fetch_source s = { .name = "p" };

	(void)state;
	/* As if what holds the mirrors were a repository itself. */
	sh("mkdir w objects; echo 'ref: refs/heads/main' > HEAD");
	s.url = fixture_path("w");
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		AUTO(fetch_child, c) = NULL;

		sh("echo 'gitdir: %s' > w/.git", links[i]);
		c = child_for(&s, "");
		assert_int_equal(c->path_count, 3);
		assert_outcome(run_child(c, LONG_MS), FETCH_UNREACHABLE,
		    "no Git repository");
	}
}

/* -- hosts ---------------------------------------------------------------- */

static void
test_host_down(void **state)
{
	AUTO_STR https = mem_printf("https://localhost:%d/r", host_free_port());
	AUTO_STR http = mem_printf("http://127.0.0.1:%d/r", host_free_port());
	const char *urls[] = { https, http, "https://no-such-host.invalid/r" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fetch_source s = { .name = "p",
			.url = urls[i],
			.branch = "main" };

		assert_outcome(fetch(&s, ""), FETCH_UNREACHABLE, "connect");
	}
}

static void
test_host_stalls(void **state)
{
	struct fetch_source s = { .name = "p", .branch = "main" };
	AUTO_STR url = NULL;
	int fd;

	(void)state;
	url = mem_printf("http://127.0.0.1:%d/r", host_silent_port(&fd));
	s.url = url;
	assert_outcome(fetch_within(&s, "", SHORT_MS), FETCH_TIMED_OUT,
	    "stalls");
	close(fd);
}

static void
test_network_child_sees_little(void **state)
{
	struct fetch_source s = { .name = "p", .url = "https://localhost/r" };
	AUTO(fetch_child, c) = NULL;

	(void)state;
	c = child_for(&s, "");
	assert_true(may_read(c, "/etc/resolv.conf"));
	assert_true(may_read(c, "/etc/ssl/certs"));
	assert_false(may_read(c, "/etc/ssl"));
	assert_false(may_read(c, "/run/NetworkManager"));
	assert_false(may_read(c, "/run/systemd/resolve"));
}

static void
test_ssh(void **state)
{
	struct host h;
	AUTO_STR url = NULL;
	AUTO_STR hosts = NULL;
	AUTO_STR key = NULL;
	AUTO_STR locked = NULL;
	AUTO_STR phrase = NULL;
	struct fetch_source s = { .name = "p", .branch = "main" };
	const char *known;

	(void)state;
	host_start_ssh(&h);
	sh("echo 'open sesame' > phrase; chmod 600 phrase; cp known_hosts good");
	url = mem_printf("ssh://%s@127.0.0.1:%d%s",
	    getpwuid(geteuid())->pw_name, h.port, fixture_path("r"));
	hosts = mem_strdup(fixture_path("known_hosts"));
	key = mem_strdup(fixture_path("client"));
	locked = mem_strdup(fixture_path("locked"));
	phrase = mem_strdup(fixture_path("phrase"));
	s.url = url;
	s.known_hosts_file = hosts;
	s.ssh_key_file = key;
	assert_followed(&s, "");
	known = head();
	assert_outcome(fetch(&s, known), FETCH_UNCHANGED, "");
	commit_more();
	s.ssh_key_file = locked;
	assert_outcome(fetch(&s, known), FETCH_DENIED, "");
	s.ssh_passphrase_file = phrase;
	assert_followed(&s, known);

	s.ssh_passphrase_file = NULL;
	s.ssh_key_file = fixture_path("stranger");
	assert_outcome(fetch(&s, ""), FETCH_DENIED, "does not accept the key");
	s.ssh_key_file = key;
	sh("(printf '[127.0.0.1]:%d '; cut -d' ' -f1,2 stranger.pub) > "
	   "known_hosts",
	    h.port);
	assert_outcome(fetch(&s, ""), FETCH_DENIED, "another key");
	sh("(printf '127.0.0.1 '; cut -d' ' -f1,2 host-ed25519.pub) > "
	   "known_hosts");
	assert_outcome(fetch(&s, ""), FETCH_DENIED, "ssh-keyscan");
	sh("(printf '@revoked * '; cut -d' ' -f1,2 host-ed25519.pub; cat good) > "
	   "known_hosts");
	assert_outcome(fetch(&s, ""), FETCH_DENIED, "revoked");
	sh("cp good known_hosts; ssh-keygen -q -H -f known_hosts 2>/dev/null");
	assert_outcome(fetch(&s, head()), FETCH_UNCHANGED, "");
	sh("chmod 644 client");
	assert_outcome(fetch(&s, ""), FETCH_FAILED, "chmod 600");
	host_stop(&h);
}

/* As if something had led libgit2 to another host than the configured one. */
static void
assert_credential_stays(const struct fetch_source *source)
{
	AUTO(fetch_child, host) = child_for(source, "");
	AUTO(fetch_child, port) = child_for(source, "");
	AUTO(fetch_child, kind) = child_for(source, "");

	memcpy(host->parts.host, "elsewhere", sizeof("elsewhere"));
	assert_outcome(run_child(host, LONG_MS), FETCH_DENIED, "another host");
	port->parts.port++;
	assert_outcome(run_child(port, LONG_MS), FETCH_DENIED, "another host");
	kind->parts.kind = FETCH_HTTP;
	assert_outcome(run_child(kind, LONG_MS), FETCH_DENIED, "another host");
}

static void
test_https(void **state)
{
	struct host h;
	AUTO_STR url = NULL;
	AUTO_STR away = NULL;
	AUTO_STR none = NULL;
	AUTO_STR ca = NULL;
	AUTO_STR password = NULL;
	struct fetch_source s = { .name = "p",
		.branch = "main",
		.username = "ada" };
	struct fetch_result r;
	const char *known;

	(void)state;
	host_start_https(&h);
	url = mem_printf("https://localhost:%d/r", h.port);
	away = mem_printf("https://localhost:%d/away/r", h.port);
	none = mem_printf("https://localhost:%d/none", h.port);
	ca = mem_strdup(fixture_path("ca.pem"));
	password = mem_strdup(fixture_path("password"));
	s.url = url;
	s.ca_file = ca;
	s.password_file = password;
	assert_followed(&s, "");
	known = head();
	assert_outcome(fetch(&s, known), FETCH_UNCHANGED, "");
	commit_more();
	assert_followed(&s, known);

	assert_credential_stays(&s);
	s.password_file = fixture_path("wrong");
	r = fetch(&s, "");
	assert_outcome(r, FETCH_DENIED, "does not accept");
	assert_null(strstr(r.message, "wrong:word"));
	s.password_file = NULL;
	assert_outcome(fetch(&s, ""), FETCH_DENIED, "password_file");
	s.password_file = password;
	s.ca_file = NULL;
	assert_outcome(fetch(&s, ""), FETCH_DENIED, "certificate");
	s.ca_file = ca;
	s.url = away;
	r = fetch(&s, "");
	assert_int_not_equal(r.outcome, FETCH_OK);
	s.url = none;
	assert_outcome(fetch(&s, ""), FETCH_UNREACHABLE, "404");
	s.url = url;
	sh("cd r; head -c 300000 /dev/urandom > big; git add big\n"
	   "git commit -qm big");
	s.bytes_max = 100000;
	assert_outcome(fetch(&s, ""), FETCH_TOO_LARGE, "100000");
	host_stop(&h);
}

/* -- what is refused before anything starts -------------------------------- */

static void
test_sources_refused(void **state)
{
	static const struct {
		const char *url, *branch, *says;
	} bad[] = {
		{ "https://ada:secret@h/r", NULL, "password_file" },
		{ "ssh://ada:secret@h/r", NULL, "password_file" },
		{ "http://example.org/r", NULL, "https://" },
		{ "http://127.0.0.1.example.org/r", NULL, "https://" },
		{ "git://h/r", NULL, "give a path" },
		{ "ext::sh -c x", NULL, "" },
		{ "", NULL, "empty" },
		{ "https:///r", NULL, "no host" },
		{ "https://h:99999/r", NULL, "port" },
		{ "https://h:x/r", NULL, "port" },
		{ "https://[::1/r", NULL, "]" },
		{ "https://h\n/r", NULL, "control" },
		{ "file://host/r", NULL, "absolute" },
		{ "ssh://-oProxyCommand=x/r", NULL, "no host" },
		{ "ssh://h/r", NULL, "ssh-keyscan -p 22 h" },
		{ "git@h:r", NULL, "ssh-keyscan -p 22 h" },
		{ "/r", "a..b", "branch" },
		{ "/r", "*", "branch" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fetch_source s = { .name = "p",
			.url = bad[i].url,
			.branch = bad[i].branch };
		AUTO(fetch_child, c) = NULL;
		struct err e;

		assert_int_equal(fetch_child_new(&c, &s, "/m", "/i", "", &e),
		    ERR_INVALID);
		assert_non_null(strstr(e.text, bad[i].says));
		assert_null(strstr(e.text, "secret"));
	}
}

static void
test_urls(void **state)
{
	static const struct {
		const char *url;
		enum fetch_kind kind;
		const char *user, *host;
		int port;
	} good[] = {
		{ "/srv/r", FETCH_LOCAL, "", "", 0 },
		{ "../r", FETCH_LOCAL, "", "", 0 },
		{ "./a:b", FETCH_LOCAL, "", "", 0 },
		{ "file:///srv/r", FETCH_LOCAL, "", "", 0 },
		{ "file://localhost/srv/r", FETCH_LOCAL, "", "", 0 },
		{ "https://h/r", FETCH_HTTPS, "", "h", 443 },
		{ "HTTPS://ada@h:8443/r", FETCH_HTTPS, "ada", "h", 8443 },
		{ "http://127.1.2.3/r", FETCH_HTTP, "", "127.1.2.3", 80 },
		{ "http://localhost:8/r", FETCH_HTTP, "", "localhost", 8 },
		{ "http://[::1]:8/r", FETCH_HTTP, "", "::1", 8 },
		{ "ssh://git@h:2222/r", FETCH_SSH, "git", "h", 2222 },
		{ "git@h:team/r.git", FETCH_SSH, "git", "h", 22 },
		{ "h:r", FETCH_SSH, "", "h", 22 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct fetch_url u;
		struct err e;

		assert_int_equal(fetch_url_read(&u, good[i].url, &e), ERR_OK);
		assert_int_equal(u.kind, good[i].kind);
		assert_string_equal(u.user, good[i].user);
		assert_string_equal(u.host, good[i].host);
		assert_int_equal(u.port, good[i].port);
		assert_int_equal(fetch_is_local(good[i].url),
		    good[i].kind == FETCH_LOCAL);
	}
	assert_string_equal(fetch_local_path("file:///x"), "/x");
	assert_string_equal(fetch_local_path("file://localhost/x"), "/x");
	assert_string_equal(fetch_local_path("x"), "x");
}

static struct fetch_result
read_back(enum child_end end, const char *out)
{
	struct child_result ended = { .end = end, .status = 9 };
	struct fetch_result r;

	buf_init(&ended.out, FETCH_RESULT_MAX);
	buf_init(&ended.err, FETCH_RESULT_MAX);
	buf_add_str(&ended.out, out);
	fetch_result_read(&r, &ended);
	child_result_clear(&ended);
	return r;
}

static void
test_results_are_not_believed(void **state)
{
	static const char *const bad[] = { "", "x", "{}", "[]",
		"{\"outcome\":\"ok\",\"tip\":\"\",\"branch\":\"b\",\"bytes\":1,"
		"\"message\":\"\"}",
		"{\"outcome\":\"ok\",\"tip\":"
		"\"xx34567890123456789012345678901234567890\",\"branch\":\"b\","
		"\"bytes\":1,\"message\":\"\"}",
		"{\"outcome\":\"fine\",\"tip\":\"\",\"branch\":\"b\",\"bytes\":"
		"1,\"message\":\"\"}",
		"{\"outcome\":\"empty\",\"tip\":\"\",\"branch\":\"b\",\"bytes\":"
		"-1,\"message\":\"\"}",
		"{\"outcome\":\"empty\",\"tip\":\"\",\"branch\":\"b\",\"bytes\":"
		"1,\"message\":\"\",\"more\":1}" };
	struct fetch_result r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_outcome(read_back(CHILD_EXITED, bad[i]), FETCH_FAILED,
		    "without a result");
	r = read_back(CHILD_EXITED,
	    "{\"outcome\":\"empty\",\"tip\":\"\",\"branch\":\"b\",\"bytes\":1,"
	    "\"message\":\"a\\u001bbc\"}");
	assert_outcome(r, FETCH_EMPTY, "abc");
	assert_outcome(read_back(CHILD_SIGNALLED, ""), FETCH_FAILED,
	    "signal 9");
	assert_outcome(read_back(CHILD_TIMED_OUT, ""), FETCH_TIMED_OUT,
	    "stalls");
	assert_outcome(read_back(CHILD_FLOODED, ""), FETCH_FAILED, "output");
	assert_outcome(read_back(CHILD_CANCELLED, ""), FETCH_FAILED,
	    "cancelled");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_path),
		CASE(test_file_url),
		CASE(test_bare),
		CASE(test_linked_work_tree),
		CASE(test_shared_objects),
		CASE(test_default_branch),
		CASE(test_rewritten),
		CASE(test_what_is_not_there),
		CASE(test_damaged_source),
		CASE(test_too_large_a_file),
		CASE(test_folder_not_empty),
		CASE(test_config_is_not_read),
		CASE(test_alternates_refused),
		CASE(test_alternates_in_a_ring),
		CASE(test_links_lead_to_git_folders_only),
		CASE(test_network_child_sees_little),
		CASE(test_host_down),
		CASE(test_host_stalls),
		CASE(test_ssh),
		CASE(test_https),
		cmocka_unit_test(test_sources_refused),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_results_are_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
