#include "server/supervisor/children.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "core/child.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "policies/fetch.h"
#include "policies/gate_local.h"
#include "policies/join.h"
#include "server/supervisor/call.h"
#include "server/supervisor/supervisor.h"

enum { RUN_TIMEOUT_MAX_MS = 3600 * 1000, UNCLAIMED_MS = 60000 };

struct child {
	int64_t number; /* 0: the slot is free */
	pid_t pid;      /* 0: reaped, the result waits to be asked for */
	int64_t started_ms;
	int64_t deadline_ms;
	int64_t kill_ms;    /* after TERM; 0: not yet sent */
	enum child_end why; /* set when we end it; CHILD_EXITED: nobody did */
	enum child_end end;
	int status;
	int64_t wall_ms, cpu_ms, rss_max;
	bool awaited;
	struct message waiter; /* kind and id of the WAIT request */
};

struct children {
	const struct conf *conf;
	struct channel *pipeline; /* borrowed */
	struct child slots[SUPERVISOR_CHILDREN_MAX];
	int64_t last_number;
};

const uint32_t children_kinds[] = { SUPERVISOR_RUN, SUPERVISOR_FETCH,
	SUPERVISOR_JOIN, SUPERVISOR_CALL, SUPERVISOR_WAIT, SUPERVISOR_STOP, 0 };

struct children *
children_new(const struct conf *c, struct channel *pipeline)
{
	struct children *k = mem_zalloc(sizeof *k);

	k->conf = c;
	k->pipeline = pipeline;
	return k;
}

void
children_free(struct children *k)
{
	if (k == NULL)
		return;
	children_abandon(k);
	mem_free(k);
}

void
children_adopt(struct children *k, const struct conf *c)
{
	k->conf = c;
}

static struct child *
find(struct children *k, int64_t number)
{
	for (size_t i = 0; number > 0 && i < SUPERVISOR_CHILDREN_MAX; i++)
		if (k->slots[i].number == number)
			return &k->slots[i];
	return NULL;
}

static enum err_code
free_slot(struct children *k, struct child **out, struct err *e)
{
	for (size_t i = 0; i < SUPERVISOR_CHILDREN_MAX; i++)
		if (k->slots[i].number == 0) {
			*out = &k->slots[i];
			return ERR_OK;
		}
	return err_set(e, ERR_LIMIT, "more than %d children at once",
	    (int)SUPERVISOR_CHILDREN_MAX);
}

/* Digits only: it becomes a folder's name. */
static bool
is_number(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < 20 && strspn(text, "0123456789") == len;
}

/* A folder inside a copy: plain segments only. */
static bool
is_inside(const char *sub)
{
	if (*sub == '/' || strlen(sub) > 512 || strstr(sub, "..") != NULL)
		return false;
	for (const char *p = sub; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == '\\')
			return false;
	return true;
}

static void
begin(struct children *k, struct child *c, pid_t pid, int64_t timeout_ms)
{
	*c = (struct child){ .number = ++k->last_number,
		.pid = pid,
		.started_ms = clock_mono_ms(),
		.why = CHILD_EXITED };
	c->deadline_ms = c->started_ms + timeout_ms;
}

static enum err_code
answer_number(struct children *k, const struct message *m,
    const struct child *c, struct err *e)
{
	json_t *reply = json_pack("{s:I}", "child", (json_int_t)c->number);
	enum err_code code = channel_reply(k->pipeline, m, reply, e);

	json_decref(reply);
	return code;
}

/* ---- RUN ---- */

struct run {
	const char *repository, *command, *work, *sub;
	json_t *args;
	json_int_t timeout_ms;
};

static enum err_code
run_read(struct run *r, const struct message *m, struct err *e)
{
	json_error_t fault;
	json_t *command;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s,s:o,s:o,s:s,s:s,s:I!}",
		"repository", &r->repository, "command", &command, "args",
		&r->args, "work", &r->work, "sub", &r->sub, "timeout_ms",
		&r->timeout_ms) != 0)
		return err_set(e, ERR_INVALID, "run: %s", fault.text);
	r->command = json_string_value(command); /* null: the engine */
	if (r->command == NULL && !json_is_null(command))
		return err_set(e, ERR_INVALID, "run: bad command");
	if (!is_number(r->work) || !is_inside(r->sub))
		return err_set(e, ERR_INVALID, "run: bad folder");
	if (r->timeout_ms < 1 || r->timeout_ms > RUN_TIMEOUT_MAX_MS)
		return err_set(e, ERR_INVALID, "run: bad time-out");
	if (!json_is_array(r->args) ||
	    json_array_size(r->args) > SUPERVISOR_ARGS_MAX)
		return err_set(e, ERR_INVALID, "run: bad arguments");
	if (m->fd_count != 2)
		return err_set(e, ERR_INVALID, "run: two descriptors needed");
	return ERR_OK;
}

static const struct conf_command *
allowed_command(const struct conf *c, const char *name)
{
	const struct conf_command *k = c->gate.commands.items;

	for (size_t i = 0; i < c->gate.commands.count; i++)
		if (strcmp(k[i].name, name) == 0)
			return &k[i];
	return NULL;
}

/* The program and its limits come from the configuration alone. */
static enum err_code
run_program(struct children *k, const struct run *r, struct gate_program *out,
    struct err *e)
{
	const struct conf_repository *repo =
	    conf_repository(k->conf, r->repository);
	const struct conf_command *c;

	*out = (struct gate_program){
		.best_effort = k->conf->gate.sandbox == SANDBOX_BEST_EFFORT,
		.memory_max = k->conf->gate.memory_max,
	};
	if (repo == NULL)
		return err_set(e, ERR_NOT_FOUND, "run: no repository %s",
		    r->repository);
	if (r->command == NULL) {
		out->argv = (const char *const *)repo->engine.items;
		out->argc = repo->engine.count;
		return ERR_OK;
	}
	c = allowed_command(k->conf, r->command);
	if (c == NULL)
		return err_set(e, ERR_DENIED,
		    "the server's configuration allows no command %s; add it "
		    "to gate.commands in server.yaml",
		    r->command);
	out->command_path = c->path;
	out->memory_max = c->memory;
	out->processes = c->processes;
	out->scratch = c->scratch;
	out->timeout_max_ms = c->timeout * 1000;
	return ERR_OK;
}

static enum err_code
run_start(struct children *k, struct child *c, const struct run *r,
    const struct message *m, struct err *e)
{
	struct gate_program program;
	AUTO_STR work = mem_printf("%s/work/%s", k->conf->data_dir, r->work);
	AUTO_STR dir = *r->sub != '\0' ? mem_printf("%s/%s", work, r->sub)
				       : mem_strdup(work);
	const char **args = NULL;
	int64_t timeout_ms = r->timeout_ms;
	enum err_code code = ERR_OK;
	size_t count = json_array_size(r->args);
	pid_t pid = 0;

	TRY(run_program(k, r, &program, e));
	if (program.timeout_max_ms > 0 && timeout_ms > program.timeout_max_ms)
		timeout_ms = program.timeout_max_ms;
	args = mem_array(count + 1, sizeof *args);
	for (size_t i = 0; code == ERR_OK && i < count; i++) {
		args[i] = json_string_value(json_array_get(r->args, i));
		if (args[i] == NULL)
			code = err_set(e, ERR_INVALID, "run: bad arguments");
	}
	program.args = args;
	program.work = work;
	program.dir = dir;
	program.timeout_ms = timeout_ms;
	if (code == ERR_OK)
		code =
		    gate_program_start(&pid, &program, m->fds[0], m->fds[1], e);
	mem_free(args);
	if (code == ERR_OK)
		begin(k, c, pid, timeout_ms);
	return code;
}

static enum err_code
handle_run(struct children *k, const struct message *m, struct err *e)
{
	struct run r;
	struct child *c;

	TRY(run_read(&r, m, e));
	TRY(free_slot(k, &c, e));
	TRY(run_start(k, c, &r, m, e));
	return answer_number(k, m, c, e);
}

/* ---- FETCH ---- */

static enum err_code
fetch_start(struct children *k, struct child *c,
    const struct conf_repository *repo, const char *branch,
    const char *incoming, const char *known, int stdout_fd, struct err *e)
{
	AUTO_STR mirror =
	    mem_printf("%s/repos/%s/git", k->conf->data_dir, repo->name);
	AUTO_STR folder = mem_printf("%s/repos/%s/incoming/%s",
	    k->conf->data_dir, repo->name, incoming);
	AUTO(fetch_child, child) = NULL;
	struct fetch_source source = {
		.name = repo->name,
		.url = repo->url,
		.branch = branch,
		.username = repo->credentials.username,
		.password_file = repo->credentials.password_file,
		.ssh_key_file = repo->credentials.ssh_key_file,
		.ssh_passphrase_file = repo->credentials.ssh_passphrase_file,
		.known_hosts_file = repo->credentials.known_hosts_file,
		.ca_file = repo->credentials.ca_file,
		.bytes_max = repo->fetch_max,
	};
	struct child_spec spec;
	pid_t pid;

	TRY(fetch_child_new(&child, &source, mirror, folder, known, e));
	spec = *fetch_child_spec(child);
	spec.stdout_fd = stdout_fd;
	spec.rules.best_effort = k->conf->gate.sandbox == SANDBOX_BEST_EFFORT;
	TRY(child_start(&pid, &spec, e));
	begin(k, c, pid, repo->fetch_timeout * 1000);
	return ERR_OK;
}

static enum err_code
handle_fetch(struct children *k, const struct message *m, struct err *e)
{
	const char *name, *incoming, *known, *branch;
	const struct conf_repository *repo;
	json_error_t fault;
	struct child *c;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s,s:s,s:s,s:s!}",
		"repository", &name, "incoming", &incoming, "known", &known,
		"branch", &branch) != 0)
		return err_set(e, ERR_INVALID, "fetch: %s", fault.text);
	repo = conf_repository(k->conf, name);
	if (repo == NULL || !is_number(incoming) || m->fd_count != 1)
		return err_set(e, ERR_INVALID, "fetch: bad request");
	/* The branch is configuration; only where that leaves it open may the
	 * pipeline name the one it settled on. */
	if (repo->branch != NULL)
		branch = repo->branch;
	TRY(free_slot(k, &c, e));
	TRY(fetch_start(k, c, repo, branch, incoming, known, m->fds[0], e));
	return answer_number(k, m, c, e);
}

/* ---- JOIN ---- */

static enum err_code
join_start(struct children *k, struct child *c, const char *repository,
    const char *incoming, int stdout_fd, struct err *e)
{
	AUTO_STR mirror =
	    mem_printf("%s/repos/%s/git", k->conf->data_dir, repository);
	AUTO_STR folder = mem_printf("%s/repos/%s/incoming/%s",
	    k->conf->data_dir, repository, incoming);
	AUTO(join_child, child) = NULL;
	struct child_spec spec;
	pid_t pid;

	TRY(join_child_new(&child, mirror, folder, e));
	spec = *join_child_spec(child);
	spec.stdout_fd = stdout_fd;
	spec.rules.best_effort = k->conf->gate.sandbox == SANDBOX_BEST_EFFORT;
	TRY(child_start(&pid, &spec, e));
	begin(k, c, pid, JOIN_TIMEOUT_MS);
	return ERR_OK;
}

static enum err_code
handle_join(struct children *k, const struct message *m, struct err *e)
{
	const char *name, *incoming;
	json_error_t fault;
	struct child *c;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s,s:s!}", "repository",
		&name, "incoming", &incoming) != 0)
		return err_set(e, ERR_INVALID, "join: %s", fault.text);
	if (conf_repository(k->conf, name) == NULL || !is_number(incoming) ||
	    m->fd_count != 1)
		return err_set(e, ERR_INVALID, "join: bad request");
	TRY(free_slot(k, &c, e));
	TRY(join_start(k, c, name, incoming, m->fds[0], e));
	return answer_number(k, m, c, e);
}

/* ---- CALL ---- */

static enum err_code
handle_call(struct children *k, const struct message *m, struct err *e)
{
	int64_t timeout_ms;
	struct child *c;
	pid_t pid;

	TRY(free_slot(k, &c, e));
	TRY(call_start(&pid, &timeout_ms, k->conf, m, e));
	begin(k, c, pid, timeout_ms);
	return answer_number(k, m, c, e);
}

/* ---- WAIT and STOP ---- */

static void
report(struct children *k, struct child *c)
{
	json_t *reply = json_pack("{s:s,s:i,s:I,s:I,s:I}", "end",
	    child_end_name(c->end), "status", c->status, "wall_ms",
	    (json_int_t)c->wall_ms, "cpu_ms", (json_int_t)c->cpu_ms, "rss_max",
	    (json_int_t)c->rss_max);
	struct err e = { 0 };

	if (channel_reply(k->pipeline, &c->waiter, reply, &e) != ERR_OK)
		log_warn("child.report", "child=%" PRId64 " error=\"%s\"",
		    c->number, e.text);
	json_decref(reply);
	*c = (struct child){ 0 };
}

static enum err_code
read_number(struct children *k, const struct message *m, struct child **out,
    struct err *e)
{
	json_int_t number;

	if (json_unpack(m->payload, "{s:I!}", "child", &number) != 0)
		return err_set(e, ERR_INVALID, "child: a number is needed");
	*out = find(k, number);
	if (*out == NULL)
		return err_set(e, ERR_NOT_FOUND, "no such child");
	return ERR_OK;
}

static enum err_code
handle_wait(struct children *k, const struct message *m, struct err *e)
{
	struct child *c;

	TRY(read_number(k, m, &c, e));
	c->awaited = true;
	c->waiter = (struct message){ .kind = m->kind,
		.id = m->id,
		.expires_ms = m->expires_ms };
	if (c->pid == 0)
		report(k, c);
	return ERR_OK;
}

static enum err_code
handle_stop(struct children *k, const struct message *m, struct err *e)
{
	struct child *c;

	TRY(read_number(k, m, &c, e));
	if (c->pid != 0) {
		c->why = CHILD_CANCELLED;
		child_signal(c->pid, SIGKILL);
	}
	return channel_reply(k->pipeline, m, NULL, e);
}

void
children_handle(struct children *k, struct message *m)
{
	struct err e = { 0 };
	struct err sending = { 0 };
	enum err_code code = ERR_DENIED;

	switch (m->kind) {
	case SUPERVISOR_RUN:
		code = handle_run(k, m, &e);
		break;
	case SUPERVISOR_FETCH:
		code = handle_fetch(k, m, &e);
		break;
	case SUPERVISOR_JOIN:
		code = handle_join(k, m, &e);
		break;
	case SUPERVISOR_CALL:
		code = handle_call(k, m, &e);
		break;
	case SUPERVISOR_WAIT:
		code = handle_wait(k, m, &e);
		break;
	case SUPERVISOR_STOP:
		code = handle_stop(k, m, &e);
		break;
	default:
		assert(0 && "channel_receive lets no other kind through");
	}
	if (code != ERR_OK &&
	    channel_reply_error(k->pipeline, m, &e, &sending) != ERR_OK)
		log_warn("child.reply", "error=\"%s\"", sending.text);
	message_clear(m);
}

/* ---- ends ---- */

static int64_t
milliseconds(const struct timeval *t)
{
	return (int64_t)t->tv_sec * 1000 + t->tv_usec / 1000;
}

bool
children_reaped(struct children *k, pid_t pid, int status,
    const struct rusage *usage)
{
	struct child *c = NULL;

	for (size_t i = 0; c == NULL && i < SUPERVISOR_CHILDREN_MAX; i++)
		if (k->slots[i].number != 0 && k->slots[i].pid == pid)
			c = &k->slots[i];
	if (c == NULL)
		return false;
	/* Whatever it left behind in its group goes with it. */
	child_signal(pid, SIGKILL);
	c->pid = 0;
	c->wall_ms = clock_mono_ms() - c->started_ms;
	c->cpu_ms =
	    milliseconds(&usage->ru_utime) + milliseconds(&usage->ru_stime);
	c->rss_max = (int64_t)usage->ru_maxrss * 1024;
	c->end = WIFSIGNALED(status) ? CHILD_SIGNALLED : CHILD_EXITED;
	c->status = WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status);
	if (c->why != CHILD_EXITED)
		c->end = c->why;
	if (c->awaited)
		report(k, c);
	return true;
}

int64_t
children_tick(struct children *k, int64_t now_ms)
{
	int64_t next = -1;

	for (size_t i = 0; i < SUPERVISOR_CHILDREN_MAX; i++) {
		struct child *c = &k->slots[i];
		int64_t due;

		if (c->number == 0)
			continue;
		/* Its starter never got to know of it, or is gone. */
		if (c->pid == 0 && now_ms > c->deadline_ms + UNCLAIMED_MS)
			*c = (struct child){ 0 };
		if (c->pid == 0)
			continue;
		if (c->kill_ms == 0 && now_ms >= c->deadline_ms) {
			c->why = CHILD_TIMED_OUT;
			c->kill_ms = now_ms + CHILD_GRACE_MS;
			child_signal(c->pid, SIGTERM);
		} else if (c->kill_ms != 0 && now_ms >= c->kill_ms) {
			c->kill_ms = now_ms + CHILD_GRACE_MS;
			child_signal(c->pid, SIGKILL);
		}
		due = (c->kill_ms != 0 ? c->kill_ms : c->deadline_ms) - now_ms;
		if (next < 0 || due < next)
			next = due > 0 ? due : 0;
	}
	return next;
}

void
children_abandon(struct children *k)
{
	for (size_t i = 0; i < SUPERVISOR_CHILDREN_MAX; i++) {
		struct child *c = &k->slots[i];

		if (c->number == 0)
			continue;
		/* Its end is reaped like any stranger's. */
		if (c->pid != 0)
			child_signal(c->pid, SIGKILL);
		*c = (struct child){ 0 };
	}
}
