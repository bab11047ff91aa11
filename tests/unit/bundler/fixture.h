#ifndef TESTS_BUNDLER_FIXTURE_H
#define TESTS_BUNDLER_FIXTURE_H

/* What the bundler's tests share: trees in memory, folders that go away, and
 * commands. Everything here fails the test by itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bundler/bundle.h"
#include "core/buf.h"

enum { FIXTURE_FILES = 12, FIXTURE_OUT_MAX = 16 << 20 };

/* A small tree in a table: path and text in turn, NULL at the end. */
struct fixture_tree {
	const char *name;
	const char *files[2 * FIXTURE_FILES];
};

struct tree *fixture_tree(const char *const *files);
/* With an author, dates and a tree id, as a commit has them. */
struct tree *fixture_commit(const char *const *files);

/* The whole tree as one bundle called "main". */
extern const struct definition_bundle fixture_all;

/* Plans and fails the test when that is refused. */
struct bundle *fixture_bundle(const struct tree *t,
    const struct definition_bundle *d);
/* Plans and fails the test when that is not refused with this code and a text
 * that holds `says`. */
void fixture_refuse(const struct tree *t, const struct definition_bundle *d,
    enum err_code code, const char *says);

const struct bundle_file *fixture_file(const struct bundle *b,
    const char *path);
void fixture_has(const struct bundle *b, const char *path, const char *text);

/* A folder of the test's own. */
char *fixture_folder(void);
void fixture_folder_end(char *path);
void fixture_write(const char *folder, const char *name, const void *data,
    size_t len);

/* Runs a shell command; out gets stdout and stderr. The exit status. */
int fixture_run(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

const char *fixture_opa(void);

#endif
