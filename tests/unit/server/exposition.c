#include "exposition.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FAMILIES_MAX = 512,
	LINES_MAX = 4096,
	NAME_SIZE = 128,
	LINE_SIZE = 1024
};

enum kind { KIND_NONE, KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct reader {
	char *fault;
	size_t size;
	size_t line;
	char families[FAMILIES_MAX][NAME_SIZE];
	size_t family_count;
	const char *series[LINES_MAX];
	size_t series_lengths[LINES_MAX];
	size_t series_count;
	/* Of the family that is being read. */
	char help[NAME_SIZE]; /* said, and no TYPE yet */
	char name[NAME_SIZE];
	enum kind kind;
	size_t samples;
	double le, bucket, count;
	bool has_le, has_sum, has_count;
};

static bool __attribute__((format(printf, 2, 3)))
fault(struct reader *r, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	(void)snprintf(r->fault, r->size, "line %zu: %s", r->line, what);
	return false;
}

static size_t
name_length(const char *text)
{
	static const char first[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";

	return strspn(text, first) == 0 ? 0 : strspn(text, rest);
}

/* The family that ends here was whole. */
static bool
end_family(struct reader *r)
{
	if (r->help[0] != '\0')
		return fault(r, "%s: HELP without TYPE", r->help);
	if (r->kind == KIND_NONE)
		return true;
	if (r->samples == 0)
		return fault(r, "%s: no samples", r->name);
	if (r->kind != KIND_HISTOGRAM)
		return true;
	if (!r->has_le || !r->has_sum || !r->has_count)
		return fault(r, "%s: buckets, sum and count are wanted",
		    r->name);
	if (r->le < 1e300)
		return fault(r, "%s: no bucket +Inf", r->name);
	if (r->bucket < r->count || r->bucket > r->count)
		return fault(r, "%s: +Inf is %f, count is %f", r->name,
		    r->bucket, r->count);
	return true;
}

static bool
take_help(struct reader *r, const char *text)
{
	size_t len = name_length(text);

	if (!end_family(r))
		return false;
	if (len == 0 || len >= NAME_SIZE || text[len] != ' ' ||
	    text[len + 1] == '\0')
		return fault(r, "HELP without a name or a text");
	r->kind = KIND_NONE;
	(void)snprintf(r->help, sizeof r->help, "%.*s", (int)len, text);
	for (size_t i = 0; i < r->family_count; i++)
		if (strcmp(r->families[i], r->help) == 0)
			return fault(r, "%s: a second time", r->help);
	if (r->family_count == FAMILIES_MAX)
		return fault(r, "too many families");
	(void)snprintf(r->families[r->family_count++], NAME_SIZE, "%s",
	    r->help);
	return true;
}

static bool
take_type(struct reader *r, const char *text)
{
	static const char *const kinds[] = { [KIND_COUNTER] = "counter",
		[KIND_GAUGE] = "gauge",
		[KIND_HISTOGRAM] = "histogram" };
	size_t len = name_length(text);

	if (len != strlen(r->help) || strncmp(text, r->help, len) != 0 ||
	    text[len] != ' ')
		return fault(r, "TYPE that does not follow its HELP");
	for (int k = KIND_COUNTER; k <= KIND_HISTOGRAM; k++)
		if (strcmp(text + len + 1, kinds[k]) == 0)
			r->kind = (enum kind)k;
	if (r->kind == KIND_NONE)
		return fault(r, "unknown TYPE %s", text + len + 1);
	(void)snprintf(r->name, sizeof r->name, "%s", r->help);
	r->help[0] = '\0';
	r->samples = 0;
	r->le = -1;
	r->bucket = 0;
	r->has_le = r->has_sum = r->has_count = false;
	if (r->kind == KIND_COUNTER &&
	    (len < 6 || strcmp(r->name + len - 6, "_total") != 0))
		return fault(r, "counter %s does not end in _total", r->name);
	return true;
}

/* After its quote; NULL: it does not end, or has another escape. */
static const char *
value_end(const char *p)
{
	for (; *p != '"'; p++) {
		if (*p == '\0')
			return NULL;
		if (*p == '\\' && strchr("\\\"n", *++p) == NULL)
			return NULL;
	}
	return p + 1;
}

/* {a="b",c="d"}; NULL: it is not that. */
static const char *
labels_end(const char *p)
{
	if (*p != '{')
		return p;
	do {
		size_t len = name_length(p + 1);

		if (len == 0 || memchr(p + 1, ':', len) != NULL ||
		    p[1 + len] != '=' || p[2 + len] != '"')
			return NULL;
		p = value_end(p + 3 + len);
	} while (p != NULL && *p == ',');
	return p != NULL && *p == '}' ? p + 1 : NULL;
}

static bool
take_bucket(struct reader *r, const char *labels, double value)
{
	char *end;
	double le;

	if (strncmp(labels, "{le=\"", 5) != 0)
		return fault(r, "a bucket without le");
	le = strtod(labels + 5, &end);
	if (end == labels + 5 || strncmp(end, "\"}", 2) != 0)
		return fault(r, "le is not a number");
	if (r->has_le && le <= r->le)
		return fault(r, "le does not rise");
	if (value < r->bucket)
		return fault(r, "the buckets do not rise");
	r->has_le = true;
	r->le = le;
	r->bucket = value;
	return true;
}

static bool
take_part(struct reader *r, const char *part, const char *labels, double value)
{
	if (strncmp(part, "_bucket{", 8) == 0)
		return take_bucket(r, labels, value);
	if (*labels == '{')
		return fault(r, "a sum or count with labels");
	if (strncmp(part, "_sum ", 5) == 0 && !r->has_sum)
		r->has_sum = true;
	else if (strncmp(part, "_count ", 7) == 0 && !r->has_count) {
		r->has_count = true;
		r->count = value;
	} else {
		return fault(r, "no part of a histogram");
	}
	return true;
}

static bool
is_new(struct reader *r, const char *series, size_t len)
{
	for (size_t i = 0; i < r->series_count; i++)
		if (r->series_lengths[i] == len &&
		    memcmp(r->series[i], series, len) == 0)
			return fault(r, "a second time: %.*s", (int)len,
			    series);
	if (r->series_count == LINES_MAX)
		return fault(r, "too many samples");
	r->series[r->series_count] = series;
	r->series_lengths[r->series_count++] = len;
	return true;
}

static bool
take_sample(struct reader *r, const char *line, const char *whole)
{
	size_t len = name_length(line);
	size_t own = strlen(r->name);
	const char *labels = line + len;
	const char *p = labels_end(labels);
	char *end;
	double value;

	if (r->kind == KIND_NONE || strncmp(line, r->name, own) != 0)
		return fault(r, "a sample outside its family");
	if (p == NULL || *p != ' ')
		return fault(r, "labels are not well-formed");
	value = strtod(p + 1, &end);
	if (end == p + 1 || *end != '\0' || p[1] == ' ')
		return fault(r, "the value is not a number");
	if (!is_new(r, whole, (size_t)(p - line)))
		return false;
	r->samples++;
	if (r->kind == KIND_HISTOGRAM)
		return take_part(r, line + own, labels, value);
	if (len != own)
		return fault(r, "a sample outside its family");
	if (r->kind == KIND_COUNTER && value < 0)
		return fault(r, "a negative counter");
	return true;
}

static bool
take_line(struct reader *r, const char *line, const char *whole)
{
	if (strncmp(line, "# HELP ", 7) == 0)
		return take_help(r, line + 7);
	if (strncmp(line, "# TYPE ", 7) == 0)
		return take_type(r, line + 7);
	if (*line == '#' || *line == '\0')
		return fault(r, "neither a sample nor HELP or TYPE");
	return take_sample(r, line, whole);
}

void
exposition_check(char *text_of_fault, size_t size, const char *text)
{
	struct reader *r = calloc(1, sizeof *r);
	bool good = r != NULL;

	*text_of_fault = '\0';
	if (r == NULL)
		abort();
	r->fault = text_of_fault;
	r->size = size;
	while (good && *text != '\0') {
		size_t len = strcspn(text, "\n");
		char line[LINE_SIZE];

		r->line++;
		(void)snprintf(line, sizeof line, "%.*s", (int)len, text);
		if (text[len] == '\0')
			good = fault(r, "does not end");
		else if (len >= sizeof line)
			good = fault(r, "too long");
		else
			good = take_line(r, line, text);
		text += len + (text[len] != '\0');
	}
	if (good)
		(void)end_family(r);
	free(r);
}

double
exposition_value(const char *text, const char *series)
{
	size_t len = strlen(series);

	for (const char *p = text; p != NULL; p = strchr(p, '\n')) {
		if (*p == '\n')
			p++;
		if (strncmp(p, series, len) == 0 && p[len] == ' ')
			return strtod(p + len + 1, NULL);
		if (*p == '\0')
			break;
	}
	return -1;
}
