#ifndef TESTS_DIFFERENTIAL_RULES_H
#define TESTS_DIFFERENTIAL_RULES_H

/* Where a bundle is refused on purpose that an engine would load. Each rule
 * stands in docs/fidelity.md; nothing else may be refused that opa takes. */

#include <stddef.h>

/* The number of the rule that this message is about, or RULES. */
size_t rule_of(const char *message);
size_t rule_count(void);
/* The words by which a message is known; docs/fidelity.md holds them. */
const char *rule_words(size_t i);

#endif
