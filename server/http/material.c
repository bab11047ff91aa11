#include "server/http/material.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "server/http/jwks.h"
#include "signing/digest.h"

enum { SIGHT_MAX = 64 * 1024 };

const char *const material_names[MATERIAL_PARTS] = { "certificate", "key",
	"client_ca", "client_crl" };

static enum err_code
read_part(struct buf *out, const char *path, struct err *e)
{
	if (path == NULL)
		return ERR_OK;
	buf_init(out, MATERIAL_PEM_MAX);
	return file_read(out, path, e);
}

static enum err_code
read_lists(struct buf *out, const struct spec_strings *paths, struct err *e)
{
	if (paths->count == 0)
		return ERR_OK;
	buf_init(out, MATERIAL_CRL_MAX);
	for (size_t i = 0; i < paths->count; i++) {
		AUTO_BUF one = { 0 };

		buf_init(&one, MATERIAL_CRL_MAX);
		TRY(file_read(&one, paths->items[i], e));
		buf_add(out, one.data, one.len);
		buf_add_char(out, '\n');
	}
	return buf_check(out, "tls.client_crl", e);
}

enum err_code
material_read(struct material *out, const struct conf *c, struct err *e)
{
	*out = (struct material){ 0 };
	TRY(read_part(&out->parts[MATERIAL_CERTIFICATE], c->tls.certificate,
	    e));
	TRY(read_part(&out->parts[MATERIAL_KEY], c->tls.key, e));
	TRY(read_part(&out->parts[MATERIAL_CLIENT_CA], c->tls.client_ca, e));
	return read_lists(&out->parts[MATERIAL_CLIENT_CRL], &c->tls.client_crl,
	    e);
}

void
material_clear(struct material *m)
{
	struct buf *key = &m->parts[MATERIAL_KEY];

	if (key->data != NULL)
		explicit_bzero(key->data, key->len);
	for (int i = 0; i < MATERIAL_PARTS; i++)
		buf_clear(&m->parts[i]);
}

/* ---- keys ---- */

/* Named by what they are for, so that another URL begins anew. */
char *
material_keys_path(const struct conf *c, size_t i)
{
	const struct conf_jwt *j = c->access.jwt.items;
	char digest[DIGEST_HEX_SIZE];

	if (j[i].jwks_file != NULL)
		return mem_strdup(j[i].jwks_file);
	digest_hex(digest, j[i].jwks_url, strlen(j[i].jwks_url));
	return mem_printf("%s/jwks/%.32s.json", c->data_dir, digest);
}

enum err_code
material_read_keys(struct buf *out, int64_t *at_ms, const struct conf *c,
    size_t i, struct err *e)
{
	AUTO_STR path = material_keys_path(c, i);
	struct stat st;

	buf_init(out, JWKS_SIZE_MAX);
	TRY(file_read(out, path, e));
	/* Replaced in between, it is read again soon. */
	if (stat(path, &st) != 0)
		return err_errno(e, "%s", path);
	*at_ms =
	    (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return ERR_OK;
}

int64_t
material_keys_until(const struct conf *c, size_t i, int64_t at_ms)
{
	const struct conf_jwt *j = c->access.jwt.items;

	return j[i].jwks_url != NULL ? at_ms + j[i].stale_max * 1000 : 0;
}

/* ---- from outside ---- */

static void
see(struct buf *out, const char *path)
{
	struct stat st;

	if (path == NULL)
		buf_add_str(out, "-\n");
	else if (stat(path, &st) != 0)
		buf_printf(out, "error %d\n", errno);
	else
		buf_printf(out,
		    "%" PRIuMAX " %" PRIuMAX " %" PRIdMAX " %" PRIdMAX
		    ".%09ld %" PRIdMAX ".%09ld\n",
		    (uintmax_t)st.st_dev, (uintmax_t)st.st_ino,
		    (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
		    st.st_mtim.tv_nsec, (intmax_t)st.st_ctim.tv_sec,
		    st.st_ctim.tv_nsec);
}

char *
material_sight(const struct conf *c)
{
	AUTO_BUF out = { 0 };

	buf_init(&out, SIGHT_MAX);
	see(&out, c->tls.certificate);
	see(&out, c->tls.key);
	see(&out, c->tls.client_ca);
	for (size_t i = 0; i < c->tls.client_crl.count; i++)
		see(&out, c->tls.client_crl.items[i]);
	return buf_steal(&out, NULL);
}

char *
material_keys_sight(const struct conf *c, size_t i)
{
	AUTO_STR path = material_keys_path(c, i);
	AUTO_BUF out = { 0 };

	buf_init(&out, SIGHT_MAX);
	see(&out, path);
	return buf_steal(&out, NULL);
}
