#ifndef CORE_VALUE_H
#define CORE_VALUE_H

/* A document: what JSON or YAML text says, with numbers as literal text and
 * the place of every value. Made by canon_read and yaml_read, never changed
 * afterwards, released as a whole. A value may be found at several places of
 * one document (YAML's aliases). Reading from several threads is fine. */

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
	bool truth;       /* VALUE_BOOL */
	uint32_t line;    /* from 1; 0 when not from a text */
	uint32_t column;  /* from 1: bytes in JSON, characters in YAML */
	const char *text; /* NUL-terminated besides */
	size_t text_len;
	size_t count;         /* of items or members */
	struct value **items; /* array items or member values */
	struct value **keys;  /* object: VALUE_STRINGs in order of appearance */
};

struct document; /* owns the memory of all its values */

const struct value *document_root(const struct document *d);
void document_free(struct document *d);
AUTO_FREE(document)

/* The memory that it takes. */
size_t document_bytes(const struct document *d);

/* The member of an object, or NULL. */
const struct value *value_get(const struct value *object, const char *key);

/* "object", "array", … for messages. */
const char *value_kind_name(enum value_kind kind);

/* Text as messages show it: in quotes, escaped, cut after some 60 bytes. */
enum { VALUE_QUOTE_SIZE = 96 };
const char *value_quote(char out[VALUE_QUOTE_SIZE], const char *text,
    size_t len);

/* For the readers of a format only: a document while it is being made. What
 * these return lives and dies with the document. */
struct document *document_new(void);
struct value *document_value(struct document *d, enum value_kind kind,
    uint32_t line, uint32_t column);
void document_text(struct document *d, struct value *v, const char *text,
    size_t len);
/* Room for count pointers, not cleared. */
struct value **document_pointers(struct document *d, size_t count);
void document_set_root(struct document *d, const struct value *root);

/* Puts the indices of these keys in the order of their bytes; equal keys keep
 * their order of appearance. False, with order untouched, when they rise
 * strictly already, as they do in generated files. */
bool value_sort_keys(uint32_t *order, struct value *const *keys, size_t count);

#endif
