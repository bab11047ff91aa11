#ifndef BUNDLER_COMPILE_H
#define BUNDLER_COMPILE_H

/* What `compile` in edict.yaml asks for: the planned bundle goes through `opa
 * build`, and what comes out becomes a bundle like every other, with a manifest
 * of our own, packed by us. The opa version stands in metadata.edict.opa. Data
 * is one data.json, policies are as opa formats them, policy.wasm or plan.json
 * stand at the root; `wasm` of the manifest names the module as the archive
 * does.
 *
 * The same content, settings and opa give the same bytes. opa itself does not
 * promise that: what its optimizer makes up follows the order of its hash tables
 * (compile_order.h). So that is put in order; a module is made from optimised
 * policies that were put in order before; and everything is built twice: two
 * results that differ all the same are refused. */

#include "bundler/bundle.h"
#include "policies/gate.h"

enum {
	COMPILE_KEPT_MAX = 2048, /* results that are kept */
	COMPILE_KEPT_BYTES = 1 << 30
};
#define COMPILE_WASM_FILE "policy.wasm"
#define COMPILE_PLAN_FILE "plan.json"

struct compile_means {
	const struct gate_job *job; /* tree, work, engine and runner count */
	const struct bundle_means *pack;
	/* A folder, which need not exist, for what opa made of which input:
	 * the same is not made again. NULL: none. */
	const char *kept;
	size_t built; /* counts what was not found there */
};

/* Puts the compiled bundle in *b's place. INVALID with opa's own words, or when
 * its two results differ; LIMIT when it writes too much, UNSUPPORTED when it dies,
 * which may be the bundle's fault as well; TIMEOUT; others are the server's. */
enum err_code compile_bundle(struct bundle **b, const struct definition *d,
    const struct definition_bundle *of, struct compile_means *means,
    struct err *e) MUST_CHECK;

/* All bundles of a definition that ask for it; then looks at their roots once
 * more, since the optimizer may have added one. */
enum err_code compile_all(struct bundle_set *set, const struct definition *d,
    struct compile_means *means, struct err *e) MUST_CHECK;

/* Has it a WebAssembly module? */
bool compile_has_wasm(const struct bundle *b);

/* Packs what an engine without WebAssembly can load of it: all but the module
 * and what the manifest says of it. For a look only, never to be signed. */
enum err_code compile_pack_without_wasm(struct buf *out, const struct bundle *b,
    struct err *e) MUST_CHECK;

#endif
