/* The pipeline's side of the keeper. */

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/names.h"
#include "signing/keeper.h"
#include "signing/keeper_list.h"

char *
keeper_discovery_scope(const char *cluster)
{
	return mem_printf(DISCOVERY_NAME "/%s", cluster);
}

/* The keeper signed these very bytes, or the signature fits none. */
static enum err_code
take_signature(struct buf *out, char **key_id_out, const struct message *reply,
    const char *scope, const struct jws_file *files, size_t count,
    struct err *e)
{
	const char *id, *algorithm, *signature;
	json_error_t fault;

	if (json_unpack_ex(reply->payload, &fault, 0, "{s:s,s:s,s:s!}", "key",
		&id, "algorithm", &algorithm, "signature", &signature) != 0)
		return err_set(e, ERR_INVALID, "keeper's reply: %s",
		    fault.text);
	TRY(jws_write_signed(out, id, algorithm, scope, files, count, e));
	buf_add_char(out, '.');
	buf_add_str(out, signature);
	TRY(buf_check(out, "signature", e));
	*key_id_out = mem_strdup(id);
	return ERR_OK;
}

/* Takes request over; NULL: it could not be packed. */
static enum err_code
ask(struct caller *keeper, uint32_t kind, struct message *reply,
    json_t *request, const char *scope, const struct jws_file *files,
    size_t count, struct err *e)
{
	enum err_code code;
	int list = -1;

	if (request == NULL)
		return err_set(e, ERR_INVALID,
		    "a bundle's name that is not UTF-8");
	code = keeper_list_send(&list, files, count, e);
	if (code == ERR_OK) {
		code = caller_call(keeper, kind, request, &list, 1,
		    KEEPER_TIMEOUT_MS, reply, e);
		(void)close(list);
	}
	json_decref(request);
	return code == ERR_OK ? ERR_OK : err_add(e, "signing bundle %s", scope);
}

enum err_code
keeper_sign(struct caller *keeper, struct buf *out, char **key_id_out,
    const char *key, const char *bundle, const char *revision,
    const struct jws_file *files, size_t count, struct err *e)
{
	struct message reply = { 0 };
	enum err_code code;

	TRY(ask(keeper, KEEPER_SIGN_BUNDLE, &reply,
	    json_pack("{s:s*,s:s,s:s}", "key", key, "bundle", bundle,
		"revision", revision),
	    bundle, files, count, e));
	code = take_signature(out, key_id_out, &reply, bundle, files, count, e);
	message_clear(&reply);
	return code;
}

enum err_code
keeper_sign_discovery(struct caller *keeper, struct buf *out, char **key_id_out,
    const char *cluster, const char *revision, const struct jws_file *files,
    size_t count, struct err *e)
{
	AUTO_STR scope = keeper_discovery_scope(cluster);
	struct message reply = { 0 };
	enum err_code code;

	TRY(ask(keeper, KEEPER_SIGN_DISCOVERY, &reply,
	    json_pack("{s:s,s:s}", "cluster", cluster, "revision", revision),
	    scope, files, count, e));
	code = take_signature(out, key_id_out, &reply, scope, files, count, e);
	message_clear(&reply);
	return code;
}

enum err_code
keeper_sign_head(struct caller *keeper, struct buf *out, char **key_id_out,
    int64_t seq, const char *hash, int64_t at_ms, struct err *e)
{
	struct message reply = { 0 };
	const char *id, *algorithm, *jws;
	json_error_t fault;
	enum err_code code;
	json_t *request = json_pack("{s:I,s:s,s:I}", "seq", (json_int_t)seq,
	    "hash", hash, "at_ms", (json_int_t)at_ms);

	if (request == NULL)
		return err_set(e, ERR_INVALID,
		    "head of the audit: the hash is not even text");
	code = caller_call(keeper, KEEPER_SIGN_HEAD, request, NULL, 0,
	    KEEPER_TIMEOUT_MS, &reply, e);
	json_decref(request);
	if (code != ERR_OK)
		return err_add(e, "signing the head of the audit");
	if (json_unpack_ex(reply.payload, &fault, 0, "{s:s,s:s,s:s!}", "key",
		&id, "algorithm", &algorithm, "jws", &jws) != 0)
		code =
		    err_set(e, ERR_INVALID, "keeper's reply: %s", fault.text);
	else
		buf_add_str(out, jws);
	if (code == ERR_OK)
		code = buf_check(out, "signature", e);
	if (code == ERR_OK)
		*key_id_out = mem_strdup(id);
	message_clear(&reply);
	return code;
}

enum err_code
keeper_verify(struct caller *keeper, const char *key_id_wanted, const char *jws,
    size_t len, struct err *e)
{
	struct message reply = { 0 };
	enum err_code code;
	json_t *request =
	    json_pack("{s:s,s:s%}", "key", key_id_wanted, "jws", jws, len);

	if (request == NULL)
		return err_set(e, ERR_INVALID,
		    "not a compact JWS: it is not even text");
	code = caller_call(keeper, KEEPER_VERIFY, request, NULL, 0,
	    KEEPER_TIMEOUT_MS, &reply, e);
	json_decref(request);
	if (code == ERR_OK)
		message_clear(&reply);
	return code;
}

enum err_code
keeper_retire(struct caller *keeper, const char *key_id_meant, struct err *e)
{
	struct message reply = { 0 };
	json_t *request = json_pack("{s:s}", "key", key_id_meant);
	enum err_code code;

	if (request == NULL)
		return err_set(e, ERR_INVALID, "a key's id that is not UTF-8");
	code = caller_call(keeper, KEEPER_RETIRE, request, NULL, 0,
	    KEEPER_TIMEOUT_MS, &reply, e);
	json_decref(request);
	if (code == ERR_OK)
		message_clear(&reply);
	return code;
}
