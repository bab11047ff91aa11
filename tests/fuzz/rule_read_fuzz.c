/* Rules of a module. Its first byte says which Rego it is; what was cut out is
 * read again alone, and is the same rule. */

#include "bundler/rule.h"
#include "core/utf8.h"
#include "tests/fuzz/fuzz.h"

/* Enough to show it; a module may have very many. */
enum { AGAIN_MAX = 100 };

/* Keywords that were imported before are not known to a piece alone. */
static void
read_again(const struct rule *r, const char *text)
{
	struct rule_list again = { 0 };
	struct err e;
	enum err_code code =
	    rule_read(&again, "again.rego", text + r->start, r->len, 1, &e);

	assert(code == ERR_OK);
	assert(again.count >= 1);
	if (again.count == 1) {
		assert(strcmp(again.items[0].hash, r->hash) == 0);
		assert(again.items[0].line == 1);
	}
	rule_list_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	struct rule_list l = { 0 };
	int version;
	struct err e;
	enum err_code code;

	if (size == 0)
		return 0;
	version = data[0] == '0' ? 0 : 1;
	code = rule_read(&l, "x.rego", text, size - 1, version, &e);
	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return 0;
	}
	for (size_t i = 0; i < l.count; i++) {
		const struct rule *r = &l.items[i];

		assert(r->len > 0 && r->start + r->len <= size - 1);
		assert(i == 0 ||
		    r->start >= l.items[i - 1].start + l.items[i - 1].len);
		assert(i == 0 || r->line >= l.items[i - 1].line);
		assert(r->name[0] != '\0' && strlen(r->name) <= RULE_NAME_MAX);
		assert(utf8_is_valid(r->name, strlen(r->name)));
		if (version == 1 && i < AGAIN_MAX)
			read_again(r, text);
	}
	rule_list_clear(&l);
	return 0;
}
