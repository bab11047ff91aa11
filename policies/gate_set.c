#include "policies/gate_set.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/gate_private.h"

enum { SET_STEP = 64 * 1024, SET_TEXT_MAX = 64 * 1024 };

static enum err_code
copy_bytes(int to, int from, const char *path, struct err *e)
{
	char step[SET_STEP];

	for (;;) {
		ssize_t n = read(from, step, sizeof step);

		if (n < 0)
			return err_errno(e, "%s", path);
		if (n == 0)
			return ERR_OK;
		TRY(file_write_all(to, step, (size_t)n, e));
	}
}

/* Not synced: it is gone soon. */
static enum err_code
copy_file(const char *to, const char *from, struct err *e)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out;
	enum err_code code;

	if (in < 0)
		return err_errno(e, "%s", from);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0) {
		code = err_errno(e, "%s", to);
	} else {
		code = copy_bytes(out, in, from, e);
		if (close(out) != 0 && code == ERR_OK)
			code = err_errno(e, "%s", to);
	}
	(void)close(in);
	return code;
}

static enum err_code
copy_parts(const char *dir, const struct gate_set_part *parts, size_t count,
    struct err *e)
{
	TRY(file_remove_tree(dir, e));
	TRY(file_make_dirs(dir, e));
	for (size_t i = 0; i < count; i++) {
		AUTO_STR path =
		    mem_printf("%s/%s.tar.gz", dir, parts[i].bundle);

		TRY(copy_file(path, parts[i].path, e));
	}
	return ERR_OK;
}

static enum err_code
run(const struct gate_job *job, const char *dir, const struct gate_args *args,
    struct err *e)
{
	struct child_result c = { 0 };
	enum err_code code = gate_engine_run(job->runner, &c,
	    &(struct gate_tool){ .args = (const char *const *)args->items,
		.dir = dir,
		.timeout_ms = GATE_LOAD_MS,
		.out_max = SET_TEXT_MAX },
	    e);

	child_result_clear(&c);
	return code;
}

/* Not `opa eval`: that ends with status 2 whether it refuses them or panics. */
enum err_code
gate_load_set(const struct gate_job *job, const struct gate_set_part *parts,
    size_t count, struct err *e)
{
	AUTO_STR dir = file_path(job->work, "set");
	struct gate_args args;
	enum err_code code;

	TRY(copy_parts(dir, parts, count, e));
	gate_args_init(&args);
	gate_args_add(&args, "build");
	for (size_t i = 0; i < count; i++) {
		gate_args_add(&args, "--bundle");
		gate_args_add(&args, "%s.tar.gz", parts[i].bundle);
	}
	gate_args_add(&args, "--output=/dev/null");
	code = run(job, dir, &args, e);
	gate_args_clear(&args);
	TRY(code);
	return file_remove_tree(dir, e);
}
