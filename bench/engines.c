#include "bench/engines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/series.h"
#include "core/mem.h"

enum {
	ETAG_MAX = 96,
	REQUEST_MAX = 1024,
	EVENTS_MAX = 512,
	CONNECTING_MAX = 256, /* at a time, in the beginning */
	PAUSE_MS = 100        /* after a failure */
};

struct engine;

/* of NULL: left behind. */
struct link {
	struct call call;
	struct engine *of;
	struct link *prev, *next; /* of those left */
};

struct engine {
	struct link *link;
	char etag[ETAG_MAX]; /* of what it runs; "": nothing */
	bool fresh;          /* it got a bundle in this round */
};

struct again {
	double at_ms;
	size_t engine;
};

struct engines {
	struct call_to to;
	const char *bundle;
	const struct engines_tokens *tokens;
	struct engines_habit habits[ENGINES_HABITS_MAX];
	size_t habit_count;
	struct engine *list;
	size_t first, count;
	size_t asked; /* so many have begun */
	size_t connecting;
	struct link left;    /* head of a ring */
	struct again *again; /* a ring of those that failed, by time */
	size_t again_head, again_count;
	struct engines_seen *seen;
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

void
engines_read_tokens(struct engines_tokens *out, const char *path)
{
	FILE *in = fopen(path, "re");

	if (in == NULL)
		give_up(path, strerror(errno));
	out->count = 0;
	while (out->count < ENGINES_TOKENS_MAX &&
	    fgets(out->text[out->count], ENGINES_TOKEN_MAX, in) != NULL) {
		char *text = out->text[out->count++];

		text[strcspn(text, "\n")] = '\0';
	}
	(void)fclose(in);
	if (out->count == 0)
		give_up(path, "no tokens");
}

struct engines *
engines_new(const char *bundle, size_t first, size_t count,
    const struct engines_tokens *tokens, SSL_CTX *tls,
    struct engines_seen *seen)
{
	struct engines *g = mem_zalloc(sizeof *g);

	g->bundle = bundle;
	g->first = first;
	g->count = count;
	g->asked = count;
	g->tokens = tokens;
	g->seen = seen;
	g->to.tls = tls;
	g->to.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (g->to.epoll < 0)
		give_up("epoll", strerror(errno));
	g->list = mem_array(count, sizeof *g->list);
	g->again = mem_array(count, sizeof *g->again);
	g->left.prev = g->left.next = &g->left;
	return g;
}

void
engines_free(struct engines *g)
{
	if (g == NULL)
		return;
	engines_hang_up(g);
	(void)close(g->to.epoll);
	mem_free(g->list);
	mem_free(g->again);
	mem_free(g);
}

/* ---- connections ---- */

static void
drop(struct engines *g, struct link *k)
{
	if (k == NULL)
		return;
	if (k->of != NULL) {
		k->of->link = NULL;
		if (k->call.state == CALL_CONNECT)
			g->connecting--;
	} else {
		k->prev->next = k->next;
		k->next->prev = k->prev;
		(void)atomic_fetch_sub(&g->seen->left, 1);
	}
	call_close(&k->call);
	mem_free(k);
}

/* The engine forgets it; it stays until the server ends it. */
static void
leave(struct engines *g, struct link *k)
{
	k->of->link = NULL;
	k->of = NULL;
	k->prev = &g->left;
	k->next = g->left.next;
	k->next->prev = k;
	g->left.next = k;
	(void)atomic_fetch_add(&g->seen->left, 1);
}

static size_t
number_of(const struct engines *g, const struct engine *e)
{
	return g->first + (size_t)(e - g->list);
}

static const struct engines_habit *
habit_of(const struct engines *g, const struct engine *e)
{
	return &g->habits[number_of(g, e) % g->habit_count];
}

static void
dial(struct engines *g, struct engine *e)
{
	e->link = mem_zalloc(sizeof *e->link);
	e->link->of = e;
	g->connecting++;
	call_open(&e->link->call, &g->to, number_of(g, e), e->link);
}

/* ---- polls ---- */

static void
fail(struct engines *g, struct engine *e, const char *why)
{
	size_t at = (g->again_head + g->again_count++) % g->count;

	if (atomic_load(&g->seen->failed) == 0)
		(void)snprintf(g->seen->fault, sizeof g->seen->fault,
		    "engine %zu: %s", number_of(g, e), why);
	(void)atomic_fetch_add(&g->seen->failed, 1);
	drop(g, e->link);
	g->again[at] =
	    (struct again){ series_now_ms() + PAUSE_MS, (size_t)(e - g->list) };
}

/* To OPA by its name, edict says that the connection ends. */
static int
write_poll(const struct engines *g, const struct engine *e,
    char out[REQUEST_MAX])
{
	const struct engines_habit *h = habit_of(g, e);
	size_t n = number_of(g, e);
	char wait[24] = "";
	int len;

	if (h->wait_s > 0)
		(void)snprintf(wait, sizeof wait, ";wait=%u", h->wait_s);
	len = snprintf(out, REQUEST_MAX,
	    "GET /bundles/%s HTTP/1.1\r\nHost: edict\r\nUser-Agent: %s\r\n"
	    "Authorization: Bearer %s\r\nX-Edict-Engine: engine-%05zu\r\n"
	    "%s%s%sPrefer: modes=snapshot,delta%s\r\n"
	    "Accept-Encoding: gzip\r\n\r\n",
	    g->bundle,
	    h->keep ? "bench" : "Open Policy Agent/1.19.1 (linux, amd64)",
	    g->tokens->text[n % g->tokens->count], n,
	    *e->etag != '\0' ? "If-None-Match: " : "", e->etag,
	    *e->etag != '\0' ? "\r\n" : "", wait);
	if (len >= REQUEST_MAX)
		give_up("request", "too long");
	return len;
}

/* On its connection that stayed, or on a new one when it connected. */
static void
send_poll(struct engines *g, struct engine *e)
{
	char text[REQUEST_MAX];
	int len = write_poll(g, e, text);
	struct call *c = &e->link->call;

	if (call_ask(c, &g->to, text, (size_t)len, e->link))
		return;
	if (!c->reused) {
		fail(g, e, c->fault);
		return;
	}
	(void)atomic_fetch_add(&g->seen->retried, 1);
	drop(g, e->link);
	dial(g, e);
}

static void
next_poll(struct engines *g, struct engine *e)
{
	const struct engines_habit *h = habit_of(g, e);

	if (h->once) {
		drop(g, e->link);
		return;
	}
	if (h->keep && !call_is_last(&e->link->call)) {
		send_poll(g, e);
		return;
	}
	if (h->leave && !call_is_last(&e->link->call))
		leave(g, e->link);
	else
		drop(g, e->link);
	dial(g, e);
}

static void
note_bundle(struct engines *g, struct engine *e)
{
	long long now = (long long)(series_now_ms() * 1e3);

	(void)atomic_fetch_add(&g->seen->bytes, e->link->call.received);
	if (e->fresh)
		return;
	e->fresh = true;
	if (atomic_load(&g->seen->got) == 0)
		atomic_store(&g->seen->first_us, now);
	atomic_store(&g->seen->last_us, now);
	(void)atomic_fetch_add(&g->seen->got, 1);
}

static void
take_answer(struct engines *g, struct engine *e)
{
	struct call *c = &e->link->call;

	if (c->status != 200 && c->status != 304) {
		(void)snprintf(c->fault, sizeof c->fault, "status %d",
		    c->status);
		fail(g, e, c->fault);
		return;
	}
	if (c->status == 200 && !call_header(c, "ETag", e->etag, ETAG_MAX)) {
		fail(g, e, "a bundle without an ETag");
		return;
	}
	if (c->status == 200)
		note_bundle(g, e);
	else
		(void)atomic_fetch_add(&g->seen->unchanged, 1);
	(void)atomic_fetch_add(&g->seen->polls, 1);
	next_poll(g, e);
}

/* A client of Go asks once more, unseen, when a connection that stayed turns out
 * to have ended: the server could not know. */
static void
lose(struct engines *g, struct engine *e)
{
	struct call *c = &e->link->call;

	if (c->reused && c->silent) {
		(void)atomic_fetch_add(&g->seen->retried, 1);
		drop(g, e->link);
		dial(g, e);
		return;
	}
	fail(g, e, c->fault);
}

static void
handle(struct engines *g, struct link *k)
{
	bool connecting = k->call.state == CALL_CONNECT;
	enum call_event event = call_go(&k->call, &g->to, k);

	if (connecting && k->call.state != CALL_CONNECT)
		g->connecting--;
	if (event == CALL_NOTHING)
		return;
	if (k->of == NULL)
		drop(g, k);
	else if (event == CALL_CONNECTED)
		send_poll(g, k->of);
	else if (event == CALL_ANSWERED)
		take_answer(g, k->of);
	else
		lose(g, k->of);
}

/* ---- all of them ---- */

/* Few at a time: a fleet does not start within a millisecond. */
static void
begin_more(struct engines *g)
{
	while (g->asked < g->count && g->connecting < CONNECTING_MAX)
		dial(g, &g->list[g->asked++]);
}

static void
ask_again(struct engines *g)
{
	double now = g->again_count > 0 ? series_now_ms() : 0;

	while (g->again_count > 0 && g->again[g->again_head].at_ms <= now) {
		dial(g, &g->list[g->again[g->again_head].engine]);
		g->again_head = (g->again_head + 1) % g->count;
		g->again_count--;
	}
}

void
engines_ask(struct engines *g, const struct sockaddr_in *server,
    const struct engines_habit *habits, size_t habit_count)
{
	engines_hang_up(g);
	g->to.server = *server;
	memcpy(g->habits, habits, habit_count * sizeof *habits);
	g->habit_count = habit_count;
	g->asked = 0;
}

void
engines_hang_up(struct engines *g)
{
	for (size_t i = 0; i < g->count; i++) {
		drop(g, g->list[i].link);
		g->list[i].etag[0] = '\0';
	}
	while (g->left.next != &g->left)
		drop(g, g->left.next);
	g->again_count = 0;
	g->asked = g->count;
}

void
engines_begin_round(struct engines *g)
{
	atomic_store(&g->seen->got, 0);
	for (size_t i = 0; i < g->count; i++)
		g->list[i].fresh = false;
}

void
engines_step(struct engines *g, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	begin_more(g);
	ask_again(g);
	n = epoll_wait(g->to.epoll, events, EVENTS_MAX, timeout_ms);
	for (int i = 0; i < n; i++)
		handle(g, events[i].data.ptr);
}
