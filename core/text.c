#include "core/text.h"

#include <string.h>

bool
text_ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

int
text_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
text_is_hex(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdef") == len && text[len] == '\0';
}

size_t
text_span(const char *text, const struct text_set *set)
{
	size_t len = 0;

	while (set->has[(unsigned char)text[len]])
		len++;
	return len;
}

bool
text_path_holds(const char *above, const char *path)
{
	size_t len = strlen(above);

	if (len == 0)
		return true;
	return strncmp(above, path, len) == 0 &&
	    (path[len] == '\0' || path[len] == '/');
}
