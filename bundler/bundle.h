#ifndef BUNDLER_BUNDLE_H
#define BUNDLER_BUNDLE_H

/* One bundle of one tree: exactly the files that OPA will load, their manifest
 * and their digests; and its bytes. A pure function of tree, definition and
 * format number: no clock, no test result, no server state goes in, so the same
 * commit gives the same bytes on every machine.
 *
 * In a bundle: *.rego but for *_test.rego; data.json, data.yaml and data.yml,
 * merged into one canonical data.json for each folder (they may set different
 * keys; one key twice is an error, as for the engine); a .manifest at its root
 * is honoured. Everything else is left out: engines would not load it. So the
 * names that OPA takes for something else (*.manifest, *signatures.json,
 * patch.json) never get in. Immutable; any thread.
 *
 * The content digest is what tells whether two revisions of a bundle are equal
 * to an engine. It is the SHA-256 of this text: for each file, sorted by the
 * bytes of its path, one line as sha256sum prints it,
 *     HASH "  " PATH "\n"
 * where .manifest counts as its canonical JSON without `revision` and without
 * `metadata.edict`. */

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "policies/definition.h"
#include "policies/tree.h"
#include "signing/jws.h"

enum {
	BUNDLE_FORMAT = 1, /* stands in the manifest's metadata */
	BUNDLE_FILES_MAX = 1000000
};
#define BUNDLE_SIZE_MAX (INT64_C(1) << 30) /* unpacked; engines stop there */
/* Memory for the data of all bundles of a commit; what two of them hold counts
 * twice. A value takes some 70 bytes of it, however short its text is, and a
 * file at least 4 KiB. A rule of the commit, whatever is known of it. */
#define BUNDLE_DOCUMENTS_MAX ((size_t)1 << 30)

struct blob; /* blob.h; shared with a cache */
struct bundle_file {
	char *path; /* in the bundle */
	char *data;
	size_t len;
	char hash[65];     /* SHA-256 of data */
	struct blob *blob; /* whose data it is, or NULL: the file's own */
};

struct bundle {
	char *name;
	char revision[TREE_ID_SIZE];
	struct bundle_file *files; /* sorted by path; .manifest among them */
	size_t count;
	char **roots; /* sorted */
	size_t root_count;
	int rego_version; /* 0 or 1; 1 when nobody says */
	size_t policies;  /* .rego files */
	int64_t unpacked; /* bytes of all files */
	size_t documents; /* bytes of memory that its data takes, about */
	char content[65]; /* content digest, as above */
};
void bundle_free(struct bundle *b);
AUTO_FREE(bundle)

/* A process that confines itself calls this before: packing and reading need a
 * file of the system's. Any thread, any number of times. */
enum err_code bundle_get_ready(struct err *e) MUST_CHECK;

/* What makes it fast, and changes nothing of what comes out. */
enum { BUNDLE_THREADS_MAX = 8, BUNDLE_CACHE_MAX = 256 << 20 };
struct bundle_means {
	unsigned int threads;       /* 0: as 1 */
	struct bundle_cache *cache; /* NULL: none */
	size_t documents_max;       /* 0: BUNDLE_DOCUMENTS_MAX */
};
/* As many as the process has processors, at most `max`. */
unsigned int bundle_threads(unsigned int max);

/* What the bundles of a repository were made from, kept for the next commit;
 * holds about size_max bytes at most. For one thread at a time, but bundles may
 * outlive it and move to others. The first one of a process tells the C library
 * to keep some 32 MiB of memory that was freed (of each arena). */
struct bundle_cache *bundle_cache_new(size_t size_max);
void bundle_cache_free(struct bundle_cache *c);
AUTO_FREE(bundle_cache)

/* INVALID says file, line, and the rule: package or data outside the roots,
 * roots that overlap within the bundle, data and package at one path, bad data,
 * duplicate keys, two files with one place in the bundle, roots or metadata or
 * rego version given both in edict.yaml and in .manifest but not the same, a
 * path that engines read in two ways (a data folder of other characters than
 * letters, digits and -_.~$&+=:@; a % in a policy's path), nothing in it. */
enum err_code bundle_plan(struct bundle **out, const struct tree *t,
    const struct definition_bundle *d, struct err *e) MUST_CHECK;
enum err_code bundle_plan_with(struct bundle **out, const struct tree *t,
    const struct definition_bundle *d, const struct bundle_means *means,
    struct err *e) MUST_CHECK;

/* Plans all bundles of a definition and refuses roots that overlap between two
 * bundles of one cluster, with both names. Same order as d->bundles. */
struct bundle_set {
	struct bundle **bundles;
	size_t count;
};
enum err_code bundle_plan_all(struct bundle_set *out, const struct tree *t,
    const struct definition *d, struct err *e) MUST_CHECK;
enum err_code bundle_plan_all_with(struct bundle_set *out, const struct tree *t,
    const struct definition *d, const struct bundle_means *means, struct err *e)
    MUST_CHECK;
void bundle_set_clear(struct bundle_set *s);
/* That refusal alone, once bundles of the set were replaced. */
enum err_code bundle_set_check(const struct bundle_set *s,
    const struct definition *d, struct err *e) MUST_CHECK;

/* Unsigned: a gzip'd tar of its own, sorted names, zero times, mode 0644,
 * owner 0, .manifest first. This is what is stored as content. Several gzip
 * members, as in pack.h. out's own limit applies (BUNDLE_SIZE_MAX is a good
 * one). */
enum err_code bundle_pack(struct buf *out, const struct bundle *b,
    struct err *e) MUST_CHECK;
enum err_code bundle_pack_with(struct buf *out, const struct bundle *b,
    const struct bundle_means *means, struct err *e) MUST_CHECK;

/* Signed: gzip members with .signatures.json, then the content's bytes
 * unchanged. So signing needs neither Git nor the files. */
enum err_code bundle_sign_pack(struct buf *out, const void *content,
    size_t content_len, const char *jws, size_t jws_len, struct err *e)
    MUST_CHECK;
enum err_code bundle_sign_pack_with(struct buf *out, const void *content,
    size_t content_len, const char *jws, size_t jws_len,
    const struct bundle_means *means, struct err *e) MUST_CHECK;

/* The list to sign, borrowed names; the caller frees it with mem_free. */
struct jws_file *bundle_jws_files(const struct bundle *b);

/* Reading a finished bundle file, for `verify` and for signing stored content
 * anew: bounded, hostile input expected. */
struct bundle_archive {
	struct bundle_file *files; /* sorted; .signatures.json not among them */
	size_t count;
	char *jws; /* NULL: unsigned */
	size_t jws_len;
	char *revision; /* of the manifest, or NULL */
	char **roots;   /* of the manifest; absent: [""] */
	size_t root_count;
};
enum err_code bundle_read(struct bundle_archive *out, const char *name,
    const void *data, size_t len, struct err *e) MUST_CHECK;
void bundle_archive_clear(struct bundle_archive *a);

/* The same for what `opa build` wrote, whose names begin with a slash: they are
 * given without it, and the manifest is left unread. */
enum err_code bundle_read_built(struct bundle_archive *out, const char *name,
    const void *data, size_t len, struct err *e) MUST_CHECK;

/* Signature by k, scope, the file set and every hash. */
enum err_code bundle_verify(const struct bundle_archive *a, const struct key *k,
    const char *scope, struct err *e) MUST_CHECK;

#endif
