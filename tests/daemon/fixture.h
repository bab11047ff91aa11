#ifndef TESTS_DAEMON_FIXTURE_H
#define TESTS_DAEMON_FIXTURE_H

/* A scene for one scenario: a folder of its own, a bare Git repository
 * ("remote.git") with a clone to work in ("work"), the real edict, real engines.
 * One server at a time. Everything here fails the test when it does not work,
 * and says why; what a test leaves running is ended after it, failed or not.
 * What is returned as text or JSON lives until the end of the scenario. Waiting
 * is always for a condition, with a deadline. One thread, but for polls. */

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

/* What anything may take on a busy machine, under sanitizers. */
enum { DAEMON_DEADLINE_MS = 120000 };

/* SCENARIO(name) { … } defines one, PLAY(name) puts it into main's table. */
int daemon_setup(void **state);
int daemon_teardown(void **state);
void daemon_passed(void);

#define SCENARIO(name)                      \
	static void name(void);             \
	static void play_##name(void **arg) \
	{                                   \
		(void)arg;                  \
		name();                     \
		daemon_passed();            \
	}                                   \
	static void name(void)
#define PLAY(name)                                                      \
	{                                                               \
#name, play_##name, daemon_setup, daemon_teardown, NULL \
	}

/* ---- text, files, commands ---- */

const char *daemon_printf(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
const char *daemon_path(const char *name); /* in the scene's folder */
const char *daemon_read(const char *name);
void daemon_write(const char *name, const char *text); /* makes folders */
void daemon_save(const char *name, const void *data, size_t len);

/* `sh -c` in the scene's folder: Git knows Ada and Bob and nothing else, and
 * `edict` is the program under test. */
struct shell {
	int status;       /* exit status, or 128 + signal */
	const char *text; /* stdout and stderr, without the last newline */
};
struct shell daemon_try(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
const char *daemon_sh(const char *fmt, ...) /* has to end with status 0 */
    __attribute__((format(printf, 1, 2)));

/* ---- commits; each returns the commit's id ---- */

struct daemon_file {
	const char *path, *text; /* text NULL: the file is removed */
};
const char *daemon_commit_files(const char *message,
    const struct daemon_file *files);
/* daemon_commit("why", { "a.rego", text }, …): committed and pushed. */
#define daemon_commit(message, ...)  \
	daemon_commit_files(message, \
	    (const struct daemon_file[]){ __VA_ARGS__, { NULL, NULL } })

/* The policy that most scenarios use: data.authz.level is n, one test proves
 * it (or does not). Bundle main, cluster default. */
const char *daemon_level(int n);
const char *daemon_bad_level(int n); /* its test fails: test_level */
#define LEVEL_TEST "authz/authz_test.rego"

/* ---- the server ---- */

struct daemon_options {
	const char *repo;       /* for --repo; NULL: remote.git */
	const char *config;     /* a server.yaml, in place of --repo */
	const char *data;       /* folder; NULL: "data" */
	const char *opa;        /* NULL: the one of the build */
	const char *const *env; /* "NAME=value", NULL-terminated */
	mode_t umask;           /* 0: as it is */
	int sockets[2];         /* handed over as systemd does; 0: none */
};
void daemon_start(const struct daemon_options *o); /* NULL: all defaults */
void daemon_stop(void);    /* SIGTERM; has to end with status 0 */
void daemon_crash(void);   /* SIGKILL for the supervisor alone */
void daemon_restart(void); /* same options, same port */

pid_t daemon_pid(void);
pid_t daemon_process(const char *name); /* 0: it does not run now */
void daemon_kill(const char *name, int signal_number);
/* In this scenario processes die whose line in the log has this text. */
void daemon_expect_deaths(const char *text);
bool daemon_is_gone(pid_t pid);

const char *daemon_url(void);
const char *daemon_admin(void); /* the admin token */
const char *daemon_engine(void);
const char *daemon_log(void); /* what the server said so far */

/* ---- HTTP ---- */

struct request {
	const char *method; /* NULL: GET */
	const char *path;
	const char *token;  /* NULL: none */
	const char *header; /* one more: "Name: value" */
	const char *header2;
	const char *engine; /* whose poll it is */
	int wait_s;         /* how long it may be held */
	const char *body;   /* JSON */
};
struct answer {
	long status; /* 0: no answer */
	const char *body;
	size_t len;
	const char *head; /* all headers */
	int64_t ms;
};
struct answer daemon_send(const struct request *r);
struct answer daemon_get(const char *path, const char *token,
    const char *header);
/* A header's value; "" when there is none. */
const char *answer_header(const struct answer *a, const char *name);

/* A request on its way, for long polls. */
struct poll;
struct poll *poll_start(const char *path, const char *token, const char *etag,
    int wait_s);
/* With a name: others are held a second at most while discovery is new. */
struct poll *poll_start_as(const char *engine, const char *path,
    const char *token, const char *etag, int wait_s);
bool poll_is_over(const struct poll *p);
struct answer poll_end(struct poll *p); /* waits for it */

/* As the admin; the status has to be as expected, unless that is 0. */
json_t *daemon_api(const char *method, const char *path, const char *body,
    long expected);
/* "verdict.state", "items.0.revision"; NULL: not there, or null. */
const json_t *daemon_at(const json_t *j, const char *path);
const char *daemon_text(const json_t *j, const char *path);
int64_t daemon_number(const json_t *j, const char *path);

/* The text of a new token: fields as POST /v1/tokens takes them. */
const char *daemon_token(const char *fields);

/* `sh -c` where there are, besides, commands of an issuer of JWTs, which jose
 * signs: key NAME ALGORITHM; keyset NAME…: keys.json with their public halves;
 * claims CHANGE (of jq): those of a pod's service account "opa" in the namespace
 * "eu"; sign KEY ALGORITHM CLAIMS [KID]. What it prints; and such a token. */
const char *daemon_jose(const char *commands);
const char *daemon_jwt(const char *key, const char *algorithm,
    const char *change);

/* Bundles authz and billing; clusters prod-eu with both, prod-us with authz,
 * test with billing. The server with that, when all of it is served. */
const char *daemon_estate(int n);
void daemon_start_estate(const char *rev);

/* ---- waiting ---- */

int64_t daemon_now_ms(void);
/* Until condition says true; the milliseconds it took. */
int64_t daemon_wait(const char *what, bool (*condition)(void *arg), void *arg,
    int64_t deadline_ms);
/* The assignment has this revision, and it is what engines get. */
int64_t daemon_wait_revision(const char *cluster, const char *bundle,
    const char *rev, int64_t deadline_ms);
/* For main in default. */
int64_t daemon_wait_served(const char *rev);
/* The commit, with its verdict. */
json_t *daemon_wait_verdict(const char *rev, const char *state,
    int64_t deadline_ms);
/* The operation, when it is done or failed. */
json_t *daemon_wait_operation(const json_t *operation, const char *state);
/* The repository's state ("alarm"); the repository. */
json_t *daemon_wait_state(const char *repository, const char *state);
/* The text is in the server's log, after the first `from` bytes. */
void daemon_wait_log(const char *text, size_t from);
/* A discovery bundle of the cluster was published, after these bytes of the log,
 * and is what engines get. */
void daemon_wait_discovery(const char *cluster, size_t from);
/* What the server does by itself when it was started with this cluster's first
 * commit is done: there is a discovery bundle, and the audit has a signed head. */
void daemon_wait_settled(const char *cluster);
/* The file is there. */
void daemon_wait_file(const char *name);

/* ---- engines ---- */

enum engine_mode { ENGINE_LONG, ENGINE_PLAIN };
struct engine;
struct engine *engine_start(const char *cluster, enum engine_mode mode);
/* Under this name; more is put below the configuration, whose last section is
 * bundles; other is the URL of a service of that name, or NULL. */
struct engine *engine_start_as(const char *name, const char *cluster,
    enum engine_mode mode, const char *other, const char *more);
/* With this file, a path. */
struct engine *engine_start_with(const char *name, const char *config);
bool engine_is_ready(struct engine *e); /* /health?bundles */
const char *engine_log(struct engine *e);
pid_t engine_pid(const struct engine *e);
void engine_stop(struct engine *e);
/* A decision as JSON text ("true", "3", "{\"a\":1}"), "undefined" without one.
 * path is "authz/level"; input may be NULL. */
const char *engine_ask(struct engine *e, const char *path, const char *input);
/* Until the decision is this; the milliseconds it took. */
int64_t engine_wait(struct engine *e, const char *path, const char *input,
    const char *decision, int64_t deadline_ms);
const char *engine_opa(void); /* the program */

/* A TCP port nobody listens on. */
int daemon_free_port(void);

#endif
