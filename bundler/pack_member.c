#include "bundler/pack_member.h"

#include <assert.h>
#include <libdeflate.h>
#include <stdatomic.h>

#include "bundler/cache.h"
#include "bundler/crew.h"
#include "bundler/pack.h"
#include "core/mem.h"

/* Below this number of members a thread costs more than it saves. */
enum { SHARED_MEMBERS = 5 };

struct shared_packing {
	struct pack_members *m;
	atomic_size_t next;
};

static enum err_code
compress(struct libdeflate_compressor *c, struct buf *out, const void *data,
    size_t len, struct err *e)
{
	size_t bound = libdeflate_gzip_compress_bound(c, len), written;
	char *room = buf_reserve(out, bound);

	if (room == NULL)
		return err_set(e, ERR_LIMIT, "gzip: larger than %zu bytes",
		    out->max);
	written = libdeflate_gzip_compress(c, data, len, room, bound);
	assert(written > 0);
	buf_commit(out, written);
	return ERR_OK;
}

enum err_code
pack_gzip(struct buf *out, const void *data, size_t len, struct err *e)
{
	struct libdeflate_compressor *c =
	    libdeflate_alloc_compressor(PACK_LEVEL);
	enum err_code code;

	if (c == NULL)
		return err_set(e, ERR_IO, "gzip: cannot start");
	code = compress(c, out, data, len, e);
	libdeflate_free_compressor(c);
	return code;
}

/* A cache may be older than the program or the library. */
static void
name_maker(struct pack_members *m)
{
	static const char maker[] = "libdeflate " LIBDEFLATE_VERSION_STRING;

	for (size_t i = 0; i < m->count; i++) {
		struct pack_member *member = &m->list[i];
		const int settings[] = { BUNDLE_FORMAT, m->level };
		struct digest *d;

		if (!member->kept)
			continue;
		d = digest_new();
		digest_add_piece(d, maker, sizeof maker);
		digest_add_piece(d, settings, sizeof settings);
		digest_add_piece(d, member->key, sizeof member->key);
		digest_end(d, member->key);
	}
}

/* How many are left to be compressed. */
static size_t
find_known(struct pack_members *m)
{
	struct bundle_cache *cache = m->means->cache;
	size_t unknown = 0;

	if (cache != NULL)
		cache_begin(cache);
	for (size_t i = 0; i < m->count; i++) {
		struct pack_member *member = &m->list[i];

		if (cache != NULL && member->kept)
			member->known = cache_member(cache, member->key);
		unknown += member->known == NULL;
	}
	return unknown;
}

static enum err_code
write_member(struct pack_members *m, size_t i, struct libdeflate_compressor *c,
    struct buf *room)
{
	struct pack_member *member = &m->list[i];
	struct buf *out = &member->bytes;
	const char *text;
	size_t len;

	if (c == NULL)
		return err_set(&member->error, ERR_IO, "gzip: cannot start");
	buf_reset(room);
	TRY(m->text(m->arg, i, room, &text, &len, &member->error));
	buf_init(out, PACK_SIZE_MAX);
	TRY(compress(c, out, text, len, &member->error));
	/* Room was made for the worst case; hold what it takes. */
	out->cap = out->len + 1;
	out->data = mem_grow(out->data, out->cap, 1);
	return ERR_OK;
}

static void
write_share(void *arg, unsigned int who)
{
	struct shared_packing *s = arg;
	struct pack_members *m = s->m;
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(m->level);
	AUTO_BUF room = { 0 };
	size_t i;

	(void)who;
	buf_init(&room, PACK_TAR_MAX);
	while ((i = atomic_fetch_add(&s->next, 1)) < m->count) {
		if (m->list[i].known == NULL)
			m->list[i].code = write_member(m, i, c, &room);
	}
	libdeflate_free_compressor(c);
}

static enum err_code
join(struct buf *out, struct pack_members *m, struct err *e)
{
	size_t len = 0;

	for (size_t i = 0; i < m->count; i++) {
		const struct pack_member *member = &m->list[i];

		if (member->code != ERR_OK)
			return err_set(e, member->code, "%s",
			    member->error.text);
		len += member->known != NULL ? member->known->len
					     : member->bytes.len;
	}
	if (buf_reserve(out, len) == NULL)
		return err_set(e, ERR_LIMIT, "larger than %zu bytes", out->max);
	for (size_t i = 0; i < m->count; i++) {
		struct pack_member *member = &m->list[i];

		if (member->known != NULL)
			buf_add(out, member->known->data, member->known->len);
		else
			buf_add(out, member->bytes.data, member->bytes.len);
		/* Not all of it twice, if nobody keeps it. */
		if (m->means->cache == NULL)
			buf_clear(&member->bytes);
	}
	return ERR_OK;
}

static void
keep(struct pack_members *m)
{
	for (size_t i = 0; i < m->count && m->means->cache != NULL; i++) {
		const struct pack_member *member = &m->list[i];

		if (member->kept && member->known == NULL)
			cache_add_member(m->means->cache, member->key,
			    member->bytes.data, member->bytes.len);
	}
}

enum err_code
pack_members(struct buf *out, struct pack_members *m, struct err *e)
{
	struct shared_packing s = { .m = m };
	size_t unknown;

	if (m->means->cache != NULL)
		name_maker(m);
	unknown = find_known(m);
	crew_run(unknown >= SHARED_MEMBERS ? m->means->threads : 1, write_share,
	    &s);
	TRY(join(out, m, e));
	keep(m);
	return ERR_OK;
}

void
pack_members_clear(struct pack_members *m)
{
	for (size_t i = 0; i < m->count; i++)
		buf_clear(&m->list[i].bytes);
	mem_free(m->list);
}
