#ifndef CORE_YAML_H
#define CORE_YAML_H

/* YAML as OPA reads it (sigs.k8s.io/yaml over YAML 1.1, first document only),
 * from libyaml events into a document. One reader serves configuration and
 * policy data. Scalars convert as there: yes, no, on, off, y, n are booleans,
 * as keys too; numbers lose their text (1.10 becomes 1.1, 0777 is 511); int,
 * float and bool keys become strings; of what is merged by <<, whatever comes
 * later in the text wins. Where OPA would lose or pick at random (duplicate
 * keys, `1:` beside `"1":`, .inf, .nan, null or composite keys, integers over
 * 64 bits, numbers a double cannot hold), this refuses, and so it does what
 * libyaml takes and OPA does not (%YAML 1.2). Text that is valid JSON is read
 * as JSON, as engines do with bundles. Aliases count towards the limits each
 * time they are used, before anything is made of them, and OPA's own rule
 * about their share holds; what they name is shared. Pure, any thread. */

#include "core/value.h"

enum {
	YAML_DEPTH_MAX = 200,
	YAML_NODES_MAX = 4 << 20, /* after aliases are expanded */
	YAML_SIZE_MAX = 64 << 20
};

/* Errors are INVALID or LIMIT and say "<name>:<line>:<column>: <what>". */
enum err_code yaml_read(struct document **out, const char *name,
    const char *text, size_t len, struct err *e) MUST_CHECK;

#endif
