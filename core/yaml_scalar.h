#ifndef CORE_YAML_SCALAR_H
#define CORE_YAML_SCALAR_H

/* What one YAML scalar means to OPA: the rules of go.yaml.in/yaml/v2
 * (resolve.go), of sigs.k8s.io/yaml for keys, and of Go's encoding/json for
 * how a number is then written. Only yaml.c needs this. Pure, any thread;
 * LC_NUMERIC must be "C", which is what a program has that does not set it. */

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum yaml_tag {
	YAML_TAG_NONE,
	YAML_TAG_STR,
	YAML_TAG_BOOL,
	YAML_TAG_INT,
	YAML_TAG_FLOAT,
	YAML_TAG_NULL,
	YAML_TAG_TIMESTAMP,
	YAML_TAG_BINARY,
	YAML_TAG_MERGE,
	YAML_TAG_OTHER /* the text stands for itself */
};

enum yaml_tag yaml_tag_of(const char *tag); /* NULL: YAML_TAG_NONE */

enum yaml_kind {
	YAML_NULL,
	YAML_BOOL,
	YAML_INT,
	YAML_UINT, /* too large for YAML_INT */
	YAML_FLOAT,
	YAML_STRING /* the text as it stands */
};

struct yaml_scalar {
	enum yaml_kind kind;
	bool truth;
	int64_t integer;
	uint64_t natural;
	double real;
};

/* Never called for quoted text without a tag, which is a string. The error's
 * text is without a place. YAML_TAG_BINARY gives YAML_STRING: the caller
 * decodes it. */
enum err_code yaml_resolve(struct yaml_scalar *out, enum yaml_tag tag,
    const char *text, size_t len, struct err *e) MUST_CHECK;

enum { YAML_NUMBER_SIZE = 40 };

/* A number as JSON. ERR_INVALID for what JSON cannot say (.inf, .nan). */
enum err_code yaml_number(char out[YAML_NUMBER_SIZE],
    const struct yaml_scalar *s, struct err *e) MUST_CHECK;

/* The string that a key becomes which is not a string. */
enum err_code yaml_key(char out[YAML_NUMBER_SIZE], const struct yaml_scalar *s,
    struct err *e) MUST_CHECK;

#endif
