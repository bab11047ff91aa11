#include "server/http/inflate.h"

#include <assert.h>
#include <libdeflate.h>

static size_t
room_for(size_t sent, size_t max)
{
	size_t room = INFLATE_FREE + sent * INFLATE_RATIO_MAX;

	return room < max ? room : max;
}

/* Member after member, until all that was sent is used up. */
static enum libdeflate_result
inflate_members(struct buf *out, const char *data, size_t len, size_t room)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	enum libdeflate_result result = LIBDEFLATE_BAD_DATA;
	char *to = buf_reserve(out, room);
	size_t done = 0;

	assert(d != NULL && to != NULL);
	while (len > 0) {
		size_t used, made;

		result = libdeflate_gzip_decompress_ex(d, data, len, to + done,
		    room - done, &used, &made);
		if (result != LIBDEFLATE_SUCCESS)
			break;
		data += used;
		len -= used;
		done += made;
	}
	libdeflate_free_decompressor(d);
	buf_commit(out, done);
	return result;
}

enum err_code
inflate_gzip(struct buf *out, const char *data, size_t len, size_t max,
    struct err *e)
{
	size_t room = room_for(len, max);

	buf_init(out, room);
	switch (inflate_members(out, data, len, room)) {
	case LIBDEFLATE_SUCCESS:
		return ERR_OK;
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		if (room < max)
			return err_set(e, ERR_LIMIT,
			    "the body inflates to more than %d times what was "
			    "sent; send it plainly, or less at once",
			    INFLATE_RATIO_MAX);
		return err_set(e, ERR_LIMIT,
		    "the body inflates to more than %zu bytes; send less at "
		    "once",
		    max);
	default:
		return err_set(e, ERR_INVALID,
		    "the body is not gzip from its first byte to its last, as "
		    "its Content-Encoding says");
	}
}
