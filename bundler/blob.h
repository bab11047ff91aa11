#ifndef BUNDLER_BLOB_H
#define BUNDLER_BLOB_H

/* What one blob of the tree gives to a bundle, whatever its path: the bytes
 * that ship, their hash, and the package or the document they hold. Immutable
 * once made, shared by reference between bundles and cache; any thread. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "bundler/module.h"
#include "core/value.h"
#include "policies/tree.h"

enum blob_kind { BLOB_POLICY, BLOB_JSON, BLOB_YAML };

/* Asks for b's memory a few blobs before it is looked at; NULL is fine. Blobs
 * lie anywhere, and there are ten thousands of them. */
enum { BLOB_AHEAD = 8 };
#define BLOB_SOON(b) __builtin_prefetch(b)

/* Its id and how it was read. */
struct blob_key {
	char id[TREE_ID_SIZE];
	char kind;
};

struct blob {
	struct blob_key key;
	/* First what every plan looks at: a new one goes over all blobs. */
	atomic_uint refs;
	uint64_t used; /* the cache's: when last */
	char *text; /* ships: a policy as it is, data in canonical form; NULL:
	             * data whose canonical form is too large */
	size_t len;
	char hash[65];                 /* of text */
	struct module_package package; /* of a policy */
	struct document *doc;          /* of data */
	size_t cost;                   /* bytes of memory, about */
	bool filed;                    /* the cache file's: it was seen */
	UT_hash_handle hh;             /* the cache's */
};

struct blob_key blob_key(const char *id, enum blob_kind kind);

/* Takes text over when it is a policy's. name is for messages alone. */
enum err_code blob_new(struct blob **out, const struct blob_key *key,
    const char *name, struct buf *text, struct err *e) MUST_CHECK;

struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL is fine */

#endif
