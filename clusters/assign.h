#ifndef CLUSTERS_ASSIGN_H
#define CLUSTERS_ASSIGN_H

/* One assignment: which revision of a bundle a cluster has, and how it may
 * change. Always holds: the serial rises with every change of what or how, and
 * never falls; a held assignment moves only by an operator; following never
 * goes back along the line, and never to content that is in quarantine. Pure:
 * no clock, no store. */

#include <stdbool.h>
#include <stdint.h>

#include "clusters/store.h"

enum assign_mode {
	ASSIGN_NONE, /* does not exist yet */
	ASSIGN_FOLLOWING,
	ASSIGN_HELD,
	ASSIGN_MODES
};
const char *assign_mode_name(enum assign_mode m);  /* "following" */
enum assign_mode assign_mode_of(const char *name); /* unknown: NONE */

enum {
	ASSIGN_REASON_MAX = 1000, /* bytes, an operator's */
	ASSIGN_BLOCKED_MAX = 500
};

struct assignment {
	char cluster[STORE_NAME_SIZE];
	char bundle[STORE_NAME_SIZE];
	enum assign_mode mode;
	int64_t serial;                   /* 0: none yet */
	char revision[STORE_ID_SIZE];     /* what engines see */
	char current_with[STORE_ID_SIZE]; /* newest with the same content */
	char content[STORE_DIGEST_SIZE];
	char artifact[STORE_DIGEST_SIZE]; /* SHA-256 */
	int64_t line, depth;              /* of current_with; -1 unknown */
	bool forced;               /* what it has did not pass its tests */
	char until[STORE_ID_SIZE]; /* held until a passing commit comes after
	                            * this one; "": until an operator says */
	int64_t until_line, until_depth; /* -1 unknown */
	char by[STORE_NAME_SIZE];
	int64_t at_ms;
	char *reason; /* mem_ memory, as is blocked; or NULL */
	char *blocked;
	char (*quarantine)[STORE_DIGEST_SIZE]; /* contents */
	size_t quarantine_count;
};
void assignment_clear(struct assignment *a);
void assignment_copy(struct assignment *to, const struct assignment *from);

/* Where it could go: a passing, stored revision. */
struct assign_target {
	char commit[STORE_ID_SIZE];
	char revision[STORE_ID_SIZE]; /* of the artifact: what engines see */
	char content[STORE_DIGEST_SIZE];
	char artifact[STORE_DIGEST_SIZE];
	int64_t line, depth;
	bool ancestor; /* of what the assignment is current with, or of what it
	                * is held until */
	bool forced;   /* without a passing verdict: an admin named it */
};

struct assign_who {
	const char *by;
	int64_t at_ms;
	const char *reason; /* or NULL */
};

/* Does t come after what the assignment is current with? A later line comes
 * after an earlier one, but for what both have in common. */
bool assign_comes_after(const struct assignment *a,
    const struct assign_target *t);
/* Does t end the hold of one that is held until the next passing commit? */
bool assign_is_next(const struct assignment *a, const struct assign_target *t);
bool assign_quarantined(const struct assignment *a, const char *content);

/* Is this change allowed from this mode? CONFLICT says why not. */
enum assign_event {
	ASSIGN_BEGIN,  /* a cluster newly has the bundle */
	ASSIGN_FOLLOW, /* a passing commit was published */
	ASSIGN_ROLLBACK,
	ASSIGN_PIN,
	ASSIGN_RESUME,
	ASSIGN_RELEASE, /* the commit came that it was held until */
	ASSIGN_EVENTS
};
enum err_code assign_allowed(const struct assignment *a,
    enum assign_event event, struct err *e) MUST_CHECK;

enum assign_step {
	ASSIGN_SAME,  /* nothing changed, but perhaps blocked */
	ASSIGN_NOTED, /* current with a newer commit: no new bytes */
	ASSIGN_MOVED  /* engines get something else */
};

/* The first assignment: following. */
void assign_begin(struct assignment *a, const struct assign_target *t,
    const struct assign_who *who);

/* What a publication does to it. A held one stays as it is. */
enum assign_step assign_follow(struct assignment *a,
    const struct assign_target *t, const struct assign_who *who);

/* To t, and held there. What it had before goes into quarantine unless it is
 * the same; t's own content leaves it: the operator asked for it. */
void assign_rollback(struct assignment *a, const struct assign_target *t,
    const struct assign_who *who);
void assign_pin(struct assignment *a, const struct assign_who *who);
/* After one of these two: held only until a passing commit comes after t. */
void assign_until(struct assignment *a, const struct assign_target *t);
/* t is that commit: follows again. What is in quarantine stays there. */
enum assign_step assign_release(struct assignment *a,
    const struct assign_target *t, const struct assign_who *who);

/* Follows again, quarantine lifted, and goes to t if that comes after (NULL:
 * there is nothing newer). */
enum assign_step assign_resume(struct assignment *a,
    const struct assign_target *t, const struct assign_who *who);

void assign_block(struct assignment *a, const char *why); /* NULL: not */

/* One bundle in the set that a cluster would load together. */
struct assign_member {
	const char *bundle;
	const char *const *roots; /* as manifests have them; "" is all */
	size_t count;
	bool moved;
};

/* Two members whose roots overlap (equal or nested, by segment), at least one
 * of them moved. False: the set is fine, as far as it changed. */
struct assign_clash {
	size_t first, second; /* first < second */
	const char *first_root, *second_root;
};
bool assign_clashes(const struct assign_member *set, size_t count,
    struct assign_clash *out);

#endif
