#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/chain_heads.h"
#include "clusters/payload.h"
#include "clusters/store_audit.h"
#include "clusters/store_head.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli_audit.h"
#include "server/cli/cli_key.h"
#include "server/cli/cli_table.h"
#include "signing/head.h"

enum { VERIFY_FILE_MAX = 256 << 20, VERIFY_TRIES = 5 };

/* Where public keys come from. */
enum trust { TRUST_NOTHING, TRUST_FILE, TRUST_OWN };

struct verify {
	const struct cli_args *args;
	struct client *client; /* NULL: of a copy */
	struct chain chain;
	struct chain_heads heads;
	struct key *keys[CLI_AUDIT_KEYS_MAX]; /* of --key */
	size_t key_count;
	json_t *own;  /* the server's keys, by id; NULL: not asked yet */
	json_t *list; /* the heads of the store */
	struct head last;
	size_t signed_count;
	enum trust trust;
};

static void
verify_clear(struct verify *v)
{
	client_free(v->client);
	chain_heads_clear(&v->heads);
	for (size_t i = 0; i < v->key_count; i++)
		key_free(v->keys[i]);
	json_decref(v->own);
	json_decref(v->list);
}

/* ---- keys ---- */

static enum err_code
read_keys(struct verify *v, struct err *e)
{
	const char *names = cli_value(v->args, "key");
	const char *algorithm = cli_value(v->args, "signing-alg");

	while (names != NULL && *names != '\0') {
		size_t len = strcspn(names, ",");
		AUTO_STR file = mem_strndup(names, len);

		if (v->key_count == CLI_AUDIT_KEYS_MAX)
			return err_set(e, ERR_LIMIT,
			    "--key: more than %d files", CLI_AUDIT_KEYS_MAX);
		TRY(cli_key_read(&v->keys[v->key_count], file, NULL,
		    algorithm != NULL ? algorithm : "ES256", false, e));
		v->key_count++;
		names += len + (names[len] == ',');
	}
	return ERR_OK;
}

/* A copy has its keys in files, unless it is one without. */
static enum err_code
own_of_copy(struct buf *pem, const struct verify *v, const char *id,
    struct err *e)
{
	AUTO_STR path =
	    mem_printf("%s/keys/%s.pub", cli_value(v->args, "copy"), id);

	return file_read(pem, path, e);
}

static enum err_code
own_of_server(struct buf *pem, struct verify *v, const char *id, struct err *e)
{
	const json_t *k;
	size_t i;

	if (v->own == NULL)
		TRY(client_call(v->client, "GET", "/keys", NULL, &v->own, NULL,
		    e));
	json_array_foreach(json_object_get(v->own, "items"), i, k) {
		const char *kind = table_string(k, "kind");

		if (kind != NULL && strcmp(kind, "audit") == 0 &&
		    strcmp(table_string(k, "id"), id) == 0)
			buf_add_str(pem, table_string(k, "public"));
	}
	return pem->len > 0
	    ? ERR_OK
	    : err_set(e, ERR_NOT_FOUND, "the server knows no audit key %s", id);
}

static enum err_code
own_key(struct key **out, struct verify *v, const char *jws, struct err *e)
{
	AUTO_BUF pem = { 0 };
	char id[KEY_ID_MAX + 1];

	TRY(head_key(id, jws, strlen(jws), e));
	if (!key_id_is_valid(id))
		return err_set(e, ERR_INVALID, "head: no key's id");
	buf_init(&pem, KEY_FILE_MAX);
	if (v->client != NULL)
		TRY(own_of_server(&pem, v, id, e));
	else
		TRY(own_of_copy(&pem, v, id, e));
	return key_read_public(out, NULL, KEY_ES256, id, pem.data, pem.len, e);
}

/* ---- heads ---- */

static enum err_code
check_signature(struct head *out, struct verify *v, const char *jws,
    struct err *e)
{
	AUTO(key, own) = NULL;
	enum err_code code = ERR_CRYPTO;

	if (strlen(jws) > HEAD_JWS_MAX)
		return err_set(e, ERR_LIMIT, "head: longer than %d bytes",
		    (int)HEAD_JWS_MAX);
	for (size_t i = 0; i < v->key_count && code != ERR_OK; i++)
		code = head_verify(out, jws, strlen(jws), v->keys[i], e);
	if (v->key_count > 0) {
		v->trust = TRUST_FILE;
		return code;
	}
	v->trust = TRUST_OWN;
	TRY(own_key(&own, v, jws, e));
	return head_verify(out, jws, strlen(jws), own, e);
}

static enum err_code
add_head(struct verify *v, const char *jws, bool listed, struct head *out,
    struct err *e)
{
	struct chain_head at = { 0 };
	enum err_code code = check_signature(out, v, jws, e);

	if (code == ERR_CRYPTO || code == ERR_INVALID)
		(void)err_as(e, ERR_CORRUPT);
	if (code != ERR_OK)
		return err_add(e, "audit: a signed head%s does not hold",
		    listed ? "" : " of --heads");
	at.seq = out->seq;
	memcpy(at.hash, out->hash, sizeof at.hash);
	chain_heads_add(&v->heads, &at, jws, listed);
	v->signed_count++;
	if (out->seq >= v->last.seq)
		v->last = *out;
	return ERR_OK;
}

/* What is said beside the signature has to be what it covers. */
static enum err_code
add_listed(struct verify *v, const json_t *row, struct err *e)
{
	const char *jws = table_string(row, "jws");
	const char *hash = table_string(row, "hash");
	const char *at = table_string(row, "at");
	const char *key = table_string(row, "key");
	char id[KEY_ID_MAX + 1];
	char signed_at[CLOCK_TEXT_SIZE];
	struct head h = { 0 };

	if (jws == NULL || hash == NULL || at == NULL || key == NULL)
		return err_set(e, ERR_INVALID, "no signed head of the audit");
	TRY(add_head(v, jws, true, &h, e));
	clock_text(signed_at, h.at_ms);
	TRY(head_key(id, jws, strlen(jws), e));
	if (h.seq != table_number(row, "seq") || strcmp(h.hash, hash) != 0 ||
	    strcmp(signed_at, at) != 0 || strcmp(id, key) != 0)
		return err_set(e, ERR_CORRUPT,
		    "audit: the signed head %lld is not of what its row says",
		    (long long)table_number(row, "id"));
	return ERR_OK;
}

static enum err_code
add_list(struct verify *v, struct err *e)
{
	size_t count = json_array_size(v->list);
	bool newest_first = table_number(json_array_get(v->list, 0), "id") >
	    table_number(json_array_get(v->list, count - 1), "id");

	for (size_t i = 0; i < count; i++)
		TRY(add_listed(v,
		    json_array_get(v->list, newest_first ? count - 1 - i : i),
		    e));
	return ERR_OK;
}

/* A line of an export, or a bare JWS; events among them are passed over. */
static enum err_code
add_kept(struct verify *v, const char *line, size_t len, struct err *e)
{
	AUTO_STR text = mem_strndup(line, len);
	AUTO_JSON j = *text == '{' ? json_loads(text, 0, NULL) : NULL;
	const json_t *head = json_object_get(j, "head");
	const char *jws = *text == '{'
	    ? table_string(json_is_object(head) ? head : j, "jws")
	    : text;
	struct head h;

	if (*text == '{' && j == NULL)
		return err_set(e, ERR_INVALID, "--heads: a line is no JSON");
	return jws == NULL ? ERR_OK : add_head(v, jws, false, &h, e);
}

static enum err_code
add_file(struct verify *v, struct err *e)
{
	const char *file = cli_value(v->args, "heads");
	AUTO_BUF text = { 0 };
	size_t before = v->heads.count;

	if (file == NULL)
		return ERR_OK;
	buf_init(&text, VERIFY_FILE_MAX);
	TRY(file_read(&text, file, e));
	for (size_t at = 0; at < text.len;) {
		const char *line = text.data + at;
		const char *end = memchr(line, '\n', text.len - at);
		size_t len = end != NULL ? (size_t)(end - line) : text.len - at;

		if (len > 0)
			TRY(add_kept(v, line, len, e));
		at += len + 1;
	}
	if (v->heads.count == before)
		return err_set(e, ERR_INVALID,
		    "%s: no signed head in it; edict audit --export writes "
		    "them, and edict audit sign",
		    file);
	return ERR_OK;
}

/* ---- events ---- */

static enum err_code
follow_all(struct verify *v, const json_t *events, struct err *e)
{
	for (size_t i = json_array_size(events); i > 0; i--)
		TRY(chain_follow_json(&v->chain, json_array_get(events, i - 1),
		    e));
	return chain_finish(&v->chain, e);
}

/* A head that is signed while events are being read would be told of by none of
 * them: then all is read again. */
static enum err_code
read_server(struct verify *v, json_t **events, struct err *e)
{
	for (int i = 0; i < VERIFY_TRIES; i++) {
		AUTO_JSON before = NULL;
		bool same;

		TRY(cli_audit_heads(&before, v->client, e));
		TRY(cli_audit_events(events, v->client, v->args, e));
		TRY(cli_audit_heads(&v->list, v->client, e));
		same = json_equal(before, v->list) == 1;
		if (same)
			return ERR_OK;
		json_decref(*events);
		*events = NULL;
		json_decref(STEAL(v->list));
	}
	return err_set(e, ERR_UNAVAILABLE,
	    "the audit goes on too fast to be read; try again");
}

static enum err_code
walk_server(struct verify *v, struct err *e)
{
	AUTO_JSON events = NULL;

	TRY(read_server(v, &events, e));
	TRY(add_list(v, e));
	TRY(add_file(v, e));
	return follow_all(v, events, e);
}

static enum err_code
walk_copy(struct verify *v, const char *copy, struct err *e)
{
	TRY(store_copy_heads(copy, &v->list, e));
	TRY(add_list(v, e));
	TRY(add_file(v, e));
	return store_walk_copy(copy, &v->chain, e);
}

/* ---- the answer ---- */

static json_t *
last_json(const struct verify *v)
{
	char at[CLOCK_TEXT_SIZE];

	if (v->signed_count == 0)
		return json_null();
	clock_text(at, v->last.at_ms);
	return json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)v->last.seq,
	    "hash", v->last.hash, "at", at);
}

static void
print_json(const struct verify *v, const char *fault)
{
	static const char
	    *const trust[] = { [TRUST_FILE] = "file", [TRUST_OWN] = "server" };
	char head[CHAIN_HEAD_SIZE];
	json_t *j;

	chain_head_text(head, &v->chain.at);
	j = json_pack("{s:b, s:I, s:s?, s:I, s:o, s:s?, s:s?}", "good",
	    fault == NULL, "events", (json_int_t)v->chain.at.seq, "head",
	    v->chain.at.seq > 0 ? head : NULL, "signed_heads",
	    (json_int_t)v->signed_count, "signed", last_json(v), "key",
	    trust[v->trust], "fault", fault);
	(void)client_print_json(j);
	json_decref(j);
}

static void
print_signed(const struct verify *v)
{
	char at[CLOCK_TEXT_SIZE];

	if (v->signed_count == 0) {
		(void)printf("no signed head\n");
		return;
	}
	clock_text(at, v->last.at_ms);
	(void)printf("%zu signed head%s, the last of event %lld at %s\n",
	    v->signed_count, v->signed_count == 1 ? "" : "s",
	    (long long)v->last.seq, at);
	if (v->trust == TRUST_OWN)
		table_text("checked with the server's own key, which proves "
			   "less: who can change its audit may have changed "
			   "that, too. Keep its public half elsewhere, and "
			   "give it with --key.",
		    0, 4);
}

static void
print_good(const struct verify *v)
{
	char head[CHAIN_HEAD_SIZE];

	chain_head_text(head, &v->chain.at);
	(void)printf("%lld events, each as it was written\nhead %s\n",
	    (long long)v->chain.at.seq, head);
	print_signed(v);
	if (v->chain.known.seq == 0 && cli_value(v->args, "heads") == NULL)
		table_text("keep a head elsewhere: only --head or --heads with "
			   "it shows that no end was cut off",
		    0, 4);
}

static enum err_code
verify(struct verify *v, struct err *e)
{
	const char *copy = cli_value(v->args, "copy");
	const char *head = cli_value(v->args, "head");

	v->chain.heads = &v->heads;
	if (head != NULL)
		TRY(chain_head_read(&v->chain.known, head, e));
	TRY(read_keys(v, e));
	if (copy != NULL)
		return walk_copy(v, copy, e);
	TRY(client_open(&v->client, v->args, e));
	return walk_server(v, e);
}

enum err_code
cli_audit_verify(const struct cli_args *a, struct err *e)
{
	struct verify v = { .args = a };
	enum err_code code = verify(&v, e);

	if (code == ERR_OK && !cli_given(a, "json"))
		print_good(&v);
	else if (code == ERR_OK || code == ERR_CORRUPT)
		if (cli_given(a, "json"))
			print_json(&v, code == ERR_OK ? NULL : e->text);
	verify_clear(&v);
	return code;
}
