#ifndef SERVER_HTTP_LIMITS_H
#define SERVER_HTTP_LIMITS_H

/* Who has taken how much: a table of addresses, or of credentials, of a size
 * that is given at birth. Rows are found in constant time, whatever keys a
 * client chooses: where a key lies is a secret of the table's. A row that is in
 * use stays; of the others the one that was used least recently makes room. One
 * thread: each serving thread has tables of its own, so there is no lock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum { LIMITS_KEY_SIZE = 16 };

struct peer;
TAILQ_HEAD(peer_list, peer);

/* So many at once, and then so many per second. Zeroed: full. */
struct limits_bucket {
	int64_t spent; /* thousandths of what may be taken at once */
	int64_t at_ms;
};

struct limits_row {
	unsigned char key[LIMITS_KEY_SIZE];
	struct limits_row *next; /* with the same hash */
	TAILQ_ENTRY(limits_row) link;
	struct limits_bucket bucket;
	size_t uses;
	size_t strangers; /* of an address: in the list */
	struct peer_list peers;
};

struct limits;

struct limits *limits_new(size_t rows_max);
void limits_free(struct limits *t); /* NULL is fine; nothing is in use */

/* The row with this key, made when it is not there: NULL when all are in use. It
 * is not in use yet, so it is the caller's until the next call. */
struct limits_row *limits_find(struct limits *t,
    const unsigned char key[LIMITS_KEY_SIZE]);
void limits_use(struct limits *t, struct limits_row *row);
void limits_leave(struct limits *t, struct limits_row *row);

/* A secret number for these bytes. */
uint64_t limits_tag(const struct limits *t, const void *data, size_t len);

/* The key of an address of 4 or 16 bytes: of IPv6, its /64; an IPv4 address
 * counts as itself however it is written. */
void limits_key_address(unsigned char out[LIMITS_KEY_SIZE],
    const unsigned char *address, size_t len);

/* Seconds until one more may be taken, rounded up; 0: now. rate per second, at
 * least 1; burst at once. */
int64_t limits_wait_s(const struct limits_bucket *b, int64_t rate,
    int64_t burst, int64_t now_ms);
/* Takes one, if there is one. */
void limits_take(struct limits_bucket *b, int64_t rate, int64_t burst,
    int64_t now_ms);

#endif
