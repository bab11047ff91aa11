#include "server/http/loop_state.h"

#include <string.h>
#include <sys/epoll.h>

#include "clusters/ledger.h"
#include "core/clock.h"
#include "core/mem.h"

struct request *
loop_request_of(struct waiter *w)
{
	return (struct request *)(void *)((char *)w -
	    offsetof(struct request, waiter));
}

static struct waiters *
list_of(struct loop *l, const struct request *r)
{
	return r->action != 0 ? &l->actions : &l->polls;
}

/* Out of every list, and on with it. */
void
loop_resume(struct loop *l, struct request *r)
{
	assert(r->suspended);
	if (waiter_waits(&r->waiter))
		waiters_remove(list_of(l, r), &r->waiter);
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, loop_fd_of(r->connection),
	    NULL);
	if (r->counted)
		(void)atomic_fetch_sub(&l->service->held, 1);
	r->counted = false;
	r->suspended = false;
	r->waited = true;
	r->entry = NULL;
	r->token = NULL;
	MHD_resume_connection(r->connection);
}

/* A client that goes away while its request is suspended is not noticed by
 * libmicrohttpd. */
static bool
watch(struct loop *l, struct request *r)
{
	struct epoll_event event = {
		.events = EPOLLRDHUP,
		.data.ptr = r,
	};

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, loop_fd_of(r->connection),
		   &event) == 0;
}

static void
suspend(struct loop *l, struct request *r, int64_t deadline_ms)
{
	waiters_add(list_of(l, r), &r->waiter, deadline_ms);
	r->suspended = true;
	MHD_suspend_connection(r->connection);
}

enum err_code
loop_hold(struct loop *l, struct request *r, int64_t hold_ms, struct err *e)
{
	struct service *s = l->service;

	if (atomic_fetch_add(&s->held, 1) >= s->held_max ||
	    l->polls.count >= s->held_each || !watch(l, r)) {
		(void)atomic_fetch_sub(&s->held, 1);
		r->full = true;
		counters_add(s->counters, COUNTER_LIMIT_WAITING, 1);
		return err_set(e, ERR_UNAVAILABLE,
		    "too many engines are waiting (http.engines_max)");
	}
	r->counted = true;
	r->held_ms = clock_now_ms();
	r->until_ms = clock_mono_ms() + hold_ms;
	suspend(l, r,
	    r->turn_ms != 0 && r->turn_ms < r->until_ms ? r->turn_ms
							: r->until_ms);
	return ERR_OK;
}

static enum err_code
begin_action(struct loop *l, struct request *r, struct err *e)
{
	if (l->stopping && !l->leaving)
		return err_set(e, ERR_UNAVAILABLE,
		    "the server is ending; nothing was changed");
	if (l->actions.count >= SERVICE_ACTIONS_MAX || !watch(l, r)) {
		counters_add(l->service->counters, COUNTER_LIMIT_ACTIONS, 1);
		return err_set(e, ERR_UNAVAILABLE,
		    "too much is asked at once; nothing was changed");
	}
	r->action = (++l->next_action << LOOP_INDEX_BITS) | l->index;
	return ERR_OK;
}

enum err_code
loop_expect(struct loop *l, struct request *r, int64_t wait_ms, uint64_t *id,
    struct err *e)
{
	TRY(begin_action(l, r, e));
	*id = r->action;
	suspend(l, r, clock_mono_ms() + wait_ms);
	return ERR_OK;
}

enum err_code
loop_ask(struct loop *l, struct request *r, const json_t *payload,
    struct err *e)
{
	enum err_code code;

	TRY(begin_action(l, r, e));
	r->asked = true;
	code = channel_send(l->service->ledger, LEDGER_ACTION, r->action,
	    clock_mono_ms() + LEDGER_TIMEOUT_MS, payload, NULL, 0, 0, e);
	if (code != ERR_OK) {
		r->action = 0;
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL,
		    loop_fd_of(r->connection), NULL);
		return err_add(e, "nothing was changed");
	}
	suspend(l, r, clock_mono_ms() + LEDGER_TIMEOUT_MS + WAITERS_BATCH_MS);
	return ERR_OK;
}

void
loop_expire_waiters(struct loop *l, int64_t now)
{
	struct waiter *w;

	while ((w = waiters_due(&l->polls, now)) != NULL)
		loop_resume(l, loop_request_of(w));
	while ((w = waiters_due(&l->actions, now)) != NULL) {
		if (loop_request_of(w)->asked)
			service_ledger_silent(l->service, LEDGER_TIMEOUT_MS);
		loop_resume(l, loop_request_of(w));
	}
}

void
loop_resume_all(struct loop *l, struct waiters *list)
{
	while (list->count > 0)
		loop_resume(l, loop_request_of(waiters_at(list, 0)));
}
