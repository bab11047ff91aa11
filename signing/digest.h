#ifndef SIGNING_DIGEST_H
#define SIGNING_DIGEST_H

/* SHA-256 as lower-case hex. Any thread. */

#include <stddef.h>

enum { DIGEST_HEX_SIZE = 65 };

void digest_hex(char out[DIGEST_HEX_SIZE], const void *data, size_t len);

/* In pieces. */
struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *d, const void *data, size_t len);
/* Adds the length first, so that pieces cannot run into each other. */
void digest_add_piece(struct digest *d, const void *data, size_t len);
void digest_end(struct digest *d, char out[DIGEST_HEX_SIZE]); /* and frees */

/* 64 lower-case hex digits and no more? */
int digest_is_hex(const char *text);

#endif
