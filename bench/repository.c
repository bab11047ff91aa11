#include "repository.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

enum {
	PER_SERVICE = 20,
	PER_GROUP = 100,
	PER_TEAM = 1000,
	POLICY_SIZE = 2048,
	TEXT_MAX = 1 << 16,
	DATA_KEYS = 100
};

static uint32_t seed;

static uint32_t
dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % sides;
}

#define PICK(list) ((list)[dice((uint32_t)(sizeof(list) / sizeof *(list)))])

static const char *const nouns[] = { "order", "invoice", "image", "bucket",
	"cluster", "namespace", "report", "account", "subnet", "volume",
	"secret", "pipeline", "ticket", "payment", "device", "profile",
	"certificate", "queue", "table", "endpoint" };
static const char *const verbs[] = { "read", "list", "create", "update",
	"delete", "approve", "export", "restart", "share", "archive" };
static const char *const roles[] = { "owner", "auditor", "operator", "admin",
	"viewer", "support", "billing", "release-manager", "on-call",
	"security" };
static const char *const fields[] = { "region", "tier", "stage", "tenant",
	"team", "cost_center", "classification", "zone", "origin", "channel" };
static const char *const values[] = { "eu-central-1", "us-east-2", "production",
	"staging", "gold", "internal", "restricted", "confidential", "shared",
	"edge", "finance", "platform", "retail", "logistics" };

/* ---- one policy ---- */

static void
folder_of(struct buf *out, size_t i, const char *between)
{
	buf_printf(out, "policies%st%zu%sg%zu%ss%zu", between, i / PER_TEAM,
	    between, i / PER_GROUP, between, i / PER_SERVICE);
}

/* A name that nobody has seen before, as hosts, teams and people have. */
static void
add_name(struct buf *b)
{
	static const char *const parts[] = { "ka", "lo", "mer", "ti", "van",
		"su", "ro", "del", "pi", "nor", "ash", "ben", "cor", "dun",
		"el", "fa", "gri", "hol", "is", "jo", "kin", "lan", "mo", "nu",
		"ost", "per", "qui", "ral", "sten", "tor", "ul", "wey" };

	for (size_t left = 3 + dice(3); left > 0; left--)
		buf_add_str(b, PICK(parts));
}

static void
add_sentence(struct buf *b)
{
	static const char *const words[] = { "the", "of", "a", "and", "when",
		"only", "until", "asked", "for", "by", "since", "they", "are",
		"kept", "apart", "from", "what", "others", "see", "because",
		"its", "auditors", "want", "each", "change", "signed", "before",
		"it", "leaves", "this", "network", "unless", "somebody", "on",
		"duty", "agreed", "in", "writing", "see", "ticket", "old",
		"clients", "still", "send", "without", "header", "so", "that",
		"nothing", "breaks", "at", "night", "years", "ago", "must",
		"not", "be", "stored", "longer", "than", "needed", "here" };

	buf_add_str(b, "# ");
	for (size_t left = 8 + dice(9); left > 0; left--)
		buf_printf(b, "%s ", PICK(words));
	add_name(b);
	buf_add_char(b, ' ');
	add_name(b);
	buf_add_str(b, ".\n");
}

static void
add_role_rule(struct buf *b, size_t n)
{
	const char *role = PICK(roles), *noun = PICK(nouns);

	add_sentence(b);
	buf_printf(b,
	    "allow if {\n\tinput.action == \"%s\"\n"
	    "\tinput.resource.kind == \"%s\"\n"
	    "\t\"%s\" in input.user.roles\n"
	    "\tcount(input.request.items) <= limits.%s_%u\n}\n\n",
	    PICK(verbs), noun, role, noun, dice(DATA_KEYS));
	(void)n;
}

static void
add_deny_rule(struct buf *b, size_t n)
{
	const char *noun = PICK(nouns), *field = PICK(fields),
		   *value = PICK(values);

	(void)n;
	add_sentence(b);
	buf_printf(b,
	    "deny contains message if {\n"
	    "\tinput.resource.kind == \"%s\"\n"
	    "\tnot input.resource.labels.%s == \"%s\"\n"
	    "\tmessage := sprintf(\"%%v: each %s needs the %s %s\", "
	    "[input.resource.name])\n}\n\n",
	    noun, field, value, noun, field, value);
}

static void
add_helper(struct buf *b, size_t n)
{
	const char *noun = PICK(nouns), *field = PICK(fields);

	add_sentence(b);
	buf_printf(b,
	    "is_%s_%zu(resource) if {\n\tresource.%s in {\"%s\", \"%s\"}\n"
	    "\tstartswith(resource.name, \"%s-",
	    noun, n, field, PICK(values), PICK(values), noun);
	add_name(b);
	buf_printf(b,
	    "\")\n\tnet.cidr_contains(\"10.%u.%u.0/%u\", resource.ip)\n}\n\n",
	    dice(256), dice(256), 20 + dice(9));
}

static void
add_set(struct buf *b, size_t n)
{
	buf_printf(b, "%s_%s_%zu := {\n", PICK(fields), PICK(nouns), n);
	for (size_t left = 4 + dice(4); left > 0; left--) {
		buf_add_str(b, "\t\"");
		add_name(b);
		buf_printf(b, "-%u.%s.example.org\",\n", dice(100),
		    PICK(values));
	}
	buf_add_str(b, "}\n\n");
}

static void
add_account(struct buf *b, size_t n)
{
	add_sentence(b);
	buf_printf(b, "account_%zu := \"arn:aws:iam::%06u%06u:role/", n,
	    dice(1000000), dice(1000000));
	add_name(b);
	buf_printf(b, "-%s\"\n\n", PICK(roles));
}

static void
add_policy(struct buf *b, size_t i)
{
	static void (*const rules[])(struct buf * b,
	    size_t n) = { add_role_rule, add_deny_rule, add_helper, add_helper,
		add_set, add_set, add_account };

	buf_printf(b, "# What service %zu lets its users do, part %zu.\n",
	    i / PER_SERVICE, i % PER_SERVICE);
	buf_add_str(b, "package ");
	folder_of(b, i, ".");
	buf_printf(b, ".f%zu\n\nimport data.", i);
	folder_of(b, i, ".");
	buf_add_str(b,
	    ".limits\n\ndefault allow := false\n\n"
	    "# Everybody may read what is theirs.\n"
	    "allow if {\n\tinput.action == \"read\"\n"
	    "\tinput.resource.owner == input.user.id\n}\n\n"
	    "allow if {\n\tinput.action == \"list\"\n"
	    "\tinput.request.size <= limits.order_0\n}\n\n");
	for (size_t n = 0; b->len < POLICY_SIZE - 130; n++)
		PICK(rules)(b, n);
}

static void
add_data(struct buf *b)
{
	buf_add_str(b, "{\n  \"limits\": {\n");
	for (unsigned int k = 0; k < DATA_KEYS; k++)
		buf_printf(b, "%s    \"%s_%u\": %u", k > 0 ? ",\n" : "",
		    k == 0 ? "order" : PICK(nouns), k, dice(1000000));
	buf_add_str(b, "\n  }\n}\n");
}

static void
add_test(struct buf *b, size_t i)
{
	buf_add_str(b, "package ");
	folder_of(b, i, ".");
	buf_printf(b, ".f%zu_test\n\nimport data.", i);
	folder_of(b, i, ".");
	buf_printf(b,
	    ".f%zu\n\ntest_read_what_is_theirs if {\n"
	    "\tf%zu.allow with input as {\"action\": \"read\", \"resource\": "
	    "{\"owner\": \"ada\"}, \"user\": {\"id\": \"ada\"}}\n}\n\n"
	    "test_read_nothing_else if {\n"
	    "\tnot f%zu.allow with input as {\"action\": \"read\", "
	    "\"resource\": {\"owner\": \"bob\"}, \"user\": {\"id\": "
	    "\"ada\"}}\n}\n",
	    i, i, i);
}

/* ---- all of them ---- */

static void
put_file(FILE *git, size_t i, const char *name, const struct buf *text)
{
	AUTO_BUF path = { 0 };

	buf_init(&path, TEXT_MAX);
	folder_of(&path, i, "/");
	(void)fprintf(git, "M 100644 inline %.*s/%s\ndata %zu\n", (int)path.len,
	    path.data, name, text->len);
	(void)fwrite(text->data, 1, text->len, git);
	(void)fputc('\n', git);
}

static void
put_policy(FILE *git, size_t i)
{
	AUTO_STR name = mem_printf("f%zu.rego", i);
	AUTO_BUF text = { 0 };

	buf_init(&text, TEXT_MAX);
	add_policy(&text, i);
	put_file(git, i, name, &text);
}

static void
put_service(FILE *git, size_t i, bool tests)
{
	AUTO_STR name = mem_printf("f%zu_test.rego", i);
	AUTO_BUF text = { 0 };

	buf_init(&text, TEXT_MAX);
	add_data(&text);
	put_file(git, i, "data.json", &text);
	buf_reset(&text);
	add_test(&text, i);
	if (tests)
		put_file(git, i, name, &text);
}

static void
start_commit(FILE *git, unsigned int n)
{
	(void)fprintf(git,
	    "commit refs/heads/main\ncommitter A <a@example.org> %u +0000\n"
	    "data 1\nx\n",
	    1700000000 + n);
}

static void
shell(char *command)
{
	if (system(command) != 0) {
		(void)fprintf(stderr, "bench: failed: %s\n", command);
		exit(1);
	}
	mem_free(command);
}

void
repository_make(const char *dir, size_t files, unsigned int steps, bool tests)
{
	AUTO_STR command = mem_printf("git -C '%s' fast-import --quiet", dir);
	FILE *git;

	seed = 20261123;
	shell(mem_printf("git init -q -b main '%s'", dir));
	git = popen(command, "w");
	if (git == NULL)
		abort();
	start_commit(git, 0);
	for (size_t i = 0; i < files; i++) {
		put_policy(git, i);
		if (i % PER_SERVICE == 0)
			put_service(git, i, tests);
	}
	for (unsigned int n = 1; n <= steps; n++) {
		start_commit(git, n);
		put_policy(git, dice((uint32_t)files));
	}
	if (pclose(git) != 0)
		exit(1);
	shell(mem_printf("git -C '%s' repack -adfq", dir));
	shell(mem_printf("git -C '%s' reset -q --hard", dir));
}
