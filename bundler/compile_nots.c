#include "bundler/compile_nots.h"

#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/order.h"

/* A statement: a line and those that belong to it. */
struct statement {
	const char *text;
	size_t len; /* with its newline */
	char *key;
};

static bool
is_word(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

/* Words that hold a digit and are no strings are what the optimizer numbers. */
static size_t
add_word(struct buf *key, const char *word)
{
	size_t len = 0;
	bool numbered = false;

	for (; is_word(word[len]); len++)
		numbered = numbered || (word[len] >= '0' && word[len] <= '9');
	if (numbered && !(word[0] >= '0' && word[0] <= '9'))
		buf_add_char(key, '_');
	else
		buf_add(key, word, len);
	return len;
}

static size_t
add_string(struct buf *key, const char *text, size_t len)
{
	size_t i = 1;

	while (i < len && text[i] != '"')
		i += text[i] == '\\' ? 2 : 1;
	i = i < len ? i + 1 : len;
	buf_add(key, text, i);
	return i;
}

static char *
shape_of(const char *text, size_t len)
{
	AUTO_BUF key = { 0 };

	buf_init(&key, len * 2 + 16);
	for (size_t i = 0; i < len;) {
		if (text[i] == '"')
			i += add_string(&key, text + i, len - i);
		else if (is_word(text[i]))
			i += add_word(&key, text + i);
		else
			buf_add_char(&key, text[i++]);
	}
	return buf_steal(&key, NULL);
}

static size_t
line_len(const char *text)
{
	size_t len = 0;

	while (text[len] != '\0' && text[len] != '\n')
		len++;
	return text[len] == '\n' ? len + 1 : len;
}

static size_t
count_tabs(const char *text)
{
	size_t tabs = 0;

	while (text[tabs] == '\t')
		tabs++;
	return tabs;
}

static bool
begins_not(const char *text, size_t *indent)
{
	*indent = count_tabs(text);
	return *indent > 0 && strncmp(text + *indent, "not ", 4) == 0;
}

/* The line and all that are indented further, or close what it opened. */
static size_t
statement_len(const char *text, size_t indent)
{
	size_t len = line_len(text);

	while (text[len] != '\0') {
		size_t tabs = count_tabs(text + len);

		if (tabs < indent ||
		    (tabs == indent && strchr("])}", text[len + tabs]) == NULL))
			break;
		len += line_len(text + len);
	}
	return len;
}

static int
compare(const void *a, const void *b)
{
	const struct statement *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static void
put_sorted(char *text, size_t len, struct statement *run, size_t count)
{
	AUTO_BUF sorted = { 0 };

	buf_init(&sorted, len + 1);
	order_sort(run, count, sizeof *run, compare);
	for (size_t i = 0; i < count; i++)
		buf_add(&sorted, run[i].text, run[i].len);
	memcpy(text, sorted.data, len);
}

/* Returns how long the run at text is. */
static size_t
sort_run(char *text, size_t indent, bool shapes)
{
	struct statement *run = NULL;
	size_t count = 0, len = 0, next;

	while (begins_not(text + len, &next) && next == indent) {
		struct statement s = { .text = text + len };

		s.len = statement_len(text + len, indent);
		/* The last one of a text that does not end in a newline has no
		 * place but the last. */
		if (s.text[s.len - 1] != '\n')
			break;
		s.key = shapes ? shape_of(s.text, s.len)
			       : mem_strndup(s.text, s.len);
		run = mem_grow(run, count + 1, sizeof *run);
		run[count++] = s;
		len += s.len;
	}
	if (count > 1)
		put_sorted(text, len, run, count);
	for (size_t i = 0; i < count; i++)
		mem_free(run[i].key);
	mem_free(run);
	return len;
}

static void
remove_empty_lines(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		if (*from != '\n' || to == text || to[-1] != '\n')
			*to++ = *from;
	}
	*to = '\0';
}

void
compile_sort_nots(char *text, bool shapes)
{
	size_t indent;

	if (strchr(text, '`') != NULL)
		return;
	remove_empty_lines(text);
	for (size_t i = 0; text[i] != '\0';) {
		size_t len = 0;

		if (begins_not(text + i, &indent))
			len = sort_run(text + i, indent, shapes);
		i += len > 0 ? len : line_len(text + i);
	}
}
