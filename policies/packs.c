#include "policies/packs.h"

#include <dirent.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/text.h"

enum {
	ID_SIZE = GIT_OID_RAWSZ,
	FANOUT_AT = 8, /* of an index: after its mark and version */
	IDS_AT = FANOUT_AT + 256 * 4,
	PER_OBJECT = ID_SIZE + 4 + 4, /* id, CRC, offset */
	PACK_HEADER = 12
};

/* A file, mapped. */
struct mapped {
	const unsigned char *data;
	size_t len;
};

struct pack {
	struct mapped index, pack;
	uint32_t count;
};

/* What stands at one place of a pack, unpacked. */
struct base {
	const struct pack *pack;
	size_t at;
	char *text;
	size_t len, room;
};

struct packs {
	struct pack list[PACKS_MAX];
	size_t count;
	size_t last; /* where the last blob was found */
	size_t read; /* blobs, since pages were let go */
	struct libdeflate_decompressor *inflater;
	EVP_MD_CTX *hash; /* NULL: libgit2 is asked for everything */
	struct base bases[PACKS_BASES];
	struct buf delta;    /* of the step in hand */
	struct buf texts[2]; /* base and result, in turns */
};

/* -- files ---------------------------------------------------------------- */

static bool
map_file(struct mapped *out, int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	void *data = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE,
		    fd, 0);
	(void)close(fd);
	if (data == MAP_FAILED)
		return false;
	*out = (struct mapped){ data, (size_t)st.st_size };
	return true;
}

static void
unmap(struct mapped *m)
{
	if (m->data != NULL)
		(void)munmap((void *)(uintptr_t)m->data, m->len);
}

static uint32_t
number(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	    (uint32_t)at[2] << 8 | at[3];
}

/* Version 2, as long as its number of objects wants, sorted in its fan-out. */
static bool
read_index(struct pack *p)
{
	static const unsigned char mark[] = { 0xff, 't', 'O', 'c', 0, 0, 0, 2 };
	const struct mapped *x = &p->index;

	if (x->len < IDS_AT || memcmp(x->data, mark, sizeof(mark)) != 0)
		return false;
	p->count = number(x->data + IDS_AT - 4);
	for (size_t i = 1; i < 256; i++) {
		const unsigned char *at = x->data + FANOUT_AT + 4 * i;

		if (number(at - 4) > number(at))
			return false;
	}
	return (x->len - IDS_AT) / PER_OBJECT >= p->count;
}

static bool
read_pack(const struct pack *p)
{
	static const unsigned char mark[] = { 'P', 'A', 'C', 'K', 0, 0, 0, 2 };

	return p->pack.len >= PACK_HEADER + ID_SIZE &&
	    memcmp(p->pack.data, mark, sizeof(mark)) == 0 &&
	    number(p->pack.data + sizeof(mark)) == p->count;
}

static void
pack_clear(struct pack *p)
{
	unmap(&p->index);
	unmap(&p->pack);
	*p = (struct pack){ 0 };
}

static void
add_pack(struct packs *p, int folder, const char *index)
{
	struct pack *pack = &p->list[p->count];
	AUTO_STR name = mem_printf("%.*s.pack",
	    (int)(strlen(index) - strlen(".idx")), index);

	if (map_file(&pack->index, folder, index) &&
	    map_file(&pack->pack, folder, name) && read_index(pack) &&
	    read_pack(pack))
		p->count++;
	else
		pack_clear(pack);
}

/* Fetched once: OpenSSL looks an algorithm up in its provider at each use. */
static pthread_once_t sha1_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha1;

static void
sha1_fetch(void)
{
	sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
}

struct packs *
packs_open(const char *objects)
{
	struct packs *p = mem_zalloc(sizeof(*p));
	AUTO_STR path = mem_printf("%s/pack", objects);
	DIR *dir = opendir(path);
	const struct dirent *entry;

	if (pthread_once(&sha1_once, sha1_fetch) == 0 && sha1 != NULL)
		p->hash = EVP_MD_CTX_new();
	p->inflater = libdeflate_alloc_decompressor();
	buf_init(&p->delta, PACKS_OBJECT_MAX);
	buf_init(&p->texts[0], PACKS_OBJECT_MAX);
	buf_init(&p->texts[1], PACKS_OBJECT_MAX);
	while (dir != NULL && p->inflater != NULL && p->count < PACKS_MAX &&
	    (entry = readdir(dir)) != NULL) {
		if (text_ends_with(entry->d_name, ".idx"))
			add_pack(p, dirfd(dir), entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return p;
}

void
packs_free(struct packs *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->count; i++)
		pack_clear(&p->list[i]);
	for (size_t i = 0; i < PACKS_BASES; i++)
		mem_free(p->bases[i].text);
	buf_clear(&p->delta);
	buf_clear(&p->texts[0]);
	buf_clear(&p->texts[1]);
	libdeflate_free_decompressor(p->inflater);
	EVP_MD_CTX_free(p->hash);
	mem_free(p);
}

/* -- finding -------------------------------------------------------------- */

/* Where the i-th object of the index lies in the pack. */
static bool
offset_of(const struct pack *p, uint32_t i, size_t *out)
{
	const unsigned char *offsets =
	    p->index.data + IDS_AT + (size_t)p->count * (ID_SIZE + 4);
	const unsigned char *far = offsets + (size_t)p->count * 4;
	uint32_t at = number(offsets + (size_t)i * 4);
	size_t left = (size_t)(p->index.data + p->index.len - far);
	uint64_t whole = at;

	if ((at & 0x80000000u) != 0) {
		at &= 0x7fffffff;
		if (left / 8 <= at)
			return false;
		whole = (uint64_t)number(far + (size_t)at * 8) << 32 |
		    number(far + (size_t)at * 8 + 4);
	}
	*out = (size_t)whole;
	return whole >= PACK_HEADER && whole < p->pack.len - ID_SIZE;
}

static bool
find_in(const struct pack *p, const unsigned char *id, size_t *at)
{
	const unsigned char *fanout = p->index.data + FANOUT_AT;
	uint32_t low = id[0] > 0 ? number(fanout + 4 * (id[0] - 1)) : 0;
	uint32_t high = number(fanout + 4 * id[0]);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(id,
		    p->index.data + IDS_AT + (size_t)middle * ID_SIZE, ID_SIZE);

		if (order == 0)
			return offset_of(p, middle, at);
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static const struct pack *
find(struct packs *p, const git_oid *id, size_t *at)
{
	for (size_t i = 0; i < p->count; i++) {
		size_t k = (p->last + i) % p->count;

		if (find_in(&p->list[k], id->id, at)) {
			p->last = k;
			return &p->list[k];
		}
	}
	return NULL;
}

/* -- unpacking ------------------------------------------------------------ */

enum kind {
	KIND_COMMIT = 1,
	KIND_TREE = 2,
	KIND_BLOB = 3,
	KIND_TAG = 4,
	KIND_OFFSET_DELTA = 6,
	KIND_ID_DELTA = 7
};

/* An object as it stands in a pack. */
struct object {
	enum kind kind;
	size_t size; /* unpacked: of the blob or of the delta */
	size_t base; /* of a delta: where */
	size_t data; /* where its stream begins */
};

struct cursor {
	const unsigned char *at, *end;
};

/* Seven bits a byte, the lowest first. */
static bool
read_size(struct cursor *c, unsigned int bits, uint64_t *size)
{
	unsigned char byte;

	do {
		if (c->at == c->end || bits > 56)
			return false;
		byte = *c->at++;
		*size |= (uint64_t)(byte & 0x7f) << bits;
		bits += 7;
	} while ((byte & 0x80) != 0);
	return true;
}

static bool
read_distance(struct cursor *c, uint64_t *out)
{
	unsigned char byte;

	if (c->at == c->end)
		return false;
	byte = *c->at++;
	*out = byte & 0x7f;
	while ((byte & 0x80) != 0) {
		if (c->at == c->end || *out >> 48 != 0)
			return false;
		byte = *c->at++;
		*out = (*out + 1) << 7 | (byte & 0x7f);
	}
	return true;
}

static bool
read_base(struct object *o, const struct pack *p, size_t at, struct cursor *c)
{
	uint64_t distance;

	if (o->kind == KIND_OFFSET_DELTA) {
		if (!read_distance(c, &distance) || distance == 0 ||
		    distance > at - PACK_HEADER)
			return false;
		o->base = at - (size_t)distance;
		return true;
	}
	if ((size_t)(c->end - c->at) < ID_SIZE || !find_in(p, c->at, &o->base))
		return false;
	c->at += ID_SIZE;
	return true;
}

static bool
read_header(struct object *out, const struct pack *p, size_t at)
{
	struct cursor c = { p->pack.data + at,
		p->pack.data + p->pack.len - ID_SIZE };
	struct object o;
	uint64_t size;

	if (c.at >= c.end)
		return false;
	o.kind = *c.at >> 4 & 7;
	size = *c.at & 15;
	if ((*c.at++ & 0x80) != 0 && !read_size(&c, 4, &size))
		return false;
	if (size > PACKS_OBJECT_MAX)
		return false;
	o.size = (size_t)size;
	o.base = 0;
	if (o.kind == KIND_OFFSET_DELTA || o.kind == KIND_ID_DELTA) {
		if (!read_base(&o, p, at, &c))
			return false;
	} else if (o.kind < KIND_COMMIT || o.kind > KIND_TAG) {
		return false;
	}
	o.data = (size_t)(c.at - p->pack.data);
	*out = o;
	return true;
}

/* Blobs and deltas only. */
static bool
read_object(struct object *out, const struct pack *p, size_t at)
{
	return read_header(out, p, at) &&
	    (out->kind == KIND_BLOB || out->kind > KIND_TAG);
}

/* Appends exactly the bytes that were promised. */
static bool
inflate(struct packs *p, const struct pack *pack, const struct object *o,
    struct buf *out)
{
	char *room = buf_reserve(out, o->size);
	size_t used, left = pack->pack.len - ID_SIZE - o->data;

	if (room == NULL ||
	    libdeflate_zlib_decompress_ex(p->inflater,
		pack->pack.data + o->data, left, room, o->size, &used,
		NULL) != LIBDEFLATE_SUCCESS)
		return false;
	buf_commit(out, o->size);
	return true;
}

/* Offset and length of a copy: a bit for each byte that is there. */
static bool
read_copy(struct cursor *c, unsigned char op, size_t *from, size_t *len)
{
	*from = *len = 0;
	for (unsigned int i = 0; i < 7; i++) {
		size_t *to = i < 4 ? from : len;

		if ((op & 1u << i) == 0)
			continue;
		if (c->at == c->end)
			return false;
		*to |= (size_t)*c->at++ << 8 * (i % 4);
	}
	if (*len == 0)
		*len = 0x10000;
	return true;
}

static bool
apply(struct cursor *c, const char *base, size_t base_len, char *to, size_t len)
{
	size_t from, n;

	while (c->at < c->end) {
		unsigned char op = *c->at++;

		if ((op & 0x80) != 0) {
			if (!read_copy(c, op, &from, &n) || from > base_len ||
			    n > base_len - from || n > len)
				return false;
			memcpy(to, base + from, n);
		} else {
			n = op;
			if (n == 0 || n > (size_t)(c->end - c->at) || n > len)
				return false;
			memcpy(to, c->at, n);
			c->at += n;
		}
		to += n;
		len -= n;
	}
	return len == 0;
}

/* The two sizes at a delta's start. */
static bool
read_sizes(struct cursor *c, const struct buf *delta, uint64_t *from,
    uint64_t *to)
{
	*c = (struct cursor){ (const unsigned char *)delta->data,
		(const unsigned char *)delta->data + delta->len };
	*from = *to = 0;
	return read_size(c, 0, from) && read_size(c, 0, to) &&
	    *to <= PACKS_OBJECT_MAX;
}

static bool
change(struct packs *p, const struct pack *pack, const struct object *o,
    const char *base, size_t base_len, struct buf *out)
{
	uint64_t from, to;
	struct cursor c;
	char *room;

	buf_reset(&p->delta);
	if (!inflate(p, pack, o, &p->delta) ||
	    !read_sizes(&c, &p->delta, &from, &to) || from != base_len)
		return false;
	room = buf_reserve(out, (size_t)to);
	if (room == NULL || !apply(&c, base, base_len, room, (size_t)to))
		return false;
	buf_commit(out, (size_t)to);
	return true;
}

/* -- bases ---------------------------------------------------------------- */

static struct base *
base_slot(struct packs *p, size_t at)
{
	return &p->bases[(at * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

static void
keep_base(struct packs *p, const struct pack *pack, size_t at, const char *text,
    size_t len)
{
	struct base *b = base_slot(p, at);

	if (len > PACKS_BASE_MAX)
		return;
	if (b->room < len) {
		b->text = mem_grow(b->text, len, 1);
		b->room = len;
	}
	if (len > 0)
		memcpy(b->text, text, len);
	b->pack = pack;
	b->at = at;
	b->len = len;
}

static const struct base *
kept_base(struct packs *p, const struct pack *pack, size_t at)
{
	const struct base *b = base_slot(p, at);

	return b->pack == pack && b->at == at ? b : NULL;
}

/* An object and the deltas that lead to it, the last one first. */
struct chain {
	struct object list[PACKS_CHAIN_MAX];
	size_t places[PACKS_CHAIN_MAX];
	size_t count;
	const struct base *base; /* kept, of the last in the list; or NULL */
};

static bool
follow(struct chain *c, struct packs *p, const struct pack *pack, size_t at)
{
	c->count = 0;
	for (;;) {
		struct object *o = &c->list[c->count];

		c->base = kept_base(p, pack, at);
		if (c->base != NULL)
			return true;
		if (c->count == PACKS_CHAIN_MAX || !read_object(o, pack, at))
			return false;
		c->places[c->count++] = at;
		if (o->kind == KIND_BLOB)
			return true;
		at = o->base;
	}
}

/* Appends what the chain comes to. */
static bool
unpack(struct packs *p, const struct pack *pack, struct chain *c,
    struct buf *out)
{
	const char *text = c->base != NULL ? c->base->text : NULL;
	size_t len = c->base != NULL ? c->base->len : 0;

	if (c->count == 0)
		buf_add(out, text, len);
	while (c->count-- > 0) {
		const struct object *o = &c->list[c->count];
		struct buf *to = c->count == 0 ? out : &p->texts[c->count % 2];
		size_t start;

		if (to != out)
			buf_reset(to);
		start = to->len;
		if (o->kind == KIND_BLOB ? !inflate(p, pack, o, to)
					 : !change(p, pack, o, text, len, to))
			return false;
		text = to->data + start;
		len = to->len - start;
		keep_base(p, pack, c->places[c->count], text, len);
	}
	return !out->overflow;
}

/* Pages of packs that were read count as ours until they are let go; the
 * system keeps them as long as it likes. */
static void
let_go(struct packs *p)
{
	if (++p->read < PACKS_PAGES_FOR)
		return;
	p->read = 0;
	for (size_t i = 0; i < p->count; i++) {
		const struct mapped *m = &p->list[i].pack;

		(void)madvise((void *)(uintptr_t)m->data, m->len,
		    MADV_DONTNEED);
	}
}

/* One large blob is no reason to hold on to its size. */
static void
trim(struct buf *b)
{
	if (b->cap <= PACKS_KEPT_MAX)
		return;
	buf_clear(b);
	buf_init(b, PACKS_OBJECT_MAX);
}

static bool
is_blob(struct packs *p, const git_oid *id, const char *data, size_t len)
{
	unsigned char got[EVP_MAX_MD_SIZE];
	unsigned int got_len = 0;
	char head[32];
	int n = snprintf(head, sizeof(head), "blob %zu", len);

	return n > 0 && p->hash != NULL && sha1 != NULL &&
	    EVP_DigestInit_ex(p->hash, sha1, NULL) == 1 &&
	    EVP_DigestUpdate(p->hash, head, (size_t)n + 1) == 1 &&
	    EVP_DigestUpdate(p->hash, data, len) == 1 &&
	    EVP_DigestFinal_ex(p->hash, got, &got_len) == 1 &&
	    got_len == ID_SIZE && memcmp(got, id->id, ID_SIZE) == 0;
}

bool
packs_read(struct packs *p, const git_oid *id, size_t size, struct buf *out)
{
	size_t at, start = out->len;
	const struct pack *pack = find(p, id, &at);
	struct chain c;
	bool good = false;

	if (pack == NULL || out->overflow)
		return false;
	if (follow(&c, p, pack, at) && unpack(p, pack, &c, out))
		good = out->len - start == size &&
		    is_blob(p, id, out->data + start, size);
	let_go(p);
	trim(&p->delta);
	trim(&p->texts[0]);
	trim(&p->texts[1]);
	if (good)
		return true;
	out->overflow = false;
	out->len = start;
	out->data[start] = '\0';
	return false;
}

/* Of a delta, its beginning says what it makes. */
static bool
unpacked_size(struct packs *p, const struct pack *pack, const struct object *o,
    size_t *size)
{
	enum { DELTA_MAX = 64 << 10 }; /* a larger one is not looked into */
	uint64_t from, to;
	struct cursor c;

	*size = o->size;
	if (o->kind <= KIND_TAG)
		return true;
	buf_reset(&p->delta);
	if (o->size > DELTA_MAX || !inflate(p, pack, o, &p->delta) ||
	    !read_sizes(&c, &p->delta, &from, &to))
		return false;
	*size = (size_t)to;
	return true;
}

bool
packs_size(struct packs *p, const git_oid *id, size_t *size)
{
	size_t at;
	const struct pack *pack = find(p, id, &at);
	struct object o;

	return pack != NULL && read_object(&o, pack, at) &&
	    unpacked_size(p, pack, &o, size);
}

bool
packs_size_of_any(struct packs *p, const git_oid *id, size_t *size)
{
	size_t at;
	const struct pack *pack = find(p, id, &at);
	struct object o;

	return pack != NULL && read_header(&o, pack, at) &&
	    unpacked_size(p, pack, &o, size);
}

bool
packs_has_blob(struct packs *p, const git_oid *id)
{
	size_t at;
	const struct pack *pack = find(p, id, &at);
	struct object o;

	for (int i = 0; pack != NULL && i < PACKS_CHAIN_MAX; i++) {
		if (!read_object(&o, pack, at))
			return false;
		if (o.kind == KIND_BLOB)
			return true;
		at = o.base;
	}
	return false;
}
