#include "policies/gate_local.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"

enum { PATHS_MAX = 16, VARIABLES_MAX = 8, GO_THREADS = 2 };

/* What a program that is no static binary needs to start, and scripts to find
 * their interpreter. Nothing here is secret. */
static const char *const system_folders[] = { "/usr", "/bin", "/sbin", "/lib",
	"/lib64" };

/* All that child_start wants, in one piece of memory. */
struct start {
	struct child_spec spec;
	struct confine_path paths[PATHS_MAX];
	char *variables[VARIABLES_MAX];
	size_t variable_count;
	const char **argv;
	char *scratch;
};

static void
start_clear(struct start *s)
{
	for (size_t i = 0; i < s->variable_count; i++)
		mem_free(s->variables[i]);
	mem_free(s->argv);
	mem_free(s->scratch);
}

static void
add_path(struct start *s, const char *path, unsigned int access, bool optional)
{
	s->paths[s->spec.rules.path_count++] =
	    (struct confine_path){ path, access, optional };
}

static const char *
program_path(const struct gate_program *p)
{
	return p->command_path != NULL ? p->command_path : p->argv[0];
}

static void
set_paths(struct start *s, const struct gate_program *p)
{
	s->spec.rules.paths = s->paths;
	add_path(s, p->work, CONFINE_PATH_READ, false);
	add_path(s, program_path(p), CONFINE_PATH_READ | CONFINE_PATH_EXEC,
	    false);
	add_path(s, "/dev/null", CONFINE_PATH_READ | CONFINE_PATH_WRITE, false);
	for (size_t i = 0; i < sizeof system_folders / sizeof *system_folders;
	     i++)
		add_path(s, system_folders[i],
		    CONFINE_PATH_READ | CONFINE_PATH_EXEC, true);
	add_path(s, "/etc/ld.so.cache", CONFINE_PATH_READ, true);
	if (s->scratch != NULL)
		add_path(s, s->scratch, CONFINE_PATH_READ | CONFINE_PATH_WRITE,
		    false);
}

static int64_t
memory_of(const struct gate_program *p)
{
	int64_t most = p->memory_max > 0 ? p->memory_max : GATE_MEMORY_DEFAULT;

	return most < GATE_MEMORY_MIN ? GATE_MEMORY_MIN : most;
}

static void
set_limits(struct start *s, const struct gate_program *p)
{
	struct confine_rules *r = &s->spec.rules;

	r->calls = CONFINE_READ_FILES | CONFINE_THREADS | CONFINE_EXEC |
	    CONFINE_GO;
	r->best_effort = p->best_effort;
	r->data_max = (uint64_t)memory_of(p);
	/* Its threads may all be busy until the deadline; this is for the case
	 * that nobody is left to see to that. */
	r->cpu_seconds = (uint64_t)(p->timeout_ms / 1000 + 1) * GO_THREADS + 1;
	r->files_max = GATE_FILES_OPEN;
	r->threads_extra = GATE_PROCESSES;
	r->no_file_growth = true;
	if (p->command_path == NULL)
		return;
	if (p->processes > 0) {
		r->calls |= CONFINE_FORK;
		r->threads_extra += (uint64_t)p->processes;
	}
	if (p->scratch > 0) {
		r->calls |= CONFINE_WRITE_FILES;
		r->no_file_growth = false;
		r->file_size_max = (uint64_t)p->scratch;
	}
}

static void
add_variable(struct start *s, char *text)
{
	s->variables[s->variable_count++] = text;
}

static void
set_environment(struct start *s, const struct gate_program *p)
{
	int64_t soft = memory_of(p) / 10 * 8;

	add_variable(s, mem_printf("GOMEMLIMIT=%lld", (long long)soft));
	add_variable(s, mem_printf("GOMAXPROCS=%d", GO_THREADS));
	/* Tests make much garbage: this halves their time for twice the memory,
	 * and close to the limit above Go collects as often as it must. */
	add_variable(s, mem_strdup("GOGC=400"));
	if (p->command_path != NULL) {
		add_variable(s, mem_strdup("PATH=/usr/bin:/bin"));
		add_variable(s, mem_strdup("LC_CTYPE=C.UTF-8"));
	}
	if (s->scratch != NULL) {
		add_variable(s, mem_printf("TMPDIR=%s", s->scratch));
		add_variable(s, mem_printf("HOME=%s", s->scratch));
	}
	s->spec.envp = (const char *const *)s->variables;
}

static void
set_arguments(struct start *s, const struct gate_program *p)
{
	size_t count = 0, fixed = p->command_path != NULL ? 1 : p->argc;

	while (p->args[count] != NULL)
		count++;
	s->argv = mem_array(fixed + count + 1, sizeof *s->argv);
	if (p->command_path != NULL)
		s->argv[0] = p->command_path;
	else
		memcpy(s->argv, p->argv, fixed * sizeof *s->argv);
	memcpy(s->argv + fixed, p->args, count * sizeof *s->argv);
	s->spec.path = program_path(p);
	s->spec.argv = s->argv;
}

static enum err_code
start_init(struct start *s, const struct gate_program *p, struct err *e)
{
	*s = (struct start){ 0 };
	if (p->command_path != NULL && p->scratch > 0) {
		s->scratch = file_path(p->work, "scratch");
		TRY(file_make_dirs(s->scratch, e));
	}
	s->spec.name = p->command_path != NULL ? "gate-command" : "gate-opa";
	s->spec.cwd = p->dir;
	s->spec.stdin_fd = -1;
	s->spec.stdout_fd = -1;
	s->spec.stderr_fd = -1;
	set_paths(s, p);
	set_limits(s, p);
	set_environment(s, p);
	set_arguments(s, p);
	return ERR_OK;
}

enum err_code
gate_program_start(pid_t *pid, const struct gate_program *p, int stdout_fd,
    int stderr_fd, struct err *e)
{
	struct start s;
	enum err_code code = start_init(&s, p, e);

	s.spec.stdout_fd = stdout_fd;
	s.spec.stderr_fd = stderr_fd;
	if (code == ERR_OK)
		code = child_start(pid, &s.spec, e);
	start_clear(&s);
	return code;
}

enum err_code
gate_program_run(struct child_result *out, const struct gate_program *p,
    size_t out_max, struct err *e)
{
	struct start s;
	enum err_code code = start_init(&s, p, e);
	int64_t timeout_ms = p->timeout_ms;

	if (p->timeout_max_ms > 0 && p->timeout_max_ms < timeout_ms)
		timeout_ms = p->timeout_max_ms;
	if (code == ERR_OK)
		code = child_run(out, &s.spec, timeout_ms, out_max, e);
	start_clear(&s);
	return code;
}

static enum err_code
run_local(void *ctx, struct child_result *out, const struct gate_tool *tool,
    struct err *e)
{
	const struct gate_local *l = ctx;
	struct gate_program p = {
		.best_effort = l->best_effort,
		.argv = l->engine,
		.argc = l->engine_count,
		.memory_max = l->memory_max,
		.args = tool->args,
		.work = l->work,
		.dir = tool->dir,
		.timeout_ms = tool->timeout_ms,
	};

	if (tool->command != NULL && l->command == NULL)
		return err_set(e, ERR_DENIED,
		    "no command %s is allowed here; a server "
		    "allows those of gate.commands in server.yaml",
		    tool->command);
	if (tool->command != NULL)
		TRY(l->command(l->arg, tool->command, &p, e));
	return gate_program_run(out, &p, tool->out_max, e);
}

struct gate_runner
gate_local_runner(struct gate_local *local)
{
	return (struct gate_runner){ run_local, local };
}

void
gate_local_sandbox(char out[64])
{
	struct confine_rules rules = { 0 };

	confine_describe(out, &rules);
}
