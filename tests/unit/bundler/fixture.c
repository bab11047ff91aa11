#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"

static char main_name[] = "main";

const struct definition_bundle fixture_all = { .name = main_name,
	.rego_version = -1 };

struct tree *
fixture_tree(const char *const *files)
{
	struct tree_file list[FIXTURE_FILES];
	struct tree *t = NULL;
	size_t count = 0;
	struct err e;

	for (; files[2 * count] != NULL; count++) {
		assert_true(count < FIXTURE_FILES);
		list[count] = (struct tree_file){ files[2 * count],
			files[2 * count + 1], strlen(files[2 * count + 1]) };
	}
	if (tree_from_memory(&t, list, count,
		"0123456789abcdef0123456789abcdef01234567", &e) != ERR_OK)
		fail_msg("%s", e.text);
	return t;
}

struct tree *
fixture_commit(const char *const *files)
{
	struct tree *t = fixture_tree(files);

	mem_free(t->commit.author);
	t->commit.author = mem_strdup("Ada \"A\" <ada@example.org>");
	t->commit.commit_time = 1769854502;
	t->commit.commit_offset = -330;
	return t;
}

struct bundle *
fixture_bundle(const struct tree *t, const struct definition_bundle *d)
{
	struct bundle *b = NULL;
	struct err e;

	if (bundle_plan(&b, t, d, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return b;
}

void
fixture_refuse(const struct tree *t, const struct definition_bundle *d,
    enum err_code code, const char *says)
{
	struct bundle *b = NULL;
	struct err e = { 0 };
	enum err_code got = bundle_plan(&b, t, d, &e);

	bundle_free(b);
	if (got != code || strstr(e.text, says) == NULL)
		fail_msg("wanted %s \"%s\", got %s \"%s\"", err_name(code),
		    says, err_name(got), e.text);
}

const struct bundle_file *
fixture_file(const struct bundle *b, const char *path)
{
	for (size_t i = 0; i < b->count; i++) {
		if (strcmp(b->files[i].path, path) == 0)
			return &b->files[i];
	}
	return NULL;
}

void
fixture_has(const struct bundle *b, const char *path, const char *text)
{
	const struct bundle_file *f = fixture_file(b, path);

	if (f == NULL)
		fail_msg("no %s", path);
	if (f->len != strlen(text) || memcmp(f->data, text, f->len) != 0)
		fail_msg("%s: wanted %s, got %.*s", path, text, (int)f->len,
		    f->data);
}

char *
fixture_folder(void)
{
	const char *base = getenv("TMPDIR");
	char *path =
	    mem_printf("%s/edict-bundler-XXXXXX", base != NULL ? base : "/tmp");

	assert_non_null(mkdtemp(path));
	return path;
}

void
fixture_folder_end(char *path)
{
	struct err e;

	if (file_remove_tree(path, &e) != ERR_OK)
		fail_msg("%s", e.text);
	mem_free(path);
}

void
fixture_write(const char *folder, const char *name, const void *data,
    size_t len)
{
	AUTO_STR path = file_path(folder, name);
	struct err e;

	if (file_replace(path, data, len, 0600, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

int
fixture_run(struct buf *out, const char *fmt, ...)
{
	char chunk[4096];
	va_list ap;
	size_t n;
	FILE *pipe;
	int status;

	va_start(ap, fmt);
	AUTO_STR command = mem_vprintf(fmt, ap);
	va_end(ap);
	AUTO_STR all = mem_printf("{ %s; } 2>&1 </dev/null", command);
	buf_clear(out);
	buf_init(out, FIXTURE_OUT_MAX);
	pipe = popen(all, "re");
	assert_non_null(pipe);
	while ((n = fread(chunk, 1, sizeof chunk, pipe)) > 0)
		buf_add(out, chunk, n);
	status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

const char *
fixture_opa(void)
{
	const char *path = getenv("EDICT_OPA");

	if (path == NULL || access(path, X_OK) != 0)
		fail_msg("EDICT_OPA names no program: %s",
		    path != NULL ? path : "unset");
	return path;
}
