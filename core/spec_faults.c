#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/spec_parts.h"

enum { FAULTS_TEXT_MAX = 64 * 1024 };

void
spec_faults_init(struct spec_faults *f, const char *name)
{
	*f = (struct spec_faults){ .name = name };
	buf_init(&f->text, FAULTS_TEXT_MAX);
}

void
spec_faults_clear(struct spec_faults *f)
{
	buf_clear(&f->text);
}

/* Keys and values come from outside: no line breaks, no terminal's controls. */
static void
add_clean(struct buf *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		buf_add_char(out,
		    (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
}

void
spec_fault(struct spec_faults *f, const struct value *at, const char *fmt, ...)
{
	AUTO_STR what = NULL;
	va_list ap;

	if (f->count++ >= SPEC_FAULTS_MAX)
		return;
	va_start(ap, fmt);
	what = mem_vprintf(fmt, ap);
	va_end(ap);
	if (f->text.len > 0)
		buf_add_char(&f->text, '\n');
	buf_add_str(&f->text, f->name);
	if (at != NULL && at->line > 0)
		buf_printf(&f->text, ":%" PRIu32 ":%" PRIu32, at->line,
		    at->column);
	if (f->path[0] != '\0') {
		buf_add_str(&f->text, ": ");
		add_clean(&f->text, f->path);
	}
	buf_add_str(&f->text, ": ");
	add_clean(&f->text, what);
}

enum err_code
spec_verdict(const struct spec_faults *f, struct err *e)
{
	/* Room for the last line, which counts what is not shown. */
	const size_t room = ERR_TEXT_MAX - 64;
	const char *text = f->text.data;
	size_t len = f->text.len;
	size_t shown = 0;
	size_t end = 0;

	if (f->count == 0)
		return ERR_OK;
	while (end < len) {
		const char *next = memchr(text + end, '\n', len - end);
		size_t stop = next != NULL ? (size_t)(next - text) : len;

		if (stop > room && shown > 0)
			break;
		end = stop < len ? stop + 1 : len;
		shown++;
	}
	while (end > 0 && text[end - 1] == '\n')
		end--;
	if (end > room)
		end = room;
	if (shown == f->count)
		return err_set(e, ERR_INVALID, "%.*s", (int)end, text);
	return err_set(e, ERR_INVALID, "%.*s\nand %zu more", (int)end, text,
	    f->count - shown);
}

size_t
spec_path_push(struct spec_faults *f, const char *name)
{
	size_t len = strlen(f->path);

	(void)snprintf(f->path + len, sizeof f->path - len, "%s%s",
	    len > 0 && *name != '[' ? "." : "", name);
	return len;
}

size_t
spec_path_push_index(struct spec_faults *f, size_t index)
{
	char name[32];

	(void)snprintf(name, sizeof name, "[%zu]", index);
	return spec_path_push(f, name);
}

void
spec_path_pop(struct spec_faults *f, size_t len)
{
	f->path[len] = '\0';
}
