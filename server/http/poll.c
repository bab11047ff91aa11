#include "server/http/poll.h"

#include <string.h>
#include <strings.h>

#include "core/text.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* All that neither ends a parameter nor has to do with quotes. */
static const struct text_set plain = { { [1 ... '!'] = true,
    ['#' ... '+'] = true,
    ['-' ... ':'] = true,
    ['<' ... '['] = true,
    [']' ... 255] = true } };

/* The end of a parameter: separators inside of quotes are text. */
static const char *
param_end(const char *p)
{
	bool quoted = false;

	for (; *(p += text_span(p, &plain)) != '\0'; p++) {
		if (quoted && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && (*p == ';' || *p == ','))
			break;
	}
	return p;
}

/* "60", with or without quotes; 0 for anything else. */
static int64_t
read_seconds(const char *p, const char *end)
{
	int64_t n = 0;
	bool quoted = p < end && *p == '"';

	if (quoted)
		p++;
	if (p == end || !is_digit(*p))
		return 0;
	for (; p < end && is_digit(*p); p++)
		if (n <= POLL_WAIT_MAX)
			n = n * 10 + (*p - '0');
	if (quoted && (p == end || *p++ != '"'))
		return 0;
	p += strspn(p, " \t");
	if (p < end)
		return 0;
	return n < POLL_WAIT_MAX ? n : POLL_WAIT_MAX;
}

int64_t
poll_wait_s(const char *header)
{
	const char *p = header;

	while (p != NULL && *p != '\0') {
		const char *end = param_end(p);

		p += strspn(p, " \t");
		if (p + 4 <= end && strncasecmp(p, "wait", 4) == 0) {
			p += 4;
			p += strspn(p, " \t");
			if (p < end && *p == '=') {
				p++;
				p += strspn(p, " \t");
				return read_seconds(p, end);
			}
		}
		p = *end != '\0' ? end + 1 : NULL;
	}
	return 0;
}

/* The end of an entity tag without its W/, or NULL when there is none. */
static const char *
tag_end(const char *p)
{
	const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;

	return end != NULL ? end + 1 : NULL;
}

bool
poll_has(const char *header, const char *etag)
{
	const char *p = header;
	size_t len = strlen(etag);
	bool has = false;

	if (p == NULL)
		return false;
	if (strcmp(p, etag) == 0) /* as engines send it */
		return true;
	p += strspn(p, " \t");
	if (*p == '*')
		return p[1 + strspn(p + 1, " \t")] == '\0';
	while (*(p += strspn(p, " \t,")) != '\0') {
		const char *end;

		if (p[0] == 'W' && p[1] == '/')
			p += 2;
		end = tag_end(p);
		if (end == NULL)
			return false;
		if ((size_t)(end - p) == len && memcmp(p, etag, len) == 0)
			has = true;
		p = end + strspn(end, " \t");
		if (*p != ',' && *p != '\0')
			return false;
	}
	return has;
}
