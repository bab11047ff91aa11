#ifndef TESTS_UNIT_POLICIES_GIT_FIXTURE_H
#define TESTS_UNIT_POLICIES_GIT_FIXTURE_H

/* Repositories for tests, made by the real git, in a folder of their own that
 * is removed at the end. Include after cmocka.h; every step asserts. */

#include <stddef.h>

/* A fresh folder below $TMPDIR or /tmp; it is the current one for sh() from now
 * on. */
const char *fixture_start(void);
void fixture_end(void);
/* "DIR/name" in one of 256 buffers that take turns. */
const char *fixture_path(const char *name);

/* Runs a shell script in the folder, with set -e; asserts that it succeeds.
 * `git` there has an identity, fixed times and no configuration. */
void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Its first line of output, in one of 256 buffers that take turns. */
const char *sh_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
