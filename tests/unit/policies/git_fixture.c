#include "tests/unit/policies/git_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"

enum { TEXTS = 256, TEXT_SIZE = 4096 };

static char dir[256];
static char texts[TEXTS][TEXT_SIZE];
static size_t next_text;

static char *
a_text(void)
{
	return texts[next_text++ % TEXTS];
}

const char *
fixture_start(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(dir, sizeof(dir), "%s/edict-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	return dir;
}

void
fixture_end(void)
{
	struct err e;

	assert_int_equal(file_remove_tree(dir, &e), ERR_OK);
}

const char *
fixture_path(const char *name)
{
	char *text = a_text();

	(void)snprintf(text, TEXT_SIZE, "%s/%s", dir, name);
	return text;
}

__attribute__((format(printf, 1, 0))) static FILE *
start(const char *fmt, va_list ap)
{
	char *script = mem_vprintf(fmt, ap);
	char *whole = mem_printf(
	    "set -e\ncd '%s'\n"
	    "export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null HOME=$PWD\n"
	    "export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org\n"
	    "export GIT_COMMITTER_NAME=Bob GIT_COMMITTER_EMAIL=bob@example.org\n"
	    "export GIT_AUTHOR_DATE='1700000000 +0100'\n"
	    "export GIT_COMMITTER_DATE='1700000100 +0100'\n"
	    "unhex() {\nperl -ne 'chomp; print pack \"H*\", $_'\n}\n"
	    "%s\n",
	    dir, script);
	FILE *out = popen(whole, "r");

	mem_free(script);
	mem_free(whole);
	assert_non_null(out);
	return out;
}

void
sh(const char *fmt, ...)
{
	va_list ap;
	FILE *out;

	va_start(ap, fmt);
	out = start(fmt, ap);
	va_end(ap);
	while (fgetc(out) != EOF)
		continue;
	assert_int_equal(pclose(out), 0);
}

const char *
sh_line(const char *fmt, ...)
{
	char *text = a_text();
	va_list ap;
	FILE *out;

	va_start(ap, fmt);
	out = start(fmt, ap);
	va_end(ap);
	assert_non_null(fgets(text, TEXT_SIZE, out));
	while (fgetc(out) != EOF)
		continue;
	assert_int_equal(pclose(out), 0);
	text[strcspn(text, "\n")] = '\0';
	return text;
}
