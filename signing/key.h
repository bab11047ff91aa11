#ifndef SIGNING_KEY_H
#define SIGNING_KEY_H

/* Signing keys as OPA takes them: RS, PS, ES and HS at 256, 384 and 512 bits
 * (EdDSA is refused by engines and so never offered). A key is immutable;
 * reading from several threads is fine. Private bytes are wiped on release. */

#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"

enum key_algorithm {
	KEY_RS256,
	KEY_RS384,
	KEY_RS512,
	KEY_PS256,
	KEY_PS384,
	KEY_PS512,
	KEY_ES256,
	KEY_ES384,
	KEY_ES512,
	KEY_HS256,
	KEY_HS384,
	KEY_HS512,
	KEY_ALGORITHMS
};

enum {
	KEY_ID_MAX = 64, /* [A-Za-z0-9._-], not starting with a dot */
	KEY_FILE_MAX = 64 * 1024,
	KEY_TIME_MAX = 32,   /* of created_at, RFC 3339 in UTC */
	KEY_RSA_BITS = 3072, /* of new keys */
	KEY_RSA_BITS_MIN = 2048,
	KEY_RSA_BITS_MAX = 8192,
	KEY_RING_MAX = 256,                      /* keys in one ring */
	KEY_SIGNATURE_MAX = KEY_RSA_BITS_MAX / 8 /* bytes */
};

bool key_id_is_valid(const char *id);

const char *key_algorithm_name(enum key_algorithm a);
enum err_code key_algorithm_parse(enum key_algorithm *out, const char *name,
    struct err *e) MUST_CHECK;

struct key;
void key_free(struct key *k);
AUTO_FREE(key)

enum err_code key_generate(struct key **out, const char *id,
    enum key_algorithm a, struct err *e) MUST_CHECK;

/* Private: PEM (PKCS#8 or traditional, not encrypted), or the raw secret for
 * HS: at least as long as the hash, without a line break at its end, because
 * that would be part of it. Public: PEM SubjectPublicKeyInfo or a certificate,
 * or the secret for HS. The curve or type has to fit the algorithm. name is
 * for messages. id may be NULL when it is not known: such a key verifies what
 * any key id signed, and signs nothing. */
enum err_code key_read_private(struct key **out, const char *id,
    enum key_algorithm a, const char *name, const char *text, size_t len,
    struct err *e) MUST_CHECK;
enum err_code key_read_public(struct key **out, const char *id,
    enum key_algorithm a, const char *name, const char *text, size_t len,
    struct err *e) MUST_CHECK;

void key_write_private(struct buf *out, const struct key *k);
/* Nothing is written for HS, which has no public half. */
void key_write_public(struct buf *out, const struct key *k);

/* The signature of RFC 7518 over data: appended to out as bytes; compared in
 * constant time where the algorithm is symmetric. key_sign needs a private
 * key. ERR_CRYPTO when the signature is not this key's. */
enum err_code key_sign(struct buf *out, const struct key *k, const void *data,
    size_t len, struct err *e) MUST_CHECK;
enum err_code key_verify(const struct key *k, const void *data, size_t len,
    const void *signature, size_t signature_len, struct err *e) MUST_CHECK;

const char *key_id(const struct key *k); /* NULL when not known */
enum key_algorithm key_algorithm_of(const struct key *k);
bool key_is_private(const struct key *k); /* can sign */
bool key_is_symmetric(const struct key *k);

/* What a key is for. One for discovery bundles never signs a bundle, and the
 * reverse: the keeper sees to it. */
enum key_kind { KEY_BUNDLE, KEY_DISCOVERY, KEY_AUDIT, KEY_PREVIEW, KEY_KINDS };
const char *key_kind_name(enum key_kind kind); /* "bundle" */
enum err_code key_kind_parse(enum key_kind *out, const char *name,
    struct err *e) MUST_CHECK;

/* The keys of one server, in data_dir/keys: ID.key (private, mode 0600),
 * ID.pub (absent for HS), ID.json {"id","algorithm","created_at","kind"?,
 * "retired_at"?} (kind absent: bundle), and `current`, which names the key that
 * signs bundles where a cluster has none of its own. */
struct ring_key {
	struct key *key;
	enum key_kind kind;
	char created_at[KEY_TIME_MAX];
	char retired_at[KEY_TIME_MAX]; /* "": it may sign */
};
struct key_ring {
	struct ring_key *items;
	size_t count;
	const struct key *current; /* one of them; NULL: none, or retired */
};
/* A missing folder is NOT_FOUND, an empty one a ring without keys. A private
 * file that others may read is DENIED; one that does not fit its companions
 * is CORRUPT. Files of a key whose ID.json is missing are left-overs of an
 * addition that was cut short, and ignored. */
enum err_code key_ring_read(struct key_ring *out, const char *dir,
    struct err *e) MUST_CHECK;
void key_ring_clear(struct key_ring *r);
const struct ring_key *key_ring_find(const struct key_ring *r, const char *id);
/* The one made last of those of a kind that may sign; NULL: there is none. */
const struct ring_key *key_ring_newest(const struct key_ring *r,
    enum key_kind kind);

/* Adds a private key with an id to the folder (made when missing), syncing
 * each file, ID.json last; CONFLICT when the id exists. */
enum err_code key_ring_add(const char *dir, const struct key *k,
    enum key_kind kind, struct err *e) MUST_CHECK;

/* Points `current` at a key that the folder holds, of kind bundle and not
 * retired; else NOT_FOUND or CONFLICT, and nothing is changed. */
enum err_code key_ring_use(const char *dir, const char *id, struct err *e)
    MUST_CHECK;

/* Writes down that a key signs no more, for ever. Nothing when it is so. */
enum err_code key_ring_retire(const char *dir, const char *id, struct err *e)
    MUST_CHECK;

#endif
