#include "bundler/module.h"

#include <stdbool.h>
#include <string.h>

#include "bundler/data.h"
#include "core/canon.h"
#include "core/escape.h"
#include "core/mem.h"
#include "core/utf8.h"

struct scan {
	const char *name;
	const char *at;
	const char *end;
	uint32_t line;
	size_t total;
};

void
module_package_clear(struct module_package *p)
{
	for (size_t i = 0; i < p->count; i++)
		mem_free(p->segments[i]);
	mem_free(p->segments);
	*p = (struct module_package){ 0 };
}

static enum err_code
bad(const struct scan *s, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s:%u: %s", s->name, s->line, what);
}

/* The byte at this distance, or NUL past the end. */
static char
peek(const struct scan *s, size_t ahead)
{
	return ahead < (size_t)(s->end - s->at) ? s->at[ahead] : '\0';
}

static void
skip_line(struct scan *s)
{
	const char *end = memchr(s->at, '\n', (size_t)(s->end - s->at));

	s->at = end != NULL ? end : s->end;
}

static void
skip_blanks(struct scan *s)
{
	while (s->at < s->end) {
		switch (*s->at) {
		case '\n':
			s->line++;
			/* fall through */
		case ' ':
		case '\t':
		case '\r':
			s->at++;
			break;
		case '#':
			skip_line(s);
			break;
		default:
			return;
		}
	}
}

static bool
is_word(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	    (!first && c >= '0' && c <= '9');
}

static enum err_code
add_segment(struct module_package *p, struct scan *s, const char *text,
    size_t len, struct err *e)
{
	if (memchr(text, '\0', len) != NULL)
		return bad(s, "a NUL character in the package's name", e);
	s->total += len;
	if (p->count == MODULE_SEGMENTS_MAX || s->total > MODULE_NAME_MAX)
		return err_set(e, ERR_LIMIT,
		    "%s:%u: the package's name is longer than %d parts or %d "
		    "bytes",
		    s->name, s->line, MODULE_SEGMENTS_MAX, MODULE_NAME_MAX);
	p->segments = mem_grow(p->segments, p->count + 1, sizeof *p->segments);
	p->segments[p->count++] = mem_strndup(text, len);
	return ERR_OK;
}

static enum err_code
read_word(struct module_package *p, struct scan *s, struct err *e)
{
	const char *start = s->at;

	if (!is_word(peek(s, 0), true))
		return bad(s, "expected a name after \"package\" or \".\"", e);
	while (s->at < s->end && is_word(*s->at, false))
		s->at++;
	return add_segment(p, s, start, (size_t)(s->at - start), e);
}

/* Half a surrogate pair becomes U+FFFD, as in Go. */
static enum err_code
read_escape(struct scan *s, struct buf *out, struct err *e)
{
	char bytes[UTF8_CHARACTER_MAX];
	uint32_t c = 0;
	size_t size = escape_read(&c, s->at, (size_t)(s->end - s->at));

	if (size == 0 && peek(s, 1) == 'u')
		return bad(s, "\\u needs four hex digits", e);
	if (size == 0)
		return bad(s, "unknown escape in the package's name", e);
	buf_add(out, bytes, utf8_put(bytes, escape_is_half(c) ? 0xfffd : c));
	s->at += size;
	return ERR_OK;
}

static enum err_code
read_quoted(struct scan *s, struct buf *out, struct err *e)
{
	s->at++;
	while (peek(s, 0) != '"') {
		if (s->at == s->end || *s->at == '\n')
			return bad(s, "the string does not end", e);
		if (*s->at == '\\')
			TRY(read_escape(s, out, e));
		else
			buf_add_char(out, *s->at++);
	}
	s->at++;
	return ERR_OK;
}

static enum err_code
read_raw(struct scan *s, struct buf *out, struct err *e)
{
	const char *start = s->at + 1;
	const char *end = memchr(start, '`', (size_t)(s->end - start));

	if (end == NULL)
		return bad(s, "the raw string does not end", e);
	for (const char *p = start; p < end; p++)
		s->line += *p == '\n';
	buf_add(out, start, (size_t)(end - start));
	s->at = end + 1;
	return ERR_OK;
}

static enum err_code
read_bracket(struct module_package *p, struct scan *s, struct err *e)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, MODULE_NAME_MAX);
	s->at++;
	skip_blanks(s);
	if (peek(s, 0) == '"')
		TRY(read_quoted(s, &text, e));
	else if (peek(s, 0) == '`')
		TRY(read_raw(s, &text, e));
	else
		return bad(s, "expected a string after \"[\"", e);
	TRY(buf_check(&text, s->name, e));
	TRY(add_segment(p, s, text.data, text.len, e));
	skip_blanks(s);
	if (peek(s, 0) != ']')
		return bad(s, "expected \"]\"", e);
	s->at++;
	return ERR_OK;
}

static enum err_code
read_path(struct module_package *p, struct scan *s, struct err *e)
{
	TRY(read_word(p, s, e));
	for (;;) {
		if (peek(s, 0) == '.') {
			s->at++;
			TRY(read_word(p, s, e));
		} else if (peek(s, 0) == '[') {
			TRY(read_bracket(p, s, e));
		} else {
			break;
		}
	}
	/* OPA makes a name of its own of a lone wildcard. */
	if (strcmp(p->segments[0], "_") == 0)
		return bad(s, "a package cannot be called \"_\"", e);
	return ERR_OK;
}

enum err_code
module_package_read(struct module_package *out, const char *name,
    const char *text, size_t len, struct err *e)
{
	static const char keyword[] = "package", mark[] = "\xef\xbb\xbf";
	struct module_package p = { 0 };
	struct scan s = { .name = name,
		.at = text,
		.end = text + len,
		.line = 1 };
	enum err_code code;

	TRY(data_check_pointer(name, text, len, e));
	if (len >= 3 && memcmp(text, mark, 3) == 0)
		s.at += 3;
	skip_blanks(&s);
	if (s.at == s.end)
		return err_set(e, ERR_INVALID,
		    "%s:1: no package: an empty policy file is an error to the "
		    "engine",
		    name);
	if ((size_t)(s.end - s.at) < sizeof keyword ||
	    memcmp(s.at, keyword, sizeof keyword - 1) != 0 ||
	    is_word(s.at[sizeof keyword - 1], false))
		return bad(&s, "expected \"package NAME\" first", e);
	p.line = s.line;
	s.at += sizeof keyword - 1;
	if (peek(&s, 0) == '[')
		return bad(&s, "expected a name after \"package\"", e);
	skip_blanks(&s);
	code = read_path(&p, &s, e);
	if (code != ERR_OK) {
		module_package_clear(&p);
		return code;
	}
	*out = p;
	return ERR_OK;
}

static bool
is_plain_word(const char *text)
{
	if (!is_word(text[0], true))
		return false;
	while (is_word(*text, false))
		text++;
	return *text == '\0';
}

void
module_path_write(struct buf *out, char *const *segments, size_t count)
{
	buf_add_str(out, "data");
	for (size_t i = 0; i < count; i++) {
		if (is_plain_word(segments[i])) {
			buf_printf(out, ".%s", segments[i]);
			continue;
		}
		buf_add_char(out, '[');
		canon_write_string(out, segments[i], strlen(segments[i]));
		buf_add_char(out, ']');
	}
}
