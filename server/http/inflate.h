#ifndef SERVER_HTTP_INFLATE_H
#define SERVER_HTTP_INFLATE_H

/* Bodies that were sent as gzip (RFC 1952): one member or several in a row, and
 * nothing behind them. Pure; any thread. */

#include "core/buf.h"
#include "core/err.h"

enum {
	INFLATE_RATIO_MAX = 200, /* inflated to sent, beyond INFLATE_FREE */
	INFLATE_FREE = 64 * 1024 /* may be inflated whatever was sent */
};

/* At most max bytes. LIMIT: there are more, or more than the ratio allows;
 * INVALID: it is not gzip, cut short, or not all of it is. Initializes out,
 * which the caller clears in any case. */
enum err_code inflate_gzip(struct buf *out, const char *data, size_t len,
    size_t max, struct err *e) MUST_CHECK;

#endif
