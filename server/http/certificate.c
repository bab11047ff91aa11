#include "server/http/certificate.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "server/conf/conf.h"

bool
certificate_fits(const char *pattern, const char *name)
{
	const char *star = NULL;
	const char *from = NULL;

	if ((strstr(pattern, "://") == NULL) != (strstr(name, "://") == NULL))
		return false;
	while (*name != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			from = name;
		} else if (*pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL && *from != '.' && *from != '/') {
			pattern = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	pattern += strspn(pattern, "*");
	return *pattern == '\0';
}

/* ---- its names ---- */

/* DNS names are written in any case. What is no name at all counts for none, so
 * that nothing can hide behind a NUL. */
static bool
is_dns(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
	return len > 0 &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == len;
}

static bool
is_uri(const char *text, size_t len)
{
	if (len == 0 || strlen(text) != len || strstr(text, "://") == NULL)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return false;
	return true;
}

/* CONFLICT: one of its names is of another cluster than those before. */
static enum err_code
take_name(struct certificate *out, const char *name,
    const struct spec_list *map, struct err *e)
{
	const struct conf_certificate *rows = map->items;

	for (size_t i = 0; i < map->count; i++) {
		if (!certificate_fits(rows[i].name, name))
			continue;
		if (out->token.cluster == NULL) {
			(void)snprintf(out->name, sizeof out->name, "%s", name);
			out->token.cluster = rows[i].cluster;
		} else if (strcmp(out->token.cluster, rows[i].cluster) != 0) {
			return err_set(e, ERR_CONFLICT,
			    "its names are of several clusters");
		}
		return ERR_OK;
	}
	return ERR_OK;
}

/* *any: there is a name, whether it is known or not. */
static enum err_code
take_alternatives(struct certificate *out, gnutls_x509_crt_t crt,
    const struct spec_list *map, bool *any, struct err *e)
{
	for (unsigned int i = 0;; i++) {
		char name[CERTIFICATE_NAME_MAX + 1] = "";
		size_t len = sizeof name - 1;
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name,
		    &len, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return ERR_OK;
		if (i >= CERTIFICATE_NAMES_MAX)
			return err_set(e, ERR_LIMIT, "it has too many names");
		if (type < 0)
			return err_set(e, ERR_INVALID,
			    "a name of it cannot be read");
		*any |= type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI;
		if ((type == GNUTLS_SAN_DNSNAME && is_dns(name, len)) ||
		    (type == GNUTLS_SAN_URI && is_uri(name, len)))
			TRY(take_name(out, name, map, e));
	}
}

static enum err_code
take_common_name(struct certificate *out, gnutls_x509_crt_t crt,
    const struct spec_list *map, struct err *e)
{
	char name[CERTIFICATE_NAME_MAX + 1] = "";
	size_t len = sizeof name - 1;

	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
		0, name, &len) != GNUTLS_E_SUCCESS ||
	    !is_dns(name, len))
		return ERR_OK;
	return take_name(out, name, map, e);
}

static enum err_code
take_names(struct certificate *out, gnutls_x509_crt_t crt,
    const struct spec_list *map, struct err *e)
{
	bool any = false;

	TRY(take_alternatives(out, crt, map, &any, e));
	if (!any)
		TRY(take_common_name(out, crt, map, e));
	if (out->token.cluster == NULL)
		return err_set(e, ERR_DENIED,
		    "access.certificates knows none of its names");
	return ERR_OK;
}

static enum err_code
read_leaf(struct certificate *out, const gnutls_datum_t *leaf,
    const struct spec_list *map, struct err *e)
{
	gnutls_x509_crt_t crt;
	enum err_code code;

	if (gnutls_x509_crt_init(&crt) != GNUTLS_E_SUCCESS)
		return err_set(e, ERR_CRYPTO, "it cannot be read");
	if (gnutls_x509_crt_import(crt, leaf, GNUTLS_X509_FMT_DER) !=
	    GNUTLS_E_SUCCESS)
		code = err_set(e, ERR_INVALID, "it cannot be read");
	else
		code = take_names(out, crt, map, e);
	out->token.expires_ms =
	    (int64_t)gnutls_x509_crt_get_expiration_time(crt) * 1000;
	gnutls_x509_crt_deinit(crt);
	return code;
}

enum auth_result
certificate_check(struct certificate *out, struct MHD_Connection *connection,
    const struct tls *tls, const struct spec_list *map, struct err *e)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection,
		MHD_CONNECTION_INFO_GNUTLS_SESSION);
	const gnutls_datum_t *chain;
	unsigned int count = 0;

	if (info == NULL || info->tls_session == NULL)
		return AUTH_NONE;
	chain = gnutls_certificate_get_peers(info->tls_session, &count);
	if (chain == NULL || count == 0)
		return AUTH_NONE;
	*out = (struct certificate){ .token.role = SCOPE_ENGINE };
	if (gnutls_certificate_type_get(info->tls_session) != GNUTLS_CRT_X509)
		chain = NULL;
	if (tls_verify(tls, chain, count, clock_now_ms(), e) != ERR_OK ||
	    read_leaf(out, &chain[0], map, e) != ERR_OK)
		return AUTH_WRONG;
	out->token.name = out->name;
	return AUTH_KNOWN;
}
