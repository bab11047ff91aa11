#include "real_opa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/canon.h"
#include "core/file.h"
#include "core/mem.h"

static const char *
opa_path(void)
{
	const char *path = getenv("EDICT_OPA");

	if (path == NULL)
		path = "build/tools/opa";
	if (access(path, X_OK) != 0)
		fail_msg("%s: no engine; scripts/get-opa builds it", path);
	return path;
}

void
real_opa_init(struct real_opa *o, const char *file)
{
	*o = (struct real_opa){ .dir = "/tmp/edict-opa-XXXXXX", .file = file };
	assert_non_null(mkdtemp(o->dir));
}

void
real_opa_clear(struct real_opa *o)
{
	struct err e;

	assert_int_equal(file_remove_tree(o->dir, &e), ERR_OK);
}

void
real_opa_add(struct real_opa *o, const char *text, size_t len)
{
	AUTO_STR dir = mem_printf("%s/d%zu", o->dir, o->count++);
	AUTO_STR path = file_path(dir, o->file);
	struct err e;

	assert_int_equal(file_make_dirs(dir, &e), ERR_OK);
	assert_int_equal(file_replace(path, text, len, 0600, &e), ERR_OK);
}

void
real_opa_eval(const struct real_opa *o, const char *flag, struct buf *out)
{
	AUTO_STR command = mem_printf("exec '%s' eval --format json %s '%s' "
				      "data 2>&1",
	    opa_path(), flag, o->dir);
	FILE *pipe = popen(command, "r");
	struct err e;

	assert_non_null(pipe);
	if (file_read_fd(out, fileno(pipe), "opa", &e) != ERR_OK)
		fail_msg("%s", e.text);
	(void)pclose(pipe);
}

void
real_opa_value(struct buf *out, const struct buf *printed, size_t index)
{
	AUTO(document, d) = NULL;
	AUTO_STR key = mem_printf("d%zu", index);
	const struct value *v;
	struct err e;

	if (canon_read(&d, "opa", printed->data, printed->len, &e) != ERR_OK)
		fail_msg("%s: %s", e.text, printed->data);
	v = value_get(document_root(d), "result");
	if (v == NULL)
		fail_msg("no result: %s", printed->data);
	v = value_get(v->items[0], "expressions");
	v = value_get(value_get(v->items[0], "value"), key);
	if (v == NULL)
		fail_msg("no %s: %s", key, printed->data);
	canon_write(out, v);
}

bool
real_opa_refused(const struct real_opa *o, const struct buf *printed,
    size_t index)
{
	AUTO_STR path = mem_printf("%s/d%zu/%s:", o->dir, index, o->file);

	/* It shows absolute paths without their first slash or whole. */
	return strstr(printed->data, path + 1) != NULL;
}
