#include "tests/daemon/fixture.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/file.h"
#include "core/mem.h"

enum {
	ENGINES_MAX = 4,
	POLLS_MAX = 64,
	STOP_MS = 30000,
	REQUEST_MS = 70000,
	BODY_MAX = 16 << 20,
	LOG_TAIL = 6000,
	STEP_NS = 15 * 1000000
};

struct engine {
	pid_t pid;
	int port;
	const char *log;
};

struct poll {
	pthread_t thread;
	struct request request;
	struct answer answer;
	struct buf body, head;
	atomic_bool over;
	bool joined;
};

/* What lives as long as the scenario. */
struct scene {
	char dir[PATH_MAX];
	struct daemon_options options;
	pid_t server;
	int port;
	char *url, *admin, *engine;
	struct engine engines[ENGINES_MAX];
	size_t engine_count;
	struct poll *polls[POLLS_MAX];
	size_t poll_count;
	void **texts;
	size_t text_count;
	json_t *documents; /* an array that holds them */
	bool passed;
};

static struct scene scene;

/* ---- text ---- */

/* What is in a buffer, and the end of the buffer. */
static char *
contents(struct buf *b, size_t *len)
{
	char *text = buf_steal(b, len);

	buf_clear(b);
	return text;
}

static void *
keep(void *text)
{
	scene.texts =
	    mem_grow(scene.texts, scene.text_count + 1, sizeof *scene.texts);
	scene.texts[scene.text_count++] = text;
	return text;
}

const char *
daemon_printf(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	return keep(text);
}

const char *
daemon_path(const char *name)
{
	return *name == '/' ? name : keep(file_path(scene.dir, name));
}

static const char *
read_or_null(const char *path)
{
	struct buf b;
	size_t len;

	buf_init(&b, BODY_MAX);
	if (file_read(&b, path, NULL) != ERR_OK) {
		buf_clear(&b);
		return NULL;
	}
	return keep(contents(&b, &len));
}

const char *
daemon_read(const char *name)
{
	const char *text = read_or_null(daemon_path(name));

	if (text == NULL)
		fail_msg("cannot read %s", name);
	return text;
}

void
daemon_save(const char *name, const void *data, size_t len)
{
	const char *path = daemon_path(name);
	AUTO_STR folder =
	    mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	FILE *f;
	struct err e;

	if (file_make_dirs(folder, &e) != ERR_OK)
		fail_msg("%s", e.text);
	f = fopen(path, "we");
	if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		fail_msg("cannot write %s: %s", path, strerror(errno));
}

void
daemon_write(const char *name, const char *text)
{
	daemon_save(name, text, strlen(text));
}

static const char *
trimmed(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	return text;
}

/* ---- commands ---- */

static const char *
sources(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : fallback;
}

const char *
engine_opa(void)
{
	const char *opa = sources("EDICT_OPA", NULL);

	if (opa == NULL)
		fail_msg("EDICT_OPA has to name the opa program");
	return opa;
}

static struct shell run_shell(const char *fmt, va_list ap) PRINTF_LIKE(1, 0);

static struct shell
run_shell(const char *fmt, va_list ap)
{
	AUTO_STR script = mem_vprintf(fmt, ap);
	AUTO_STR whole = mem_printf(
	    "cd '%s' || exit 99\n"
	    "export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null "
	    "HOME=\"$PWD\" LC_ALL=C.UTF-8\n"
	    "export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org\n"
	    "export GIT_COMMITTER_NAME=Bob "
	    "GIT_COMMITTER_EMAIL=bob@example.org\n"
	    "export GIT_AUTHOR_DATE='1767225600 +0100' "
	    "GIT_COMMITTER_DATE='1767225660 +0100'\n"
	    "export EDICT_OPA='%s' EDICT_DATA_DIR='%s'\n"
	    "edict() { '%s' \"$@\"; }\n"
	    "{\n%s\n} 2>&1 </dev/null",
	    scene.dir, engine_opa(),
	    daemon_path(scene.options.data != NULL ? scene.options.data
						   : "data"),
	    EDICT_PROGRAM, script);
	FILE *out = popen(whole, "re");
	struct buf b;
	char step[4096];
	size_t n;
	size_t len;
	int status;

	assert_non_null(out);
	buf_init(&b, BODY_MAX);
	while ((n = fread(step, 1, sizeof step, out)) > 0)
		buf_add(&b, step, n);
	status = pclose(out);
	return (struct shell){
		.status = WIFEXITED(status) ? WEXITSTATUS(status)
					    : 128 + WTERMSIG(status),
		.text = trimmed(keep(contents(&b, &len))),
	};
}

struct shell
daemon_try(const char *fmt, ...)
{
	struct shell s;
	va_list ap;

	va_start(ap, fmt);
	s = run_shell(fmt, ap);
	va_end(ap);
	return s;
}

const char *
daemon_sh(const char *fmt, ...)
{
	struct shell s;
	va_list ap;

	va_start(ap, fmt);
	s = run_shell(fmt, ap);
	va_end(ap);
	if (s.status != 0)
		fail_msg("status %d of: %s\n%s", s.status, fmt, s.text);
	return s.text;
}

/* ---- commits ---- */

static const char *
commit_and_push(const char *message)
{
	daemon_write("message", message);
	return daemon_sh("cd work && git add -A && "
			 "git commit -q --allow-empty -F ../message && "
			 "git push -q origin HEAD:main && git rev-parse HEAD");
}

const char *
daemon_commit_files(const char *message, const struct daemon_file *files)
{
	for (; files->path != NULL; files++) {
		const char *path = daemon_printf("work/%s", files->path);

		if (files->text != NULL)
			daemon_write(path, files->text);
		else
			daemon_sh("rm -r '%s'", path);
	}
	return commit_and_push(message);
}

static const char *
commit_level(int n, int tested)
{
	return daemon_commit(daemon_printf("Level %d", n),
	    { "authz/authz.rego",
		daemon_printf("package authz\n\nlevel := %d\n\n"
			      "default allow := false\n\n"
			      "allow if input.level <= level\n",
		    n) },
	    { LEVEL_TEST,
		daemon_printf("package authz_test\n\nimport data.authz\n\n"
			      "test_level if authz.level == %d\n\n"
			      "test_allow if authz.allow with input as "
			      "{\"level\": 0}\n",
		    tested) });
}

const char *
daemon_level(int n)
{
	return commit_level(n, n);
}

const char *
daemon_bad_level(int n)
{
	return commit_level(n, n + 1);
}

/* ---- time ---- */

int64_t
daemon_now_ms(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The only place where a test rests. */
static void
rest(void)
{
	const struct timespec step = { .tv_nsec = STEP_NS };

	(void)nanosleep(&step, NULL);
}

static bool
holds_before(bool (*condition)(void *arg), void *arg, int64_t deadline_ms)
{
	int64_t end = daemon_now_ms() + deadline_ms;

	while (!condition(arg)) {
		if (daemon_now_ms() > end)
			return false;
		rest();
	}
	return true;
}

int64_t
daemon_wait(const char *what, bool (*condition)(void *arg), void *arg,
    int64_t deadline_ms)
{
	int64_t begin = daemon_now_ms();

	if (!holds_before(condition, arg, deadline_ms))
		fail_msg("after %" PRId64 " ms still not: %s", deadline_ms,
		    what);
	return daemon_now_ms() - begin;
}

/* ---- processes ---- */

int
daemon_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		fail_msg("no free port: %s", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

/* Becomes the program, its output appended to log; dies with the test. */
static void
become(const char *const *argv, const char *log, const char *const *env,
    mode_t mask, pid_t parent)
{
	int in = open("/dev/null", O_RDONLY);
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	sigset_t none;

	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0)
		_exit(126);
	if (in > 2)
		close(in);
	if (out > 2)
		close(out);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (mask != 0)
		(void)umask(mask);
	for (; env != NULL && *env != NULL; env++) {
		const char *equals = strchr(*env, '=');
		AUTO_STR name = mem_strndup(*env, (size_t)(equals - *env));

		(void)setenv(name, equals + 1, 1);
	}
	if (getppid() == parent)
		(void)execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static pid_t
launch(const char *const *argv, const char *log, const char *const *env,
    mode_t mask)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		become(argv, log, env, mask, parent);
	assert_true(pid > 0);
	return pid;
}

struct waiting {
	pid_t pid;
	int status;
};

static bool
has_ended(void *arg)
{
	struct waiting *w = arg;

	return waitpid(w->pid, &w->status, WNOHANG) == w->pid;
}

/* The wait status; -1 when it had to be killed. */
static int
end_process(pid_t pid, int signal_number)
{
	struct waiting w = { .pid = pid };

	(void)kill(pid, signal_number);
	if (holds_before(has_ended, &w, STOP_MS))
		return w.status;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &w.status, 0);
	return -1;
}

/* Calls visit for each child of the server. */
static void
each_child(void (*visit)(pid_t pid, void *arg), void *arg)
{
	AUTO_STR path = mem_printf("/proc/%d/task/%d/children",
	    (int)scene.server, (int)scene.server);
	const char *list = scene.server != 0 ? read_or_null(path) : NULL;

	while (list != NULL && *list != '\0') {
		char *end;
		long pid = strtol(list, &end, 10);

		if (end == list)
			return;
		visit((pid_t)pid, arg);
		list = end;
	}
}

struct search {
	const char *name;
	pid_t found;
};

static void
match_child(pid_t pid, void *arg)
{
	struct search *s = arg;
	AUTO_STR path = mem_printf("/proc/%d/comm", (int)pid);
	const char *comm = read_or_null(path);

	if (comm != NULL && strncmp(comm, "edict ", 6) == 0 &&
	    strncmp(comm + 6, s->name, strlen(s->name)) == 0)
		s->found = pid;
}

pid_t
daemon_process(const char *name)
{
	struct search s = { .name = name };

	each_child(match_child, &s);
	return s.found;
}

static bool
is_running(void *arg)
{
	const char *const *name = arg;

	return daemon_process(*name) != 0;
}

void
daemon_kill(const char *name, int signal_number)
{
	pid_t pid;

	daemon_wait(daemon_printf("%s runs", name), is_running, &name,
	    DAEMON_DEADLINE_MS);
	pid = daemon_process(name);
	if (pid != 0)
		(void)kill(pid, signal_number);
}

bool
daemon_is_gone(pid_t pid)
{
	AUTO_STR path = mem_printf("/proc/%d/stat", (int)pid);
	const char *stat = read_or_null(path);
	const char *state = stat != NULL ? strrchr(stat, ')') : NULL;

	/* A zombie is gone: whoever reaps it is not ours to judge. */
	return state == NULL || state[2] == 'Z';
}

/* ---- the server ---- */

static const char *
data_path(const char *name)
{
	return daemon_path(daemon_printf("%s/%s",
	    scene.options.data != NULL ? scene.options.data : "data", name));
}

const char *
daemon_log(void)
{
	const char *text = read_or_null(daemon_path("server.log"));

	return text != NULL ? text : "";
}

static void
read_secrets(void)
{
	const char *path[] = { data_path("address"), data_path("admin-token"),
		data_path("engine-token") };
	char **out[] = { &scene.url, &scene.admin, &scene.engine };

	for (size_t i = 0; i < 3; i++) {
		mem_free(*out[i]);
		*out[i] = mem_strdup(daemon_read(path[i]));
		(void)trimmed(*out[i]);
	}
	scene.port = (int)strtol(strrchr(scene.url, ':') + 1, NULL, 10);
}

static bool
is_up(void *arg)
{
	struct waiting w = { .pid = scene.server };

	(void)arg;
	if (has_ended(&w)) {
		scene.server = 0;
		fail_msg("the server ended, wait status %d", w.status);
	}
	if (access(data_path("address"), R_OK) != 0)
		return false;
	read_secrets();
	return daemon_get("/healthz", NULL, NULL).status == 200;
}

static void
launch_server(void)
{
	const struct daemon_options *o = &scene.options;
	AUTO_STR listen = mem_printf("127.0.0.1:%d", scene.port);
	const char *argv[] = { EDICT_PROGRAM, "serve",
		o->config != NULL ? "-c" : "--repo",
		o->config != NULL     ? daemon_path("server.yaml")
		    : o->repo != NULL ? o->repo
				      : daemon_path("remote.git"),
		"--data-dir", daemon_path(o->data != NULL ? o->data : "data"),
		"--opa", o->opa != NULL ? o->opa : engine_opa(), "--listen",
		listen, NULL };

	if (o->config != NULL)
		daemon_write("server.yaml", o->config);
	(void)unlink(data_path("address"));
	scene.server =
	    launch(argv, daemon_path("server.log"), o->env, o->umask);
	daemon_wait("the server answers", is_up, NULL, DAEMON_DEADLINE_MS);
}

void
daemon_start(const struct daemon_options *o)
{
	assert_int_equal(scene.server, 0);
	scene.options = o != NULL ? *o : (struct daemon_options){ 0 };
	scene.port = 0;
	launch_server();
}

void
daemon_stop(void)
{
	int status = end_process(scene.server, SIGTERM);

	scene.server = 0;
	if (status != 0)
		fail_msg("the server ended with wait status %d (-1: it had to "
			 "be killed)",
		    status);
}

void
daemon_crash(void)
{
	assert_int_not_equal(end_process(scene.server, SIGKILL), -1);
	scene.server = 0;
}

void
daemon_restart(void)
{
	if (scene.server != 0)
		daemon_stop();
	launch_server();
}

pid_t
daemon_pid(void)
{
	return scene.server;
}

const char *
daemon_url(void)
{
	return scene.url;
}

const char *
daemon_admin(void)
{
	return scene.admin;
}

const char *
daemon_engine(void)
{
	return scene.engine;
}

/* ---- HTTP ---- */

static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	struct buf *out = arg;

	buf_add(out, data, size * count);
	return out->overflow ? 0 : size * count;
}

static struct curl_slist *
headers_of(const struct request *r)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");

	if (r->token != NULL) {
		AUTO_STR line =
		    mem_printf("Authorization: Bearer %s", r->token);

		list = curl_slist_append(list, line);
	}
	if (r->header != NULL)
		list = curl_slist_append(list, r->header);
	if (r->header2 != NULL)
		list = curl_slist_append(list, r->header2);
	if (r->body != NULL)
		list =
		    curl_slist_append(list, "Content-Type: application/json");
	return list;
}

/* May run in a thread: keeps nothing, fails nothing. */
static void
perform(const char *base, const struct request *r, struct answer *a,
    struct buf *body, struct buf *head)
{
	CURL *curl = curl_easy_init();
	AUTO_STR url = mem_printf("%s%s", base, r->path);
	struct curl_slist *list = headers_of(r);
	int64_t begin = daemon_now_ms();

	*a = (struct answer){ 0 };
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)REQUEST_MS);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, head);
	if (r->body != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
	if (r->method != NULL && strcmp(r->method, "HEAD") == 0)
		(void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else if (r->method != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
	if (curl_easy_perform(curl) == CURLE_OK)
		(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE,
		    &a->status);
	a->ms = daemon_now_ms() - begin;
	curl_slist_free_all(list);
	curl_easy_cleanup(curl);
}

static void
keep_answer(struct answer *a, struct buf *body, struct buf *head)
{
	size_t len;

	a->body = keep(contents(body, &a->len));
	a->head = keep(contents(head, &len));
}

static struct answer
send_to(const char *base, const struct request *r)
{
	struct answer a;
	struct buf body, head;

	buf_init(&body, BODY_MAX);
	buf_init(&head, 1 << 16);
	perform(base, r, &a, &body, &head);
	keep_answer(&a, &body, &head);
	return a;
}

struct answer
daemon_send(const struct request *r)
{
	return send_to(scene.url, r);
}

struct answer
daemon_get(const char *path, const char *token, const char *header)
{
	return daemon_send(&(struct request){ .path = path,
	    .token = token,
	    .header = header });
}

const char *
answer_header(const struct answer *a, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = a->head; *p != '\0';) {
		const char *end = strchrnul(p, '\n');

		if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
			p += len + 1;
			p += strspn(p, " ");
			return keep(mem_strndup(p, strcspn(p, "\r\n")));
		}
		p = *end == '\0' ? end : end + 1;
	}
	return "";
}

static void *
poll_main(void *arg)
{
	struct poll *p = arg;

	perform(scene.url, &p->request, &p->answer, &p->body, &p->head);
	atomic_store(&p->over, true);
	return NULL;
}

struct poll *
poll_start(const char *path, const char *token, const char *etag, int wait_s)
{
	struct poll *p = mem_zalloc(sizeof *p);

	assert_true(scene.poll_count < POLLS_MAX);
	scene.polls[scene.poll_count++] = p;
	p->request = (struct request){
		.path = path,
		.token = token,
		.header = daemon_printf("If-None-Match: %s", etag),
		.header2 = daemon_printf("Prefer: modes=snapshot,delta;wait=%d",
		    wait_s),
	};
	buf_init(&p->body, BODY_MAX);
	buf_init(&p->head, 1 << 16);
	assert_int_equal(pthread_create(&p->thread, NULL, poll_main, p), 0);
	return p;
}

bool
poll_is_over(const struct poll *p)
{
	return atomic_load(&p->over);
}

struct answer
poll_end(struct poll *p)
{
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	p->joined = true;
	keep_answer(&p->answer, &p->body, &p->head);
	return p->answer;
}

static json_t *
parsed(const struct answer *a, const char *what)
{
	json_error_t fault;
	json_t *j = json_loadb(a->body, a->len, JSON_DECODE_ANY, &fault);

	if (j == NULL)
		fail_msg("%s: status %ld, not JSON (%s): %s", what, a->status,
		    fault.text, a->body);
	(void)json_array_append_new(scene.documents, j);
	return j;
}

json_t *
daemon_api(const char *method, const char *path, const char *body,
    long expected)
{
	struct answer a = daemon_send(&(struct request){ .method = method,
	    .path = daemon_printf("/v1%s", path),
	    .token = scene.admin,
	    .body = body });

	if (expected != 0 && a.status != expected)
		fail_msg("%s %s: status %ld, not %ld: %s", method, path,
		    a.status, expected, a.body);
	return parsed(&a, path);
}

const json_t *
daemon_at(const json_t *j, const char *path)
{
	while (j != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");
		AUTO_STR name = mem_strndup(path, len);

		j = json_is_array(j)
		    ? json_array_get(j, strtoul(name, NULL, 10))
		    : json_object_get(j, name);
		path += len + (path[len] == '.');
	}
	return json_is_null(j) ? NULL : j;
}

const char *
daemon_text(const json_t *j, const char *path)
{
	return json_string_value(daemon_at(j, path));
}

int64_t
daemon_number(const json_t *j, const char *path)
{
	return json_integer_value(daemon_at(j, path));
}

/* ---- waiting for the server ---- */

struct goal {
	const char *cluster, *bundle, *rev, *state;
	json_t *seen;
};

/* NULL when the answer is not 200. */
static json_t *
look(const char *path)
{
	struct answer a =
	    daemon_get(daemon_printf("/v1%s", path), scene.admin, NULL);

	return a.status == 200 ? parsed(&a, path) : NULL;
}

static const json_t *
assignment_in(const json_t *cluster, const char *bundle)
{
	const json_t *list = daemon_at(cluster, "assignments");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *a = json_array_get(list, i);

		if (strcmp(daemon_text(a, "bundle"), bundle) == 0)
			return a;
	}
	return NULL;
}

static bool
is_served(void *arg)
{
	struct goal *g = arg;
	const json_t *a;
	struct answer head;

	g->seen = look(daemon_printf("/clusters/%s", g->cluster));
	a = assignment_in(g->seen, g->bundle);
	if (a == NULL || strcmp(daemon_text(a, "revision"), g->rev) != 0)
		return false;
	head = daemon_send(&(struct request){ .method = "HEAD",
	    .path =
		daemon_printf("/clusters/%s/bundles/%s", g->cluster, g->bundle),
	    .token = scene.engine });
	return head.status == 200 &&
	    strcmp(answer_header(&head, "ETag"), daemon_text(a, "etag")) == 0;
}

static const char *
dumped(const json_t *j)
{
	char *text = j != NULL
	    ? json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY)
	    : NULL;
	const char *out = daemon_printf("%s", text != NULL ? text : "nothing");

	free(text);
	return out;
}

static int64_t
reach(const char *what, bool (*condition)(void *arg), struct goal *g,
    int64_t deadline_ms)
{
	int64_t begin = daemon_now_ms();

	if (!holds_before(condition, g, deadline_ms))
		fail_msg("after %" PRId64 " ms still not: %s; there is %s",
		    deadline_ms, what, dumped(g->seen));
	return daemon_now_ms() - begin;
}

int64_t
daemon_wait_revision(const char *cluster, const char *bundle, const char *rev,
    int64_t deadline_ms)
{
	struct goal g = { .cluster = cluster, .bundle = bundle, .rev = rev };

	return reach(daemon_printf("%s has %s at %s", cluster, bundle, rev),
	    is_served, &g, deadline_ms);
}

int64_t
daemon_wait_served(const char *rev)
{
	return daemon_wait_revision("default", "main", rev, DAEMON_DEADLINE_MS);
}

static bool
has_verdict(void *arg)
{
	struct goal *g = arg;
	const char *state;

	g->seen = look(daemon_printf("/commits/%s", g->rev));
	state = daemon_text(g->seen, "verdict.state");
	return state != NULL && strcmp(state, g->state) == 0;
}

json_t *
daemon_wait_verdict(const char *rev, const char *state, int64_t deadline_ms)
{
	struct goal g = { .rev = rev, .state = state };

	reach(daemon_printf("%s is %s", rev, state), has_verdict, &g,
	    deadline_ms);
	return g.seen;
}

static bool
is_over(void *arg)
{
	struct goal *g = arg;
	const char *state;

	g->seen = look(daemon_printf("/operations/%s", g->rev));
	state = daemon_text(g->seen, "state");
	return state != NULL &&
	    (strcmp(state, "done") == 0 || strcmp(state, "failed") == 0);
}

json_t *
daemon_wait_operation(const json_t *operation, const char *state)
{
	const json_t *inner = daemon_at(operation, "operation");
	struct goal g = { .rev = daemon_text(inner != NULL ? inner : operation,
			      "id") };

	assert_non_null(g.rev);
	reach("the operation is over", is_over, &g, DAEMON_DEADLINE_MS);
	if (strcmp(daemon_text(g.seen, "state"), state) != 0)
		fail_msg("the operation is not %s: %s", state, dumped(g.seen));
	return g.seen;
}

static bool
is_in_state(void *arg)
{
	struct goal *g = arg;
	const char *state;

	g->seen = look(daemon_printf("/repositories/%s", g->rev));
	state = daemon_text(g->seen, "state");
	return state != NULL && strcmp(state, g->state) == 0;
}

json_t *
daemon_wait_state(const char *repository, const char *state)
{
	struct goal g = { .rev = repository, .state = state };

	reach(daemon_printf("repository %s is %s", repository, state),
	    is_in_state, &g, DAEMON_DEADLINE_MS);
	return g.seen;
}

struct log_goal {
	const char *text;
	size_t from;
};

static bool
is_logged(void *arg)
{
	struct log_goal *g = arg;
	const char *log = daemon_log();

	return strlen(log) > g->from && strstr(log + g->from, g->text) != NULL;
}

void
daemon_wait_log(const char *text, size_t from)
{
	struct log_goal g = { text, from };

	daemon_wait(daemon_printf("the log says %s", text), is_logged, &g,
	    DAEMON_DEADLINE_MS);
}

/* ---- engines ---- */

static const char *
engine_url(const struct engine *e)
{
	return daemon_printf("http://127.0.0.1:%d", e->port);
}

static bool
engine_is_up(void *arg)
{
	struct engine *e = arg;
	struct waiting w = { .pid = e->pid };

	if (has_ended(&w)) {
		e->pid = 0;
		fail_msg("opa ended, wait status %d:\n%s", w.status,
		    daemon_read(e->log));
	}
	return send_to(engine_url(e), &(struct request){ .path = "/health" })
		   .status == 200;
}

/* An engine that polls plainly waits up to 15 s by what engine-config says;
 * nobody wants to watch that. */
static const char *
write_config(const char *cluster, enum engine_mode mode, size_t number)
{
	const char *file = daemon_printf("opa-%zu.yaml", number);

	daemon_sh("edict engine-config %s %s > %s && "
		  "sed -i 's/\\(m.._delay_seconds\\): .*/\\1: 1/' %s",
	    cluster, mode == ENGINE_PLAIN ? "--wait 0" : "", file, file);
	return daemon_path(file);
}

struct engine *
engine_start(const char *cluster, enum engine_mode mode)
{
	static const char *const env[] = { "HOSTNAME=engine-of-a-test", NULL };
	struct engine *e = &scene.engines[scene.engine_count];
	const char *config;

	assert_true(scene.engine_count < ENGINES_MAX);
	config = write_config(cluster, mode, scene.engine_count);
	e->port = daemon_free_port();
	e->log = daemon_path(daemon_printf("opa-%zu.log", scene.engine_count));
	const char *argv[] = { engine_opa(), "run", "--server", "-c", config,
		"--addr", daemon_printf("127.0.0.1:%d", e->port),
		"--skip-version-check", NULL };

	e->pid = launch(argv, e->log, env, 0);
	scene.engine_count++;
	daemon_wait("the engine answers", engine_is_up, e, DAEMON_DEADLINE_MS);
	return e;
}

void
engine_stop(struct engine *e)
{
	(void)end_process(e->pid, SIGTERM);
	e->pid = 0;
}

const char *
engine_ask(struct engine *e, const char *path, const char *input)
{
	struct answer a = send_to(engine_url(e),
	    &(struct request){ .method = "POST",
		.path = daemon_printf("/v1/data/%s", path),
		.body = input != NULL ? daemon_printf("{\"input\":%s}", input)
				      : "{}" });
	const json_t *result;
	char *text;
	const char *out;

	if (a.status != 200)
		return daemon_printf("status %ld", a.status);
	result = json_object_get(parsed(&a, path), "result");
	if (result == NULL)
		return "undefined";
	text =
	    json_dumps(result, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	out = daemon_printf("%s", text);
	free(text);
	return out;
}

struct decision {
	struct engine *engine;
	const char *path, *input, *wanted, *last;
};

static bool
decides(void *arg)
{
	struct decision *d = arg;

	d->last = engine_ask(d->engine, d->path, d->input);
	return strcmp(d->last, d->wanted) == 0;
}

int64_t
engine_wait(struct engine *e, const char *path, const char *input,
    const char *decision, int64_t deadline_ms)
{
	struct decision d = { e, path, input, decision, NULL };
	int64_t begin = daemon_now_ms();

	if (!holds_before(decides, &d, deadline_ms))
		fail_msg("after %" PRId64 " ms the engine still says %s to "
			 "%s, not %s:\n%s",
		    deadline_ms, d.last, path, decision, daemon_read(e->log));
	return daemon_now_ms() - begin;
}

/* ---- the scene ---- */

int
daemon_setup(void **state)
{
	static bool ready;

	(void)state;
	if (sources("EDICT_OPA", NULL) == NULL) {
		print_error("EDICT_OPA has to name the opa program\n");
		return -1;
	}
	if (!ready && curl_global_init(CURL_GLOBAL_ALL) != 0)
		return -1;
	ready = true;
	scene = (struct scene){ .documents = json_array() };
	(void)snprintf(scene.dir, sizeof scene.dir, "%s/edict-daemon-XXXXXX",
	    sources("TMPDIR", "/tmp"));
	if (mkdtemp(scene.dir) == NULL) {
		print_error("%s: %s\n", scene.dir, strerror(errno));
		return -1;
	}
	daemon_sh("git init -q --bare -b main remote.git && "
		  "git init -q -b main work && "
		  "git -C work remote add origin ../remote.git");
	return 0;
}

void
daemon_passed(void)
{
	scene.passed = true;
}

/* Sanitizers of processes that nobody waits for, and deaths that no test
 * caused (those kill with 9), are found in the log. */
static const char *
fault_in_log(const char *log)
{
	static const char *const faults[] = { "ERROR: AddressSanitizer",
		"ERROR: LeakSanitizer", "runtime error:", "Assertion `",
		"WARNING: ThreadSanitizer" };

	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		const char *at = strstr(log, faults[i]);

		if (at != NULL)
			return at;
	}
	for (const char *p = log; (p = strstr(p, "process.died")) != NULL;
	     p++) {
		AUTO_STR line = mem_strndup(p, strcspn(p, "\n"));

		if (strstr(line, "signal=9") == NULL)
			return p;
	}
	return NULL;
}

static void
end_everything(void)
{
	for (size_t i = 0; i < scene.engine_count; i++)
		if (scene.engines[i].pid != 0)
			(void)end_process(scene.engines[i].pid, SIGKILL);
	if (scene.server != 0 && end_process(scene.server, SIGTERM) != 0) {
		print_error("the server did not end well\n");
		scene.passed = false;
	}
	scene.server = 0;
	for (size_t i = 0; i < scene.poll_count; i++) {
		struct poll *p = scene.polls[i];

		if (!p->joined)
			(void)pthread_join(p->thread, NULL);
		buf_clear(&p->body);
		buf_clear(&p->head);
		mem_free(p);
	}
}

static void
forget(void)
{
	for (size_t i = 0; i < scene.text_count; i++)
		mem_free(scene.texts[i]);
	mem_free(scene.texts);
	mem_free(scene.url);
	mem_free(scene.admin);
	mem_free(scene.engine);
	json_decref(scene.documents);
}

int
daemon_teardown(void **state)
{
	const char *log;
	const char *fault;
	bool passed;
	struct err e;

	(void)state;
	passed = scene.passed;
	end_everything();
	passed = passed && scene.passed;
	log = daemon_log();
	fault = fault_in_log(log);
	if (fault != NULL)
		(void)fprintf(stderr, "in the server's log:\n%.6000s\n", fault);
	else if (!passed)
		(void)fprintf(stderr, "the end of the server's log:\n%s\n",
		    strlen(log) > LOG_TAIL ? log + strlen(log) - LOG_TAIL
					   : log);
	if (file_remove_tree(scene.dir, &e) != ERR_OK) {
		print_error("%s\n", e.text);
		passed = false;
	}
	forget();
	return passed && fault == NULL ? 0 : -1;
}
