#ifndef CORE_VALUE_H
#define CORE_VALUE_H

/* A document: what JSON or YAML text says, with numbers as literal text and
 * the place of every value. Made by canon_read and yaml_read, never changed
 * afterwards, released as a whole. Reading from several threads is fine. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

enum value_kind {
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_NUMBER, /* text holds the JSON literal */
	VALUE_STRING, /* text holds UTF-8, may contain NUL */
	VALUE_ARRAY,
	VALUE_OBJECT
};

struct value {
	enum value_kind kind;
	bool truth;           /* VALUE_BOOL */
	uint32_t line;        /* from 1; 0 when not from a text */
	uint32_t column;      /* from 1, in bytes */
	const char *text;     /* NUL-terminated besides */
	size_t text_len;
	size_t count;         /* of items or members */
	struct value **items; /* array items or member values */
	struct value **keys;  /* object: VALUE_STRINGs in order of appearance */
};

struct document; /* owns the memory of all its values */

const struct value *document_root(const struct document *d);
void document_free(struct document *d);
AUTO_FREE(document)

/* The member of an object, or NULL. */
const struct value *value_get(const struct value *object, const char *key);

/* "object", "array", … for messages. */
const char *value_kind_name(enum value_kind kind);

#endif
