/* What executing a program takes. */

#include "core/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "tests/unit/core/confine_world.h"

static bool
has_path(const struct confine_program *p, const char *path)
{
	for (size_t i = 0; i < p->count; i++) {
		if (strcmp(p->paths[i].path, path) == 0)
			return true;
	}
	return false;
}

static void
test_program_paths(void **state)
{
	static const struct {
		const char *text;
		const char *fault;
	} bad[] = {
		{ "", "neither" },
		{ "just text", "neither" },
		{ "#!", "whole path" },
		{ "#!sh\n", "whole path" },
		{ "#!/no/such/shell\n", "/no/such/shell" },
		{ "\x7f"
		  "ELF",
		    "neither" },
	};
	struct confine_program p;
	AUTO_STR script = NULL;
	struct err e;

	(void)state;
	world_make();
	script = file_path(world.inside, "script");
	assert_int_equal(confine_program_paths(&p, "/bin/sh", &e), ERR_OK);
	assert_true(has_path(&p, "/bin/sh"));
	assert_true(has_path(&p, "/usr/lib"));
	assert_string_equal(p.interpreter, "");
	assert_memory_equal(p.loader, "/lib", 4);

	world_put(script, "#! /bin/sh -e\nexit 0\n", 0755);
	assert_int_equal(confine_program_paths(&p, script, &e), ERR_OK);
	assert_true(has_path(&p, script));
	assert_true(has_path(&p, "/bin/sh"));
	assert_true(has_path(&p, "/usr/lib"));

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		world_put(script, bad[i].text, 0755);
		assert_int_not_equal(confine_program_paths(&p, script, &e),
		    ERR_OK);
		if (strstr(e.text, bad[i].fault) == NULL)
			fail_msg("%s, not: %s", e.text, bad[i].fault);
	}
	assert_int_equal(confine_program_paths(&p, world.inside_file, &e),
	    ERR_INVALID); /* not executable */
	assert_int_equal(confine_program_paths(&p, world.inside, &e),
	    ERR_INVALID);
	assert_int_equal(confine_program_paths(&p, "/no/such/program", &e),
	    ERR_NOT_FOUND);
	world_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
