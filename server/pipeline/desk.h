#ifndef SERVER_PIPELINE_DESK_H
#define SERVER_PIPELINE_DESK_H

/* What the threads of the pipeline share: the ways to the ledger, the keeper
 * and the supervisor, the gate's slots, and the news that the ledger committed
 * something. Any thread, unless said otherwise. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "clusters/counters.h"
#include "core/caller.h"
#include "core/child.h"
#include "policies/fetch.h"
#include "policies/gate.h"
#include "server/conf/conf.h"

/* A file or folder, as it was when the process gave up its rights. Landlock's
 * rules are about files and not about their names: what was put in its place
 * later (an upgrade), or came later, is out of reach, so the process ends and is
 * started anew. */
struct desk_place {
	const char *path; /* NULL: none */
	struct stat st;   /* st_ino 0: it was not there */
};
void desk_place_note(struct desk_place *p, const char *path);
bool desk_place_replaced(const struct desk_place *p);

/* Asked again and again during a long wait: is there something better to do? */
struct desk_patience {
	bool (*over)(void *arg);
	void *arg;
};

struct desk {
	const struct conf *conf;
	struct counters *counters;
	struct caller *ledger, *keeper, *supervisor;
	char commands[65]; /* digest of the commands the server allows */
	atomic_bool stopping;
	atomic_bool renew;             /* a local repository was replaced */
	atomic_uint_least64_t folders; /* last number given to a folder */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t turn;
	uint64_t news;   /* how often the ledger said CHANGED */
	int64_t running; /* gate runs under way */
	bool alone;      /* one of them wants the machine for itself */
};

void desk_init(struct desk *d);
void desk_clear(struct desk *d);

/* Another commit of the ledger, or the end: wakes all that wait. */
void desk_news(struct desk *d);

/* Waits until the news differ from *seen, at most wait_ms; sets *seen. */
void desk_wait(struct desk *d, uint64_t *seen, int64_t wait_ms);

uint64_t desk_seen(struct desk *d); /* how often there was news */

/* A slot of gate.concurrency; alone: no other run beside this one. False when
 * the process is stopping. */
bool desk_gate_enter(struct desk *d, bool alone);
void desk_gate_leave(struct desk *d, bool alone);

/* A number for a new folder below work or incoming; never given twice. */
void desk_folder(struct desk *d, char out[24]);

/* A request to the ledger; reply may be NULL. Steals payload. */
enum err_code desk_tell(struct desk *d, uint32_t kind, json_t *payload,
    json_t **reply, struct err *e) MUST_CHECK;

/* A gate runner that asks the supervisor. One per thread; tool->dir has to lie
 * in data_dir/work/N. */
struct desk_runner {
	struct desk *desk;
	const char *repository;
};
enum err_code desk_run(void *runner, struct child_result *out,
    const struct gate_tool *tool, struct err *e) MUST_CHECK;

/* Any of the supervisor's children that writes to its stdout alone. Takes over
 * payload. input is one more descriptor for it, or -1. patience may be NULL; when
 * it is over the child is ended. An error means that it could not be started, or
 * that the supervisor does not answer. The caller clears *out. */
enum err_code desk_child(struct desk *d, uint32_t kind, json_t *payload,
    int input, int64_t timeout_ms, size_t out_max,
    const struct desk_patience *patience, struct child_result *out,
    struct err *e) MUST_CHECK;

/* One fetch into data_dir/repos/NAME/incoming/FOLDER. An error means that no
 * fetch could be started at all. patience may be NULL; when it is over the child
 * is ended and the outcome is FETCH_FAILED. */
enum err_code desk_fetch(struct desk *d, const struct conf_repository *repo,
    const char *folder, const char *known, const char *branch,
    const struct desk_patience *patience, struct fetch_result *out,
    struct err *e) MUST_CHECK;

/* One join of packs, whose list is in that folder. Ends early, UNAVAILABLE,
 * when patience, which may be NULL, is over. */
enum err_code desk_join(struct desk *d, const struct conf_repository *repo,
    const char *folder, const struct desk_patience *patience, struct err *e)
    MUST_CHECK;

#endif
