#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/assign.h"
#include "core/mem.h"

static const struct assign_who pipeline = { "pipeline", 1, NULL };
static const struct assign_who admin = { "admin", 2, "because" };

/* Commit n of line l with the content of this letter. */
static struct assign_target
target(int line, int n, char content)
{
	struct assign_target t = { .line = line, .depth = n };

	(void)snprintf(t.commit, sizeof t.commit, "%040d", line * 1000 + n);
	memcpy(t.revision, t.commit, sizeof t.revision);
	memset(t.content, content, sizeof t.content - 1);
	memset(t.artifact, content, sizeof t.artifact - 1);
	return t;
}

enum step_kind {
	END,
	FOLLOW,
	ROLLBACK,
	PIN,
	RESUME, /* with a target when n is not 0 */
};

struct step {
	enum step_kind kind;
	int line, n;
	char content;
	/* afterwards */
	int depth; /* of current_with */
	char now;  /* the content */
	enum assign_mode mode;
	int64_t serial;
	int quarantined;
	bool blocked;
};

static const struct {
	const char *name;
	struct step steps[8];
} cases[] = {
	{ "follows forward only",
	    { { FOLLOW, 1, 2, 'b', 2, 'b', ASSIGN_FOLLOWING, 2, 0, false },
		{ FOLLOW, 1, 1, 'a', 2, 'b', ASSIGN_FOLLOWING, 2, 0, false },
		{ FOLLOW, 1, 5, 'e', 5, 'e', ASSIGN_FOLLOWING, 3, 0, false },
		{ FOLLOW, 1, 4, 'd', 5, 'e', ASSIGN_FOLLOWING, 3, 0, false },
		{ FOLLOW, 1, 5, 'e', 5, 'e', ASSIGN_FOLLOWING, 3, 0,
		    false } } },
	{ "fill-ins count while they come after",
	    { { FOLLOW, 1, 3, 'c', 3, 'c', ASSIGN_FOLLOWING, 2, 0, false },
		{ FOLLOW, 1, 4, 'd', 4, 'd', ASSIGN_FOLLOWING, 3, 0,
		    false } } },
	{ "equal content is noted, and no serial spent",
	    { { FOLLOW, 1, 2, 'a', 2, 'a', ASSIGN_FOLLOWING, 1, 0, false },
		{ FOLLOW, 1, 3, 'b', 3, 'b', ASSIGN_FOLLOWING, 2, 0,
		    false } } },
	{ "a later line comes after a deeper earlier one",
	    { { FOLLOW, 1, 9, 'b', 9, 'b', ASSIGN_FOLLOWING, 2, 0, false },
		{ FOLLOW, 2, 4, 'c', 4, 'c', ASSIGN_FOLLOWING, 3, 0, false },
		{ FOLLOW, 1, 10, 'd', 4, 'c', ASSIGN_FOLLOWING, 3, 0,
		    false } } },
	{ "a rollback holds and quarantines",
	    { { FOLLOW, 1, 2, 'b', 2, 'b', ASSIGN_FOLLOWING, 2, 0, false },
		{ ROLLBACK, 1, 1, 'a', 1, 'a', ASSIGN_HELD, 3, 1, false },
		{ FOLLOW, 1, 3, 'c', 1, 'a', ASSIGN_HELD, 3, 1, false },
		{ FOLLOW, 1, 4, 'a', 1, 'a', ASSIGN_HELD, 3, 1, false },
		{ RESUME, 1, 3, 'c', 3, 'c', ASSIGN_FOLLOWING, 4, 0,
		    false } } },
	{ "a rollback to equal content quarantines nothing",
	    { { FOLLOW, 1, 2, 'a', 2, 'a', ASSIGN_FOLLOWING, 1, 0, false },
		{ ROLLBACK, 1, 1, 'a', 1, 'a', ASSIGN_HELD, 2, 0, false } } },
	{ "rolling forward to what was rolled back from takes it out",
	    { { FOLLOW, 1, 2, 'b', 2, 'b', ASSIGN_FOLLOWING, 2, 0, false },
		{ ROLLBACK, 1, 1, 'a', 1, 'a', ASSIGN_HELD, 3, 1, false },
		{ ROLLBACK, 1, 2, 'b', 2, 'b', ASSIGN_HELD, 4, 1, false },
		{ ROLLBACK, 1, 1, 'a', 1, 'a', ASSIGN_HELD, 5, 1, false } } },
	{ "a pin holds, a resume without anything newer only follows",
	    { { PIN, 0, 0, 0, 1, 'a', ASSIGN_HELD, 2, 0, false },
		{ FOLLOW, 1, 2, 'b', 1, 'a', ASSIGN_HELD, 2, 0, false },
		{ RESUME, 0, 0, 0, 1, 'a', ASSIGN_FOLLOWING, 3, 0, false },
		{ FOLLOW, 1, 2, 'b', 2, 'b', ASSIGN_FOLLOWING, 4, 0,
		    false } } },
	{ "a resume never goes back",
	    { { FOLLOW, 1, 5, 'e', 5, 'e', ASSIGN_FOLLOWING, 2, 0, false },
		{ PIN, 0, 0, 0, 5, 'e', ASSIGN_HELD, 3, 0, false },
		{ RESUME, 1, 4, 'd', 5, 'e', ASSIGN_FOLLOWING, 4, 0,
		    false } } },
};

static void
take_step(struct assignment *a, const struct step *s)
{
	struct assign_target t = target(s->line, s->n, s->content);

	switch (s->kind) {
	case FOLLOW:
		(void)assign_follow(a, &t, &pipeline);
		break;
	case ROLLBACK:
		assign_rollback(a, &t, &admin);
		break;
	case PIN:
		assign_pin(a, &admin);
		break;
	case RESUME:
		(void)assign_resume(a, s->n != 0 ? &t : NULL, &admin);
		break;
	case END:
		break;
	}
}

static void
test_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct assignment a = { .line = -1, .depth = -1 };
		struct assign_target first = target(1, 1, 'a');

		assign_begin(&a, &first, &pipeline);
		for (const struct step *s = cases[i].steps; s->kind != END;
		     s++) {
			take_step(&a, s);
			if (a.depth != s->depth || a.content[0] != s->now ||
			    a.mode != s->mode || a.serial != s->serial ||
			    a.quarantine_count != (size_t)s->quarantined ||
			    (a.blocked != NULL) != s->blocked)
				fail_msg("%s, step %td: depth %lld content %c "
					 "mode %s serial %lld",
				    cases[i].name, s - cases[i].steps,
				    (long long)a.depth, a.content[0],
				    assign_mode_name(a.mode),
				    (long long)a.serial);
		}
		assignment_clear(&a);
	}
}

static void
test_ancestors_and_strangers(void **state)
{
	struct assignment a = { .line = -1, .depth = -1 };
	struct assign_target t = target(1, 3, 'c');

	(void)state;
	assign_begin(&a, &t, &pipeline);
	t = target(2, 2, 'b');
	t.ancestor = true; /* raised to the new line, but behind us */
	assert_false(assign_comes_after(&a, &t));
	t = target(-1, 9, 'b'); /* on no line */
	assert_false(assign_comes_after(&a, &t));
	assert_int_equal(assign_follow(&a, &t, &pipeline), ASSIGN_SAME);
	assignment_clear(&a);
}

static void
test_quarantine_blocks_following(void **state)
{
	struct assignment a = { .line = -1, .depth = -1 };
	struct assign_target t = target(1, 1, 'a');

	(void)state;
	assign_begin(&a, &t, &pipeline);
	t = target(1, 2, 'b');
	a.quarantine = mem_array(1, sizeof *a.quarantine);
	memcpy(a.quarantine[0], t.content, sizeof t.content);
	a.quarantine_count = 1;
	assert_int_equal(assign_follow(&a, &t, &pipeline), ASSIGN_SAME);
	assert_non_null(strstr(a.blocked, t.commit));
	assert_int_equal(a.serial, 1);
	t = target(1, 3, 'c');
	assert_int_equal(assign_follow(&a, &t, &pipeline), ASSIGN_MOVED);
	assert_null(a.blocked);
	assignment_clear(&a);
}

static void
test_transitions(void **state)
{
	static const bool allowed[ASSIGN_EVENTS][ASSIGN_MODES] = {
		[ASSIGN_BEGIN] = { true, false, false },
		[ASSIGN_FOLLOW] = { false, true, false },
		[ASSIGN_ROLLBACK] = { false, true, true },
		[ASSIGN_PIN] = { false, true, true },
		[ASSIGN_RESUME] = { false, true, true },
		[ASSIGN_RELEASE] = { false, false, true },
	};
	struct err e;

	(void)state;
	for (int event = 0; event < ASSIGN_EVENTS; event++)
		for (int mode = 0; mode < ASSIGN_MODES; mode++) {
			struct assignment a = { .mode =
						    (enum assign_mode)mode };

			assert_int_equal(assign_allowed(&a,
					     (enum assign_event)event, &e),
			    allowed[event][mode] ? ERR_OK : ERR_CONFLICT);
		}
}

static void
test_clashes(void **state)
{
	static const struct {
		const char *a, *b;
		bool clash;
	} roots[] = {
		{ "a", "a", true },
		{ "a", "a/b", true },
		{ "a/b", "a", true },
		{ "a", "ab", false },
		{ "a/b", "a/c", false },
		{ "", "x", true },
		{ "x", "", true },
		{ "", "", true },
	};
	struct assign_clash c;

	(void)state;
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
		const char *first[] = { "other", roots[i].a };
		const char *second[] = { roots[i].b };
		struct assign_member set[] = {
			{ "one", first + 1, 1, false },
			{ "two", second, 1, true },
		};

		assert_int_equal(assign_clashes(set, 2, &c), roots[i].clash);
		if (roots[i].clash)
			assert_string_equal(c.first_root, roots[i].a);
		set[1].moved = false; /* was so before: nobody's doing */
		assert_false(assign_clashes(set, 2, &c));
	}
}

static void
test_long_reason_is_cut_between_characters(void **state)
{
	struct assignment a = { 0 };
	char text[2000];

	(void)state;
	for (size_t i = 0; i + 2 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[sizeof text - 2] = '\0';
	memmove(text + 1, text, strlen(text) - 2);
	text[0] = 'x';
	text[1999] = '\0';
	assign_block(&a, text);
	assert_int_equal(strlen(a.blocked), ASSIGN_BLOCKED_MAX - 1);
	assignment_clear(&a);
}

/* Random steps against what must always hold. */
enum { MODEL_STEPS = 20000, MODEL_LINES = 3, MODEL_DEPTH = 40 };

static void
check_model(const struct assignment *before, const struct assignment *after,
    int kind, const struct assign_target *t)
{
	bool bytes = strcmp(before->content, after->content) != 0;

	assert_true(after->serial >= before->serial);
	if (bytes || before->mode != after->mode)
		assert_true(after->serial > before->serial);
	if (strcmp(before->artifact, after->artifact) != 0)
		assert_true(bytes);
	if (kind != FOLLOW)
		return;
	assert_int_equal(before->mode, after->mode);
	if (before->mode == ASSIGN_HELD) {
		assert_int_equal(before->serial, after->serial);
		assert_string_equal(before->current_with, after->current_with);
		return;
	}
	assert_false(bytes && assign_quarantined(before, after->content));
	assert_true(after->line > before->line ||
	    (after->line == before->line && after->depth >= before->depth));
	if (bytes)
		assert_string_equal(after->content, t->content);
}

static void
test_model(void **state)
{
	struct assignment a = { .line = -1, .depth = -1 };
	struct assign_target t = target(0, 1, 'a');
	uint64_t seed = 20260131;

	(void)state;
	assign_begin(&a, &t, &pipeline);
	for (int i = 0; i < MODEL_STEPS; i++) {
		struct assignment before;
		struct step s = { 0 };

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		s.kind = (seed >> 60) < 11
		    ? FOLLOW
		    : (enum step_kind)(2 + (seed >> 60) % 3);
		s.line = (int)((seed >> 50) % MODEL_LINES);
		s.n = 1 + (int)((seed >> 40) % MODEL_DEPTH);
		s.content = (char)('a' + (s.n * 7 + s.line) % 6);
		t = target(s.line, s.n, s.content);
		assignment_copy(&before, &a);
		take_step(&a, &s);
		check_model(&before, &a, (int)s.kind, &t);
		assignment_clear(&before);
		/* Now and then history begins anew, or it would stand still. */
		if (i % 500 == 499) {
			assignment_clear(&a);
			a.line = a.depth = -1;
			t = target(0, 1, 'a');
			assign_begin(&a, &t, &pipeline);
		}
	}
	assignment_clear(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_ancestors_and_strangers),
		cmocka_unit_test(test_quarantine_blocks_following),
		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_clashes),
		cmocka_unit_test(test_long_reason_is_cut_between_characters),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
