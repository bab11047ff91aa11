#ifndef SERVER_HTTP_ACCESS_H
#define SERVER_HTTP_ACCESS_H

/* What the http process knows credentials by, besides the catalog's tokens: TLS
 * certificates with their authorities, and the keys of who issues JWTs. Never
 * changes; shared by reference. The control thread builds the next one aside and
 * puts it into the slot, the loops take it from there. */

#include <pthread.h>
#include <stdatomic.h>

#include "server/conf/conf.h"
#include "server/http/jwt.h"
#include "server/http/tls.h"

struct access {
	atomic_uint references;
	struct tls *tls; /* NULL: plain HTTP */
	size_t count;
	struct jwt_issuer *issuers; /* in the order of access.jwt */
};

/* Without anything in it yet. These return one reference, the caller's. */
struct access *access_new(const struct conf *c);
/* As old, but for this, to which a reference is taken. */
struct access *access_with_tls(const struct access *old, struct tls *t);
struct access *access_with_keys(const struct access *old, size_t issuer,
    struct jwks *keys, int64_t until_ms);
struct access *access_ref(struct access *a); /* NULL is fine for both */
void access_unref(struct access *a);

/* What holds now. */
struct access_slot {
	pthread_mutex_t lock; /* guards now */
	struct access *now;
};
void access_slot_init(struct access_slot *s);
void access_slot_clear(struct access_slot *s);
struct access *access_get(struct access_slot *s); /* a reference, or NULL */
void access_put(struct access_slot *s, struct access *a); /* takes it over */

#endif
