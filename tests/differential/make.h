#ifndef TESTS_DIFFERENTIAL_MAKE_H
#define TESTS_DIFFERENTIAL_MAKE_H

/* What the cases are made of. Each function writes one text; most are good,
 * some are broken on purpose. */

#include "core/buf.h"
#include "dice.h"

enum { MAKE_TEXT_MAX = 1 << 20 };

void make_json(struct buf *out, struct dice *d);
void make_yaml(struct buf *out, struct dice *d);
/* A module whose package is, or begins with, top. */
void make_module(struct buf *out, struct dice *d, const char *top);

/* A case of several files, in a folder of its own called top. */
enum { MAKE_FILES_MAX = 8, MAKE_PATH_SIZE = 96, MAKE_ROOTS_MAX = 4 };

struct make_file {
	char path[MAKE_PATH_SIZE]; /* with top */
	struct buf text;
};

struct make_tree {
	struct make_file files[MAKE_FILES_MAX];
	size_t count;
	char roots[MAKE_ROOTS_MAX][MAKE_PATH_SIZE]; /* with top */
	size_t root_count;
	bool old; /* its modules are in the syntax before 1.0 */
};

/* with_roots: a manifest will say roots and versions. */
void make_tree(struct make_tree *out, struct dice *d, const char *top,
    bool with_roots);
/* One with a .manifest that says many things, in a folder called c0. */
void make_manifest(struct make_tree *out, struct dice *d);
void make_tree_clear(struct make_tree *t);

#endif
