#ifndef SERVER_API_STUDY_H
#define SERVER_API_STUDY_H

/* A thread for what takes too long for a serving one, which has polls to
 * answer: it does one thing after the other and hands each answer to the loop
 * whose request waits for it (loop_expect). What it does is read-only and
 * bounded. Made and ended by the process's first thread. */

#include <jansson.h>
#include <stdint.h>

#include "core/err.h"

enum { STUDY_QUEUE_MAX = 16 };

struct loop;
struct study;

struct study_job {
	/* In the thread. On success *out is the answer's body. */
	enum err_code (*run)(void *arg, json_t **out, struct err *e);
	void (*clear)(void *arg); /* in any; also when it was never run */
	void *arg;
	struct loop *loop;
	uint64_t id; /* of the request, from loop_expect */
};

enum err_code study_new(struct study **out, struct err *e) MUST_CHECK;
/* Waits for what is being done; the rest is dropped. The loops must be there
 * still, but need not run. NULL is fine. */
void study_free(struct study *s);

/* From any thread. Takes arg over. When too much is waiting already, the answer
 * is that, at once. */
void study_add(struct study *s, const struct study_job *job);

#endif
