#include "server/http/route.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/spec.h"
#include "core/text.h"
#include "core/utf8.h"
#include "core/value.h"
#include "signing/key.h"

static bool
is_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_size(text + i, len - i);

		if (n == 0 || (unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
		i += n;
	}
	return true;
}

bool
route_decode(char *out, size_t size, const char *in, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		char c = in[i];

		if (used + 1 >= size)
			return false;
		if (c == '%') {
			int high = i + 2 < len ? text_hex_digit(in[i + 1]) : -1;
			int low = i + 2 < len ? text_hex_digit(in[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		out[used++] = c;
	}
	out[used] = '\0';
	return is_text(out, used);
}

static bool
name_is(const char *name, const char *wanted)
{
	size_t len = strlen(wanted);

	return strncmp(name, wanted, len) == 0 && name[len] == '}';
}

static bool
is_number(const char *text)
{
	size_t len = strspn(text, "0123456789");

	return len > 0 && len <= 18 && text[len] == '\0';
}

static bool
fits(const char *name, const char *value)
{
	if (name_is(name, "rev") || name_is(name, "partition"))
		return value[0] != '\0';
	if (name_is(name, "id"))
		return is_number(value);
	if (name_is(name, "key"))
		return key_id_is_valid(value);
	return spec_is_name(value);
}

/* Few bytes each: strcspn would make a table first. */
static size_t
segment(const char *text)
{
	size_t len = 0;

	while (text[len] != '\0' && text[len] != '/')
		len++;
	return len;
}

/* Does the path have this pattern? Fills the parameters as they are written
 * there: the table has few routes of one shape, so decoding waits. */
static bool
has_shape(const char *pattern, const char *path, const char *starts[],
    size_t lengths[], const char *names[], size_t *count)
{
	*count = 0;
	for (;;) {
		size_t have = segment(path);
		size_t want = segment(pattern);

		if (pattern[0] == '{') {
			if (have == 0)
				return false;
			assert(*count < ROUTE_PARAMS_MAX);
			names[*count] = pattern + 1;
			starts[*count] = path;
			lengths[(*count)++] = have;
		} else if (have != want || memcmp(pattern, path, want) != 0) {
			return false;
		}
		path += have;
		pattern += want;
		if (*path == '\0' || *pattern == '\0')
			return *path == *pattern;
		path++;
		pattern++;
	}
}

static enum route_result
fill(struct route_match *m, const char *const starts[], const size_t lengths[],
    const char *const names[], size_t count)
{
	enum route_result result = ROUTE_FOUND;

	m->param_count = count;
	for (size_t i = 0; i < count; i++) {
		m->params[i].name = names[i];
		if (!route_decode(m->params[i].value, ROUTE_PARAM_SIZE,
			starts[i], lengths[i]))
			return ROUTE_MALFORMED;
		if (!fits(names[i], m->params[i].value))
			result = ROUTE_NOT_FOUND;
	}
	return result;
}

static bool
method_is(const char *have, const char *wanted)
{
	return strcmp(have, wanted) == 0 ||
	    (strcmp(have, "HEAD") == 0 && strcmp(wanted, "GET") == 0);
}

static void
allow(struct route_match *m, const char *method)
{
	size_t used = strlen(m->allow);

	(void)snprintf(m->allow + used, sizeof m->allow - used, "%s%s",
	    used > 0 ? ", " : "",
	    strcmp(method, "GET") == 0 ? "GET, HEAD" : method);
}

enum route_result
route_find(struct route_match *out, const struct route *table,
    const char *method, const char *path)
{
	enum route_result other = ROUTE_NOT_FOUND;

	out->allow[0] = '\0';
	out->param_count = 0;
	out->route = NULL;
	if (strlen(path) > ROUTE_PATH_MAX)
		return ROUTE_TOO_LONG;
	for (const struct route *r = table; r->pattern != NULL; r++) {
		const char *starts[ROUTE_PARAMS_MAX];
		const char *names[ROUTE_PARAMS_MAX];
		size_t lengths[ROUTE_PARAMS_MAX];
		size_t count;
		enum route_result result;

		if (!has_shape(r->pattern, path, starts, lengths, names,
			&count))
			continue;
		result = fill(out, starts, lengths, names, count);
		if (result != ROUTE_FOUND)
			return result;
		out->route = r;
		if (method_is(method, r->method))
			return ROUTE_FOUND;
		allow(out, r->method);
		other = ROUTE_OTHER_METHOD;
	}
	return other;
}

const char *
route_named(const struct route_match *m, const char *name)
{
	for (size_t i = 0; i < m->param_count; i++)
		if (name_is(m->params[i].name, name))
			return m->params[i].value;
	return NULL;
}

const char *
route_param(const struct route_match *m, const char *name)
{
	const char *value = route_named(m, name);

	assert(value != NULL); /* the pattern has it */
	return value;
}

bool
route_takes(const struct route *route, const char *parameter)
{
	size_t len = strlen(parameter);

	for (const char *p = route->query; p != NULL && *p != '\0';) {
		size_t n = strcspn(p, " ");

		if (n == len && memcmp(p, parameter, len) == 0)
			return true;
		p += n;
		p += strspn(p, " ");
	}
	return false;
}
