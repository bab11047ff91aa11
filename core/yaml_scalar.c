#include "core/yaml_scalar.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/value.h"

enum yaml_tag
yaml_tag_of(const char *tag)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	static const struct {
		const char *name;
		enum yaml_tag tag;
	} known[] = {
		{ "str", YAML_TAG_STR },
		{ "bool", YAML_TAG_BOOL },
		{ "int", YAML_TAG_INT },
		{ "float", YAML_TAG_FLOAT },
		{ "null", YAML_TAG_NULL },
		{ "timestamp", YAML_TAG_TIMESTAMP },
		{ "binary", YAML_TAG_BINARY },
		{ "merge", YAML_TAG_MERGE },
	};

	if (tag == NULL || *tag == '\0')
		return YAML_TAG_NONE;
	if (strncmp(tag, prefix, sizeof prefix - 1) != 0)
		return YAML_TAG_OTHER;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (strcmp(tag + sizeof prefix - 1, known[i].name) == 0)
			return known[i].tag;
	}
	return YAML_TAG_OTHER;
}

static const char *
tag_name(enum yaml_tag tag)
{
	static const char *const names[] = {
		[YAML_TAG_NONE] = "",
		[YAML_TAG_STR] = "!!str",
		[YAML_TAG_BOOL] = "!!bool",
		[YAML_TAG_INT] = "!!int",
		[YAML_TAG_FLOAT] = "!!float",
		[YAML_TAG_NULL] = "!!null",
		[YAML_TAG_TIMESTAMP] = "!!timestamp",
		[YAML_TAG_BINARY] = "!!binary",
		[YAML_TAG_MERGE] = "!!merge",
		[YAML_TAG_OTHER] = "this tag",
	};

	return names[tag];
}

/* The words that mean something; compared exactly: yES is a string. */
static bool
resolve_word(struct yaml_scalar *out, const char *text, size_t len)
{
	static const struct {
		const char *words[8];
		enum yaml_kind kind;
		bool truth;
		double real;
	} table[] = {
		{ { "y", "Y", "yes", "Yes", "YES" }, YAML_BOOL, true, 0 },
		{ { "true", "True", "TRUE" }, YAML_BOOL, true, 0 },
		{ { "on", "On", "ON" }, YAML_BOOL, true, 0 },
		{ { "n", "N", "no", "No", "NO" }, YAML_BOOL, false, 0 },
		{ { "false", "False", "FALSE" }, YAML_BOOL, false, 0 },
		{ { "off", "Off", "OFF" }, YAML_BOOL, false, 0 },
		{ { "", "~", "null", "Null", "NULL" }, YAML_NULL, false, 0 },
		{ { ".nan", ".NaN", ".NAN" }, YAML_FLOAT, false, NAN },
		{ { ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF" },
		    YAML_FLOAT, false, INFINITY },
		{ { "-.inf", "-.Inf", "-.INF" }, YAML_FLOAT, false, -INFINITY },
	};

	if (len > 5)
		return false;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		for (size_t k = 0; table[i].words[k] != NULL; k++) {
			const char *word = table[i].words[k];

			if (strlen(word) != len || memcmp(word, text, len) != 0)
				continue;
			out->kind = table[i].kind;
			out->truth = table[i].truth;
			out->real = table[i].real;
			return true;
		}
	}
	return false;
}

static unsigned int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'z')
		return (unsigned int)(c - 'a') + 10;
	if (c >= 'A' && c <= 'Z')
		return (unsigned int)(c - 'A') + 10;
	return 99;
}

enum number_read { NUMBER_NONE, NUMBER_READ, NUMBER_LARGE };

/* Digits of a base to their end. An empty text is 0, as Go takes "0" for an
 * octal prefix with nothing behind it. */
static enum number_read
read_natural(uint64_t *out, const char *p, unsigned int base)
{
	enum number_read result = NUMBER_READ;
	uint64_t sum = 0;

	for (; *p != '\0'; p++) {
		unsigned int digit = digit_of(*p);

		if (digit >= base)
			return NUMBER_NONE;
		if (__builtin_mul_overflow(sum, (uint64_t)base, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)digit, &sum))
			result = NUMBER_LARGE;
	}
	*out = sum;
	return result;
}

/* As Go's strconv.ParseInt and ParseUint with base 0, without underscores. */
static enum number_read
read_integer(struct yaml_scalar *out, const char *p)
{
	enum number_read result;
	bool negative = *p == '-';
	bool sign = negative || *p == '+';
	uint64_t sum;
	unsigned int base = 10;

	if (sign)
		p++;
	if (*p == '\0')
		return NUMBER_NONE;
	if (*p == '0') {
		char letter = p[1] != '\0' && p[2] != '\0' ? p[1] : '\0';

		p++;
		base = 8;
		if (letter == 'x' || letter == 'X')
			base = 16;
		else if (letter == 'b' || letter == 'B')
			base = 2;
		if (base != 8 || letter == 'o' || letter == 'O')
			p++;
	}
	result = read_natural(&sum, p, base);
	if (result != NUMBER_READ)
		return result;
	if (sum <= INT64_MAX) {
		out->kind = YAML_INT;
		out->integer = negative ? -(int64_t)sum : (int64_t)sum;
	} else if (negative && sum == (uint64_t)INT64_MAX + 1) {
		out->kind = YAML_INT;
		out->integer = INT64_MIN;
	} else if (!sign) {
		out->kind = YAML_UINT;
		out->natural = sum;
	} else {
		result = NUMBER_LARGE;
	}
	return result;
}

static const char *
skip_digits(const char *p)
{
	while (*p >= '0' && *p <= '9')
		p++;
	return p;
}

/* ^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$ */
static bool
looks_like_float(const char *p)
{
	const char *start;

	if (*p == '-' || *p == '+')
		p++;
	start = p;
	p = skip_digits(p);
	if (p > start && *p == '.') {
		p = skip_digits(p + 1);
	} else if (p == start) {
		if (*p != '.')
			return false;
		start = p + 1;
		p = skip_digits(start);
		if (p == start)
			return false;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '-' || *p == '+')
			p++;
		start = p;
		p = skip_digits(p);
		if (p == start)
			return false;
	}
	return *p == '\0';
}

static bool
is_zero_text(const char *p)
{
	for (; *p != '\0' && *p != 'e' && *p != 'E'; p++) {
		if (*p >= '1' && *p <= '9')
			return false;
	}
	return true;
}

static bool
is_exact(uint64_t n)
{
	double d = (double)n;

	/* 2^64 is what the largest ones round to, and is out of range. */
	return d < 18446744073709551616.0 && (uint64_t)d == n;
}

static enum number_read
read_float(struct yaml_scalar *out, const char *p)
{
	if (!looks_like_float(p))
		return NUMBER_NONE;
	out->kind = YAML_FLOAT;
	out->real = strtod(p, NULL);
	if (isinf(out->real) || (out->real == 0 && !is_zero_text(p)))
		return NUMBER_LARGE;
	if (p[strcspn(p, ".eE")] == '\0') {
		/* "08": an integer to people, no octal one to Go. */
		const char *d = *p == '-' || *p == '+' ? p + 1 : p;
		uint64_t n;

		if (read_natural(&n, d, 10) != NUMBER_READ || !is_exact(n))
			return NUMBER_LARGE;
	}
	return NUMBER_READ;
}

static enum err_code
too_large(const char *text, size_t len, struct err *e)
{
	char quoted[VALUE_QUOTE_SIZE];

	return err_set(e, ERR_INVALID,
	    "the number %s does not fit: integers have 64 bits, others are "
	    "doubles; in quotes it is text, in a JSON file it keeps all "
	    "its digits",
	    value_quote(quoted, text, len));
}

/* Readings of Go's that nobody means: 0b-1 is -1, and .5_0 is 0.5 where
 * 0.5_ is text. */
static bool
is_odd(const char *plain, bool stripped)
{
	const char *p = plain;

	if (*p == '.' && stripped)
		return looks_like_float(p);
	return p[0] == '0' && p[1] == 'b' && (p[2] == '-' || p[2] == '+') &&
	    p[3] != '\0' && p[3 + strspn(p + 3, "01")] == '\0';
}

static enum err_code
resolve_number(struct yaml_scalar *out, const char *text, size_t len,
    struct err *e)
{
	enum number_read result = NUMBER_NONE;
	AUTO_STR plain = mem_alloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '_')
			plain[n++] = text[i];
	}
	plain[n] = '\0';
	if (strlen(plain) != n)
		return ERR_OK;
	if (is_odd(plain, n < len)) {
		char quoted[VALUE_QUOTE_SIZE];

		return err_set(e, ERR_INVALID,
		    "%s is an odd way to write a number; in quotes it is text",
		    value_quote(quoted, text, len));
	}
	if (*plain != '.')
		result = read_integer(out, plain);
	if (result == NUMBER_NONE)
		result = read_float(out, plain);
	if (result == NUMBER_LARGE)
		return too_large(text, len, e);
	if (result == NUMBER_NONE)
		out->kind = YAML_STRING;
	return ERR_OK;
}

/* May this text mean anything but itself? By its first byte, as there. */
static bool
may_be_special(const char *text, size_t len)
{
	return len == 0 || strchr("+-0123456789yYnNtTfFoO~.", *text) != NULL;
}

static enum yaml_tag
tag_for(enum yaml_kind kind)
{
	static const enum yaml_tag tags[] = {
		[YAML_NULL] = YAML_TAG_NULL,
		[YAML_BOOL] = YAML_TAG_BOOL,
		[YAML_INT] = YAML_TAG_INT,
		[YAML_UINT] = YAML_TAG_INT,
		[YAML_FLOAT] = YAML_TAG_FLOAT,
		[YAML_STRING] = YAML_TAG_STR,
	};

	return tags[kind];
}

/* A tag that was written must fit what the text is; but !!float takes
 * integers. */
static enum err_code
check_tag(struct yaml_scalar *s, enum yaml_tag tag, const char *text,
    size_t len, struct err *e)
{
	char quoted[VALUE_QUOTE_SIZE];

	if (tag == YAML_TAG_NONE || tag_for(s->kind) == tag)
		return ERR_OK;
	if (tag == YAML_TAG_FLOAT && s->kind == YAML_INT) {
		uint64_t size = s->integer < 0 ? 0 - (uint64_t)s->integer
					       : (uint64_t)s->integer;

		if (!is_exact(size))
			return too_large(text, len, e);
		s->kind = YAML_FLOAT;
		s->real = (double)s->integer;
		return ERR_OK;
	}
	return err_set(e, ERR_INVALID, "%s is no %s",
	    value_quote(quoted, text, len), tag_name(tag));
}

enum err_code
yaml_resolve(struct yaml_scalar *out, enum yaml_tag tag, const char *text,
    size_t len, struct err *e)
{
	*out = (struct yaml_scalar){ .kind = YAML_STRING };
	switch (tag) {
	case YAML_TAG_STR:
	case YAML_TAG_BINARY:
	case YAML_TAG_MERGE:
	case YAML_TAG_OTHER:
		return ERR_OK;
	case YAML_TAG_TIMESTAMP:
		return err_set(e, ERR_INVALID,
		    "!!timestamp is not supported; without the tag this is a "
		    "string");
	default:
		break;
	}
	if (may_be_special(text, len) && !resolve_word(out, text, len) &&
	    strchr("+-.0123456789", *text) != NULL)
		TRY(resolve_number(out, text, len, e));
	return check_tag(out, tag, text, len, e);
}

/* The fewest decimal digits that read back as the same number: digits with a
 * NUL, and the exponent of the first one. */
struct shortest {
	char digits[32];
	int exponent;
};

static bool
reads_back(const struct shortest *s, double x, bool single)
{
	char text[48];

	(void)snprintf(text, sizeof text, "%c.%se%d", s->digits[0],
	    s->digits + 1, s->exponent);
	return single ? strtof(text, NULL) == (float)x
		      : strtod(text, NULL) == x;
}

/* One more in the last place. */
static void
count_up(struct shortest *s)
{
	size_t i = strlen(s->digits);

	while (i > 0 && s->digits[i - 1] == '9')
		s->digits[--i] = '0';
	if (i > 0) {
		s->digits[i - 1]++;
		return;
	}
	s->digits[0] = '1';
	s->exponent++;
}

static void
take_digits(struct shortest *s, double x, int precision)
{
	char text[48];
	size_t n = 0;
	char *e;

	(void)snprintf(text, sizeof text, "%.*e", precision - 1, x);
	e = strchr(text, 'e');
	for (char *p = text; p < e; p++) {
		if (*p != '.')
			s->digits[n++] = *p;
	}
	s->digits[n] = '\0';
	s->exponent = (int)strtol(e + 1, NULL, 10);
}

/* x is finite and not negative. */
static void
shortest_of(struct shortest *s, double x, bool single)
{
	size_t n;

	for (int precision = 1; precision <= 17; precision++) {
		take_digits(s, x, precision);
		if (reads_back(s, x, single))
			break;
		/* Numbers lie closer together below a power of two than
		 * above: the nearest decimal may fail where the next fits. */
		count_up(s);
		if (reads_back(s, x, single))
			break;
	}
	n = strlen(s->digits);
	while (n > 1 && s->digits[n - 1] == '0')
		s->digits[--n] = '\0';
}

static void
write_fixed(char out[YAML_NUMBER_SIZE], const char *sign,
    const struct shortest *s)
{
	int count = (int)strlen(s->digits);
	int whole = s->exponent + 1; /* digits before the point */

	if (whole <= 0)
		(void)snprintf(out, YAML_NUMBER_SIZE, "%s0.%.*s%s", sign,
		    -whole, "000000000000", s->digits);
	else if (whole >= count)
		(void)snprintf(out, YAML_NUMBER_SIZE, "%s%s%.*s", sign,
		    s->digits, whole - count, "0000000000000000000000");
	else
		(void)snprintf(out, YAML_NUMBER_SIZE, "%s%.*s.%s", sign, whole,
		    s->digits, s->digits + whole);
}

static void
write_exponent(char out[YAML_NUMBER_SIZE], const char *sign,
    const struct shortest *s, int width)
{
	(void)snprintf(out, YAML_NUMBER_SIZE, "%s%c%s%se%c%0*d", sign,
	    s->digits[0], s->digits[1] != '\0' ? "." : "", s->digits + 1,
	    s->exponent < 0 ? '-' : '+', width, abs(s->exponent));
}

enum err_code
yaml_number(char out[YAML_NUMBER_SIZE], const struct yaml_scalar *s,
    struct err *e)
{
	struct shortest digits;
	double size = fabs(s->real);
	const char *sign = signbit(s->real) ? "-" : "";

	if (s->kind == YAML_INT) {
		(void)snprintf(out, YAML_NUMBER_SIZE, "%" PRId64, s->integer);
		return ERR_OK;
	}
	if (s->kind == YAML_UINT) {
		(void)snprintf(out, YAML_NUMBER_SIZE, "%" PRIu64, s->natural);
		return ERR_OK;
	}
	if (!isfinite(s->real))
		return err_set(e, ERR_INVALID,
		    "JSON has no infinity and no NaN; in quotes it is text");
	/* encoding/json: exponents below 1e-6 and from 1e21 on; e-9, not
	 * e-09. */
	shortest_of(&digits, size, false);
	if (size != 0 && (size < 1e-6 || size >= 1e21))
		write_exponent(out, sign, &digits, 1);
	else
		write_fixed(out, sign, &digits);
	return ERR_OK;
}

/* sigs.k8s.io/yaml writes float keys with strconv's 'g' in single precision:
 * what does not survive that is refused. */
static enum err_code
float_key(char out[YAML_NUMBER_SIZE], double x, struct err *e)
{
	struct shortest digits;
	const char *sign = signbit(x) ? "-" : "";

	if (isfinite(x) && isfinite((float)x)) {
		shortest_of(&digits, fabs((double)(float)x), true);
		if (digits.exponent < -4 || digits.exponent >= 6)
			write_exponent(out, sign, &digits, 2);
		else
			write_fixed(out, sign, &digits);
		if (strtod(out, NULL) == x)
			return ERR_OK;
	}
	return err_set(e, ERR_INVALID,
	    "this number would not survive as a key; put it in quotes");
}

enum err_code
yaml_key(char out[YAML_NUMBER_SIZE], const struct yaml_scalar *s, struct err *e)
{
	switch (s->kind) {
	case YAML_BOOL:
		(void)snprintf(out, YAML_NUMBER_SIZE, "%s",
		    s->truth ? "true" : "false");
		return ERR_OK;
	case YAML_INT:
		return yaml_number(out, s, e);
	case YAML_FLOAT:
		return float_key(out, s->real, e);
	case YAML_NULL:
		return err_set(e, ERR_INVALID,
		    "an empty key; JSON has only strings, write \"\"");
	default:
		return err_set(e, ERR_INVALID,
		    "this number is too large for a key; put it in quotes");
	}
}
