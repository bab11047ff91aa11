#include "http_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clusters/ledger.h"
#include "clusters/store_write.h"
#include "core/channel.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/http.h"
#include "server/supervisor/supervisor.h"
#include "signing/digest.h"

enum { WIRE_BODY_MAX = 64 << 20 };

/* A race in the process under test ends it, and so the test. */
const char *__tsan_default_options(void);
const char *
__tsan_default_options(void)
{
	return "halt_on_error=1";
}

static void
must(enum err_code code, const struct err *e)
{
	if (code != ERR_OK)
		fail_msg("%s: %s", err_name(code), e->text);
}

/* ---- the site ---- */

static void
open_listener(struct site *s, size_t i)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)s->port),
	};
	socklen_t len = sizeof sa;
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on,
			     sizeof on),
	    0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(fd, 4096), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	s->port = ntohs(sa.sin_port);
	s->listeners[i] = fd;
}

static char *
read_token(const struct site *s, const char *name)
{
	AUTO_STR path = file_path(s->dir, name);
	struct err e = { 0 };
	char *token;

	must(file_read_secret(&token, path, &e), &e);
	return token;
}

static void
make_folder(const struct site *s, const char *name)
{
	AUTO_STR path = file_path(s->dir, name);
	struct err e = { 0 };

	must(file_make_dirs(path, &e), &e);
}

static void
put_origin(struct site *s)
{
	struct store_repository_row repository = {
		.name = "policies",
		.url = "/nowhere",
		.branch = "main",
		.state = "ok",
		.head = "",
		.followed = "",
		.engine = "1.0.0",
		.sandbox = "none",
	};
	struct err e = { 0 };

	must(store_begin(s->store, &e), &e);
	must(store_put_repository(s->store, &repository, &e), &e);
	must(store_commit(s->store, &e), &e);
}

void
site_open(struct site *s, size_t threads)
{
	static const char *const names[] = { "policies" };
	struct spec_faults faults = { 0 };
	struct err e = { 0 };

	memset(s, 0, sizeof *s);
	log_init("test", LOG_WARN);
	(void)snprintf(s->dir, sizeof s->dir, "/tmp/edict-http-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	make_folder(s, "keys");
	make_folder(s, "artifacts");
	must(store_prepare(s->dir, &e), &e);
	must(store_open(&s->store, s->dir, &e), &e);
	put_origin(s);
	s->admin = read_token(s, "admin-token");
	s->engine = read_token(s, "engine-token");
	s->threads = threads;
	for (size_t i = 0; i < threads; i++)
		open_listener(s, i);
	must(channel_pair(s->ledger, &e), &e);
	must(channel_pair(s->supervisor, &e), &e);
	s->counters = counters_new(names, 1);
	s->conf.data_dir = s->dir;
	s->conf.log_level = LOG_WARN;
	spec_read(&s->conf.http.limits, conf_limits_spec, NULL, &faults);
	s->conf.http.wait_max = 900;
	s->conf.http.memory_max = 1 << 20;
	s->conf.http.engines_max = 1000;
	s->conf.engines.silent_after = 300;
	s->conf.engines.forget_after = 86400;
	s->engines = engines_new(1000);
}

static void
end_process(pid_t *pid, int signal_number)
{
	int status;

	if (*pid == 0)
		return;
	(void)kill(*pid, signal_number);
	assert_int_equal(waitpid(*pid, &status, 0), *pid);
	*pid = 0;
}

void
site_close(struct site *s)
{
	struct err e = { 0 };

	end_process(&s->http, SIGKILL);
	if (s->clerk > 0)
		close(s->heard);
	end_process(&s->clerk, SIGKILL);
	for (size_t i = 0; i < s->threads; i++)
		close(s->listeners[i]);
	for (int i = 0; i < 2; i++) {
		close(s->ledger[i]);
		close(s->supervisor[i]);
	}
	store_free(s->store);
	counters_free(s->counters);
	engines_free(s->engines);
	mem_free_secret(s->admin, strlen(s->admin));
	mem_free_secret(s->engine, strlen(s->engine));
	must(file_remove_tree(s->dir, &e), &e);
}

static void
put_file(const struct site *s, const char *sha256, const void *data, size_t len)
{
	AUTO_STR path = store_artifact_path(s->dir, sha256);
	AUTO_STR folder =
	    mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	struct err e = { 0 };

	must(file_make_dirs(folder, &e), &e);
	must(file_replace(path, data, len, 0600, &e), &e);
}

/* A commit, its bundle's revision and artifact, and the assignment. */
static void
put_rows(struct site *s, const struct store_artifact *a, const char *cluster)
{
	struct assignment assignment = {
		.mode = s->held ? ASSIGN_HELD : ASSIGN_FOLLOWING,
		.serial = s->serial,
		.at_ms = s->at_ms,
		.depth = s->serial,
	};
	struct store_commit_row commit = {
		.repository = "policies",
		.id = a->revision,
		.parent = "",
		.tree = a->revision,
		.author = "A <a@example.org>",
		.subject = "change",
		.depth = s->serial,
	};
	json_t *roots = json_pack("[s]", "");
	json_t *labels = json_object();
	struct store_revision_row revision = {
		.bundle = a->bundle,
		.repository = "policies",
		.commit = a->revision,
		.content = a->content,
		.artifact = a->sha256,
		.roots = roots,
		.unpacked = 1,
		.rego_version = 1,
	};
	struct err e = { 0 };

	(void)snprintf(assignment.cluster, STORE_NAME_SIZE, "%s", cluster);
	(void)snprintf(assignment.bundle, STORE_NAME_SIZE, "%s", a->bundle);
	(void)snprintf(assignment.revision, STORE_ID_SIZE, "%s", a->revision);
	(void)snprintf(assignment.current_with, STORE_ID_SIZE, "%s",
	    a->revision);
	(void)snprintf(assignment.content, STORE_DIGEST_SIZE, "%s", a->content);
	(void)snprintf(assignment.artifact, STORE_DIGEST_SIZE, "%s", a->sha256);
	(void)snprintf(assignment.by, STORE_NAME_SIZE, "pipeline");
	must(store_begin(s->store, &e), &e);
	must(store_put_commit(s->store, &commit, &e), &e);
	must(store_put_bundle(s->store, a->bundle, "policies", false, &e), &e);
	must(store_put_artifact(s->store, a, 0, &e), &e);
	must(store_put_revision(s->store, &revision, &e), &e);
	must(store_put_cluster(s->store, cluster, "policies", labels, &e), &e);
	must(store_put_assignment(s->store, &assignment, &e), &e);
	must(store_commit(s->store, &e), &e);
	json_decref(roots);
	json_decref(labels);
}

void
site_assign(struct site *s, const char *cluster, const char *bundle,
    const void *data, size_t len)
{
	struct store_artifact a = { .key = "test", .size = (int64_t)len };

	s->serial++;
	digest_hex(a.sha256, data, len);
	memcpy(a.content, a.sha256, sizeof a.content);
	memcpy(a.content_sha256, a.sha256, sizeof a.content_sha256);
	(void)snprintf(a.bundle, sizeof a.bundle, "%s", bundle);
	(void)snprintf(a.revision, sizeof a.revision, "%040lld",
	    (long long)s->serial);
	(void)snprintf(s->etag, sizeof s->etag, "\"sha256:%s\"", a.sha256);
	put_file(s, a.sha256, data, len);
	put_rows(s, &a, cluster);
}

static void
tell(int fd, const char *name, uint32_t kind, json_t *payload)
{
	struct err e = { 0 };

	AUTO(channel, c) = channel_new(fd, name);
	must(channel_send(c, kind, 0, 0, payload, NULL, 0, 1000, &e), &e);
	json_decref(payload);
}

void
site_tell_changed(struct site *s)
{
	tell(s->ledger[1], "http", LEDGER_CHANGED, json_object());
}

void
site_tell_restarted(struct site *s, const char *process)
{
	tell(s->supervisor[1], "http", SUPERVISOR_RESTARTED,
	    json_pack("{s:s}", "process", process));
}

static void
limit_files(size_t count)
{
	struct rlimit limit = { .rlim_cur = count, .rlim_max = count };

	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		_exit(2);
}

void
site_start(struct site *s)
{
	struct http_setup setup = {
		.conf = &s->conf,
		.listeners = s->listeners,
		.listener_count = s->threads,
		.ledger_fd = s->ledger[0],
		.supervisor_fd = s->supervisor[0],
		.counters = s->counters,
		.engines = s->engines,
	};
	struct wire_reply r;

	s->http = fork();
	assert_true(s->http >= 0);
	if (s->http == 0) {
		if (s->files_max > 0)
			limit_files(s->files_max);
		close(s->ledger[1]);
		close(s->supervisor[1]);
		log_init("http", (enum log_level)s->conf.log_level);
		_exit(http_main(&setup));
	}
	if (s->conf.tls.certificate != NULL)
		return;
	site_get(s, NULL, "/healthz", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
}

int64_t
site_stop(struct site *s)
{
	int64_t started = clock_mono_ms();
	int status;

	assert_int_equal(kill(s->http, SIGTERM), 0);
	assert_int_equal(waitpid(s->http, &status, 0), s->http);
	s->http = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return clock_mono_ms() - started;
}

/* ---- the clerk ---- */

static void
clerk_answer(struct channel *c, struct message *m, int heard)
{
	const char *action =
	    json_string_value(json_object_get(m->payload, "action"));
	struct err conflict = { 0 };
	struct err e = { 0 };
	json_t *answer = NULL;

	if (strcmp(action, "rollback") == 0) {
		(void)err_set(&conflict, ERR_CONFLICT, "another was first");
		(void)!channel_reply_error(c, m, &conflict, &e);
		return;
	}
	if (strcmp(action, "retest") == 0) {
		(void)!write(heard, "r", 1);
		return;
	}
	(void)json_object_del(m->payload, "token");
	answer = json_pack("{s:i, s:O}", "status",
	    strcmp(action, "fetch") == 0 ? 202 : 200, "body", m->payload);
	(void)!channel_reply(c, m, answer, &e);
	json_decref(answer);
}

static void
clerk_main(int fd, int heard)
{
	static const uint32_t kinds[] = { LEDGER_ACTION, 0 };
	struct channel *c = channel_new(fd, "http");

	for (;;) {
		struct message m;
		struct err e = { 0 };
		enum err_code code = channel_receive(c, &m, kinds, -1, &e);

		if (code == ERR_UNAVAILABLE || code == ERR_IO)
			_exit(0);
		if (code != ERR_OK)
			continue;
		clerk_answer(c, &m, heard);
		message_clear(&m);
	}
}

void
site_start_clerk(struct site *s)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	s->clerk = fork();
	assert_true(s->clerk >= 0);
	if (s->clerk == 0) {
		close(s->ledger[0]);
		clerk_main(s->ledger[1], ends[1]);
	}
	close(ends[1]);
	s->heard = ends[0];
}

void
site_wait_retest(const struct site *s)
{
	struct pollfd p = { .fd = s->heard, .events = POLLIN };
	char c;

	assert_int_equal(poll(&p, 1, SITE_PATIENCE_MS), 1);
	assert_int_equal(read(s->heard, &c, 1), 1);
}

/* ---- the wire ---- */

int
wire_open(const struct site *s)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)s->port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

void
wire_send(int fd, const char *fmt, ...)
{
	char *text;
	va_list ap;
	size_t len;
	size_t sent = 0;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	len = strlen(text);
	while (sent < len) {
		ssize_t n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);

		if (n <= 0)
			break; /* refused in the middle: the reply tells */
		sent += (size_t)n;
	}
	mem_free(text);
}

void
wire_reply_clear(struct wire_reply *r)
{
	mem_free(r->body);
	memset(r, 0, sizeof *r);
}

/* One byte, or what there is up to len; 0 at the end, -1 when too late. */
static ssize_t
receive(int fd, void *out, size_t len, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t left = deadline - clock_mono_ms();
	ssize_t n;

	if (poll(&p, 1, left > 0 ? (int)left : 0) <= 0)
		return -1;
	n = recv(fd, out, len, 0);
	return n < 0 ? 0 : n;
}

static bool
read_head(int fd, struct wire_reply *r, int64_t deadline)
{
	size_t used = 0;

	while (used < sizeof r->head - 1) {
		ssize_t n = receive(fd, r->head + used, 1, deadline);

		if (n < 0)
			return false;
		if (n == 0)
			return true; /* status stays 0 */
		used++;
		r->head[used] = '\0';
		if (used >= 4 && strcmp(r->head + used - 4, "\r\n\r\n") == 0) {
			r->status = (int)strtol(r->head + 9, NULL, 10);
			return true;
		}
	}
	fail_msg("a head that does not end");
	return false;
}

bool
wire_read(int fd, struct wire_reply *r, int timeout_ms, bool head)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	char value[256];
	size_t len = 0;

	memset(r, 0, sizeof *r);
	if (!read_head(fd, r, deadline))
		return false;
	if (wire_header(r, "Content-Length", value) != NULL)
		len = strtoul(value, NULL, 10);
	assert_true(len <= WIRE_BODY_MAX);
	if (head || r->status == 304)
		len = 0;
	r->body = mem_alloc(len + 1);
	while (r->len < len) {
		ssize_t n =
		    receive(fd, r->body + r->len, len - r->len, deadline);

		if (n <= 0)
			return false;
		r->len += (size_t)n;
	}
	r->body[r->len] = '\0';
	return true;
}

bool
wire_closed(int fd, int timeout_ms)
{
	char c;

	return receive(fd, &c, 1, clock_mono_ms() + timeout_ms) == 0;
}

const char *
wire_header(const struct wire_reply *r, const char *name, char out[256])
{
	size_t len = strlen(name);

	for (const char *p = strstr(r->head, "\r\n"); p != NULL;
	     p = strstr(p + 2, "\r\n")) {
		if (strncasecmp(p + 2, name, len) != 0 || p[2 + len] != ':')
			continue;
		p += 2 + len + 1;
		p += strspn(p, " ");
		(void)snprintf(out, 256, "%.*s", (int)strcspn(p, "\r"), p);
		return out;
	}
	return NULL;
}

void
site_ask(const struct site *s, const char *method, const char *token,
    const char *path, const char *headers, const char *body,
    struct wire_reply *r)
{
	int fd = wire_open(s);
	char length[48] = "";

	if (body != NULL)
		(void)snprintf(length, sizeof length, "Content-Length: %zu\r\n",
		    strlen(body));
	wire_send(fd, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s%s%s\r\n%s",
	    method, path, token != NULL ? "Authorization: Bearer " : "",
	    token != NULL ? token : "", token != NULL ? "\r\n" : "", headers,
	    length, body != NULL ? body : "");
	if (!wire_read(fd, r, SITE_PATIENCE_MS, strcmp(method, "HEAD") == 0))
		fail_msg("%s %s: no reply", method, path);
	close(fd);
}

void
site_get(const struct site *s, const char *token, const char *path,
    struct wire_reply *r)
{
	site_ask(s, "GET", token, path, "", NULL, r);
}

double
site_metric(const struct site *s, const char *name)
{
	struct wire_reply r;
	AUTO_STR line = mem_printf("\n%s ", name);
	const char *at;
	double value;

	site_get(s, NULL, "/metrics", &r);
	assert_int_equal(r.status, 200);
	at = strstr(r.body, line);
	if (at == NULL)
		fail_msg("no metric %s", name);
	value = strtod(at + strlen(line), NULL);
	wire_reply_clear(&r);
	return value;
}

void
site_wait_metric(const struct site *s, const char *name, double value)
{
	int64_t end = clock_mono_ms() + SITE_PATIENCE_MS;

	while (site_metric(s, name) < value || site_metric(s, name) > value)
		if (clock_mono_ms() > end)
			fail_msg("%s is %f, not %f", name, site_metric(s, name),
			    value);
}
