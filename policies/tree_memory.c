/* A tree from memory. */

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "policies/gitlib.h"
#include "policies/tree.h"

/* With OpenSSL: it is several times as fast as libgit2, which looks for
 * collisions as well. Those matter where objects come in. */
void
tree_blob_id(char out[TREE_ID_SIZE], const void *data, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char id[EVP_MAX_MD_SIZE];
	unsigned int id_len = 0;
	char head[32];
	int n = snprintf(head, sizeof(head), "blob %zu", len);

	assert(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, head, (size_t)n + 1) == 1 &&
	    EVP_DigestUpdate(ctx, data, len) == 1 &&
	    EVP_DigestFinal_ex(ctx, id, &id_len) == 1 && id_len == 20);
	EVP_MD_CTX_free(ctx);
	for (size_t i = 0; i < id_len; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", id[i]);
}

struct memory_blob {
	char id[TREE_ID_SIZE];
	struct buf data;
};

struct memory_source {
	struct memory_blob *blobs; /* sorted by id once all are there */
	size_t count;
};

static int
blob_compare(const void *a, const void *b)
{
	const struct memory_blob *x = a, *y = b;

	return strcmp(x->id, y->id);
}

static enum err_code
memory_read(void *arg, const struct tree_entry *entry, struct buf *out,
    struct err *e)
{
	const struct memory_source *s = arg;
	struct memory_blob key;
	const struct memory_blob *blob;

	memcpy(key.id, entry->id, TREE_ID_SIZE);
	blob = bsearch(&key, s->blobs, s->count, sizeof(key), blob_compare);
	assert(blob != NULL);
	buf_add(out, blob->data.data, blob->data.len);
	return buf_check(out, entry->path, e);
}

/* Nothing changes while it is read, so all threads may share it. */
static enum err_code
memory_another(void *arg, struct tree_source *out, struct err *e)
{
	(void)e;
	*out = (struct tree_source){ .read = memory_read, .arg = arg };
	return ERR_OK;
}

static void
memory_release(void *arg)
{
	struct memory_source *s = arg;

	for (size_t i = 0; i < s->count; i++)
		buf_clear(&s->blobs[i].data);
	mem_free(s->blobs);
	mem_free(s);
}

static enum err_code
memory_add(struct memory_source *s, struct tree_maker *m,
    const struct tree_file *file, struct err *e)
{
	struct memory_blob *blob = &s->blobs[s->count];
	const void *data = file->data != NULL ? file->data : "";
	git_oid id;
	int rc;

	/* Before anything as large as len is looked at. */
	TRY(tree_check_path(file->path, e));
	if (file->len > TREE_BLOB_MAX)
		return tree_check_size(file->path, (int64_t)TREE_BLOB_MAX + 1,
		    e);
	rc = git_odb_hash(&id, data, file->len, GIT_OBJECT_BLOB);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: hash", file->path);
	gitlib_hex(blob->id, &id);
	buf_init(&blob->data, TREE_BLOB_MAX);
	s->count++;
	buf_add(&blob->data, data, file->len);
	return tree_maker_add(m, file->path, blob->id, (int64_t)file->len,
	    false, e);
}

enum err_code
tree_from_memory(struct tree **out, const struct tree_file *files, size_t count,
    const char *commit_id, struct err *e)
{
	struct memory_source *s = mem_zalloc(sizeof(*s));
	struct tree_source source = { .read = memory_read,
		.release = memory_release,
		.arg = s,
		.another = memory_another };
	AUTO(tree_maker, m) = tree_maker_new(source);
	struct tree_commit commit = { 0 };

	TRY(gitlib_init(e));
	if (count > TREE_FILES_MAX)
		return err_set(e, ERR_LIMIT, "more than %d files",
		    (int)TREE_FILES_MAX);
	s->blobs = mem_array(count + 1, sizeof(*s->blobs));
	for (size_t i = 0; i < count; i++)
		TRY(memory_add(s, m, &files[i], e));
	qsort(s->blobs, s->count, sizeof(*s->blobs), blob_compare);
	if (commit_id != NULL) {
		git_oid id;

		TRY(gitlib_oid(&id, commit_id, e));
		gitlib_hex(commit.id, &id);
	}
	return tree_maker_end(m, &commit, out, e);
}
