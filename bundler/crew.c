#include "bundler/crew.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

struct member {
	pthread_t thread;
	bool runs;
	unsigned int who;
	void (*work)(void *arg, unsigned int who);
	void *arg;
};

static void *
member_run(void *arg)
{
	struct member *m = arg;

	m->work(m->arg, m->who);
	return NULL;
}

void
crew_run(unsigned int threads, void (*work)(void *arg, unsigned int who),
    void *arg)
{
	struct member members[CREW_MAX];

	if (threads > CREW_MAX)
		threads = CREW_MAX;
	for (unsigned int i = 1; i < threads; i++) {
		struct member *m = &members[i];

		*m = (struct member){ .who = i, .work = work, .arg = arg };
		m->runs = pthread_create(&m->thread, NULL, member_run, m) == 0;
	}
	work(arg, 0);
	for (unsigned int i = 1; i < threads; i++) {
		if (members[i].runs &&
		    pthread_join(members[i].thread, NULL) != 0)
			assert(0 && "pthread_join");
	}
}
