#include <git2.h>

#include "tests/unit/core/role.h"

int
role_no_global_git(void *arg)
{
	(void)arg;
	git_libgit2_init();
	for (int level = GIT_CONFIG_LEVEL_PROGRAMDATA;
	     level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
		(void)git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
	return 0;
}
