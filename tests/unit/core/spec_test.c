#include "core/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/yaml.h"

struct point {
	int64_t x, y;
};

struct command {
	char *name;
	struct spec_strings run;
};

struct cluster {
	char *name;
	bool live;
	struct spec_strings bundles;
};

struct limits {
	int64_t timeout;
	int64_t output_max;
	int64_t count;
	int64_t any;
};

struct conf {
	char *name;
	char *url;
	char *listen;
	bool strict;
	int mode;
	struct limits limits;
	struct spec_strings ignore;
	struct spec_strings paths;
	struct spec_list commands;
	struct spec_list clusters;
	const struct value *metadata;
	struct point *point;
};

/* "3,4" */
static void
read_point(void *field, const struct value *v, const struct spec *s,
    struct spec_faults *f)
{
	struct point **to = field;
	char *end;

	(void)s;
	*to = mem_zalloc(sizeof **to);
	(*to)->x = strtol(v->text, &end, 10);
	if (*end != ',')
		spec_fault(f, v, "must be x,y");
	else
		(*to)->y = strtol(end + 1, NULL, 10);
}

static void
clear_point(void *field)
{
	struct point **from = field;

	mem_free(STEAL(*from));
}

static const char *const modes[] = { "files", "bundle", "both", NULL };

static const struct spec limits_spec[] = {
	{ .key = "timeout",
	    .kind = SPEC_SECONDS,
	    .offset = offsetof(struct limits, timeout),
	    .min = 1,
	    .max = 3600,
	    .fallback = 120,
	    .help = "How long | it may take." },
	{ .key = "output_max",
	    .kind = SPEC_SIZE,
	    .offset = offsetof(struct limits, output_max),
	    .min = 4096,
	    .max = 64 << 20,
	    .fallback = 1 << 20,
	    .help = "Bytes kept." },
	{ .key = "count",
	    .kind = SPEC_INT,
	    .offset = offsetof(struct limits, count),
	    .min = -5,
	    .max = 5,
	    .fallback = -9,
	    .help = "Left out: not counted." },
	{ .key = "any",
	    .kind = SPEC_INT,
	    .offset = offsetof(struct limits, any),
	    .help = "Any number." },
	{ 0 },
};

static const struct spec command_spec[] = {
	{ .key = "name",
	    .kind = SPEC_NAME,
	    .offset = offsetof(struct command, name),
	    .required = true },
	{ .key = "run",
	    .kind = SPEC_STRINGS,
	    .offset = offsetof(struct command, run),
	    .min = 1,
	    .max = 2,
	    .required = true },
	{ 0 },
};

static const struct spec cluster_spec[] = {
	{ .key = "",
	    .kind = SPEC_NAME,
	    .offset = offsetof(struct cluster, name) },
	{ .key = "live",
	    .kind = SPEC_BOOL,
	    .offset = offsetof(struct cluster, live),
	    .fallback = 1 },
	{ .key = "bundles",
	    .kind = SPEC_STRINGS,
	    .offset = offsetof(struct cluster, bundles) },
	{ 0 },
};

static const struct spec conf_spec[] = {
	{ .key = "name",
	    .kind = SPEC_NAME,
	    .offset = offsetof(struct conf, name),
	    .text = "main" },
	{ .key = "url",
	    .kind = SPEC_STRING,
	    .offset = offsetof(struct conf, url),
	    .min = 3,
	    .max = 10 },
	{ .key = "listen",
	    .kind = SPEC_STRING,
	    .offset = offsetof(struct conf, listen),
	    .text = "127.0.0.1:8282" },
	{ .key = "strict",
	    .kind = SPEC_BOOL,
	    .offset = offsetof(struct conf, strict),
	    .fallback = 1 },
	{ .key = "mode",
	    .kind = SPEC_ENUM,
	    .offset = offsetof(struct conf, mode),
	    .fallback = 1,
	    .choices = modes },
	{ .key = "limits",
	    .kind = SPEC_OBJECT,
	    .offset = offsetof(struct conf, limits),
	    .sub = limits_spec },
	{ .key = "ignore",
	    .kind = SPEC_STRINGS,
	    .offset = offsetof(struct conf, ignore) },
	{ .key = "paths",
	    .kind = SPEC_STRINGS,
	    .offset = offsetof(struct conf, paths),
	    .text = "." },
	{ .key = "commands",
	    .kind = SPEC_LIST,
	    .offset = offsetof(struct conf, commands),
	    .max = 2,
	    .sub = command_spec,
	    .size = sizeof(struct command) },
	{ .key = "clusters",
	    .kind = SPEC_MAP,
	    .offset = offsetof(struct conf, clusters),
	    .max = 3,
	    .sub = cluster_spec,
	    .size = sizeof(struct cluster) },
	{ .key = "metadata",
	    .kind = SPEC_VALUE,
	    .offset = offsetof(struct conf, metadata) },
	{ .key = "point",
	    .kind = SPEC_CUSTOM,
	    .offset = offsetof(struct conf, point),
	    .read = read_point,
	    .clear = clear_point },
	{ 0 },
};

/* A configuration, the document it points into, and its faults. */
struct reading {
	struct conf conf;
	struct document *document;
	struct spec_faults faults;
};

static void
reading_init(struct reading *r, const char *yaml)
{
	struct err e;

	memset(r, 0, sizeof *r);
	spec_faults_init(&r->faults, "c.yaml");
	if (yaml_read(&r->document, "c.yaml", yaml, strlen(yaml), &e) != ERR_OK)
		fail_msg("%s", e.text);
	spec_read(&r->conf, conf_spec, document_root(r->document), &r->faults);
}

static void
reading_clear(struct reading *r)
{
	static const struct conf none;

	spec_clear(&r->conf, conf_spec);
	assert_memory_equal(&r->conf.commands, &none.commands,
	    sizeof none.commands);
	assert_null(r->conf.name);
	assert_null(r->conf.paths.items);
	document_free(r->document);
	spec_faults_clear(&r->faults);
}

static void
has_defaults(void **state)
{
	static const char *const empty[] = { "", "{}", "limits:\nname: ~\n",
		"commands: []\nclusters: {}\n" };

	(void)state;
	for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
		struct reading r;

		reading_init(&r, empty[i]);
		assert_string_equal(r.faults.text.data, "");
		assert_int_equal(spec_verdict(&r.faults, NULL), ERR_OK);
		assert_string_equal(r.conf.name, "main");
		assert_null(r.conf.url);
		assert_string_equal(r.conf.listen, "127.0.0.1:8282");
		assert_true(r.conf.strict);
		assert_int_equal(r.conf.mode, 1);
		assert_int_equal(r.conf.limits.timeout, 120);
		assert_int_equal(r.conf.limits.output_max, 1 << 20);
		assert_int_equal(r.conf.limits.count, -9);
		assert_int_equal(r.conf.ignore.count, 0);
		assert_int_equal(r.conf.paths.count, 1);
		assert_string_equal(r.conf.paths.items[0], ".");
		assert_int_equal(r.conf.clusters.count, 0);
		assert_null(r.conf.point);
		reading_clear(&r);
	}
}

static void
reads_everything(void **state)
{
	const struct command *commands;
	const struct cluster *clusters;
	struct reading r;

	(void)state;
	reading_init(&r,
	    "name: p-1.x_y\nurl: http://x\nstrict: no\nmode: both\n"
	    "limits: {timeout: 2m, output_max: 16KiB, count: -5, any: 77}\n"
	    "ignore: '*.yaml'\npaths: [a, b]\n"
	    "commands: [{name: lint, run: [regal, lint]}, {name: x, run: go}]\n"
	    "clusters:\n  eu: {live: false, bundles: [b]}\n  us:\n"
	    "metadata: {owner: me}\npoint: 3,4\n");
	assert_string_equal(r.faults.text.data, "");
	assert_string_equal(r.conf.name, "p-1.x_y");
	assert_string_equal(r.conf.url, "http://x");
	assert_false(r.conf.strict);
	assert_int_equal(r.conf.mode, 2);
	assert_int_equal(r.conf.limits.timeout, 120);
	assert_int_equal(r.conf.limits.output_max, 16384);
	assert_int_equal(r.conf.limits.count, -5);
	assert_int_equal(r.conf.limits.any, 77);
	assert_int_equal(r.conf.ignore.count, 1);
	assert_string_equal(r.conf.ignore.items[0], "*.yaml");
	assert_int_equal(r.conf.paths.count, 2);
	assert_string_equal(r.conf.paths.items[1], "b");
	commands = r.conf.commands.items;
	assert_int_equal(r.conf.commands.count, 2);
	assert_string_equal(commands[0].run.items[1], "lint");
	assert_string_equal(commands[1].run.items[0], "go");
	clusters = r.conf.clusters.items;
	assert_int_equal(r.conf.clusters.count, 2);
	assert_string_equal(clusters[0].name, "eu");
	assert_false(clusters[0].live);
	assert_string_equal(clusters[1].name, "us");
	assert_true(clusters[1].live);
	assert_string_equal(value_get(r.conf.metadata, "owner")->text, "me");
	assert_int_equal(r.conf.point->y, 4);
	reading_clear(&r);
}

/* Values of limits.KEY, and what is read. */
static void
reads_amounts(void **state)
{
	static const struct {
		const char *yaml;
		int64_t timeout, output_max;
	} cases[] = {
		{ "timeout: 1", 1, 1 << 20 },
		{ "timeout: 90", 90, 1 << 20 },
		{ "timeout: 90s", 90, 1 << 20 },
		{ "timeout: 1h", 3600, 1 << 20 },
		{ "timeout: '60m'", 3600, 1 << 20 },
		{ "timeout: 3600", 3600, 1 << 20 },
		{ "output_max: 4096", 120, 4096 },
		{ "output_max: 4KiB", 120, 4096 },
		{ "output_max: 64MiB", 120, 64 << 20 },
		{ "output_max: 65_536", 120, 65536 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO_STR yaml = mem_printf("limits: {%s}", cases[i].yaml);
		struct reading r;

		reading_init(&r, yaml);
		assert_string_equal(r.faults.text.data, "");
		assert_int_equal(r.conf.limits.timeout, cases[i].timeout);
		assert_int_equal(r.conf.limits.output_max, cases[i].output_max);
		reading_clear(&r);
	}
}

static void
tells_faults_with_place_and_rule(void **state)
{
	static const struct {
		const char *yaml;
		const char *fault; /* behind "c.yaml:" */
	} cases[] = {
		{ "5", "1:1: must be an object, not number" },
		{ "[]", "1:1: must be an object, not array" },
		{ "nmae: x",
		    "1:1: unknown key \"nmae\", did you mean "
		    "\"name\"?" },
		{ "Limits: {}",
		    "1:1: unknown key \"Limits\", did you mean "
		    "\"limits\"?" },
		{ "limits: {output-max: 1}",
		    "1:10: limits: unknown key \"output-max\", did you mean "
		    "\"output_max\"?" },
		{ "limits: {zzz: 1}",
		    "1:10: limits: unknown key \"zzz\"; there are: timeout, "
		    "output_max, count, any" },
		{ "clusters: {a: {'': x}}",
		    "1:16: clusters.a: unknown key \"\"; there are: live, "
		    "bundles" },
		{ "\"na\\nme\": 1", "1:1: unknown key \"na\\x0ame\"" },
		{ "name: 1.10",
		    "1:7: name: must be a string, not number; put "
		    "it in quotes" },
		{ "name: no",
		    "1:7: name: must be a string, not boolean; put "
		    "it in quotes" },
		{ "name: [a]", "1:7: name: must be a string, not array" },
		{ "name: Main",
		    "1:7: name: \"Main\" is no name: up to 63 of "
		    "a-z 0-9 . _ -, the first a letter or a "
		    "digit" },
		{ "name: ''", "1:7: name: \"\" is no name" },
		{ "name: \"a\\0\"", "1:7: name: must not contain a NUL" },
		{ "url: ab", "1:6: url: must have 3 to 10 bytes, not 2" },
		{ "url: ''", "1:6: url: must not be empty" },
		{ "url: 12345678901x",
		    "1:6: url: must have 3 to 10 bytes, not 12" },
		{ "strict: maybe",
		    "1:9: strict: must be true or false, not "
		    "string" },
		{ "strict: 1",
		    "1:9: strict: must be true or false, not "
		    "number" },
		{ "mode: file",
		    "1:7: mode: must be files, bundle or both, not "
		    "\"file\"" },
		{ "mode: 1",
		    "1:7: mode: must be files, bundle or both, not "
		    "number" },
		{ "limits: 5", "1:9: limits: must be an object, not number" },
		{ "limits: {timeout: 0}",
		    "1:19: limits.timeout: must be 1s to 1h, not 0" },
		{ "limits: {timeout: 61m}",
		    "1:19: limits.timeout: must be 1s to 1h, not 61m" },
		{ "limits: {timeout: 3601}",
		    "1:19: limits.timeout: must be 1s to 1h, not 3601" },
		{ "limits: {timeout: 1.5h}",
		    "1:19: limits.timeout: must be a time such as 90s, 2m or "
		    "1h, not \"1.5h\"" },
		{ "limits: {timeout: 1.5}",
		    "1:19: limits.timeout: must be a time such as 90s, 2m or "
		    "1h, not 1.5" },
		{ "limits: {timeout: -1}",
		    "1:19: limits.timeout: must be a time" },
		{ "limits: {timeout: 1:30}",
		    "1:19: limits.timeout: must be a time" },
		{ "limits: {timeout: s}",
		    "1:19: limits.timeout: must be a time" },
		{ "limits: {timeout: 99999999999999999999h}",
		    "1:19: limits.timeout: must be a time" },
		{ "limits: {timeout: 9000000000000000h}",
		    "1:19: limits.timeout: must be a time" },
		{ "limits: {output_max: 4095}",
		    "1:22: limits.output_max: must be 4KiB to 64MiB, not "
		    "4095" },
		{ "limits: {output_max: 65MiB}",
		    "1:22: limits.output_max: must be 4KiB to 64MiB, not "
		    "65MiB" },
		{ "limits: {output_max: 5MB}",
		    "1:22: limits.output_max: must be a size such as 4096, "
		    "16KiB, 512MiB or 1GiB, not \"5MB\"" },
		{ "limits: {output_max: 5 KiB}",
		    "1:22: limits.output_max: must be a size" },
		{ "limits: {output_max: true}",
		    "1:22: limits.output_max: must be a size such as 4096, "
		    "16KiB, 512MiB or 1GiB, not boolean" },
		{ "limits: {count: 6}",
		    "1:17: limits.count: must be -5 to 5, "
		    "not 6" },
		{ "limits: {count: -6}",
		    "1:17: limits.count: must be -5 to 5, "
		    "not -6" },
		{ "limits: {count: '1'}",
		    "1:17: limits.count: must be a whole "
		    "number, not string" },
		{ "ignore: 1",
		    "1:9: ignore: must be a list of strings, not "
		    "number; put it in quotes" },
		{ "ignore: [a, [b]]",
		    "1:13: ignore[1]: must be a string, not "
		    "array" },
		{ "commands: {}",
		    "1:11: commands: must be a list, not "
		    "object" },
		{ "commands: [1]",
		    "1:12: commands[0]: must be an object, not "
		    "number" },
		{ "commands: [{run: x}]",
		    "1:12: commands[0]: needs the key \"name\"" },
		{ "commands: [~]",
		    "1:12: commands[0]: needs the key \"name\"" },
		{ "commands: [{name: a, run: [1, 2, 3]}]",
		    "1:27: commands[0].run: has 3 items, more than 2" },
		{ "commands: [{name: a, run: []}]",
		    "1:27: commands[0].run: has 0 items, fewer than 1" },
		{ "commands: [~, ~, ~]",
		    "1:11: commands: has 3 items, more than 2" },
		{ "clusters: []",
		    "1:11: clusters: must be an object of names, "
		    "not array" },
		{ "clusters: {A: }", "1:12: clusters: \"A\" is no name" },
		{ "clusters: {a: 1}",
		    "1:15: clusters.a: must be an object, "
		    "not number" },
		{ "clusters: {a: , b: , c: , d: }",
		    "1:11: clusters: has 4 items, more than 3" },
		{ "point: 3", "1:8: point: must be x,y" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO_STR want = mem_printf("c.yaml:%s", cases[i].fault);
		struct reading r;
		struct err e;

		reading_init(&r, cases[i].yaml);
		if (spec_verdict(&r.faults, &e) != ERR_INVALID)
			fail_msg("taken: %s", cases[i].yaml);
		if (strncmp(e.text, want, strlen(want)) != 0)
			fail_msg("%s\nis not: %s", e.text, want);
		reading_clear(&r);
	}
}

static void
tells_all_faults(void **state)
{
	struct reading r;
	struct err e;

	(void)state;
	reading_init(&r,
	    "nam: x\nstrict: 1\nlimits:\n  timeout: x\n"
	    "clusters:\n  a: {live: 3}\n  b: {liv: no}\n");
	assert_int_equal(r.faults.count, 5);
	assert_int_equal(spec_verdict(&r.faults, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "c.yaml:2:9: strict: "));
	assert_non_null(strstr(e.text, "\nc.yaml:4:12: limits.timeout: "));
	assert_non_null(strstr(e.text, "\nc.yaml:6:13: clusters.a.live: "));
	assert_non_null(strstr(e.text, "\nc.yaml:7:7: clusters.b: unknown"));
	reading_clear(&r);
}

static void
counts_the_faults_it_does_not_show(void **state)
{
	struct spec_faults f;
	struct err e;
	size_t lines = 1;

	(void)state;
	spec_faults_init(&f, "c.yaml");
	for (int i = 0; i < SPEC_FAULTS_MAX + 5; i++)
		spec_fault(&f, NULL,
		    "fault number %d, which is of some length "
		    "as they are in real life",
		    i);
	assert_int_equal(f.count, SPEC_FAULTS_MAX + 5);
	assert_non_null(strstr(f.text.data, "number 19,"));
	assert_null(strstr(f.text.data, "number 20,"));
	assert_int_equal(spec_verdict(&f, &e), ERR_INVALID);
	for (const char *p = e.text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	{
		AUTO_STR last =
		    mem_printf("\nand %zu more", f.count - (lines - 1));

		assert_non_null(strstr(e.text, last));
	}
	spec_faults_clear(&f);
}

static void
shows_no_controls(void **state)
{
	struct spec_faults f;

	(void)state;
	spec_faults_init(&f, "c.yaml");
	spec_fault(&f, NULL, "\"%s\" is wrong", "a\nb\x1b[31m");
	assert_string_equal(f.text.data, "c.yaml: \"a?b?[31m\" is wrong");
	spec_faults_clear(&f);
}

static void
survives_a_long_path(void **state)
{
	AUTO_STR key = mem_alloc(2001);
	AUTO_STR yaml = NULL;
	struct reading r;

	(void)state;
	memset(key, 'a', 2000);
	key[2000] = '\0';
	yaml = mem_printf("clusters: {? %s : {live: 1}}", key);
	reading_init(&r, yaml);
	assert_int_equal(r.faults.count, 2);
	assert_string_equal(r.faults.path, "");
	reading_clear(&r);
}

static void
knows_names(void **state)
{
	char name[SPEC_NAME_MAX + 2];

	(void)state;
	assert_true(spec_is_name("a"));
	assert_true(spec_is_name("0a.b_c-d"));
	assert_false(spec_is_name(""));
	assert_false(spec_is_name(".a"));
	assert_false(spec_is_name("-a"));
	assert_false(spec_is_name("_a"));
	assert_false(spec_is_name("A"));
	assert_false(spec_is_name("a/b"));
	assert_false(spec_is_name("a b"));
	assert_false(spec_is_name("\xc3\xa9"));
	memset(name, 'x', sizeof name);
	name[SPEC_NAME_MAX] = '\0';
	assert_true(spec_is_name(name));
	name[SPEC_NAME_MAX] = 'x';
	name[SPEC_NAME_MAX + 1] = '\0';
	assert_false(spec_is_name(name));
}

static void
describes_itself(void **state)
{
	AUTO_BUF out = { 0 };

	(void)state;
	buf_init(&out, 64 * 1024);
	spec_describe(&out, conf_spec, "c.yaml");
	assert_non_null(strstr(out.data, "### c.yaml\n"));
	assert_non_null(strstr(out.data, "| `name` | name | `main` |"));
	assert_non_null(strstr(out.data,
	    "| `mode` | `files`, `bundle` or `both` | `bundle` |"));
	assert_non_null(strstr(out.data, "\n### c.yaml.limits\n"));
	assert_non_null(strstr(out.data,
	    "| `timeout` | time, 1s to 1h | `2m` "
	    "| How long \\| it may take. |"));
	assert_non_null(strstr(out.data,
	    "| `output_max` | size, 4KiB to 64MiB | `1MiB` |"));
	assert_non_null(strstr(out.data, "| `count` | number, -5 to 5 |  |"));
	assert_non_null(strstr(out.data, "\n### c.yaml.commands[]\n"));
	assert_non_null(strstr(out.data, "\n### c.yaml.clusters.NAME\n"));
	assert_non_null(strstr(out.data, "| `run` | strings | required |"));
	assert_null(strstr(out.data, "| `` |"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(reads_everything),
		cmocka_unit_test(reads_amounts),
		cmocka_unit_test(tells_faults_with_place_and_rule),
		cmocka_unit_test(tells_all_faults),
		cmocka_unit_test(counts_the_faults_it_does_not_show),
		cmocka_unit_test(shows_no_controls),
		cmocka_unit_test(survives_a_long_path),
		cmocka_unit_test(knows_names),
		cmocka_unit_test(describes_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
