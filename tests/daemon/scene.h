#ifndef TESTS_DAEMON_SCENE_H
#define TESTS_DAEMON_SCENE_H

/* What the files of the fixture share. Scenarios see fixture.h only. */

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/buf.h"
#include "tests/daemon/fixture.h"

enum {
	ENGINES_MAX = 8,
	POLLS_MAX = 64,
	STOP_MS = 90000,
	REQUEST_MS = 70000, /* and what it is held for */
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
	json_t *documents;  /* an array that holds them */
	const char *deaths; /* that are expected; or NULL */
	bool passed;
};

extern struct scene scene;

/* Texts, which live as long as the scenario. */
/* What is in a buffer, and the end of the buffer. */
char *scene_contents(struct buf *b, size_t *len);
void *scene_keep(void *text);
const char *scene_read(const char *path);
const char *scene_trim(char *text);
const char *scene_setting(const char *name, const char *fallback);

/* Processes. */

struct waiting {
	pid_t pid;
	int status;
};

bool scene_holds_before(bool (*condition)(void *arg), void *arg,
    int64_t deadline_ms);
pid_t scene_launch(const char *const *argv, const char *log,
    const char *const *env, mode_t mask);
/* With sockets, which ends with 0, from descriptor 3 on, and the variables that
 * say so (sd_listen_fds(3)); NULL: none. */
pid_t scene_launch_with(const int *sockets, const char *const *argv,
    const char *log, const char *const *env, mode_t mask);
bool scene_has_ended(void *arg);
/* The wait status; -1 when it had to be killed. */
int scene_end_process(pid_t pid, int signal_number);

/* HTTP. */
struct answer scene_send(const char *base, const struct request *r);
json_t *scene_parse(const struct answer *a, const char *what);

#endif
