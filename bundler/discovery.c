#include "bundler/discovery.h"

#include <string.h>

#include "bundler/plan.h"
#include "core/canon.h"
#include "core/mem.h"
#include "signing/digest.h"

#define DATA_PATH DISCOVERY_NAME "/data.json"

/* Canonical, so that the two ways in which engines hash it give the same. */
static enum err_code
write_document(struct buf *out, const char *cluster, const char *text,
    size_t len, struct err *e)
{
	struct document *read = NULL;

	if (len > DISCOVERY_SIZE_MAX)
		return err_set(e, ERR_LIMIT,
		    "discovery of cluster %s: %zu bytes of configuration, more "
		    "than %d; give the cluster fewer bundles",
		    cluster, len, (int)DISCOVERY_SIZE_MAX);
	TRY(canon_read(&read, "discovery", text, len, e));
	AUTO(document, doc) = read;
	if (document_root(doc)->kind != VALUE_OBJECT)
		return err_set(e, ERR_INVALID,
		    "discovery of cluster %s: not an object", cluster);
	canon_write(out, document_root(doc));
	return buf_check(out, "discovery", e);
}

static void
write_manifest(struct buf *out, const char *cluster, const char *revision)
{
	buf_add_str(out, "{\"metadata\":{\"edict\":{\"cluster\":");
	canon_write_string(out, cluster, strlen(cluster));
	buf_printf(out, ",\"format\":%d}},\"rego_version\":1", BUNDLE_FORMAT);
	if (revision != NULL)
		buf_printf(out, ",\"revision\":\"%s\"", revision);
	buf_add_str(out, ",\"roots\":[\"" DISCOVERY_NAME "\"]}");
}

/* The revision is the digest of all the rest. */
static void
set_revision(struct bundle *b, const char *cluster)
{
	AUTO_BUF text = { 0 };
	char hash[DIGEST_HEX_SIZE];

	buf_init(&text, MANIFEST_FILE_MAX);
	write_manifest(&text, cluster, NULL);
	digest_hex(hash, text.data, text.len);
	plan_digest_content(b, hash);
	buf_reset(&text);
	write_manifest(&text, cluster, b->content);
	digest_hex(b->files[0].hash, text.data, text.len);
	b->files[0].data = buf_steal(&text, &b->files[0].len);
	b->unpacked += (int64_t)b->files[0].len;
}

enum err_code
discovery_bundle(struct bundle **out, const char *cluster, const char *text,
    size_t len, struct err *e)
{
	AUTO(bundle, b) = mem_zalloc(sizeof *b);
	AUTO_BUF document = { 0 };

	buf_init(&document, DISCOVERY_SIZE_MAX);
	TRY(write_document(&document, cluster, text, len, e));
	b->name = mem_printf("%s/%s", DISCOVERY_NAME, cluster);
	b->rego_version = 1;
	b->files = mem_array(2, sizeof *b->files);
	b->count = 2;
	b->files[0].path = mem_strdup(MANIFEST_FILE);
	b->files[1].path = mem_strdup(DATA_PATH);
	digest_hex(b->files[1].hash, document.data, document.len);
	b->files[1].data = buf_steal(&document, &b->files[1].len);
	b->unpacked = (int64_t)b->files[1].len;
	set_revision(b, cluster);
	b->roots = mem_array(1, sizeof *b->roots);
	b->roots[b->root_count++] = mem_strdup(DISCOVERY_NAME);
	*out = STEAL(b);
	return ERR_OK;
}
