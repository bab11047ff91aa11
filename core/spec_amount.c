#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/spec_parts.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = {
	{ "GiB", 1 << 30 },
	{ "MiB", 1 << 20 },
	{ "KiB", 1 << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct unit second_units[] = {
	{ "d", 86400 },
	{ "h", 3600 },
	{ "m", 60 },
	{ "s", 1 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units_of(enum spec_kind kind)
{
	if (kind == SPEC_SIZE)
		return size_units;
	return kind == SPEC_SECONDS ? second_units : no_units;
}

void
spec_amount_text(char out[SPEC_AMOUNT_SIZE], enum spec_kind kind,
    int64_t amount)
{
	const struct unit *u = units_of(kind);

	while (u->factor > 1 && (amount == 0 || amount % u->factor != 0))
		u++;
	if (kind == SPEC_SECONDS && u->factor == 1)
		(void)snprintf(out, SPEC_AMOUNT_SIZE, "%" PRId64 "s", amount);
	else
		(void)snprintf(out, SPEC_AMOUNT_SIZE, "%" PRId64 "%s",
		    amount / u->factor, u->name);
}

static bool
read_digits(int64_t *out, const char **p)
{
	const char *start = *p;
	int64_t sum = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++) {
		if (__builtin_mul_overflow(sum, (int64_t)10, &sum) ||
		    __builtin_add_overflow(sum, (int64_t)(**p - '0'), &sum))
			return false;
	}
	*out = sum;
	return *p > start;
}

/* Digits and a unit. */
bool
spec_amount_read(int64_t *out, const char *text, enum spec_kind kind)
{
	bool negative = *text == '-' && kind == SPEC_INT;
	const char *p = negative ? text + 1 : text;
	const struct unit *u = units_of(kind);

	if (!read_digits(out, &p))
		return false;
	if (negative)
		*out = -*out;
	while (u->name != NULL && strcmp(u->name, p) != 0)
		u++;
	return u->name != NULL && !__builtin_mul_overflow(*out, u->factor, out);
}

bool
spec_has_range(const struct spec *s)
{
	return s->min != 0 || s->max != 0;
}

void
spec_range_text(char out[SPEC_RANGE_SIZE], const struct spec *s)
{
	char low[SPEC_AMOUNT_SIZE];
	char high[SPEC_AMOUNT_SIZE];

	spec_amount_text(low, s->kind, s->min);
	spec_amount_text(high, s->kind, s->max);
	(void)snprintf(out, SPEC_RANGE_SIZE, "%s to %s", low, high);
}
