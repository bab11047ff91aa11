#ifndef SERVER_SUPERVISOR_CHILDREN_H
#define SERVER_SUPERVISOR_CHILDREN_H

/* The supervisor's short-lived children: started for the pipeline by typed
 * request, ended at their deadline, reaped, reported. The pipeline chooses
 * arguments and a folder below data_dir/work; program, environment and limits
 * come from the configuration. Belongs to the supervisor's one thread. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "core/channel.h"
#include "server/conf/conf.h"

struct children;

struct children *children_new(const struct conf *c, struct channel *pipeline);
void children_free(struct children *k);

/* What is started from now on goes by this one. */
void children_adopt(struct children *k, const struct conf *c);
AUTO_FREE(children)

/* The kinds that children_handle takes, for channel_receive. */
extern const uint32_t children_kinds[];

/* Takes m over: starts, stops or notes who waits, and answers. */
void children_handle(struct children *k, struct message *m);

/* A process was reaped: true if it was one of these. */
bool children_reaped(struct children *k, pid_t pid, int status,
    const struct rusage *usage);

/* Ends what is past its deadline; the milliseconds until the next is due, or
 * -1 when none is. */
int64_t children_tick(struct children *k, int64_t now_ms);

/* The pipeline is gone: nobody waits any more, all are killed. */
void children_abandon(struct children *k);

#endif
