#include "server/api/study.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "core/channel.h"
#include "core/mem.h"
#include "server/http/loop.h"

struct study {
	pthread_t thread;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t turn;
	struct study_job queue[STUDY_QUEUE_MAX];
	size_t count;
	bool stopping;
};

/* False: the end. */
static bool
take(struct study *s, struct study_job *out)
{
	bool got;

	pthread_mutex_lock(&s->lock);
	while (s->count == 0 && !s->stopping)
		pthread_cond_wait(&s->turn, &s->lock);
	got = !s->stopping;
	if (got) {
		*out = s->queue[0];
		s->count--;
		memmove(s->queue, s->queue + 1, s->count * sizeof *s->queue);
	}
	pthread_mutex_unlock(&s->lock);
	return got;
}

/* As a reply of the ledger's would come. */
static void
answer(const struct study_job *job, json_t *body, const struct err *e)
{
	struct message m = { .id = job->id, .failed = body == NULL };

	m.payload = body != NULL
	    ? json_pack("{s:i,s:o}", "status", 200, "body", body)
	    : json_pack("{s:s,s:s}", "code", err_name(e->code), "message",
		  e->text);
	if (!loop_deliver(job->loop, &m))
		message_clear(&m);
}

static void *
work(void *arg)
{
	struct study *s = arg;
	struct study_job job;

	while (take(s, &job)) {
		struct err e = { 0 };
		json_t *body = NULL;

		if (job.run(job.arg, &body, &e) != ERR_OK)
			body = NULL;
		job.clear(job.arg);
		answer(&job, body, &e);
	}
	return NULL;
}

enum err_code
study_new(struct study **out, struct err *e)
{
	struct study *s = mem_zalloc(sizeof *s);
	int result = pthread_mutex_init(&s->lock, NULL);

	assert(result == 0);
	result = pthread_cond_init(&s->turn, NULL);
	assert(result == 0);
	if (pthread_create(&s->thread, NULL, work, s) != 0) {
		pthread_cond_destroy(&s->turn);
		pthread_mutex_destroy(&s->lock);
		mem_free(s);
		return err_set(e, ERR_IO, "http: cannot start a thread");
	}
	*out = s;
	return ERR_OK;
}

void
study_free(struct study *s)
{
	int result;

	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->turn);
	pthread_mutex_unlock(&s->lock);
	result = pthread_join(s->thread, NULL);
	assert(result == 0);
	for (size_t i = 0; i < s->count; i++)
		s->queue[i].clear(s->queue[i].arg);
	pthread_cond_destroy(&s->turn);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

void
study_add(struct study *s, const struct study_job *job)
{
	struct err e = { 0 };
	bool room;

	pthread_mutex_lock(&s->lock);
	room = s->count < STUDY_QUEUE_MAX && !s->stopping;
	if (room)
		s->queue[s->count++] = *job;
	pthread_cond_signal(&s->turn);
	pthread_mutex_unlock(&s->lock);
	if (room)
		return;
	job->clear(job->arg);
	(void)err_set(&e, ERR_UNAVAILABLE,
	    "%d comparisons are waiting already; try again",
	    (int)STUDY_QUEUE_MAX);
	answer(job, NULL, &e);
}
