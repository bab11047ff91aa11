#include "policies/gate_private.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/report.h"
#include "signing/digest.h"

enum { ENGINE_TEXT_MAX = 64 * 1024, COPY_STEP = 1 << 20 };

/* Calls add for the whole file, piece by piece. */
static enum err_code
read_pieces(const char *path,
    enum err_code (*add)(void *arg, const void *data, size_t len,
	struct err *e),
    void *arg, struct err *e)
{
	char *piece = mem_alloc(COPY_STEP);
	enum err_code code = ERR_OK;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		code = err_errno(e, "%s", path);
	while (code == ERR_OK && n > 0) {
		n = read(fd, piece, COPY_STEP);
		if (n < 0)
			code = err_errno(e, "%s", path);
		else if (n > 0)
			code = add(arg, piece, (size_t)n, e);
	}
	if (fd >= 0)
		close(fd);
	mem_free(piece);
	return code;
}

static enum err_code
to_digest(void *arg, const void *data, size_t len, struct err *e)
{
	(void)e;
	digest_add(arg, data, len);
	return ERR_OK;
}

/* The first line says what it was; a Go program's goroutines follow. */
static enum err_code
died(const struct child_result *c, const char *command, struct err *e)
{
	const char *end = c->err.len > 0 ? memchr(c->err.data, '\n', c->err.len)
					 : NULL;
	AUTO_BUF line = { 0 };

	buf_init(&line, ENGINE_TEXT_MAX + 8);
	if (end != NULL)
		report_text(&line, c->err.data, (size_t)(end - c->err.data),
		    300);
	return err_set(e, ERR_UNAVAILABLE,
	    "opa %s died; out of memory? (gate.memory_max in server.yaml)%s%s",
	    command, line.len > 0 ? " It says: " : "",
	    line.len > 0 ? line.data : "");
}

/* `opa build` says what is wrong on its standard output. */
static enum err_code
refused(const struct child_result *c, const char *command, struct err *e)
{
	const struct buf *text = c->err.len > 0 ? &c->err : &c->out;
	size_t len = text->len > 0 ? report_before_usage(text->data, text->len)
				   : 0;
	AUTO_BUF said = { 0 };

	buf_init(&said, ENGINE_TEXT_MAX + 8);
	report_text(&said, text->data, len, ERR_TEXT_MAX);
	return err_set(e, ERR_INVALID, "opa %s: %s", command,
	    said.len > 0 ? said.data : "it does not say why");
}

enum err_code
gate_engine_run(const struct gate_runner *runner, struct child_result *c,
    const struct gate_tool *tool, struct err *e)
{
	const char *command = tool->args[0];

	TRY(runner->run(runner->ctx, c, tool, e));
	if (c->end == CHILD_TIMED_OUT)
		return err_set(e, ERR_TIMEOUT,
		    "opa %s did not end within %lld s", command,
		    (long long)(tool->timeout_ms / 1000));
	if (c->end == CHILD_FLOODED)
		return err_set(e, ERR_LIMIT, "opa %s wrote more than %zu bytes",
		    command, tool->out_max);
	if (c->end != CHILD_EXITED)
		return err_set(e, ERR_UNAVAILABLE,
		    "opa %s did not come to an end: %s %d", command,
		    child_end_name(c->end), c->status);
	if (c->status == 0)
		return ERR_OK;
	/* `opa eval` ends with 2, too, and says why on its standard output. */
	return gate_panicked(c) ? died(c, command, e) : refused(c, command, e);
}

int64_t
gate_load_ms(const struct gate_job *job)
{
	return job->load_ms > 0 ? job->load_ms : GATE_LOAD_MS;
}

static enum err_code
run_engine(const struct gate_runner *runner, struct child_result *c,
    const char *dir, const char *const *args, int64_t timeout_ms, struct err *e)
{
	return gate_engine_run(runner, c,
	    &(struct gate_tool){ .args = args,
		.dir = dir,
		.timeout_ms = timeout_ms,
		.out_max = ENGINE_TEXT_MAX },
	    e);
}

/* What follows "key: " at the beginning of a line. */
static bool
find_line(char *out, size_t size, const char *text, const char *key)
{
	for (const char *line = text; line != NULL;) {
		const char *end = strchr(line, '\n');
		size_t len = strlen(key);

		if (strncmp(line, key, len) == 0 &&
		    strncmp(line + len, ": ", 2) == 0) {
			const char *from = line + len + 2;
			size_t n = strcspn(from, "\r\n ");

			if (n == 0 || n >= size)
				return false;
			memcpy(out, from, n);
			out[n] = '\0';
			return true;
		}
		line = end != NULL ? end + 1 : NULL;
	}
	return false;
}

static enum err_code
read_version(struct gate_engine *out, const char *text, const char *path,
    struct err *e)
{
	char wasm[32] = "";

	if (!find_line(out->version, sizeof out->version, text, "Version") ||
	    strspn(out->version, "0123456789") == 0)
		return err_set(e, ERR_INVALID,
		    "%s: `version` does not answer as opa does", path);
	/* 0.x, and nothing else, is older than 1.0. */
	if (strncmp(out->version, "0.", 2) == 0)
		return err_set(e, ERR_UNSUPPORTED,
		    "%s is opa %s: edict needs 1.0 or newer", path,
		    out->version);
	out->wasm = find_line(wasm, sizeof wasm, text, "WebAssembly") &&
	    strcmp(wasm, "available") == 0;
	return ERR_OK;
}

static enum err_code
ask_version(struct gate_engine *out, const char *path,
    const struct gate_runner *runner, const char *dir, struct err *e)
{
	static const char *const args[] = { "version", NULL };
	struct child_result c = { 0 };
	enum err_code code =
	    run_engine(runner, &c, dir, args, GATE_START_MS, e);

	if (code == ERR_OK)
		code = read_version(out, c.out.data, path, e);
	child_result_clear(&c);
	return code;
}

enum err_code
gate_ask_engine(struct gate_engine *out, const char *path,
    const struct gate_runner *runner, const char *dir, struct err *e)
{
	struct gate_engine engine = { 0 };
	struct digest *g = digest_new();
	enum err_code code = read_pieces(path, to_digest, g, e);

	digest_end(g, engine.digest);
	TRY(code);
	TRY(ask_version(&engine, path, runner, dir, e));
	*out = engine;
	return ERR_OK;
}

/* Not synced: it is gone soon. */
static enum err_code
write_file(const char *path, const void *data, size_t len, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	enum err_code code;

	if (fd < 0)
		return err_errno(e, "%s", path);
	code = file_write_all(fd, data, len, e);
	if (close(fd) != 0 && code == ERR_OK)
		code = err_errno(e, "%s", path);
	return code;
}

static enum err_code
prepare(const char *dir, const struct gate_artifact *a, struct err *e)
{
	AUTO_STR bundle = file_path(dir, "bundle.tar.gz");
	AUTO_STR pem = file_path(dir, "public.pem");

	TRY(file_remove_tree(dir, e));
	TRY(file_make_dirs(dir, e));
	TRY(write_file(bundle, a->data, a->len, e));
	if (a->public_pem == NULL)
		return ERR_OK;
	return write_file(pem, a->public_pem, strlen(a->public_pem), e);
}

/* -o /dev/null: there is no file that the child may write. */
enum err_code
gate_load(const struct gate_job *job, const struct gate_artifact *a,
    struct err *e)
{
	const char *args[] = { "build", "-b", "bundle.tar.gz", "-o",
		"/dev/null", NULL, "public.pem", "--verification-key-id",
		a->key_id, "--signing-alg", a->algorithm, "--scope", a->bundle,
		NULL };
	AUTO_STR dir = file_path(job->work, "load");
	struct child_result c = { 0 };
	enum err_code code;

	if (a->public_pem != NULL)
		args[5] = "--verification-key";
	if (prepare(dir, a, e) != ERR_OK)
		return err_as(e, ERR_IO);
	code = run_engine(job->runner, &c, dir, args, gate_load_ms(job), e);
	child_result_clear(&c);
	if (code != ERR_OK)
		return err_add(e, "bundle %s", a->bundle);
	return file_remove_tree(dir, e);
}
