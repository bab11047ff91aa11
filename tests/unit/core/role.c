#include "tests/unit/core/role.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"

char *role_folder;

int
role_set_up(void **state)
{
	char path[] = "/tmp/edict-roles-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(path));
	role_folder = mem_strdup(path);
	return 0;
}

int
role_tear_down(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(file_remove_tree(role_folder, &e), ERR_OK);
	mem_free(STEAL(role_folder));
	return 0;
}

void
role_run(const struct child_spec *spec)
{
	struct child_result r;
	struct err e = { 0 };

	if (child_run(&r, spec, TIMEOUT_MS, OUT_MAX, &e) != ERR_OK)
		fail_msg("%s", e.text);
	if (r.end != CHILD_EXITED || r.status != 0)
		fail_msg("%s %s %d: %s", spec->name, child_end_name(r.end),
		    r.status, r.err.data);
	child_result_clear(&r);
}

struct child_spec
role_of(const char *name, int (*body)(void *), unsigned int calls,
    const struct confine_path *paths, size_t path_count)
{
	return (struct child_spec){
		.name = name,
		.main = body,
		.stdin_fd = -1,
		.rules = { .calls = calls,
		    .paths = paths,
		    .path_count = path_count },
	};
}
