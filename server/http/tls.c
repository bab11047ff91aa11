#include "server/http/tls.h"

#include <gnutls/x509.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

struct tls {
	atomic_uint references;
	gnutls_certificate_credentials_t credentials;
	gnutls_x509_trust_list_t trust; /* of those; NULL: no client_ca */
	int64_t crl_until_ms; /* wall clock: when a list is out of date; 0: no
	                       * list says */
	char fault[256];      /* of the lists; "" for none */
	int64_t until_ms[TLS_PARTS];
};

static gnutls_datum_t
datum(const char *text)
{
	gnutls_datum_t d = {
		.data = (unsigned char *)(uintptr_t)text,
		.size = text != NULL ? (unsigned int)strlen(text) : 0,
	};

	return d;
}

/* ---- revocation lists ---- */

struct authorities {
	gnutls_x509_crt_t *items;
	unsigned int count;
};

/* Its dates are looked at for each request, as it grows old while it is used. */
static bool
is_signed(gnutls_x509_crl_t crl, const struct authorities *cas)
{
	const unsigned int dates = GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED |
	    GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;
	unsigned int status = ~0u;

	if (gnutls_x509_crl_verify(crl, cas->items, cas->count, 0, &status) !=
	    GNUTLS_E_SUCCESS)
		return false;
	/* Because of its dates it may be called invalid, too. */
	if ((status & dates) != 0)
		status &= ~(dates | (unsigned int)GNUTLS_CERT_INVALID);
	return status == 0;
}

/* Takes crl over. */
static enum err_code
add_list(struct tls *t, const struct authorities *cas, gnutls_x509_crl_t crl,
    unsigned int i, struct err *e)
{
	time_t next = gnutls_x509_crl_get_next_update(crl);
	int64_t until = next == (time_t)-1 ? 0 : (int64_t)next * 1000;

	if (!is_signed(crl, cas)) {
		gnutls_x509_crl_deinit(crl);
		return err_set(e, ERR_INVALID,
		    "list %u is not signed by an authority of tls.client_ca",
		    i + 1);
	}
	/* Not added, it is released. */
	if (gnutls_x509_trust_list_add_crls(t->trust, &crl, 1,
		GNUTLS_TL_NO_DUPLICATES, 0) != 1)
		return err_set(e, ERR_INVALID,
		    "list %u is older than another of its authority", i + 1);
	if (until != 0 && (t->crl_until_ms == 0 || until < t->crl_until_ms))
		t->crl_until_ms = until;
	return ERR_OK;
}

static enum err_code
add_all(struct tls *t, const struct authorities *cas, const char *text,
    struct err *e)
{
	gnutls_datum_t pem = datum(text);
	gnutls_x509_crl_t *lists = NULL;
	unsigned int count = 0;
	enum err_code code = ERR_OK;

	if (gnutls_x509_crl_list_import2(&lists, &count, &pem,
		GNUTLS_X509_FMT_PEM, 0) < 0)
		return err_set(e, ERR_INVALID,
		    "no lists in PEM "
		    "(-----BEGIN X509 CRL-----)");
	if (count == 0 || count > TLS_CRLS_MAX)
		code = err_set(e, ERR_LIMIT, "1 to %d lists, and not %u",
		    TLS_CRLS_MAX, count);
	for (unsigned int i = 0; i < count; i++)
		if (code == ERR_OK)
			code = add_list(t, cas, lists[i], i, e);
		else
			gnutls_x509_crl_deinit(lists[i]);
	gnutls_free(lists);
	return code;
}

static enum err_code
add_lists(struct tls *t, const struct tls_texts *texts, struct err *e)
{
	gnutls_datum_t pem = datum(texts->client_ca);
	struct authorities cas = { 0 };
	enum err_code code;

	if (gnutls_x509_crt_list_import2(&cas.items, &cas.count, &pem,
		GNUTLS_X509_FMT_PEM, 0) < 0)
		return err_set(e, ERR_INVALID, "no authorities for it");
	code = add_all(t, &cas, texts->client_crl, e);
	while (cas.count > 0)
		gnutls_x509_crt_deinit(cas.items[--cas.count]);
	gnutls_free(cas.items);
	return code;
}

/* ---- making ---- */

/* What cannot be read has no end that is known. */
static int64_t
first_end(const char *text)
{
	gnutls_datum_t pem = datum(text);
	gnutls_x509_crt_t *list = NULL;
	unsigned int count = 0;
	int64_t first = 0;

	if (text == NULL ||
	    gnutls_x509_crt_list_import2(&list, &count, &pem,
		GNUTLS_X509_FMT_PEM, 0) < 0)
		return 0;
	for (unsigned int i = 0; i < count; i++) {
		time_t at = gnutls_x509_crt_get_expiration_time(list[i]);

		if (at != (time_t)-1 && (first == 0 || (int64_t)at < first))
			first = (int64_t)at;
		gnutls_x509_crt_deinit(list[i]);
	}
	gnutls_free(list);
	return first * 1000;
}

static enum err_code
read_clients(struct tls *t, const struct tls_texts *texts, struct err *e)
{
	gnutls_datum_t ca = datum(texts->client_ca);
	struct err why = { 0 };

	if (texts->client_ca == NULL)
		return ERR_OK;
	if (gnutls_certificate_set_x509_trust_mem(t->credentials, &ca,
		GNUTLS_X509_FMT_PEM) <= 0)
		return err_set(e, ERR_INVALID,
		    "tls.client_ca: no certificate in PEM");
	gnutls_certificate_get_trust_list(t->credentials, &t->trust);
	if (texts->client_crl != NULL && add_lists(t, texts, &why) != ERR_OK)
		(void)snprintf(t->fault, sizeof t->fault,
		    "tls.client_crl: %.200s", why.text);
	return ERR_OK;
}

static enum err_code
read_all(struct tls *t, const struct tls_texts *texts, struct err *e)
{
	gnutls_datum_t certificate = datum(texts->certificate);
	gnutls_datum_t key = datum(texts->key);
	int result = gnutls_certificate_allocate_credentials(&t->credentials);

	if (result != GNUTLS_E_SUCCESS)
		return err_set(e, ERR_CRYPTO, "tls: %s",
		    gnutls_strerror(result));
	/* Checks, too, that they belong together. */
	result = gnutls_certificate_set_x509_key_mem(t->credentials,
	    &certificate, &key, GNUTLS_X509_FMT_PEM);
	if (result < 0)
		return err_set(e, ERR_INVALID,
		    "tls: certificate and key cannot be used: %s",
		    gnutls_strerror(result));
	t->until_ms[TLS_CERTIFICATE] = first_end(texts->certificate);
	t->until_ms[TLS_CLIENT_CA] = first_end(texts->client_ca);
	return read_clients(t, texts, e);
}

enum err_code
tls_read(struct tls **out, const struct tls_texts *texts, struct err *e)
{
	struct tls *t = mem_zalloc(sizeof *t);
	enum err_code code;

	atomic_init(&t->references, 1);
	code = read_all(t, texts, e);
	if (code == ERR_OK)
		*out = t;
	else
		tls_unref(t);
	return code;
}

struct tls *
tls_ref(struct tls *t)
{
	if (t != NULL)
		(void)atomic_fetch_add(&t->references, 1);
	return t;
}

void
tls_unref(struct tls *t)
{
	if (t == NULL || atomic_fetch_sub(&t->references, 1) > 1)
		return;
	if (t->credentials != NULL)
		gnutls_certificate_free_credentials(t->credentials);
	mem_free(t);
}

int64_t
tls_until_ms(const struct tls *t, enum tls_part part)
{
	return t->until_ms[part];
}

const char *
tls_fault(const struct tls *t)
{
	return t->fault[0] != '\0' ? t->fault : NULL;
}

void
tls_use(const struct tls *t, gnutls_session_t session)
{
	/* It fails for lack of memory alone: then the connection shows what the
	 * server began with. */
	(void)gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
	    t->credentials);
}

/* ---- verifying ---- */

static const struct {
	unsigned int bit;
	const char *why;
} faults[] = {
	{ GNUTLS_CERT_REVOKED, "it is revoked" },
	{ GNUTLS_CERT_EXPIRED, "it is expired" },
	{ GNUTLS_CERT_NOT_ACTIVATED, "it is not valid yet" },
	{ GNUTLS_CERT_SIGNER_NOT_FOUND, "nobody that is trusted signed it" },
	{ GNUTLS_CERT_SIGNER_NOT_CA, "who signed it may not sign" },
	{ GNUTLS_CERT_PURPOSE_MISMATCH, "it is not meant for clients" },
	{ GNUTLS_CERT_INSECURE_ALGORITHM, "its signature is too weak" },
};

static enum err_code
check(const struct tls *t, gnutls_x509_crt_t *certificates, unsigned int count,
    struct err *e)
{
	char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
	gnutls_typed_vdata_st data = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)purpose,
	};
	unsigned int status = ~0u;

	if (gnutls_x509_trust_list_verify_crt2(t->trust, certificates, count,
		&data, 1, 0, &status, NULL) != GNUTLS_E_SUCCESS)
		return err_set(e, ERR_DENIED, "it cannot be checked");
	if (status == 0)
		return ERR_OK;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		if ((status & faults[i].bit) != 0)
			return err_set(e, ERR_DENIED, "%s", faults[i].why);
	return err_set(e, ERR_DENIED, "it does not hold");
}

enum err_code
tls_verify(const struct tls *t, const gnutls_datum_t *chain, unsigned int count,
    int64_t wall_ms, struct err *e)
{
	gnutls_x509_crt_t certificates[TLS_CHAIN_MAX];
	unsigned int made = 0;
	enum err_code code = ERR_OK;

	if (t == NULL || t->trust == NULL || count == 0 || chain == NULL ||
	    count > TLS_CHAIN_MAX)
		return err_set(e, ERR_DENIED, "it cannot be checked");
	if (t->fault[0] != '\0')
		return err_set(e, ERR_DENIED,
		    "the server's revocation list cannot be used");
	if (t->crl_until_ms != 0 && t->crl_until_ms <= wall_ms)
		return err_set(e, ERR_DENIED,
		    "the server's revocation list is out of date");
	while (code == ERR_OK && made < count) {
		if (gnutls_x509_crt_init(&certificates[made]) !=
		    GNUTLS_E_SUCCESS)
			break;
		if (gnutls_x509_crt_import(certificates[made], &chain[made],
			GNUTLS_X509_FMT_DER) != GNUTLS_E_SUCCESS)
			code = err_set(e, ERR_DENIED, "it cannot be read");
		made++;
	}
	if (code == ERR_OK && made < count)
		code = err_set(e, ERR_DENIED, "it cannot be read");
	if (code == ERR_OK)
		code = check(t, certificates, count, e);
	while (made > 0)
		gnutls_x509_crt_deinit(certificates[--made]);
	return code;
}
