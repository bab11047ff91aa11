#include "bundler/pack.h"

#include <string.h>

#include "bundler/pack_member.h"
#include "core/mem.h"
#include "core/names.h"

enum { LISTING_MAX = 512 << 20 };

/* FNV-1a, and its high bits, which are spread best. */
static bool
chosen(const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path != '\0'; path++)
		h = (uint32_t)((uint64_t)(h ^ (unsigned char)*path) *
		    16777619u);
	return (h >> 16) % PACK_PART_ODDS == 0;
}

size_t
pack_part(const struct bundle_file *const *files, size_t count)
{
	size_t size = 0, n = 0;

	while (n < count) {
		size += pack_tar_size(files[n++]);
		if (size >= PACK_PART_MAX ||
		    (n < count && size >= PACK_PART_MIN &&
			chosen(files[n]->path)))
			break;
	}
	return n;
}

/* -- the content ---------------------------------------------------------- */

struct part {
	const struct bundle_file *const *files;
	size_t count; /* none: the end of the tar */
};

struct content {
	const struct bundle_file **order;
	struct part *parts;
	size_t cap;                  /* of parts and of members */
	struct pack_members members; /* one for each part */
};

/* The manifest goes first, so that a reader sees it before all else. */
static const struct bundle_file **
in_order(const struct bundle *b, bool *manifest)
{
	const struct bundle_file **order =
	    mem_array(b->count + 1, sizeof *order);
	size_t filled = 1;

	*manifest = false;
	for (size_t i = 0; i < b->count; i++) {
		const struct bundle_file *file = &b->files[i];

		if (!*manifest && strcmp(file->path, MANIFEST_FILE) == 0) {
			*manifest = true;
			order[0] = file;
		} else {
			order[filled++] = file;
		}
	}
	if (!*manifest)
		memmove(order, order + 1, b->count * sizeof *order);
	return order;
}

static void
add_part(struct content *c, size_t first, size_t count, bool kept)
{
	size_t i = c->members.count++;

	if (i == c->cap) {
		c->cap = c->cap == 0 ? 16 : c->cap * 2;
		c->parts = mem_grow(c->parts, c->cap, sizeof *c->parts);
		c->members.list =
		    mem_grow(c->members.list, c->cap, sizeof *c->members.list);
	}
	c->parts[i] = (struct part){ &c->order[first], count };
	c->members.list[i] = (struct pack_member){ .kept = kept };
}

static void
divide(struct content *c, const struct bundle *b)
{
	size_t at = 0, count;
	bool manifest;

	c->order = in_order(b, &manifest);
	if (manifest)
		add_part(c, at++, 1, false);
	for (; at < b->count; at += count) {
		count = pack_part(&c->order[at], b->count - at);
		add_part(c, at, count, true);
	}
	add_part(c, at, 0, false);
}

/* Hashes and names say all of what a part is made from. */
static enum err_code
name_parts(struct content *c, struct err *e)
{
	AUTO_BUF listing = { 0 };

	buf_init(&listing, LISTING_MAX);
	for (size_t i = 0; i < c->members.count; i++) {
		const struct part *part = &c->parts[i];

		buf_reset(&listing);
		for (size_t k = 0; k < part->count; k++) {
			const struct bundle_file *f = part->files[k];

			buf_add(&listing, f->hash, sizeof f->hash);
			buf_add(&listing, f->path, strlen(f->path) + 1);
		}
		TRY(buf_check(&listing, "names of a part", e));
		digest_hex(c->members.list[i].key, listing.data, listing.len);
	}
	return ERR_OK;
}

static enum err_code
part_text(void *arg, size_t i, struct buf *room, const char **text, size_t *len,
    struct err *e)
{
	const struct content *c = arg;
	const struct part *part = &c->parts[i];

	TRY(pack_tar(room, part->files, part->count, part->count == 0, e));
	*text = room->data;
	*len = room->len;
	return ERR_OK;
}

enum err_code
bundle_pack_with(struct buf *out, const struct bundle *b,
    const struct bundle_means *means, struct err *e)
{
	struct content c = { .members = { .means = means,
				 .level = PACK_LEVEL,
				 .text = part_text,
				 .arg = &c } };
	enum err_code code = ERR_OK;

	divide(&c, b);
	if (means->cache != NULL)
		code = name_parts(&c, e);
	if (code == ERR_OK)
		code = pack_members(out, &c.members, e);
	if (code != ERR_OK)
		err_add(e, "bundle %s", b->name);
	pack_members_clear(&c.members);
	mem_free(c.parts);
	mem_free(c.order);
	return code;
}

enum err_code
bundle_pack(struct buf *out, const struct bundle *b, struct err *e)
{
	static const struct bundle_means alone = { .threads = 1 };

	return bundle_pack_with(out, b, &alone, e);
}

/* -- the signature's file -------------------------------------------------- */

struct signature {
	struct buf tar;
	struct pack_members members; /* each of PACK_SIGNATURE_PART bytes */
};

static enum err_code
write_signature(struct buf *tar, const char *jws, size_t len, struct err *e)
{
	static char name[] = SIGNATURES_FILE;
	struct bundle_file file = { .path = name, .len = jws_wrapped(len) };

	if (len > JWS_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "%s: larger than %d bytes", name,
		    JWS_SIZE_MAX);
	if (buf_reserve(tar, pack_tar_size(&file)) == NULL)
		return buf_check(tar, name, e);
	pack_tar_header(tar, &file);
	jws_wrap(tar, jws, len);
	pack_tar_fill(tar, file.len);
	return buf_check(tar, name, e);
}

static enum err_code
signature_text(void *arg, size_t i, struct buf *room, const char **text,
    size_t *len, struct err *e)
{
	const struct signature *s = arg;
	size_t left = s->tar.len - i * PACK_SIGNATURE_PART;

	(void)room;
	(void)e;
	*text = s->tar.data + i * PACK_SIGNATURE_PART;
	*len = left < PACK_SIGNATURE_PART ? left : PACK_SIGNATURE_PART;
	return ERR_OK;
}

static void
name_pieces(struct signature *s)
{
	for (size_t i = 0; i < s->members.count; i++) {
		struct pack_member *member = &s->members.list[i];
		const char *text = NULL;
		size_t len = 0;

		if (signature_text(s, i, NULL, &text, &len, NULL) == ERR_OK)
			digest_hex(member->key, text, len);
		/* The last one holds the signature, which never comes again. */
		member->kept = i + 1 < s->members.count;
	}
}

static enum err_code
pack_signature(struct buf *out, struct signature *s, const char *jws,
    size_t len, struct err *e)
{
	TRY(write_signature(&s->tar, jws, len, e));
	s->members.count =
	    (s->tar.len + PACK_SIGNATURE_PART - 1) / PACK_SIGNATURE_PART;
	s->members.list = mem_array(s->members.count, sizeof *s->members.list);
	if (s->members.means->cache != NULL)
		name_pieces(s);
	return pack_members(out, &s->members, e);
}

enum err_code
bundle_sign_pack_with(struct buf *out, const void *content, size_t content_len,
    const char *jws, size_t jws_len, const struct bundle_means *means,
    struct err *e)
{
	struct signature s = { .members = { .means = means,
				   .level = PACK_LEVEL_SIGNATURES,
				   .text = signature_text,
				   .arg = &s } };
	enum err_code code;

	buf_init(&s.tar, PACK_TAR_MAX);
	code = pack_signature(out, &s, jws, jws_len, e);
	pack_members_clear(&s.members);
	buf_clear(&s.tar);
	if (code != ERR_OK)
		return code;
	buf_add(out, content, content_len);
	return buf_check(out, "signed bundle", e);
}

enum err_code
bundle_sign_pack(struct buf *out, const void *content, size_t content_len,
    const char *jws, size_t jws_len, struct err *e)
{
	static const struct bundle_means alone = { .threads = 1 };

	return bundle_sign_pack_with(out, content, content_len, jws, jws_len,
	    &alone, e);
}
