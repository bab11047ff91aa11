#ifndef CLUSTERS_LEDGER_H
#define CLUSTERS_LEDGER_H

/* The process that alone writes the database: commits, verdicts, revisions,
 * assignments, operations, audit. It takes verdicts only from the pipeline and
 * operator actions only from http, with the operator's own token, which it
 * checks itself: a process that was taken over cannot make up either. It parses
 * nothing else and opens no socket. After each commit it tells the others to
 * look again (LEDGER_CHANGED). */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "clusters/store_gc.h"
#include "core/channel.h"

enum ledger_kind {
	/* From the pipeline. All are idempotent: after a lost reply the
	 * sender sends again.
	 *
	 * REPOSITORY: what the pipeline knows of a repository now.
	 * {"name","url","branch","state","alarm":null|{"kind","message","tip",
	 *  "since_ms"},"head","followed","line","last_fetch_ms",
	 *  "last_success_ms","last_error","engine","sandbox"} → {}
	 * line is how often history was accepted anew; it only rises. */
	LEDGER_REPOSITORY = 200,
	/* COMMITS of the first-parent line, any order, at most
	 * LEDGER_COMMITS_MAX.
	 * {"repository","line","commits":[{"id","parent","tree","author",
	 *  "author_ms","commit_ms","subject","depth"}]} → {}
	 * A line above the repository's becomes the repository's at once; a
	 * commit that is known takes the later line, so after an accept the
	 * whole line is sent again. A commit beside all lines: line 0 where
	 * lines count from 1, or -1. */
	LEDGER_COMMITS = 201,
	/* {"repository","commit","verdict": as policies/gate.h verdict_json} →
	 * {"id"}. Kept beside earlier ones; the newest counts. */
	LEDGER_VERDICT = 202,
	/* PUBLISH: a passing commit's bundles, all files durable already.
	 * {"repository","commit","identity": of the passing verdict,
	 *  "owns_clusters": bool, "operation": id or 0,
	 *  "bundles":[{"name","content","unpacked","roots":[…],"rego_version",
	 *    "artifact": null | {"sha256","size","key","content_sha256"}}],
	 *  "clusters":[{"name","labels":{…},"bundles":[…]}], "forced"?: bool}
	 * → {"assigned":[{"cluster","bundle","revision","serial"}]}
	 * Refused (CONFLICT) unless the newest verdict of that commit in the
	 * database is passed with this identity. In one transaction: bundles
	 * and revisions are known; if the commit is the newest passing one of
	 * its line, definitions of clusters are taken over; following
	 * assignments move; a rollback operation that waited for it is done.
	 * artifact null: the same content is stored already for this bundle.
	 * forced: there is no such verdict, but an open rollback of an admin's
	 * that says so; the bundles are known and that operation is done, and
	 * nothing else. */
	LEDGER_PUBLISH = 203,
	/* Progress and end of an operation.
	 * {"id","state":"running"|"done"|"failed","progress"?,"resolved"?,
	 *  "error"?:{"code","message"}, "result"?: {…}} → {} */
	LEDGER_OPERATION = 204,
	/* COLLECT: removes some of what is kept no longer (clusters/store_gc.h).
	 * {} → {"artifacts","reports","report_bytes","operations","engines":
	 *  how many, "more": bool} */
	LEDGER_COLLECT = 206,
	/* A cluster's discovery bundle, its files durable already; it is what
	 * the cluster's engines get from now on.
	 * {"cluster","revision","artifact":{"sha256","size","key",
	 *  "content_sha256"}} → {} */
	LEDGER_DISCOVERY = 205,
	/* A signed head of the audit (signing/head.h). CONFLICT: the event is
	 * not the one that was signed. {"seq","hash","at_ms","key","jws"} → {} */
	LEDGER_HEAD = 208,

	/* KEYS: those that the keeper has, as KEEPER_KEYS answers → {}. */
	LEDGER_KEYS = 210,
	/* VARIANT: an artifact's content, signed by another key; the file is
	 * durable already. {"of": SHA-256 of the artifact, "key", "sha256",
	 * "size"}, or {"of","key","error"} when it could not be signed → {}.
	 * What waited for it goes on, in the same transaction. */
	LEDGER_VARIANT = 211,

	/* Outgoing events (clusters/store_outbox.h). TARGETS: all that are
	 * configured. {"names":[…]} → {}
	 * DELIVERY: how far one is. {"target","position","failing_ms": 0 or
	 * since when,"dropped": how many of those since the last position were
	 * given up,"error":null|"…"} → {}
	 * ALARMS: all of one kind. {"kind":"fetch.stale","alarms":{SUBJECT:
	 * {…}}} → {} */
	LEDGER_TARGETS = 212,
	LEDGER_DELIVERY = 213,
	LEDGER_ALARMS = 214,
	/* SETS: what would be loaded together if this were published, and is not
	 * known to load in this engine. Nothing of it is done.
	 * {"engine": its digest, "publication": as PUBLISH} → {"sets":
	 *  [{"digest","members":[{"bundle","content","sha256"}],…}]}; refused as
	 * PUBLISH would be. */
	LEDGER_SETS = 218,
	/* SET: what the engine says of one of those, or of one that is wanted.
	 * {"digest","engine","state":"running"|"loads"|"refused"|
	 *  "could_not_run","reason"?} → {} . What waited for it goes on. */
	LEDGER_SET = 219,

	/* From http: {"token","peer","action", …arguments} → {"status": 200|201|202,
	 * "body": {…}} where body is what the API answers (docs/api.md), or an
	 * error reply. An operation is the body itself, but {"operation": …}
	 * for rollback. The token says what it may: accept and token.* are an
	 * admin's, the rest a releaser's, and one that is limited moves only
	 * what lies within its limits. Actions: rollback {bundle | bundles? |
	 * nothing for all, to, reason, clusters? | selector?, expect?,
	 * until_next?, force?, dry_run?}; pin, resume the same without to and
	 * force (and resume's until_next); cluster.remove {cluster, bundle?,
	 * reason?}; retest {rev,reason?},
	 * fetch, suspend, unsuspend, accept {repository,reason?}, and
	 * token.create, token.revoke: clusters/ledger_token.h, audit.sign:
	 * clusters/ledger_head.h. */
	LEDGER_ACTION = 220,

	/* From http: what it remembers of engines, so that a restart does not
	 * forget it. {"forget_before_ms","engines":[{"cluster","name",
	 * "seen_ms","facts":{…}}]}, at most LEDGER_ENGINES_MAX → {}. Nobody is
	 * told of a change. UNAVAILABLE while the disk is nearly full. */
	LEDGER_ENGINES = 221,
	/* From http: all engines of the cluster that are not silent have what
	 * the bundle is assigned by this serial, or by a later one.
	 * {"cluster","bundle","serial"} → {}. A root that it gave up before is
	 * free. */
	LEDGER_ACKED = 225,

	/* From http: as LEDGER_ALARMS, of the kinds that it sees: "rejecting",
	 * "certificate.expiring", "configuration.refused",
	 * "configuration.failed". */
	LEDGER_HTTP_ALARMS = 222,

	/* To http and pipeline: {} . Never waits for room: who misses one
	 * looks at data_version once a second. */
	LEDGER_CHANGED = 240,
};

enum {
	LEDGER_TIMEOUT_MS = 20000,
	LEDGER_COMMITS_MAX = 500, /* of one COMMITS */
	LEDGER_ENGINES_MAX = 500, /* of one ENGINES */
	LEDGER_HTTP_MAX = 32,     /* pairs with http */
	LEDGER_ENGINE_FACTS_MAX = 32 * 1024
};

struct ledger_setup {
	const char *data_dir;
	int pipeline_fd;
	int http_fds[LEDGER_HTTP_MAX]; /* whoever is there of http */
	size_t http_count;
	int64_t repositories_max;
	int64_t engines_max;
	struct store_keep keep;
	int64_t handover_ms; /* how long a root that moves is waited for */
	bool best_effort;    /* confinement, as confine_rules has it */
};

/* The process: opens the store, confines itself, serves until SIGTERM or until
 * the pairs are closed. Returns the exit status. */
int ledger_main(const struct ledger_setup *setup);

#endif
