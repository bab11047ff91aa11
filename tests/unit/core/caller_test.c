/* Several threads ask one peer through one channel. */

#include "core/caller.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "tests/unit/core/channel_ends.h"

enum { THREADS = 4, CALLS = 150 };

struct traffic {
	struct ends *ends;
	struct caller *caller;
	unsigned int wrong[THREADS];
	enum err_code outcome; /* of the single request of some tests */
};

/* Answers PING with the same payload and refuses PONG; an end message
 * (SECRET) stops it. */
static void *
serve(void *arg)
{
	static const uint32_t accepts[] = { PING, PONG, SECRET, 0 };
	struct traffic *t = arg;
	struct message m;
	struct err reason;
	struct err e;

	for (;;) {
		uint32_t kind;

		if (channel_receive(t->ends->b, &m, accepts, WAIT_MS, &e) !=
		    ERR_OK)
			return NULL;
		kind = m.kind;
		if (kind == PONG) {
			(void)err_set(&reason, ERR_CONFLICT, "somebody won");
			if (channel_reply_error(t->ends->b, &m, &reason, &e) !=
			    ERR_OK)
				kind = SECRET;
		} else if (channel_reply(t->ends->b, &m, m.payload, &e) !=
		    ERR_OK)
			kind = SECRET;
		message_clear(&m);
		if (kind == SECRET)
			return NULL;
	}
}

/* The reply to SECRET ends it. */
static void *
dispatch(void *arg)
{
	struct traffic *t = arg;
	struct message m;
	struct err e;

	for (;;) {
		uint32_t kind;

		if (channel_receive(t->ends->a, &m, ends_accept, WAIT_MS, &e) !=
		    ERR_OK)
			return NULL;
		kind = m.kind;
		if (!caller_dispatch(t->caller, &m))
			message_clear(&m);
		if (kind == (SECRET | CHANNEL_REPLY))
			return NULL;
	}
}

struct asker {
	struct traffic *traffic;
	unsigned int number;
};

static void *
ask(void *arg)
{
	const struct asker *a = arg;
	unsigned int *wrong = &a->traffic->wrong[a->number];

	for (unsigned int i = 0; i < CALLS; i++) {
		unsigned int n = a->number * CALLS + i;
		json_t *payload = json_pack("{s:i}", "n", (int)n);
		struct message reply = { 0 };
		struct err e;
		enum err_code code = caller_call(a->traffic->caller,
		    i % 5 == 4 ? PONG : PING, payload, NULL, 0, WAIT_MS, &reply,
		    &e);

		if (i % 5 == 4)
			*wrong += code != ERR_CONFLICT;
		else
			*wrong += code != ERR_OK ||
			    !json_equal(reply.payload, payload);
		message_clear(&reply);
		json_decref(payload);
	}
	return NULL;
}

static void
start(pthread_t *t, void *(*body)(void *), void *arg)
{
	assert_int_equal(pthread_create(t, NULL, body, arg), 0);
}

static void
join(pthread_t t)
{
	assert_int_equal(pthread_join(t, NULL), 0);
}

static void
test_threads(void **state)
{
	struct traffic t = { .ends = *state };
	struct asker askers[THREADS];
	pthread_t threads[THREADS + 2];
	struct message reply;
	struct err e;

	t.caller = caller_new(t.ends->a);
	start(&threads[THREADS], serve, &t);
	start(&threads[THREADS + 1], dispatch, &t);
	for (unsigned int i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){ &t, i };
		start(&threads[i], ask, &askers[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	assert_int_equal(caller_call(t.caller, SECRET, NULL, NULL, 0, WAIT_MS,
			     &reply, &e),
	    ERR_OK);
	message_clear(&reply);
	join(threads[THREADS]);
	join(threads[THREADS + 1]);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(t.wrong[i], 0);
	caller_free(t.caller);
}

static void
test_call_times_out(void **state)
{
	struct ends *x = *state;
	AUTO(caller, k) = caller_new(x->a);
	struct message m;
	struct err e;

	assert_int_equal(caller_call(k, PING, NULL, NULL, 0, 20, &m, &e),
	    ERR_TIMEOUT);
	assert_non_null(strstr(e.text, "20 ms"));
	/* Nobody will answer it later either: it has expired. */
	clock_shift_ms(20);
	assert_int_equal(channel_receive(x->b, &m, ends_accept, 0, &e),
	    ERR_TIMEOUT);
	/* A reply that comes too late is nobody's. */
	m = (struct message){ .kind = PING | CHANNEL_REPLY, .id = 1 };
	assert_false(caller_dispatch(k, &m));
	m = (struct message){ .kind = PING };
	assert_false(caller_dispatch(k, &m));
}

static void *
ask_once(void *arg)
{
	struct traffic *t = arg;
	struct message reply = { 0 };
	struct err e;

	t->outcome =
	    caller_call(t->caller, PING, NULL, NULL, 0, WAIT_MS, &reply, &e);
	message_clear(&reply);
	return NULL;
}

static void
test_peer_restarts(void **state)
{
	struct traffic t = { .ends = *state };
	struct message request;
	pthread_t thread;
	struct err e;

	t.caller = caller_new(t.ends->a);
	start(&thread, ask_once, &t);
	assert_int_equal(channel_receive(t.ends->b, &request, ends_accept,
			     WAIT_MS, &e),
	    ERR_OK);
	caller_reset(t.caller);
	join(thread);
	assert_int_equal(t.outcome, ERR_UNAVAILABLE);
	request.kind |= CHANNEL_REPLY;
	assert_false(caller_dispatch(t.caller, &request));
	message_clear(&request);

	/* And the next request works. */
	start(&thread, ask_once, &t);
	assert_int_equal(channel_receive(t.ends->b, &request, ends_accept,
			     WAIT_MS, &e),
	    ERR_OK);
	assert_int_equal(channel_reply(t.ends->b, &request, NULL, &e), ERR_OK);
	message_clear(&request);
	assert_int_equal(channel_receive(t.ends->a, &request, ends_accept,
			     WAIT_MS, &e),
	    ERR_OK);
	assert_true(caller_dispatch(t.caller, &request));
	join(thread);
	assert_int_equal(t.outcome, ERR_OK);
	caller_free(t.caller);
}

/* A reply of another kind, with the right id, releases nobody. */
static void
test_wrong_reply(void **state)
{
	struct traffic t = { .ends = *state };
	struct message m;
	pthread_t thread;
	struct err e;

	t.caller = caller_new(t.ends->a);
	start(&thread, ask_once, &t);
	assert_int_equal(channel_receive(t.ends->b, &m, ends_accept, WAIT_MS,
			     &e),
	    ERR_OK);
	m.kind = PONG | CHANNEL_REPLY;
	assert_false(caller_dispatch(t.caller, &m));
	m.kind = PING | CHANNEL_REPLY;
	m.id++;
	assert_false(caller_dispatch(t.caller, &m));
	m.id--;
	assert_true(caller_dispatch(t.caller, &m));
	join(thread);
	assert_int_equal(t.outcome, ERR_OK);
	caller_free(t.caller);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_threads),
		CASE(test_call_times_out),
		CASE(test_peer_restarts),
		CASE(test_wrong_reply),
	};

	log_init("caller_test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
