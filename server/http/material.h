#ifndef SERVER_HTTP_MATERIAL_H
#define SERVER_HTTP_MATERIAL_H

/* The files that credentials are known by: tls, and the key sets of access.jwt.
 * They are read by the supervisor, and by http while that may still open them.
 * Nothing is understood here: bytes only. Any thread. */

#include <stdint.h>

#include "core/buf.h"
#include "server/conf/conf.h"

enum material_part {
	MATERIAL_CERTIFICATE,
	MATERIAL_KEY,
	MATERIAL_CLIENT_CA,
	MATERIAL_CLIENT_CRL, /* all of its files, one after the other */
	MATERIAL_PARTS
};
enum {
	MATERIAL_PEM_MAX = 256 * 1024, /* bytes of one part */
	MATERIAL_CRL_MAX = 16 << 20
};
extern const char *const material_names[MATERIAL_PARTS];

/* The files of tls; a part that is not configured has no memory. The caller
 * clears it, which wipes the key. */
struct material {
	struct buf parts[MATERIAL_PARTS];
};
enum err_code material_read(struct material *out, const struct conf *c,
    struct err *e) MUST_CHECK;
void material_clear(struct material *m);

/* Where the keys of access.jwt[i] are: the configured file, or what the pipeline
 * got from the URL. mem_free. */
char *material_keys_path(const struct conf *c, size_t i);

/* What is there. *at_ms: when it was written (wall clock). */
enum err_code material_read_keys(struct buf *out, int64_t *at_ms,
    const struct conf *c, size_t i, struct err *e) MUST_CHECK;

/* Until when keys of that time count: 0, for ever, for those of a file. */
int64_t material_keys_until(const struct conf *c, size_t i, int64_t at_ms);

/* How the files look from outside: another text when one of them changed. The
 * first: those of tls. mem_free. */
char *material_sight(const struct conf *c);
char *material_keys_sight(const struct conf *c, size_t i);

#endif
