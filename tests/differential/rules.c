#include "rules.h"

#include <string.h>

static const char *const rules[] = {
	/* JSON and YAML */
	"stands twice in one object",
	"half of a surrogate pair stands alone",
	"not valid UTF-8",
	"byte order mark",
	"nested deeper than",
	"a number longer than 4096 bytes",
	"a backspace or a form feed",
	"the end of the text was expected",
	/* YAML alone */
	"a key cannot be !!binary",
	"would not survive as a key",
	"does not fit: integers have 64 bits",
	"did not find expected tag URI",
	"did not find expected whitespace or line break",
	"a comma right behind a tag",
	"found unexpected ':'",
	"found unknown escape character",
	"!!timestamp is not supported",
	"JSON has no infinity and no NaN",
	/* Manifests */
	"unknown field",
	"is given twice",
	"the key \"edict\" is kept",
	"has to be 0 or 1",
	"only * and ? are understood",
	"revision holds a NUL",
	"holds characters that engines read differently",
	"an empty part between slashes",
	/* Places */
	"nothing but null",
	"lies outside the roots",
};
enum { RULES = sizeof rules / sizeof *rules };

size_t
rule_of(const char *message)
{
	size_t i = 0;

	while (i < RULES && strstr(message, rules[i]) == NULL)
		i++;
	return i;
}

size_t
rule_count(void)
{
	return RULES;
}

const char *
rule_words(size_t i)
{
	return rules[i];
}
