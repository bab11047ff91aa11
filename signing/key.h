#ifndef SIGNING_KEY_H
#define SIGNING_KEY_H

/* Signing keys as OPA takes them: RS, PS, ES and HS at 256, 384 and 512 bits
 * (EdDSA is refused by engines and so never offered). A key is immutable;
 * reading from several threads is fine. Private bytes are wiped on release. */

#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"

enum key_algorithm {
	KEY_RS256, KEY_RS384, KEY_RS512,
	KEY_PS256, KEY_PS384, KEY_PS512,
	KEY_ES256, KEY_ES384, KEY_ES512,
	KEY_HS256, KEY_HS384, KEY_HS512,
	KEY_ALGORITHMS
};

enum {
	KEY_ID_MAX = 64,          /* [A-Za-z0-9._-], not starting with a dot */
	KEY_FILE_MAX = 64 * 1024,
	KEY_RSA_BITS = 3072       /* of new keys; at least 2048 is accepted */
};

const char *key_algorithm_name(enum key_algorithm a);
enum err_code key_algorithm_parse(enum key_algorithm *out, const char *name,
    struct err *e) MUST_CHECK;

struct key;
void key_free(struct key *k);
AUTO_FREE(key)

enum err_code key_generate(struct key **out, const char *id,
    enum key_algorithm a, struct err *e) MUST_CHECK;

/* Private: PEM (PKCS#8 or traditional, not encrypted), or the raw secret for
 * HS. Public: PEM SubjectPublicKeyInfo or a certificate. The curve or type has
 * to fit the algorithm. name is for messages. */
enum err_code key_read_private(struct key **out, const char *id,
    enum key_algorithm a, const char *name, const char *text, size_t len,
    struct err *e) MUST_CHECK;
enum err_code key_read_public(struct key **out, const char *id,
    enum key_algorithm a, const char *name, const char *text, size_t len,
    struct err *e) MUST_CHECK;

void key_write_private(struct buf *out, const struct key *k);
/* Nothing is written for HS, which has no public half. */
void key_write_public(struct buf *out, const struct key *k);

const char *key_id(const struct key *k);
enum key_algorithm key_algorithm_of(const struct key *k);
bool key_is_private(const struct key *k);
bool key_is_symmetric(const struct key *k);

/* The keys of one server, in data_dir/keys: ID.key (private, mode 0600),
 * ID.pub (absent for HS), ID.json {"id","algorithm","created_at"}, and
 * `current`, which names the key that signs. */
struct key_ring {
	struct key **keys;
	size_t count;
	const struct key *current; /* one of keys */
};
enum err_code key_ring_read(struct key_ring *out, const char *dir,
    struct err *e) MUST_CHECK;
void key_ring_clear(struct key_ring *r);
const struct key *key_ring_find(const struct key_ring *r, const char *id);

/* Adds a key to the folder, syncing each file; CONFLICT when the id exists.
 * make_current also points `current` at it. */
enum err_code key_ring_add(const char *dir, const struct key *k,
    bool make_current, struct err *e) MUST_CHECK;

#endif
