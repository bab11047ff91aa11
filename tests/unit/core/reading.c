#include "tests/unit/core/reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/canon.h"
#include "core/mem.h"
#include "real_opa.h"

enum { TEXT_MAX = 4096, PRINTED_MAX = 1 << 20 };

void
reading_write(struct buf *out, const struct reading *r, const char *text,
    size_t len)
{
	AUTO(document, d) = NULL;
	struct err e;

	if (r->read(&d, r->name, text, len, &e) != ERR_OK)
		fail_msg("%s", e.text);
	canon_write(out, document_root(d));
}

void
reading_writes(const struct reading *r, const struct pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_BUF out = { 0 };
		AUTO_BUF again = { 0 };

		buf_init(&out, TEXT_MAX);
		buf_init(&again, TEXT_MAX);
		reading_write(&out, r, pairs[i].in, pairs[i].in_len);
		assert_string_equal(out.data, pairs[i].out);
		reading_write(&again, r, out.data, out.len);
		assert_string_equal(again.data, out.data);
	}
}

void
reading_agrees(const struct reading *r, const struct pair *pairs, size_t count)
{
	struct real_opa o;
	AUTO_BUF printed = { 0 };

	buf_init(&printed, PRINTED_MAX);
	real_opa_init(&o, r->name);
	for (size_t i = 0; i < count; i++)
		real_opa_add(&o, pairs[i].in, pairs[i].in_len);
	real_opa_eval(&o, "-b", &printed);
	for (size_t i = 0; i < count; i++) {
		AUTO_BUF ours = { 0 };
		AUTO_BUF theirs = { 0 };

		buf_init(&ours, TEXT_MAX);
		buf_init(&theirs, TEXT_MAX);
		reading_write(&ours, r, pairs[i].in, pairs[i].in_len);
		real_opa_value(&theirs, &printed, i);
		assert_string_equal(ours.data, theirs.data);
	}
	real_opa_clear(&o);
}

void
reading_refuses(const struct reading *r, const struct refusal *refusals,
    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_STR want = mem_printf("%s:%s", r->name, refusals[i].text);
		struct document *d = NULL;
		struct err e;

		if (r->read(&d, r->name, refusals[i].in, refusals[i].in_len,
			&e) != ERR_INVALID)
			fail_msg("taken: %s", refusals[i].in);
		assert_null(d);
		if (strncmp(e.text, want, strlen(want)) != 0)
			fail_msg("%s\nis not: %s", e.text, want);
	}
}

void
reading_refusals_agree(const struct reading *r, const struct refusal *refusals,
    size_t count)
{
	struct real_opa o;
	AUTO_BUF printed = { 0 };

	buf_init(&printed, PRINTED_MAX);
	real_opa_init(&o, r->name);
	for (size_t i = 0; i < count; i++)
		real_opa_add(&o, refusals[i].in, refusals[i].in_len);
	real_opa_eval(&o, "-d", &printed);
	for (size_t i = 0; i < count; i++) {
		if (real_opa_refused(&o, &printed, i) == refusals[i].taken)
			fail_msg("%s: %s", refusals[i].text, printed.data);
	}
	real_opa_clear(&o);
}
