#ifndef CLUSTERS_CHAIN_H
#define CLUSTERS_CHAIN_H

/* The audit as a chain: events are numbered from 1, and the hash of each covers
 * its facts and the hash of the one before. So nothing can be changed, taken
 * out, put in or moved without a trace further on. What a chain cannot show by
 * itself is that its end was cut off: for that somebody has to know how far it
 * had come, a head that was noted elsewhere. No I/O, any thread. */

#include <jansson.h>
#include <stdint.h>

#include "core/err.h"
#include "signing/digest.h"

/* Everything is borrowed. detail is compact JSON with sorted keys. */
struct chain_event {
	int64_t seq, at_ms;
	const char *who, *peer, *kind, *subject, *detail;
	const char *previous, *hash;
};

/* The event that a chain ends with; {0}: it has none. */
struct chain_head {
	int64_t seq;
	char hash[DIGEST_HEX_SIZE];
};

enum { CHAIN_HEAD_SIZE = DIGEST_HEX_SIZE + 24 };

/* "42:9f86d0…" and back; INVALID for anything else. */
void chain_head_text(char out[CHAIN_HEAD_SIZE], const struct chain_head *h);
enum err_code chain_head_read(struct chain_head *out, const char *text,
    struct err *e) MUST_CHECK;

/* Of seq, at_ms, who to detail, and previous. */
void chain_hash(char out[DIGEST_HEX_SIZE], const struct chain_event *v);

/* Checking: start with {0}, or with known set to a head that was noted, or with
 * signed ones (clusters/chain_heads.h); then chain_follow for each event, in
 * order; then chain_finish. The first error is the first bad event and says what
 * is wrong with it; CORRUPT. */
struct chain_heads;
struct chain {
	struct chain_head at;      /* how far it is good */
	struct chain_head known;   /* {0}: none */
	struct chain_heads *heads; /* borrowed; NULL: none */
};
enum err_code chain_follow(struct chain *c, const struct chain_event *v,
    struct err *e) MUST_CHECK;
/* An event as the API shows it (docs/api.md); INVALID when it is none. */
enum err_code chain_follow_json(struct chain *c, const json_t *event,
    struct err *e) MUST_CHECK;
/* CORRUPT when the chain ends before a head that is known. */
enum err_code chain_finish(const struct chain *c, struct err *e) MUST_CHECK;

#endif
