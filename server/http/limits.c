#include "server/http/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/mem.h"

enum { ONE = 1000 }; /* of a bucket */

TAILQ_HEAD(row_list, limits_row);

struct limits {
	uint64_t secret[2];
	size_t rows_max, made;
	size_t mask; /* of the heads */
	struct limits_row **heads;
	struct limits_row *rows;
	struct row_list idle; /* least recently used first */
};

struct limits *
limits_new(size_t rows_max)
{
	struct limits *t = mem_zalloc(sizeof *t);
	size_t heads = 16;

	assert(rows_max > 0);
	while (heads < rows_max)
		heads *= 2;
	if (getrandom(t->secret, sizeof t->secret, 0) !=
	    (ssize_t)sizeof t->secret)
		abort();
	t->rows_max = rows_max;
	t->mask = heads - 1;
	t->heads = mem_zalloc(heads * sizeof(struct limits_row *));
	t->rows = mem_zalloc(rows_max * sizeof *t->rows);
	TAILQ_INIT(&t->idle);
	return t;
}

void
limits_free(struct limits *t)
{
	if (t == NULL)
		return;
	mem_free(t->heads);
	mem_free(t->rows);
	mem_free(t);
}

/* Both halves of the product count, so that nobody who does not know the secret
 * finds keys that lie together. */
static uint64_t
mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
limits_tag(const struct limits *t, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint64_t h = t->secret[0] ^ len;

	while (len > 0) {
		uint64_t word = 0;
		size_t n = len < sizeof word ? len : sizeof word;

		memcpy(&word, bytes, n);
		h = mix(h ^ word, t->secret[1] | 1) + t->secret[0];
		bytes += n;
		len -= n;
	}
	return mix(h, t->secret[0] | 1);
}

static struct limits_row **
head_of(struct limits *t, const unsigned char *key)
{
	return &t->heads[limits_tag(t, key, LIMITS_KEY_SIZE) & t->mask];
}

static void
unchain(struct limits *t, struct limits_row *row)
{
	struct limits_row **p = head_of(t, row->key);

	while (*p != row)
		p = &(*p)->next;
	*p = row->next;
}

/* One that nobody uses, out of the chains; NULL: there is none. */
static struct limits_row *
take_row(struct limits *t)
{
	struct limits_row *row = TAILQ_FIRST(&t->idle);

	if (t->made < t->rows_max)
		return &t->rows[t->made++];
	if (row == NULL)
		return NULL;
	TAILQ_REMOVE(&t->idle, row, link);
	unchain(t, row);
	memset(row, 0, sizeof *row);
	return row;
}

struct limits_row *
limits_find(struct limits *t, const unsigned char key[LIMITS_KEY_SIZE])
{
	struct limits_row **head = head_of(t, key);
	struct limits_row *row = *head;

	while (row != NULL && memcmp(row->key, key, LIMITS_KEY_SIZE) != 0)
		row = row->next;
	if (row != NULL && row->uses == 0)
		TAILQ_REMOVE(&t->idle, row, link);
	if (row == NULL) {
		row = take_row(t);
		if (row == NULL)
			return NULL;
		head = head_of(t, key);
		memcpy(row->key, key, LIMITS_KEY_SIZE);
		TAILQ_INIT(&row->peers);
		row->next = *head;
		*head = row;
	}
	if (row->uses == 0)
		TAILQ_INSERT_TAIL(&t->idle, row, link);
	return row;
}

void
limits_use(struct limits *t, struct limits_row *row)
{
	if (row->uses++ == 0)
		TAILQ_REMOVE(&t->idle, row, link);
}

void
limits_leave(struct limits *t, struct limits_row *row)
{
	assert(row->uses > 0);
	if (--row->uses == 0)
		TAILQ_INSERT_TAIL(&t->idle, row, link);
}

void
limits_key_address(unsigned char out[LIMITS_KEY_SIZE],
    const unsigned char *address, size_t len)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(out, 0, LIMITS_KEY_SIZE);
	if (len == 4) {
		memcpy(out, mapped, sizeof mapped);
		memcpy(out + sizeof mapped, address, 4);
	} else if (len == 16) {
		bool v4 = memcmp(address, mapped, sizeof mapped) == 0;

		memcpy(out, address, v4 ? 16 : 8);
	}
}

/* What is spent still. */
static int64_t
spent(const struct limits_bucket *b, int64_t rate, int64_t now_ms)
{
	int64_t age = now_ms - b->at_ms;

	/* Not a product that could overflow. */
	if (age < 0)
		age = 0;
	if (age > b->spent / rate)
		return 0;
	return b->spent - age * rate;
}

int64_t
limits_wait_s(const struct limits_bucket *b, int64_t rate, int64_t burst,
    int64_t now_ms)
{
	int64_t over = spent(b, rate, now_ms) + ONE - burst * ONE;

	return over > 0 ? (over + rate * ONE - 1) / (rate * ONE) : 0;
}

void
limits_take(struct limits_bucket *b, int64_t rate, int64_t burst,
    int64_t now_ms)
{
	int64_t now = spent(b, rate, now_ms);

	b->spent = now + ONE <= burst * ONE ? now + ONE : now;
	b->at_ms = now_ms;
}
