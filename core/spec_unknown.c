#include <string.h>

#include "core/spec_parts.h"

/* How many changes, insertions, removals and swaps of neighbours make one of
 * the other; - and _ count as one. */
static size_t
distance(const char *a, const char *b)
{
	enum { LONGEST = 64 };
	size_t rows[3][LONGEST + 1];
	size_t la = strlen(a);
	size_t lb = strlen(b);

	if (la > LONGEST || lb > LONGEST)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3];
		const size_t *up = rows[(i + 2) % 3];
		const size_t *two_up = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			char x = a[i - 1] == '-' ? '_' : a[i - 1];
			size_t best = up[j - 1] + (x != b[j - 1]);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && two_up[j - 2] + 1 < best)
				best = two_up[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[la % 3][lb];
}

static const char *
closest_key(const struct spec *table, const char *wrong)
{
	const char *closest = NULL;
	size_t least = strlen(wrong) / 3 + 1;

	for (const struct spec *s = table; s->key != NULL; s++) {
		size_t d = distance(wrong, s->key);

		if (spec_is_key_entry(s) || d > least)
			continue;
		if (d < least || closest == NULL)
			closest = s->key;
		least = d;
	}
	return closest;
}

void
spec_unknown_key(const struct spec *table, const struct value *key,
    struct spec_faults *f)
{
	const char *closest = closest_key(table, key->text);
	char quoted[VALUE_QUOTE_SIZE];
	AUTO_BUF list = { 0 };

	value_quote(quoted, key->text, key->text_len);
	if (closest != NULL) {
		spec_fault(f, key, "unknown key %s, did you mean \"%s\"?",
		    quoted, closest);
		return;
	}
	buf_init(&list, 4096);
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (spec_is_key_entry(s))
			continue;
		buf_printf(&list, "%s%s", list.len > 0 ? ", " : "", s->key);
	}
	spec_fault(f, key, "unknown key %s; there are: %s", quoted, list.data);
}
