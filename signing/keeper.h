#ifndef SIGNING_KEEPER_H
#define SIGNING_KEEPER_H

/* The process that holds the signing keys. It opens no file and no socket
 * after its start, and takes typed requests only, so that whoever takes over
 * its client can have bundles signed under their own names and nothing else.
 * Each kind of request is signed by keys of its own kind (signing/key.h). It
 * logs what it signs. New keys: it alone is restarted. */

#include "core/caller.h"
#include "core/confine.h"
#include "signing/jws.h"
#include "signing/key.h"

enum keeper_kind {
	/* {"key"?, "bundle", "revision"} and one descriptor, a list of files as
	 * in keeper_list.h, which says what is refused in it → {"key",
	 * "algorithm", "signature"}: the last part of the JWS, whose first two
	 * jws_write_signed makes of the same list. The scope is the bundle's
	 * name; key absent: the current one. Unknown keys are NOT_FOUND, those
	 * of another kind DENIED, retired ones CONFLICT. */
	KEEPER_SIGN_BUNDLE = 100,
	/* {"key", "jws"} → {"files": n}: for HS, whose secret never leaves. */
	KEEPER_VERIFY = 101,
	/* {} → {"current" (null: none), "keys": [{"id","algorithm","kind",
	 * "created_at","retired_at"?,"public"?}]}; public is PEM and absent for
	 * HS. */
	KEEPER_KEYS = 102,
	/* {"cluster", "revision"} and a list → as SIGN_BUNDLE, by the newest key
	 * of kind discovery. The scope is "discovery/" and the cluster; the
	 * revision 64 hex digits, the digest of what the bundle says. */
	KEEPER_SIGN_DISCOVERY = 103,
	/* {"seq", "hash", "at_ms"} → {"key", "algorithm", "jws"}: as in
	 * signing/head.h, by the newest key of kind audit. */
	KEEPER_SIGN_HEAD = 104,
	/* {"key"} → {}: it signs no more, as long as this process lives; whoever
	 * starts the next one has it written down (key_ring_retire). */
	KEEPER_RETIRE = 105,
};

enum { KEEPER_TIMEOUT_MS = 30000 };

/* The process: reads keys_dir, confines itself, serves the pair until it is
 * closed or SIGTERM comes. Returns the exit status. best_effort: go on without
 * a complete confinement. */
int keeper_main(const char *keys_dir, int pipeline_fd, bool best_effort);

/* What it confines itself to: its messages, no file, no socket. */
void keeper_rules(struct confine_rules *out, bool best_effort);

/* The pipeline's side. jws is appended to out; key_id is the caller's
 * (mem_free). key NULL: the current one. */
enum err_code keeper_sign(struct caller *keeper, struct buf *out, char **key_id,
    const char *key, const char *bundle, const char *revision,
    const struct jws_file *files, size_t count, struct err *e) MUST_CHECK;
enum err_code keeper_sign_discovery(struct caller *keeper, struct buf *out,
    char **key_id, const char *cluster, const char *revision,
    const struct jws_file *files, size_t count, struct err *e) MUST_CHECK;
enum err_code keeper_sign_head(struct caller *keeper, struct buf *out,
    char **key_id, int64_t seq, const char *hash, int64_t at_ms, struct err *e)
    MUST_CHECK;
enum err_code keeper_verify(struct caller *keeper, const char *key_id,
    const char *jws, size_t len, struct err *e) MUST_CHECK;

enum err_code keeper_retire(struct caller *keeper, const char *key_id,
    struct err *e) MUST_CHECK;

/* The scope of a cluster's discovery bundle; mem_ memory. */
char *keeper_discovery_scope(const char *cluster);

#endif
