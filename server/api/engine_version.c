#include "server/api/engine_version.h"

#include <stddef.h>
#include <stdio.h>

struct version {
	unsigned int major, minor, patch;
};

/* First and last that have it. */
static const struct {
	struct version first, last;
	const char *note;
} known[] = {
	{ { 0, 0, 0 }, { 1, 8, 9999 },
	    "when long polling it fetches a bundle that it cannot activate "
	    "again and again, without a pause (through 1.8)" },
	{ { 1, 12, 0 }, { 1, 12, 0 },
	    "polls discovery without a pause (1.12.0)" },
	{ { 1, 17, 0 }, { 1, 17, 1 },
	    "sends no Accept to registries (1.17.0 and 1.17.1)" },
};

static int
compare(const struct version *a, const struct version *b)
{
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	if (a->minor != b->minor)
		return a->minor < b->minor ? -1 : 1;
	if (a->patch != b->patch)
		return a->patch < b->patch ? -1 : 1;
	return 0;
}

const char *
engine_version_note(const char *version)
{
	struct version v;

	if (sscanf(version, "%4u.%4u.%4u", &v.major, &v.minor, &v.patch) != 3)
		return NULL;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (compare(&v, &known[i].first) >= 0 &&
		    compare(&v, &known[i].last) <= 0)
			return known[i].note;
	return NULL;
}
