/* Tokens: only their SHA-256 is stored. */

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/base64.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/digest.h"

enum { TOKEN_BYTES = 32, TOKEN_SIZE = STORE_TOKEN_SIZE, TOKEN_TEXT_MAX = 512 };

/* What the first start makes, and where it is told. */
static const struct first_token {
	const char *name, *role, *file;
} first_tokens[] = {
	{ "admin", "admin", "admin-token" },
	{ "engine", "engine", "engine-token" },
};

static enum err_code
token_new(char out[TOKEN_SIZE], struct err *e)
{
	unsigned char secret[TOKEN_BYTES];
	char digits[BASE64URL_SIZE(TOKEN_BYTES)];

	if (RAND_bytes(secret, sizeof secret) != 1)
		return err_set(e, ERR_CRYPTO, "no random numbers for a token");
	base64url_write(digits, secret, sizeof secret);
	(void)snprintf(out, TOKEN_SIZE, "edict_%.*s",
	    (int)BASE64URL_SIZE(TOKEN_BYTES), digits);
	OPENSSL_cleanse(secret, sizeof secret);
	OPENSSL_cleanse(digits, sizeof digits);
	return ERR_OK;
}

/* NULL: no limit. */
static enum err_code
read_scope(json_t **out, const struct rows *r, int column, struct err *e)
{
	json_t *list = NULL;

	TRY(rows_json(r, column, &list, e));
	if (json_array_size(list) > 0)
		*out = list;
	else
		json_decref(list);
	return ERR_OK;
}

/* Found by its digest, compared once more without telling by time how much of
 * it was right. */
static enum err_code
find_token(struct store *s, const char *token, const char *role,
    struct store_token *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	char digest[DIGEST_HEX_SIZE];
	struct store_token found = { 0 };
	int64_t now = clock_now_ms();
	enum err_code code;

	digest_hex(digest, token, strnlen(token, TOKEN_TEXT_MAX));
	code = rows_one(&r, s, e,
	    "SELECT digest, name, role, expires_ms, revoked_ms, clusters,"
	    " bundles FROM tokens"
	    " WHERE digest = ?1",
	    "s", digest);
	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	if (code == ERR_NOT_FOUND || strlen(rows_text(&r, 0)) != 64 ||
	    CRYPTO_memcmp(rows_text(&r, 0), digest, 64) != 0 ||
	    rows_int(&r, 4) != 0 ||
	    (rows_int(&r, 3) != 0 && rows_int(&r, 3) <= now) ||
	    !scope_role_parse(&found.role, rows_text(&r, 2)) ||
	    (role != NULL && strcmp(rows_text(&r, 2), role) != 0))
		return err_set(e, ERR_DENIED,
		    "the token is unknown, expired or revoked");
	rows_copy(&r, 1, found.name, sizeof found.name);
	found.admin = found.role == SCOPE_ADMIN;
	code = read_scope(&found.clusters, &r, 5, e);
	if (code == ERR_OK)
		code = read_scope(&found.bundles, &r, 6, e);
	if (code == ERR_OK)
		*out = found;
	else
		store_token_clear(&found);
	return code;
}

void
store_token_clear(struct store_token *t)
{
	json_decref(t->clusters);
	json_decref(t->bundles);
	*t = (struct store_token){ 0 };
}

enum err_code
store_check_token(struct store *s, const char *token, struct store_token *out,
    struct err *e)
{
	return find_token(s, token, NULL, out, e);
}

/* What is to be done about the token of a file. */
enum token_fate {
	TOKEN_KEEP,   /* the file holds a good one */
	TOKEN_ADD,    /* the file is lost: others may have the token still */
	TOKEN_REPLACE /* the file was emptied: nobody is to have it */
};

static enum err_code
revoke_tokens(struct store *s, const struct first_token *f, struct err *e)
{
	int64_t before = store_changes(s);
	struct store_event revoked = { "edict", "", "token.revoke", f->name,
		NULL };

	TRY(sql_run(s, e,
	    "UPDATE tokens SET revoked_ms = ?3 WHERE name = ?1 AND role = ?2"
	    " AND revoked_ms = 0",
	    "ssi", f->name, f->role, clock_now_ms()));
	if (store_changes(s) == before)
		return ERR_OK;
	return store_add_event(s, &revoked, e);
}

static enum err_code
add_token(struct store *s, const struct first_token *f, const char *token,
    struct err *e)
{
	struct store_event made = { "edict", "", "token.create", f->name,
		NULL };
	char digest[DIGEST_HEX_SIZE];

	digest_hex(digest, token, strlen(token));
	TRY(sql_run(s, e,
	    "INSERT INTO tokens (digest, name, role, cluster, created_ms,"
	    " expires_ms, revoked_ms) VALUES (?1,?2,?3,'',?4,0,0)",
	    "sssi", digest, f->name, f->role, clock_now_ms()));
	return store_add_event(s, &made, e);
}

static enum err_code
has_token(struct store *s, const struct first_token *f, bool *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM tokens WHERE name = ?1 AND role = ?2"
	    " AND revoked_ms = 0 AND (expires_ms = 0 OR expires_ms > ?3)",
	    "ssi", f->name, f->role, clock_now_ms()));
	*out = rows_int(&r, 0) > 0;
	return ERR_OK;
}

static void
tell(const struct first_token *f, const char *path, bool others)
{
	if (!others)
		log_info("token.made", "name=%s file=%s", f->name, path);
	else
		log_warn("token.added",
		    "name=%s file=%s reason=\"the file was missing or held "
		    "something else; the token before is still valid: to "
		    "revoke it, empty the file and start the server again\"",
		    f->name, path);
}

/* Stored first, then told: a crash in between leaves a file that does not fit,
 * and the next start adds another. */
static enum err_code
make_token(struct store *s, const struct first_token *f, const char *path,
    enum token_fate fate, struct err *e)
{
	char token[TOKEN_SIZE];
	char line[TOKEN_SIZE + 1];
	bool others = false;
	enum err_code code;

	TRY(token_new(token, e));
	TRY(store_begin(s, e));
	code = fate == TOKEN_REPLACE ? revoke_tokens(s, f, e) : ERR_OK;
	if (code == ERR_OK)
		code = has_token(s, f, &others, e);
	if (code == ERR_OK)
		code = add_token(s, f, token, e);
	if (code != ERR_OK) {
		store_rollback(s);
		return code;
	}
	TRY(store_commit(s, e));
	(void)snprintf(line, sizeof line, "%s\n", token);
	code = file_replace(path, line, strlen(line), 0600, e);
	OPENSSL_cleanse(token, sizeof token);
	OPENSSL_cleanse(line, sizeof line);
	if (code == ERR_OK)
		tell(f, path, others);
	return code;
}

static enum err_code
judge_file(struct store *s, const struct first_token *f, const char *path,
    enum token_fate *fate, struct err *e)
{
	char *token = NULL;
	struct store_token found = { 0 };
	enum err_code code = file_read_secret(&token, path, e);

	*fate = TOKEN_KEEP;
	if (code == ERR_OK) {
		code = find_token(s, token, f->role, &found, e);
		mem_free_secret(token, strlen(token));
		store_token_clear(&found);
		if (code == ERR_DENIED)
			*fate = TOKEN_ADD;
		return code == ERR_DENIED ? ERR_OK : code;
	}
	if (code == ERR_NOT_FOUND)
		*fate = TOKEN_ADD;
	else if (code == ERR_INVALID)
		*fate = TOKEN_REPLACE;
	else
		return code; /* its mode: say so, do not hand out another */
	return ERR_OK;
}

enum err_code
store_make_tokens(struct store *s, const char *data_dir, struct err *e)
{
	for (size_t i = 0; i < sizeof first_tokens / sizeof *first_tokens;
	     i++) {
		AUTO_STR path = file_path(data_dir, first_tokens[i].file);

		enum token_fate fate;

		TRY(judge_file(s, &first_tokens[i], path, &fate, e));
		if (fate != TOKEN_KEEP)
			TRY(make_token(s, &first_tokens[i], path, fate, e));
	}
	return ERR_OK;
}

/* ---- what operators ask for ---- */

static enum err_code
check_name(struct store *s, const struct store_token_row *row, struct err *e)
{
	AUTO_ROWS named = { 0 };
	AUTO_ROWS all = { 0 };

	TRY(rows_one(&named, s, e,
	    "SELECT count(*) FROM tokens WHERE name = ?1 AND revoked_ms = 0",
	    "s", row->name));
	if (rows_int(&named, 0) > 0)
		return err_set(e, ERR_CONFLICT,
		    "there is a token called %s already; revoke it first, or "
		    "take another name",
		    row->name);
	TRY(rows_one(&all, s, e,
	    "SELECT count(*) FROM tokens WHERE revoked_ms = 0", ""));
	if (rows_int(&all, 0) >= STORE_TOKENS_MAX)
		return err_set(e, ERR_LIMIT,
		    "there are %d tokens already; revoke those that nobody "
		    "needs",
		    (int)STORE_TOKENS_MAX);
	return ERR_OK;
}

enum err_code
store_create_token(struct store *s, const struct store_token_row *row,
    char secret[STORE_TOKEN_SIZE], struct err *e)
{
	AUTO_JSON none = json_array();
	char digest[DIGEST_HEX_SIZE];

	TRY(check_name(s, row, e));
	TRY(token_new(secret, e));
	digest_hex(digest, secret, strlen(secret));
	return sql_run(s, e,
	    "INSERT INTO tokens (digest, name, role, cluster, created_ms,"
	    " expires_ms, revoked_ms, clusters, bundles, created_by)"
	    " VALUES (?1,?2,?3,'',?4,?5,0,?6,?7,?8)",
	    "sssiijjs", digest, row->name, scope_role_names[row->role],
	    clock_now_ms(), row->expires_ms,
	    row->clusters != NULL ? row->clusters : none,
	    row->bundles != NULL ? row->bundles : none, row->by);
}

/* Only one that never expires counts: nobody is to be locked out later. */
static enum err_code
check_admins(struct store *s, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM tokens WHERE role = 'admin'"
	    " AND revoked_ms = 0 AND expires_ms = 0",
	    ""));
	if (rows_int(&r, 0) > 0)
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "it is the last admin's token that does not expire; make another "
	    "first");
}

enum err_code
store_revoke_token(struct store *s, const char *name, struct err *e)
{
	AUTO_ROWS r = { 0 };
	int64_t before = store_changes(s);
	bool admin;

	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM tokens WHERE name = ?1 AND role = 'admin'"
	    " AND revoked_ms = 0 AND expires_ms = 0",
	    "s", name));
	admin = rows_int(&r, 0) > 0;
	TRY(sql_run(s, e,
	    "UPDATE tokens SET revoked_ms = ?2 WHERE name = ?1"
	    " AND revoked_ms = 0",
	    "si", name, clock_now_ms()));
	if (store_changes(s) == before)
		return err_set(e, ERR_NOT_FOUND, "no token is called %s", name);
	return admin ? check_admins(s, e) : ERR_OK;
}
