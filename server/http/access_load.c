#include "server/http/access_load.h"

#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "server/http/material.h"
#include "signing/digest.h"

/* ---- TLS ---- */

static enum err_code
check_text(const struct buf *b, int part, struct err *e)
{
	if (b->data != NULL && strlen(b->data) != b->len)
		return err_set(e, ERR_INVALID, "tls.%s: not PEM: it holds NUL",
		    material_names[part]);
	return ERR_OK;
}

static enum err_code
read_tls(struct tls **out, const struct material *m, struct err *e)
{
	struct tls_texts texts = {
		.certificate = m->parts[MATERIAL_CERTIFICATE].data,
		.key = m->parts[MATERIAL_KEY].data,
		.client_ca = m->parts[MATERIAL_CLIENT_CA].data,
		.client_crl = m->parts[MATERIAL_CLIENT_CRL].data,
	};

	for (int i = 0; i < MATERIAL_PARTS; i++)
		TRY(check_text(&m->parts[i], i, e));
	return tls_read(out, &texts, e);
}

static enum err_code
load_tls(struct access **a, const struct conf *c, struct err *e)
{
	struct material m;
	struct tls *t = NULL;
	struct access *next;
	enum err_code code;

	if (c->tls.certificate == NULL)
		return ERR_OK;
	code = material_read(&m, c, e);
	if (code == ERR_OK)
		code = read_tls(&t, &m, e);
	material_clear(&m);
	if (code != ERR_OK)
		return code;
	if (tls_fault(t) != NULL)
		log_error("tls.revocation",
		    "error=\"%s\" reason=\"no client certificate is taken\"",
		    tls_fault(t));
	next = access_with_tls(*a, t);
	tls_unref(t);
	access_unref(*a);
	*a = next;
	return ERR_OK;
}

/* ---- keys ---- */

static enum err_code
take_keys(struct access **out, const struct access *old, const struct conf *c,
    size_t i, const struct buf *text, int64_t at_ms, struct err *e)
{
	const struct jwt_issuer *issuer = &old->issuers[i];
	int64_t until = material_keys_until(c, i, at_ms);
	char digest[DIGEST_HEX_SIZE];
	struct jwks *keys = NULL;

	digest_hex(digest, text->data, text->len);
	if (issuer->keys != NULL &&
	    strcmp(jwks_digest(issuer->keys), digest) == 0) {
		*out = access_with_keys(old, i, issuer->keys, until);
		return ERR_OK;
	}
	TRY(jwks_read(&keys, "key set", text->data, text->len,
	    issuer->algorithms, e));
	log_info("jwt.keys", "issuer=\"%s\" keys=%zu left_out=%zu why=\"%s\"",
	    issuer->conf->issuer, jwks_count(keys), jwks_left_out(keys),
	    jwks_why(keys));
	*out = access_with_keys(old, i, keys, until);
	jwks_unref(keys);
	return ERR_OK;
}

static void
load_keys(struct access **a, const struct conf *c, size_t i)
{
	AUTO_BUF text = { 0 };
	struct access *next = NULL;
	struct err e = { 0 };
	int64_t at_ms;
	enum err_code code = material_read_keys(&text, &at_ms, c, i, &e);

	if (code == ERR_OK)
		code = take_keys(&next, *a, c, i, &text, at_ms, &e);
	if (code != ERR_OK) {
		log_warn("jwt.no_keys", "issuer=\"%s\" error=\"%s\"",
		    (*a)->issuers[i].conf->issuer, e.text);
		return;
	}
	access_unref(*a);
	*a = next;
}

enum err_code
access_load(struct access **out, const struct conf *c, struct err *e)
{
	struct access *a = access_new(c);
	enum err_code code = load_tls(&a, c, e);

	for (size_t i = 0; code == ERR_OK && i < a->count; i++)
		load_keys(&a, c, i);
	if (code == ERR_OK)
		*out = a;
	else
		access_unref(a);
	return code;
}

/* ---- what is handed over ---- */

static int
part_of(const char *name)
{
	for (int i = 0; name != NULL && i < MATERIAL_PARTS; i++)
		if (strcmp(material_names[i], name) == 0)
			return i;
	return -1;
}

static enum err_code
read_parts(struct material *out, const struct message *m, struct err *e)
{
	const json_t *parts = json_object_get(m->payload, "parts");

	if (json_array_size(parts) != m->fd_count)
		return err_set(e, ERR_INVALID, "tls: other parts than files");
	for (size_t i = 0; i < m->fd_count; i++) {
		int part = part_of(json_string_value(json_array_get(parts, i)));

		if (part < 0 || out->parts[part].data != NULL)
			return err_set(e, ERR_INVALID, "tls: no such part");
		buf_init(&out->parts[part],
		    part == MATERIAL_CLIENT_CRL ? MATERIAL_CRL_MAX
						: MATERIAL_PEM_MAX);
		TRY(file_read_fd(&out->parts[part], m->fds[i],
		    material_names[part], e));
	}
	return ERR_OK;
}

/* Unlike at the start, a revocation list of no use leaves the one before. */
static enum err_code
take_tls(struct access **out, const struct access *old, const struct conf *c,
    const struct message *m, struct err *e)
{
	struct material texts = { 0 };
	struct tls *t = NULL;
	enum err_code code = read_parts(&texts, m, e);

	if (code == ERR_OK)
		code = read_tls(&t, &texts, e);
	material_clear(&texts);
	if (code != ERR_OK)
		return code;
	if (tls_fault(t) != NULL && old->tls != NULL &&
	    tls_fault(old->tls) == NULL) {
		code = err_set(e, ERR_INVALID, "%s", tls_fault(t));
	} else if (c->tls.certificate != NULL) {
		*out = access_with_tls(old, t);
		log_info("tls.renewed", "fault=\"%s\"",
		    tls_fault(t) != NULL ? tls_fault(t) : "");
	}
	tls_unref(t);
	return code;
}

static enum err_code
take_text(struct access **out, const struct access *old, const struct conf *c,
    const struct message *m, struct err *e)
{
	AUTO_BUF text = { 0 };
	json_int_t i, at_ms, generation;

	if (json_unpack(m->payload, "{s:s,s:I,s:I,s:I!}", "what",
		&(char *){ NULL }, "issuer", &i, "at_ms", &at_ms, "generation",
		&generation) != 0 ||
	    i < 0 || (size_t)i >= old->count || m->fd_count != 1)
		return err_set(e, ERR_INVALID, "keys: no such issuer");
	buf_init(&text, JWKS_SIZE_MAX);
	TRY(file_read_fd(&text, m->fds[0], "key set", e));
	return take_keys(out, old, c, (size_t)i, &text, at_ms, e);
}

void
access_take(struct access **out, const struct access *old, const struct conf *c,
    const struct message *m)
{
	const char *what =
	    json_string_value(json_object_get(m->payload, "what"));
	struct err e = { 0 };
	enum err_code code;

	*out = NULL;
	if (what != NULL && strcmp(what, "tls") == 0)
		code = take_tls(out, old, c, m, &e);
	else if (what != NULL && strcmp(what, "keys") == 0)
		code = take_text(out, old, c, m, &e);
	else
		code = err_set(&e, ERR_INVALID, "nothing that is known");
	if (code != ERR_OK)
		log_error("credentials.refused",
		    "error=\"%s\" reason=\"what was there before stays\"",
		    e.text);
}
