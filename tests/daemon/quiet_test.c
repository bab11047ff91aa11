/* Two bundles of one repository: what a commit does not touch is not built, not
 * assigned anew, not sent, and nobody who waits for it is woken. */

#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"

#define BUNDLE "/clusters/default/bundles/"

static const char *
policy(const char *name, int level)
{
	return daemon_printf("package %s\n\nlevel := %d\n", name, level);
}

/* The test proves that there is one, so that it need not change. */
static const char *
test_of(const char *name)
{
	return daemon_printf(
	    "package %s_test\n\ntest_level if data.%s.level > 0\n", name, name);
}

static const char *
both(void)
{
	return daemon_commit("Two bundles",
	    { "edict.yaml",
		"bundles:\n"
		"  east: {paths: [east]}\n"
		"  west: {paths: [west]}\n"
		"clusters: {default: {bundles: [east, west]}}\n" },
	    { "east/east.rego", policy("east", 1) },
	    { "east/east_test.rego", test_of("east") },
	    { "west/west.rego", policy("west", 1) },
	    { "west/west_test.rego", test_of("west") },
	    { "west/data.json", "{\"west_data\": {\"n\": 1}}\n" },
	    { "README.md", "one\n" });
}

/* A number of /metrics, by the whole of its name. */
static long
metric(const char *name)
{
	struct answer a = daemon_get("/metrics", NULL, NULL);
	const char *line = strstr(a.body, daemon_printf("\n%s ", name));

	assert_non_null(line);
	return strtol(line + strlen(name) + 2, NULL, 10);
}

static long
builds(void)
{
	return metric("edict_builds_total{outcome=\"done\"}");
}

static const json_t *
assignment(const char *bundle)
{
	const json_t *list =
	    daemon_at(daemon_api("GET", "/clusters/default", NULL, 200),
		"assignments");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *a = json_array_get(list, i);

		if (strcmp(daemon_text(a, "bundle"), bundle) == 0)
			return a;
	}
	fail_msg("no assignment of %s", bundle);
	return NULL;
}

struct current {
	const char *bundle, *commit;
};

static bool
is_current(void *arg)
{
	const struct current *c = arg;

	return strcmp(daemon_text(assignment(c->bundle), "current_with"),
		   c->commit) == 0;
}

static void
wait_current(const char *bundle, const char *commit)
{
	struct current c = { bundle, commit };

	daemon_wait(daemon_printf("%s is current with %s", bundle, commit),
	    is_current, &c, DAEMON_DEADLINE_MS);
}

/* What engines of a bundle would notice. */
struct served {
	const char *bundle;
	const char *etag, *revision, *artifact, *content;
	int64_t serial;
	struct poll *waiting;
};

static struct served
look_at(const char *bundle)
{
	const json_t *a = assignment(bundle);
	struct served s = { .bundle = bundle,
		.etag = daemon_text(a, "etag"),
		.revision = daemon_text(a, "revision"),
		.content = daemon_text(a, "content"),
		.serial = daemon_number(a, "serial") };
	json_t *r = daemon_api("GET",
	    daemon_printf("/bundles/%s/revisions/%s", bundle, s.revision), NULL,
	    200);

	s.artifact = daemon_text(r, "artifact.sha256");
	return s;
}

static bool
are_waiting(void *arg)
{
	return metric("edict_engines_waiting") == *(const long *)arg;
}

/* Looks, and waits for more as an engine would. */
static struct served
wait_for(const char *bundle, long already)
{
	struct served s = look_at(bundle);
	long count = already + 1;

	s.waiting = poll_start_as(bundle, daemon_printf(BUNDLE "%s", bundle),
	    daemon_engine(), s.etag, 600);
	daemon_wait("it is held", are_waiting, &count, DAEMON_DEADLINE_MS);
	return s;
}

/* Bundles whose files were looked at for this commit. */
static void
expect_planned(const char *commit, int count)
{
	daemon_wait_log(daemon_printf("commit.published repo=policies commit=%s"
				      " bundles=2 planned=%d ",
			    commit, count),
	    0);
}

static void
expect_same(const struct served *s)
{
	const struct served now = look_at(s->bundle);

	assert_string_equal(now.etag, s->etag);
	assert_string_equal(now.revision, s->revision);
	assert_string_equal(now.artifact, s->artifact);
	assert_string_equal(now.content, s->content);
	assert_int_equal(now.serial, s->serial);
	assert_false(poll_is_over(s->waiting));
}

static void
expect_woken(struct served *s, const char *commit)
{
	struct answer a = poll_end(s->waiting);
	struct served now = look_at(s->bundle);

	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "ETag"), now.etag);
	assert_string_not_equal(now.etag, s->etag);
	assert_string_equal(now.revision, commit);
	assert_true(now.serial > s->serial);
}

static void
begin(void)
{
	const char *first = both();

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {policies: {url: \"%s\"}}\n"
				    "http: {wait_max: 600s}\n",
		daemon_path("remote.git")) });
	daemon_wait_revision("default", "east", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("default", "west", first, DAEMON_DEADLINE_MS);
	assert_int_equal(builds(), 2);
}

static bool
has_one_mirror(void *arg)
{
	(void)arg;
	return strcmp(daemon_try("find data -name objects -type d").text,
		   "data/repos/policies/git/objects") == 0;
}

SCENARIO(what_a_commit_does_not_touch_stays)
{
	struct served east, west;
	const char *next;

	begin();
	east = wait_for("east", 0);
	west = wait_for("west", 1);
	next = daemon_commit("East alone",
	    { "east/east.rego", policy("east", 2) });
	expect_woken(&east, next);
	wait_current("west", next);
	expect_same(&west);
	expect_planned(next, 1);
	assert_int_equal(builds(), 3);

	/* Neither of them: both are current, and nobody moves. */
	east = wait_for("east", 1);
	next = daemon_commit("Words", { "README.md", "two\n" });
	wait_current("east", next);
	wait_current("west", next);
	expect_same(&east);
	expect_same(&west);
	expect_planned(next, 0);
	assert_int_equal(builds(), 3);

	/* A test is touched, or data is only written otherwise: no engine
	 * would see it. */
	next = daemon_commit("Other bytes, same bundle",
	    { "west/west_test.rego",
		daemon_printf("%s# more\n", test_of("west")) },
	    { "west/data.json", "{\"west_data\":   {\"n\": 1}}\n" });
	wait_current("west", next);
	expect_same(&west);
	expect_same(&east);
	expect_planned(next, 1);
	assert_int_equal(builds(), 3);

	/* They did wait all the time. */
	next =
	    daemon_commit("West", { "west/data.json", "{\"west_data\": 2}\n" });
	expect_woken(&west, next);
	wait_current("east", next);
	expect_same(&east);
	assert_int_equal(builds(), 4);
	assert_string_equal(daemon_sh("ls data/repos"), "policies");
	/* Nor does a fetch of it leave another. */
	daemon_wait("there is one mirror", has_one_mirror, NULL,
	    DAEMON_DEADLINE_MS);
	next = daemon_commit("Both at once",
	    { "west/west.rego", policy("west", 3) },
	    { "east/east.rego", policy("east", 3) });
	expect_woken(&east, next);
	daemon_wait_revision("default", "west", next, DAEMON_DEADLINE_MS);
	assert_int_equal(builds(), 6);
}

/* Bytes of what engines get, which are sent for this. */
static long
size_now(const char *bundle)
{
	struct answer a = daemon_get(daemon_printf(BUNDLE "%s", bundle),
	    daemon_engine(), NULL);

	assert_int_equal(a.status, 200);
	return (long)a.len;
}

static bool
is_sent(void *arg)
{
	return metric("edict_bundle_bytes_total") == *(const long *)arg;
}

/* They are counted when an answer is over, which who has it knows before. */
static void
wait_sent(long bytes)
{
	daemon_wait(daemon_printf("%ld bytes are sent", bytes), is_sent, &bytes,
	    DAEMON_DEADLINE_MS);
}

/* The real engine keeps what it has, and gets what it must. */
SCENARIO(a_real_engine_is_left_alone)
{
	struct engine *e;
	const char *next;
	long sent;

	begin();
	/* Once here, and once by the engine. */
	sent = 2 * (size_now("east") + size_now("west"));
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "east/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(e, "west/level", NULL, "1", DAEMON_DEADLINE_MS);
	wait_sent(sent);
	next = daemon_commit("Words", { "README.md", "two\n" });
	wait_current("west", next);
	assert_int_equal(metric("edict_bundle_bytes_total"), sent);
	daemon_commit("East", { "east/east.rego", policy("east", 2) });
	engine_wait(e, "east/level", NULL, "2", DAEMON_DEADLINE_MS);
	wait_sent(sent + 2 * size_now("east"));
	assert_string_equal(engine_ask(e, "west/level", NULL), "1");
}

/* The file of what was built for this commit. */
static const char *
file_of(const char *bundle, const char *commit)
{
	json_t *r = daemon_api("GET",
	    daemon_printf("/bundles/%s/revisions/%s", bundle, commit), NULL,
	    200);

	return daemon_sh("find data/artifacts -type f -name '%s*' | grep .",
	    daemon_text(r, "artifact.sha256"));
}

/* What engines get of it, unpacked. */
static const char *
downloaded(const char *bundle, const char *file)
{
	struct answer a = daemon_get(daemon_printf(BUNDLE "%s", bundle),
	    daemon_engine(), NULL);

	assert_int_equal(a.status, 200);
	daemon_save("got.tar.gz", a.body, a.len);
	return daemon_sh("tar xzOf got.tar.gz %s", file);
}

/* Nothing of it is looked at for a commit that does not touch it, but for its
 * file on disk. */
SCENARIO(a_lost_artifact_is_built_again)
{
	static const char *const damage[] = { "rm", "truncate -s -1",
		"truncate -s 0", "sed -i s/./x/" };
	long count;

	begin();
	count = builds();
	for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
		const char *next = daemon_commit("West",
		    { "west/west.rego", policy("west", (int)i + 2) });
		size_t from;

		daemon_wait_revision("default", "west", next,
		    DAEMON_DEADLINE_MS);
		from = strlen(daemon_log());
		(void)daemon_sh("%s %s", damage[i], file_of("west", next));
		next = daemon_commit("Words",
		    { "README.md", daemon_printf("%zu\n", i) });
		wait_current("west", next);
		expect_planned(next, 0);
		daemon_wait_log("artifact.lost repo=policies bundle=west",
		    from);
		count += 2;
		assert_int_equal(builds(), count);
		assert_string_equal(daemon_sh("tar xzOf %s west/west.rego",
					file_of("west", next)),
		    daemon_sh("cat work/west/west.rego"));
	}
}

/* The same packed parts, now with another policy in them, and checks that say
 * that this is how it was written. */
static const char spoil[] =
    "perl -MDigest::SHA=sha256_hex -MIO::Uncompress::Gunzip=gunzip "
    "-MIO::Compress::Gzip=gzip -0777 -ne '"
    "my ($out, $at) = (\"\", 1 + index $_, \"\\n\"); "
    "$out = substr $_, 0, $at; "
    "while ($at < length) { "
    "my ($kind, $len) = unpack \"a V\", substr $_, $at, 5; "
    "my $data = substr $_, $at + 69, $len; $at += 69 + $len; "
    "if ($kind eq \"m\") { "
    "my ($key, $in) = unpack \"a64 a*\", $data; my ($tar, $gz); "
    "gunzip \\$in => \\$tar; $tar =~ s/level := 1/level := 7/; "
    "gzip \\$tar => \\$gz; $data = $key . $gz; } "
    "my $head = pack \"a V\", $kind, length $data; "
    "my $check = $kind eq \"m\" || $kind eq \"s\" "
    "? sha256_hex($head . $data) : substr $_, $at - $len - 64, 64; "
    "$out .= $head . $check . $data; } print $out' "
    "< data/repos/policies/cache > spoiled && "
    "! cmp -s spoiled data/repos/policies/cache && "
    "cp spoiled data/repos/policies/cache";

static void
spoiled_parts(const char *signing)
{
	const char *first = both(), *next;

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {policies: {url: \"%s\"}}\n"
				    "%s",
		daemon_path("remote.git"), signing) });
	daemon_wait_revision("default", "west", first, DAEMON_DEADLINE_MS);
	/* It is written when engines have the commit. */
	daemon_wait_file("data/repos/policies/cache");
	daemon_stop();
	(void)daemon_sh("%s", spoil);
	daemon_restart();
	/* Another manifest for the same part. */
	next = daemon_commit("More is west's own",
	    { "edict.yaml",
		"bundles:\n"
		"  east: {paths: [east]}\n"
		"  west: {paths: [west], roots: [west, west_data, more]}\n"
		"clusters: {default: {bundles: [east, west]}}\n" });
	daemon_wait_revision("default", "west", next, DAEMON_DEADLINE_MS);
	daemon_wait_log("bundle.damaged repo=policies bundle=west", 0);
	assert_string_equal(downloaded("west", "west/west.rego"),
	    daemon_sh("cat work/west/west.rego"));
}

SCENARIO(spoiled_parts_are_not_signed)
{
	spoiled_parts("");
}

/* The engine cannot check it: the server does. */
SCENARIO(spoiled_parts_are_not_signed_with_a_secret)
{
	(void)daemon_sh(
	    "umask 077; head -c 48 /dev/urandom | base64 -w0 > secret");
	spoiled_parts(daemon_printf(
	    "signing: {keys: [{id: s, algorithm: HS256, private_key_file: "
	    "\"%s\"}]}\n",
	    daemon_path("secret")));
}

/* What was known is not taken for what is not so: a definition that changes
 * what goes in, and files that come back. */
SCENARIO(what_changed_is_seen)
{
	const char *next;
	const char *first;

	begin();
	first = look_at("west").content;
	next = daemon_commit("West has more",
	    { "edict.yaml",
		"bundles:\n"
		"  east: {paths: [east], roots: [east]}\n"
		"  west: {paths: [west, {from: more, to: more}]}\n"
		"clusters: {default: {bundles: [east, west]}}\n" },
	    { "more/more.rego", policy("more", 1) });
	daemon_wait_revision("default", "west", next, DAEMON_DEADLINE_MS);
	assert_string_not_equal(look_at("west").content, first);
	assert_int_equal(builds(), 3);
	next = daemon_commit("As it was",
	    { "edict.yaml",
		"bundles:\n"
		"  east: {paths: [east]}\n"
		"  west: {paths: [west]}\n"
		"clusters: {default: {bundles: [east, west]}}\n" });
	wait_current("west", next);
	assert_string_equal(look_at("west").content, first);
	/* Stored, so it is not built again. */
	assert_int_equal(builds(), 3);
	/* Two bundles of one cluster with one root are refused however well
	 * each is known. */
	next = daemon_commit("Both have all",
	    { "edict.yaml",
		"bundles:\n"
		"  east: {paths: [east]}\n"
		"  west: {paths: [west, east]}\n"
		"clusters: {default: {bundles: [east, west]}}\n" });
	daemon_wait_verdict(next, "failed", DAEMON_DEADLINE_MS);
	assert_int_equal(builds(), 3);
}

/* A server that was started again need not read what it knew, and believes
 * nothing that was changed meanwhile. */
SCENARIO(a_restart_remembers)
{
	static const char *const damage[] = { "true",
		("printf x | dd of=data/repos/policies/cache bs=1 seek=150 "
		 "conv=notrunc 2> dd.log"),
		"echo something else > data/repos/policies/cache",
		"rm data/repos/policies/cache" };
	static const char *const says[] = { "cache.read blobs=3 ",
		"cache.discarded", "cache.discarded", NULL };
	struct served before;
	const char *next;
	size_t from;

	begin();
	for (int i = 0; i < 4; i++) {
		before = look_at("west");
		/* It is written after engines have the commit. */
		daemon_wait_file("data/repos/policies/cache");
		daemon_stop();
		daemon_sh("test -s data/repos/policies/cache && %s", damage[i]);
		from = strlen(daemon_log());
		daemon_restart();
		next = daemon_commit("East",
		    { "east/east.rego", policy("east", 10 + i) });
		daemon_wait_revision("default", "east", next,
		    DAEMON_DEADLINE_MS);
		wait_current("west", next);
		if (says[i] != NULL)
			daemon_wait_log(says[i], from);
		else
			assert_null(strstr(daemon_log() + from, "cache."));
		assert_string_equal(look_at("west").etag, before.etag);
		daemon_sh("edict build work --rev %s --bundle east -o x.tar.gz "
			  "--json | grep -q %s",
		    next, look_at("east").content);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(what_a_commit_does_not_touch_stays),
		PLAY(a_real_engine_is_left_alone),
		PLAY(a_lost_artifact_is_built_again),
		PLAY(spoiled_parts_are_not_signed),
		PLAY(spoiled_parts_are_not_signed_with_a_secret),
		PLAY(what_changed_is_seen),
		PLAY(a_restart_remembers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
