#ifndef SERVER_HTTP_TLS_H
#define SERVER_HTTP_TLS_H

/* What the server shows of itself, whose certificates it takes, and which of
 * those are revoked: tls of server.yaml, as read at one time. Never changes;
 * shared by reference, and replaced as a whole. Connections keep what they began
 * with, but a client's certificate is checked for each request against what
 * holds then. Any thread. */

#include <gnutls/gnutls.h>
#include <stdint.h>

#include "core/err.h"

enum { TLS_CHAIN_MAX = 16, TLS_CRLS_MAX = 256 };

/* PEM texts; those that are not given are NULL. */
struct tls_texts {
	const char *certificate, *key, *client_ca, *client_crl;
};

struct tls;

/* On success *out has one reference, the caller's. A revocation list that is of
 * no use is no error: then no client's certificate is taken, and tls_fault says
 * why. */
enum err_code tls_read(struct tls **out, const struct tls_texts *texts,
    struct err *e) MUST_CHECK;
struct tls *tls_ref(struct tls *t); /* NULL is fine for both */
void tls_unref(struct tls *t);

/* Until when the server's own chain, and the authorities of its clients, are
 * good: the first that ends counts. Wall clock; 0: not known, or there is none. */
enum tls_part { TLS_CERTIFICATE, TLS_CLIENT_CA, TLS_PARTS };
int64_t tls_until_ms(const struct tls *t, enum tls_part part);

/* Why no client's certificate can be taken, or NULL. */
const char *tls_fault(const struct tls *t);

/* For a session whose handshake has not begun; t has to outlive it. */
void tls_use(const struct tls *t, gnutls_session_t session);

/* Is this a chain to client_ca, good at this time, meant for clients, and not
 * revoked? DENIED says why not: "it is expired". */
enum err_code tls_verify(const struct tls *t, const gnutls_datum_t *chain,
    unsigned int count, int64_t wall_ms, struct err *e) MUST_CHECK;

#endif
