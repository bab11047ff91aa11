#include "policies/gate_private.h"

#include <string.h>

#include "core/file.h"
#include "core/mem.h"

/* `opa build`, for bundles that ask for more than their own files. The engine
 * reads a packed bundle and not a folder: then nothing but its content goes in,
 * and the same content is compiled alike wherever it came from. */

enum { ACTIVATE_TEXT_MAX = 64 * 1024 };

void
gate_add_capabilities(struct gate_args *args, const char *capabilities)
{
	if (capabilities == NULL)
		return;
	if (definition_capabilities_is_version(capabilities))
		gate_args_add(args, "--capabilities=%s", capabilities);
	else
		gate_args_add(args, "--capabilities=../src/%s", capabilities);
}

static void
add_settings(struct gate_args *args, const struct gate_compile *c)
{
	const struct definition_compile *s = c->settings;

	gate_args_add(args, "--target=%s", definition_target_name(s->target));
	gate_args_add(args, "--optimize=%d", (int)s->optimize);
	for (size_t i = 0; i < s->entrypoints.count; i++)
		gate_args_add(args, "--entrypoint=%s", s->entrypoints.items[i]);
	if (s->optimize > 0)
		gate_args_add(args, "--partial-namespace=%s",
		    c->partial_namespace);
	if (s->prune_unused)
		gate_args_add(args, "--prune-unused");
	if (s->wasm_include_print)
		gate_args_add(args, "--wasm-include-print");
	if (c->rego_version == 0)
		gate_args_add(args, "--v0-compatible");
}

static void
add_capabilities(struct gate_args *args, const struct gate_compile *c)
{
	if (c->capabilities == NULL)
		return;
	if (definition_capabilities_is_version(c->capabilities))
		gate_args_add(args, "--capabilities=%s", c->capabilities);
	else
		gate_args_add(args, "--capabilities=capabilities.json");
}

static enum err_code
write_file(const char *dir, const char *name, const void *data, size_t len,
    struct err *e)
{
	AUTO_STR path = file_path(dir, name);

	if (file_replace(path, data, len, 0600, e) != ERR_OK)
		return err_as(e, ERR_IO);
	return ERR_OK;
}

static enum err_code
new_folder(const char *dir, const void *bundle, size_t len, struct err *e)
{
	TRY(file_remove_tree(dir, e));
	TRY(file_make_dirs(dir, e));
	return write_file(dir, GATE_COMPILE_INPUT, bundle, len, e);
}

static enum err_code
write_capabilities(const struct gate_job *job, const char *dir,
    const char *path, struct err *e)
{
	const struct tree_entry *file;
	AUTO_BUF text = { 0 };

	if (path == NULL || definition_capabilities_is_version(path))
		return ERR_OK;
	file = tree_find(job->tree, path);
	if (file == NULL)
		return err_set(e, ERR_INVALID, "%s: no such file", path);
	buf_init(&text, DEFINITION_CAPABILITIES_MAX);
	TRY(tree_read(job->tree, file, &text, e));
	TRY(buf_check(&text, path, e));
	return write_file(dir, "capabilities.json", text.data, text.len, e);
}

static enum err_code
run_once(struct buf *out, bool *died, const struct gate_job *job,
    const char *dir, const struct gate_args *args, struct err *e)
{
	struct child_result c = { 0 };
	enum err_code code = gate_engine_run(job->runner, &c,
	    &(struct gate_tool){ .args = (const char *const *)args->items,
		.dir = dir,
		.timeout_ms = GATE_COMPILE_MS,
		.out_max = GATE_COMPILED_MAX },
	    e);

	*died = c.end == CHILD_SIGNALLED ||
	    (c.end == CHILD_EXITED && c.status == 2);
	if (code == ERR_OK) {
		buf_clear(out);
		*out = c.out;
		c.out = (struct buf){ 0 };
	}
	child_result_clear(&c);
	return code;
}

static enum err_code
run(struct buf *out, const struct gate_job *job, const char *dir,
    const struct gate_args *args, struct err *e)
{
	bool died = false;
	enum err_code code = run_once(out, &died, job, dir, args, e);

	if (code == ERR_TIMEOUT || code == ERR_UNAVAILABLE) {
		if (job->before_retry != NULL)
			job->before_retry(job->arg);
		code = run_once(out, &died, job, dir, args, e);
	}
	/* Twice is no accident: its optimizer has faults that a policy can
	 * run into, and memory ends. */
	return code == ERR_UNAVAILABLE && died ? err_as(e, ERR_UNSUPPORTED)
					       : code;
}

enum err_code
gate_compile(struct buf *out, const struct gate_job *job,
    const struct gate_compile *c, struct err *e)
{
	AUTO_STR dir = file_path(job->work, "compile");
	struct gate_args args;
	enum err_code code;

	TRY(new_folder(dir, c->bundle, c->len, e));
	TRY(write_capabilities(job, dir, c->capabilities, e));
	gate_args_init(&args);
	gate_args_add(&args, "build");
	add_settings(&args, c);
	add_capabilities(&args, c);
	gate_args_add(&args, "--output=/dev/stdout");
	gate_args_add(&args, "--bundle");
	gate_args_add(&args, GATE_COMPILE_INPUT);
	code = run(out, job, dir, &args, e);
	gate_args_clear(&args);
	if (code != ERR_OK)
		return code;
	return file_remove_tree(dir, e);
}

static enum err_code
evaluate(struct buf *out, const struct gate_job *job, const char *query,
    const void *bundle, size_t len, size_t out_max, struct err *e)
{
	const char *const args[] = { "eval", "--format=raw", "--bundle",
		GATE_COMPILE_INPUT, query, NULL };
	AUTO_STR dir = file_path(job->work, "activate");
	struct child_result c = { 0 };
	enum err_code code;

	TRY(new_folder(dir, bundle, len, e));
	code = gate_engine_run(job->runner, &c,
	    &(struct gate_tool){ .args = args,
		.dir = dir,
		.timeout_ms = gate_load_ms(job),
		.out_max = out_max },
	    e);
	if (code == ERR_OK && out != NULL)
		buf_add(out, c.out.data, c.out.len);
	child_result_clear(&c);
	TRY(code);
	return file_remove_tree(dir, e);
}

enum err_code
gate_activate(const struct gate_job *job, const void *bundle, size_t len,
    struct err *e)
{
	return evaluate(NULL, job, "true", bundle, len, ACTIVATE_TEXT_MAX, e);
}

enum err_code
gate_evaluate(struct buf *out, const struct gate_job *job, const char *query,
    const void *bundle, size_t len, struct err *e)
{
	TRY(evaluate(out, job, query, bundle, len, GATE_OUTPUT_MAX, e));
	return buf_check(out, query, e);
}
