#include "bundler/blob.h"

#include <string.h>

#include "bundler/bundle.h"
#include "bundler/data.h"
#include "core/canon.h"
#include "core/mem.h"
#include "signing/digest.h"

struct blob_key
blob_key(const char *id, enum blob_kind kind)
{
	struct blob_key key;

	/* All bytes of it count, so padding is set as well. */
	memset(&key, 0, sizeof key);
	memcpy(key.id, id, sizeof key.id);
	key.kind = (char)kind;
	return key;
}

static enum err_code
read_data(struct blob *b, const char *name, const struct buf *text,
    struct err *e)
{
	AUTO_BUF canonical = { 0 };

	TRY(data_read(&b->doc, b->key.kind == BLOB_JSON ? DATA_JSON : DATA_YAML,
	    name, text->data, text->len, e));
	buf_init(&canonical, (size_t)BUNDLE_SIZE_MAX);
	canon_write(&canonical, document_root(b->doc));
	b->cost += document_bytes(b->doc);
	if (!canonical.overflow)
		b->text = buf_steal(&canonical, &b->len);
	return ERR_OK;
}

static enum err_code
read_policy(struct blob *b, const char *name, struct buf *text, struct err *e)
{
	TRY(module_package_read(&b->package, name, text->data, text->len, e));
	b->text = buf_steal(text, &b->len);
	return ERR_OK;
}

enum err_code
blob_new(struct blob **out, const struct blob_key *key, const char *name,
    struct buf *text, struct err *e)
{
	struct blob *b = mem_zalloc(sizeof *b);
	enum err_code code;

	b->key = *key;
	atomic_init(&b->refs, 1);
	if (key->kind == BLOB_POLICY)
		code = read_policy(b, name, text, e);
	else
		code = read_data(b, name, text, e);
	if (code != ERR_OK) {
		blob_unref(b);
		return code;
	}
	if (b->text != NULL)
		digest_hex(b->hash, b->text, b->len);
	b->cost += sizeof *b + b->len;
	*out = b;
	return ERR_OK;
}

struct blob *
blob_ref(struct blob *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

void
blob_unref(struct blob *b)
{
	if (b == NULL || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	mem_free(b->text);
	module_package_clear(&b->package);
	document_free(b->doc);
	mem_free(b);
}
