#include "signing/jws.h"

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/canon.h"
#include "core/mem.h"
#include "core/names.h"
#include "signing/digest.h"

enum {
	HEADER_MAX = 8 * 1024,             /* bytes of JSON */
	PAYLOAD_MAX = JWS_SIZE_MAX / 4 * 3 /* what base64url makes of it fits */
};

/* A text as JSON; nearly all need no escape. */
static void
write_text(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	char *to;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' ||
		    text[i] == '\\') {
			canon_write_string(out, text, len);
			return;
		}
	}
	to = buf_reserve(out, len + 2);
	if (to == NULL)
		return;
	to[0] = '"';
	memcpy(to + 1, text, len);
	to[len + 1] = '"';
	buf_commit(out, len + 2);
}

static void
write_file(struct buf *out, const struct jws_file *file)
{
	static const char start[] = "{\"algorithm\":\"SHA-256\",\"hash\":\"";
	static const char next[] = "\",\"name\":";
	char line[sizeof start + DIGEST_HEX_SIZE + sizeof next], *to = line;

	assert(digest_is_hex(file->hash));
	to = mempcpy(to, start, sizeof start - 1);
	to = mempcpy(to, file->hash, DIGEST_HEX_SIZE - 1);
	to = mempcpy(to, next, sizeof next - 1);
	buf_add(out, line, (size_t)(to - line));
	write_text(out, file->name);
	buf_add_char(out, '}');
}

/* Keys in the order of canonical JSON. */
static void
write_payload(struct buf *out, const char *scope, const struct jws_file *files,
    size_t count)
{
	buf_add_str(out, "{\"files\":[");
	for (size_t i = 0; i < count; i++) {
		assert(i == 0 || strcmp(files[i - 1].name, files[i].name) < 0);
		if (i > 0)
			buf_add_char(out, ',');
		write_file(out, &files[i]);
	}
	buf_add_char(out, ']');
	if (scope != NULL) {
		buf_add_str(out, ",\"scope\":");
		write_text(out, scope);
	}
	buf_add_char(out, '}');
}

static enum err_code
write_parts(struct buf *out, const char *key_id, const char *algorithm,
    const struct buf *payload, struct err *e)
{
	AUTO_BUF header = { 0 };

	buf_init(&header, HEADER_MAX);
	buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", algorithm,
	    key_id);
	TRY(buf_check(&header, "header of the JWS", e));
	base64url_add(out, header.data, header.len);
	buf_add_char(out, '.');
	base64url_add(out, payload->data, payload->len);
	return buf_check(out, "signature", e);
}

enum err_code
jws_write_signed(struct buf *out, const char *key_id, const char *algorithm,
    const char *scope, const struct jws_file *files, size_t count,
    struct err *e)
{
	AUTO_BUF payload = { 0 };

	if (count > JWS_FILES_MAX)
		return err_set(e, ERR_LIMIT,
		    "a bundle of %zu files; at most %d can be signed", count,
		    JWS_FILES_MAX);
	buf_init(&payload, PAYLOAD_MAX);
	write_payload(&payload, scope, files, count);
	TRY(buf_check(&payload, "list of signed files", e));
	return write_parts(out, key_id, algorithm, &payload, e);
}

/* What stands in out from start on is signed. */
static enum err_code
add_signature(struct buf *out, size_t start, const struct key *k, struct err *e)
{
	AUTO_BUF signature = { 0 };

	buf_init(&signature, KEY_SIGNATURE_MAX);
	TRY(key_sign(&signature, k, out->data + start, out->len - start, e));
	buf_add_char(out, '.');
	base64url_add(out, signature.data, signature.len);
	return buf_check(out, "signature", e);
}

enum err_code
jws_sign(struct buf *out, const struct key *k, const char *scope,
    const struct jws_file *files, size_t count, struct err *e)
{
	size_t start = out->len;

	assert(key_id(k) != NULL);
	TRY(jws_write_signed(out, key_id(k),
	    key_algorithm_name(key_algorithm_of(k)), scope, files, count, e));
	return add_signature(out, start, k, e);
}

enum err_code
jws_sign_payload(struct buf *out, const struct key *k,
    const struct buf *payload, struct err *e)
{
	size_t start = out->len;

	assert(key_id(k) != NULL);
	TRY(write_parts(out, key_id(k), key_algorithm_name(key_algorithm_of(k)),
	    payload, e));
	return add_signature(out, start, k, e);
}

/* The three parts of a compact JWS, in place. */
struct parts {
	const char *header, *payload, *signature;
	size_t header_len, payload_len, signature_len;
};

static enum err_code
split(struct parts *p, const char *jws, size_t len, struct err *e)
{
	const char *end = jws + len;
	const char *first = memchr(jws, '.', len);
	const char *second = first == NULL
	    ? NULL
	    : memchr(first + 1, '.', (size_t)(end - first - 1));

	if (second == NULL ||
	    memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
		return err_set(e, ERR_INVALID,
		    "not a compact JWS: it has three parts between two dots");
	*p = (struct parts){
		.header = jws,
		.header_len = (size_t)(first - jws),
		.payload = first + 1,
		.payload_len = (size_t)(second - first - 1),
		.signature = second + 1,
		.signature_len = (size_t)(end - second - 1),
	};
	return ERR_OK;
}

static enum err_code
check_header(char **key_id_out, const json_t *header, const struct key *k,
    struct err *e)
{
	const char *expected = key_algorithm_name(key_algorithm_of(k));
	const char *alg = json_string_value(json_object_get(header, "alg"));
	const json_t *kid = json_object_get(header, "kid");

	if (alg == NULL)
		return err_set(e, ERR_INVALID, "header of the JWS: no alg");
	/* RFC 7515 4.1.11: what it names must be understood; we know none. */
	if (json_object_get(header, "crit") != NULL)
		return err_set(e, ERR_INVALID,
		    "header of the JWS: crit names extensions that are not "
		    "supported");
	if (kid != NULL && !json_is_string(kid))
		return err_set(e, ERR_INVALID,
		    "header of the JWS: kid is no text");
	if (strcmp(alg, expected) != 0)
		return err_set(e, ERR_CRYPTO,
		    "signed with algorithm %.20s, and the key is for %s", alg,
		    expected);
	if (kid != NULL && key_id(k) != NULL &&
	    strcmp(json_string_value(kid), key_id(k)) != 0)
		return err_set(e, ERR_CRYPTO,
		    "signed by key \"%.80s\", and not by \"%s\"",
		    json_string_value(kid), key_id(k));
	*key_id_out = mem_strdup(json_string_value(kid));
	return ERR_OK;
}

static enum err_code
read_header(char **key_id_out, const struct parts *p, const struct key *k,
    struct err *e)
{
	enum err_code code;
	json_error_t fault;
	AUTO_BUF text = { 0 };
	json_t *header;

	buf_init(&text, HEADER_MAX);
	TRY(base64url_read(&text, p->header, p->header_len, "header of the JWS",
	    e));
	header =
	    json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
	if (!json_is_object(header)) {
		json_decref(header);
		return err_set(e, ERR_INVALID,
		    "header of the JWS: not a JSON object");
	}
	code = check_header(key_id_out, header, k, e);
	json_decref(header);
	return code;
}

static enum err_code
check_signature(const struct parts *p, const struct key *k, struct err *e)
{
	AUTO_BUF signature = { 0 };

	buf_init(&signature, 2 * KEY_SIGNATURE_MAX);
	TRY(base64url_read(&signature, p->signature, p->signature_len,
	    "signature of the JWS", e));
	return key_verify(k, p->header, p->header_len + 1 + p->payload_len,
	    signature.data, signature.len, e);
}

/* A member that has to be a text without NUL, because it goes on as a C
 * string; NULL otherwise. */
static const char *
text_of(const struct value *object, const char *key)
{
	const struct value *v = value_get(object, key);

	if (v == NULL || v->kind != VALUE_STRING ||
	    memchr(v->text, '\0', v->text_len) != NULL)
		return NULL;
	return v->text;
}

static enum err_code
read_file(struct jws_file *out, const struct value *v, size_t i, struct err *e)
{
	const char *name, *hash, *algorithm;

	if (v->kind != VALUE_OBJECT)
		return err_set(e, ERR_INVALID,
		    "payload of the JWS: files[%zu] is no object", i);
	name = text_of(v, "name");
	hash = text_of(v, "hash");
	algorithm = text_of(v, "algorithm");
	if (name == NULL || name[0] == '\0' || name[0] == '/')
		return err_set(e, ERR_INVALID,
		    "payload of the JWS: files[%zu] has no good name", i);
	if (algorithm == NULL || strcmp(algorithm, "SHA-256") != 0)
		return err_set(e, ERR_UNSUPPORTED,
		    "payload of the JWS: files[%zu] is not hashed by SHA-256, "
		    "the only algorithm that is supported",
		    i);
	if (hash == NULL || !digest_is_hex(hash))
		return err_set(e, ERR_INVALID,
		    "payload of the JWS: files[%zu]: the hash is not 64 "
		    "lower-case hex digits",
		    i);
	*out = (struct jws_file){ mem_strdup(name), mem_strdup(hash) };
	return ERR_OK;
}

static int
by_name(const void *a, const void *b)
{
	const struct jws_file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static enum err_code
read_files(struct jws_claims *c, const struct value *list, struct err *e)
{
	if (list == NULL || list->kind != VALUE_ARRAY)
		return err_set(e, ERR_INVALID,
		    "payload of the JWS: no list of files: not the signature "
		    "of a bundle");
	if (list->count > JWS_FILES_MAX)
		return err_set(e, ERR_LIMIT,
		    "payload of the JWS: more than %d files", JWS_FILES_MAX);
	c->files = mem_array(list->count, sizeof *c->files);
	for (; c->count < list->count; c->count++)
		TRY(read_file(&c->files[c->count], list->items[c->count],
		    c->count, e));
	if (c->count > 1)
		qsort(c->files, c->count, sizeof *c->files, by_name);
	for (size_t i = 1; i < c->count; i++)
		if (strcmp(c->files[i - 1].name, c->files[i].name) == 0)
			return err_set(e, ERR_INVALID,
			    "payload of the JWS: \"%.200s\" is listed twice",
			    c->files[i].name);
	return ERR_OK;
}

/* Other members (iss, iat, keyid, what somebody added) say nothing to us. */
static enum err_code
read_payload(struct jws_claims *c, const struct parts *p, struct err *e)
{
	AUTO(document, d) = NULL;
	const struct value *root;
	AUTO_BUF text = { 0 };

	buf_init(&text, PAYLOAD_MAX);
	TRY(base64url_read(&text, p->payload, p->payload_len,
	    "payload of the JWS", e));
	TRY(canon_read(&d, "payload of the JWS", text.data, text.len, e));
	root = document_root(d);
	if (root->kind != VALUE_OBJECT)
		return err_set(e, ERR_INVALID,
		    "payload of the JWS: not an object");
	c->scope = mem_strdup(text_of(root, "scope"));
	if (c->scope == NULL && value_get(root, "scope") != NULL)
		return err_set(e, ERR_INVALID,
		    "payload of the JWS: scope is no text");
	return read_files(c, value_get(root, "files"), e);
}

/* Nothing unsigned is parsed. */
static enum err_code
check_parts(struct parts *p, char **key_id_out, const char *jws, size_t len,
    const struct key *k, struct err *e)
{
	if (len > JWS_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "JWS: larger than %d bytes",
		    JWS_SIZE_MAX);
	TRY(split(p, jws, len, e));
	TRY(read_header(key_id_out, p, k, e));
	return check_signature(p, k, e);
}

static enum err_code
verify(struct jws_claims *c, const char *jws, size_t len, const struct key *k,
    struct err *e)
{
	struct parts p = { 0 };

	TRY(check_parts(&p, &c->key_id, jws, len, k, e));
	return read_payload(c, &p, e);
}

enum err_code
jws_verify_payload(struct buf *payload, const char *jws, size_t len,
    const struct key *k, struct err *e)
{
	struct parts p = { 0 };
	AUTO_STR signer = NULL;

	TRY(check_parts(&p, &signer, jws, len, k, e));
	return base64url_read(payload, p.payload, p.payload_len,
	    "payload of the JWS", e);
}

enum err_code
jws_verify(struct jws_claims *out, const char *jws, size_t len,
    const struct key *k, struct err *e)
{
	struct jws_claims c = { 0 };
	enum err_code code = verify(&c, jws, len, k, e);

	if (code != ERR_OK)
		jws_claims_clear(&c);
	else
		*out = c;
	return code;
}

static void
release(const char *text)
{
	mem_free((void *)(uintptr_t)text);
}

void
jws_claims_clear(struct jws_claims *c)
{
	mem_free(c->scope);
	mem_free(c->key_id);
	for (size_t i = 0; i < c->count; i++) {
		release(c->files[i].name);
		release(c->files[i].hash);
	}
	mem_free(c->files);
	*c = (struct jws_claims){ 0 };
}

static const char wrap_start[] = "{\"signatures\":[\"";
static const char wrap_end[] = "\"]}";

void
jws_wrap(struct buf *out, const char *jws, size_t len)
{
	buf_add(out, wrap_start, sizeof wrap_start - 1);
	buf_add(out, jws, len); /* base64url and dots: nothing to escape */
	buf_add(out, wrap_end, sizeof wrap_end - 1);
}

size_t
jws_wrapped(size_t len)
{
	return len + sizeof wrap_start + sizeof wrap_end - 2;
}

/* OPA reads "Plugin" as "plugin" (Go's encoding/json), and a plugin would
 * choose another verifier: so exactly one member, spelt exactly. */
enum err_code
jws_unwrap(struct buf *out, const char *text, size_t len, struct err *e)
{
	AUTO(document, d) = NULL;
	const struct value *root, *list;

	TRY(canon_read(&d, SIGNATURES_FILE, text, len, e));
	root = document_root(d);
	list = root->kind == VALUE_OBJECT ? value_get(root, "signatures")
					  : NULL;
	if (list == NULL || list->kind != VALUE_ARRAY)
		return err_set(e, ERR_INVALID,
		    "%s: no list of signatures: the bundle is unsigned",
		    SIGNATURES_FILE);
	if (root->count != 1)
		return err_set(e, ERR_INVALID,
		    "%s: has more than signatures in it; a plugin or other "
		    "members are not supported",
		    SIGNATURES_FILE);
	if (list->count != 1 || list->items[0]->kind != VALUE_STRING)
		return err_set(e, ERR_INVALID,
		    "%s: %zu signatures; engines take exactly one, as text",
		    SIGNATURES_FILE, list->count);
	buf_add(out, list->items[0]->text, list->items[0]->text_len);
	return buf_check(out, "signature", e);
}
