#ifndef TESTS_UNIT_CORE_ROLE_H
#define TESTS_UNIT_CORE_ROLE_H

/* Each kind of process does its real work under its own confinement: the rights
 * that core/confine.h offers are enough, with the libraries as they are. What
 * must not be possible is shown by confine_test.c. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/child.h"

enum { TIMEOUT_MS = 120000, OUT_MAX = 1 << 20 };

extern char *role_folder; /* a new one for each test */

int role_set_up(void **state);
int role_tear_down(void **state);

/* In a child: says where it went wrong. */
#define NEED(condition)                                                  \
	do {                                                             \
		if (!(condition)) {                                      \
			dprintf(STDERR_FILENO, "%s:%d: %s (errno %d)\n", \
			    __FILE__, __LINE__, #condition, errno);      \
			return 1;                                        \
		}                                                        \
	} while (0)

/* Runs a child that has to end well. */
void role_run(const struct child_spec *spec);

struct child_spec role_of(const char *name, int (*body)(void *),
    unsigned int calls, const struct confine_path *paths, size_t path_count);

/* libgit2, without the configuration of the machine. For child_spec.prepare. */
int role_no_global_git(void *arg);

#define CASE(f) cmocka_unit_test_setup_teardown(f, role_set_up, role_tear_down)

#endif
