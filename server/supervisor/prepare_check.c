#include "server/supervisor/prepare_check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/confine.h"
#include "core/file.h"
#include "core/mem.h"
#include "server/http/access_load.h"
#include "signing/key.h"

/* NULL, which is not configured, is fine for both. */
static enum err_code
check_secret(const char *path, struct err *e)
{
	return path == NULL ? ERR_OK : file_check_secret(path, e);
}

static enum err_code
check_readable(const char *path, struct err *e)
{
	if (path == NULL || access(path, R_OK) == 0)
		return ERR_OK;
	return err_errno(e, "%s", path);
}

static enum err_code
check_tls(const struct conf *c, struct err *e)
{
	struct access *a;

	if (check_secret(c->tls.key, e) != ERR_OK)
		return err_add(e, "tls.key");
	/* Reads all of tls, and what is there of access.jwt. */
	TRY(access_load(&a, c, e));
	access_unref(a);
	return ERR_OK;
}

static enum err_code
check_jwt(const struct conf *c, struct err *e)
{
	const struct conf_jwt *j = c->access.jwt.items;

	for (size_t i = 0; i < c->access.jwt.count; i++)
		if (check_readable(j[i].jwks_file, e) != ERR_OK ||
		    check_readable(j[i].ca_file, e) != ERR_OK ||
		    check_secret(j[i].token_file, e) != ERR_OK)
			return err_add(e, "access.jwt[%zu]", i);
	return ERR_OK;
}

static enum err_code
check_repositories(const struct conf *c, struct err *e)
{
	const struct conf_repository *r = c->repositories.items;

	for (size_t i = 0; i < c->repositories.count; i++) {
		const struct conf_credentials *k = &r[i].credentials;

		if (check_secret(k->password_file, e) != ERR_OK ||
		    check_secret(k->ssh_key_file, e) != ERR_OK ||
		    check_secret(k->ssh_passphrase_file, e) != ERR_OK ||
		    check_readable(k->known_hosts_file, e) != ERR_OK ||
		    check_readable(k->ca_file, e) != ERR_OK)
			return err_add(e, "repositories.%s.credentials",
			    r[i].name);
	}
	return ERR_OK;
}

static enum err_code
check_events(const struct conf *c, struct err *e)
{
	const struct conf_event_target *t = c->events.items;

	for (size_t i = 0; i < c->events.count; i++) {
		enum err_code code = check_secret(t[i].url_file, e);

		for (size_t k = 0;
		     code == ERR_OK && k < t[i].secret_files.count; k++)
			code = check_secret(t[i].secret_files.items[k], e);
		if (code == ERR_OK)
			code = check_readable(t[i].ca_file, e);
		if (code != ERR_OK)
			return err_add(e, "events.%s", t[i].name);
	}
	return ERR_OK;
}

/* ---- signing ---- */

static bool
is_imported(const struct conf *c, const char *id)
{
	AUTO_STR path = mem_printf("%s/keys/%s.json", c->data_dir, id);

	return access(path, F_OK) == 0;
}

static enum err_code
check_key(const struct conf_key *k, struct err *e)
{
	AUTO(key, key) = NULL;
	AUTO_BUF text = { 0 };
	enum key_algorithm algorithm;
	enum err_code code;

	buf_init(&text, KEY_FILE_MAX);
	TRY(key_algorithm_parse(&algorithm, k->algorithm, e));
	TRY(file_check_secret(k->private_key_file, e));
	TRY(file_read(&text, k->private_key_file, e));
	code = key_read_private(&key, k->id, algorithm, k->private_key_file,
	    text.data, text.len, e);
	explicit_bzero(text.data, text.len);
	return code;
}

/* What was imported once may be gone. */
static enum err_code
check_signing(const struct conf *c, struct err *e)
{
	const struct conf_key *k = c->signing.keys.items;
	const char *use = c->signing.use;
	bool found = use == NULL || is_imported(c, use);

	for (size_t i = 0; i < c->signing.keys.count; i++) {
		found |= use != NULL && strcmp(k[i].id, use) == 0;
		if (!is_imported(c, k[i].id) && check_key(&k[i], e) != ERR_OK)
			return err_add(e, "signing.keys[%zu]", i);
	}
	if (!found)
		return err_set(e, ERR_NOT_FOUND,
		    "signing.use: there is no key %s, neither in signing.keys "
		    "nor in %s/keys",
		    use, c->data_dir);
	return ERR_OK;
}

enum err_code
prepare_check_sandbox(const struct conf *c, struct err *e)
{
	if (c->gate.sandbox != SANDBOX_BEST_EFFORT &&
	    confine_floor(e) != ERR_OK)
		return err_add(e, "gate.sandbox");
	return ERR_OK;
}

enum err_code
prepare_check(const struct conf *c, struct err *e)
{
	TRY(prepare_check_sandbox(c, e));
	TRY(check_tls(c, e));
	TRY(check_jwt(c, e));
	TRY(check_repositories(c, e));
	TRY(check_events(c, e));
	return check_signing(c, e);
}
