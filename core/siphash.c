#include "core/siphash.h"

#include <endian.h>
#include <string.h>

enum { ROUNDS_EACH = 2, ROUNDS_LAST = 4 };

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t
rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void
mix(struct state *s, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32) + s->v3;
		s->v2 += s->v1;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static inline void
take(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s, ROUNDS_EACH);
	s->v0 ^= word;
}

static inline uint64_t
read_word(const unsigned char *bytes, size_t len)
{
	uint64_t word = 0;

	memcpy(&word, bytes, len);
	return le64toh(word);
}

static inline uint64_t
fold(const struct state *s)
{
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct siphash
siphash(const struct siphash_key *key, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	struct state s = { key->words[0] ^ UINT64_C(0x736f6d6570736575),
		key->words[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
		key->words[0] ^ UINT64_C(0x6c7967656e657261),
		key->words[1] ^ UINT64_C(0x7465646279746573) };
	struct siphash out;
	size_t at = 0;

	for (; len - at >= 8; at += 8)
		take(&s, read_word(bytes + at, 8));
	take(&s, read_word(bytes + at, len - at) | (uint64_t)len << 56);
	s.v2 ^= 0xee;
	mix(&s, ROUNDS_LAST);
	out.words[0] = fold(&s);
	s.v1 ^= 0xdd;
	mix(&s, ROUNDS_LAST);
	out.words[1] = fold(&s);
	return out;
}
