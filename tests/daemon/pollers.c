#include "tests/daemon/pollers.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "tests/daemon/fixture.h"

enum { POLLERS_MAX = 64, POLLER_PATIENCE_S = 60, ETAG_MAX = 128 };

struct poller {
	struct pollers *all;
	struct pollers_habit habit;
	pthread_t thread;
	CURL *curl;
	struct curl_slist *headers;
	char name[32], etag[ETAG_MAX];
	size_t start; /* of pollers_wait */
	atomic_size_t polls, again;
};

struct pollers {
	struct poller each[POLLERS_MAX];
	size_t count;
	const char *url, *authority, *authorization;
	atomic_bool stop;
	atomic_size_t broken, wrong;
	pthread_mutex_t lock; /* fault */
	char fault[POLLERS_FAULT_MAX];
};

/* ---- one poll, in a thread ---- */

static size_t
drop(char *data, size_t size, size_t count, void *arg)
{
	(void)data;
	(void)arg;
	return size * count;
}

static size_t
take_header(char *data, size_t size, size_t count, void *arg)
{
	static const char name[] = "ETag: ";
	struct poller *p = arg;
	size_t len = size * count;
	size_t begin = sizeof name - 1;

	if (len > begin && len - begin < ETAG_MAX &&
	    strncasecmp(data, name, begin) == 0) {
		memcpy(p->etag, data + begin, len - begin);
		p->etag[len - begin] = '\0';
		p->etag[strcspn(p->etag, "\r\n")] = '\0';
	}
	return len;
}

static void
note(struct pollers *all, const struct poller *p, const char *why, long status)
{
	(void)pthread_mutex_lock(&all->lock);
	if (all->fault[0] == '\0')
		(void)snprintf(all->fault, sizeof all->fault,
		    "%s (%s, wait %d): %s, status %ld, at %lld ms", p->name,
		    p->habit.keep ? "keeps" : "new", p->habit.wait_s, why,
		    status, (long long)daemon_now_ms());
	(void)pthread_mutex_unlock(&all->lock);
}

static void
set_headers(struct poller *p)
{
	AUTO_STR engine = mem_printf("X-Edict-Engine: %s", p->name);
	AUTO_STR etag = mem_printf("If-None-Match: %s", p->etag);
	AUTO_STR wait =
	    mem_printf("Prefer: modes=snapshot,delta;wait=%d", p->habit.wait_s);

	curl_slist_free_all(p->headers);
	p->headers = curl_slist_append(NULL, p->all->authorization);
	p->headers = curl_slist_append(p->headers, engine);
	if (p->etag[0] != '\0')
		p->headers = curl_slist_append(p->headers, etag);
	if (p->habit.wait_s > 0)
		p->headers = curl_slist_append(p->headers, wait);
	(void)curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, p->headers);
}

static void
poll_once(struct poller *p)
{
	long status = 0, connects = 0;
	CURLcode code;

	set_headers(p);
	code = curl_easy_perform(p->curl);
	(void)curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(p->curl, CURLINFO_NUM_CONNECTS, &connects);
	if (code != CURLE_OK) {
		note(p->all, p, curl_easy_strerror(code), status);
		atomic_fetch_add(&p->all->broken, 1);
	} else if (status != 200 && status != 304) {
		note(p->all, p, "refused", status);
		atomic_fetch_add(&p->all->wrong, 1);
	} else {
		if (p->habit.keep && connects > 0)
			atomic_fetch_add(&p->again, 1);
		atomic_fetch_add(&p->polls, 1);
	}
}

static void *
poller_main(void *arg)
{
	struct poller *p = arg;

	while (!atomic_load(&p->all->stop))
		poll_once(p);
	return NULL;
}

/* ---- for the scenario ---- */

static void
prepare(struct poller *p)
{
	p->curl = curl_easy_init();
	assert_non_null(p->curl);
	(void)curl_easy_setopt(p->curl, CURLOPT_URL, p->all->url);
	(void)curl_easy_setopt(p->curl, CURLOPT_NOSIGNAL, 1L);
	if (strncmp(p->all->url, "https:", 6) == 0)
		(void)curl_easy_setopt(p->curl, CURLOPT_CAINFO,
		    p->all->authority);
	(void)curl_easy_setopt(p->curl, CURLOPT_TIMEOUT,
	    (long)(POLLER_PATIENCE_S + p->habit.wait_s));
	(void)curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, drop);
	(void)curl_easy_setopt(p->curl, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(p->curl, CURLOPT_HEADERDATA, p);
	if (!p->habit.keep)
		(void)curl_easy_setopt(p->curl, CURLOPT_FORBID_REUSE, 1L);
}

struct pollers *
pollers_begin(const char *path, const struct pollers_habit *habits,
    size_t count, size_t times)
{
	struct pollers *all = mem_zalloc(sizeof *all);

	assert_true(count * times <= POLLERS_MAX);
	assert_int_equal(pthread_mutex_init(&all->lock, NULL), 0);
	all->url = daemon_printf("%s%s", daemon_url(), path);
	all->authority = daemon_path("tls/ca.pem");
	all->authorization =
	    daemon_printf("Authorization: Bearer %s", daemon_engine());
	for (size_t i = 0; i < count * times; i++) {
		struct poller *p = &all->each[i];

		p->all = all;
		p->habit = habits[i % count];
		(void)snprintf(p->name, sizeof p->name, "poller-%zu", i);
		prepare(p);
		assert_int_equal(pthread_create(&p->thread, NULL, poller_main,
				     p),
		    0);
		all->count++;
	}
	return all;
}

struct pollers_seen
pollers_look(struct pollers *all)
{
	struct pollers_seen seen = { .least = SIZE_MAX,
		.broken = atomic_load(&all->broken),
		.wrong = atomic_load(&all->wrong) };

	for (size_t i = 0; i < all->count; i++) {
		size_t polls = atomic_load(&all->each[i].polls);

		seen.polls += polls;
		seen.again += atomic_load(&all->each[i].again);
		if (polls < seen.least)
			seen.least = polls;
	}
	(void)pthread_mutex_lock(&all->lock);
	seen.fault = daemon_printf("%s", all->fault);
	(void)pthread_mutex_unlock(&all->lock);
	return seen;
}

struct goal {
	struct pollers *all;
	size_t more;
};

static bool
have_polled(void *arg)
{
	struct goal *g = arg;

	for (size_t i = 0; i < g->all->count; i++) {
		struct poller *p = &g->all->each[i];

		if (atomic_load(&p->polls) < p->start + g->more)
			return false;
	}
	return true;
}

void
pollers_wait(struct pollers *all, size_t more)
{
	struct goal g = { all, more };

	for (size_t i = 0; i < all->count; i++)
		all->each[i].start = atomic_load(&all->each[i].polls);
	daemon_wait("all go on polling", have_polled, &g, DAEMON_DEADLINE_MS);
}

void
pollers_check(struct pollers *all)
{
	struct pollers_seen seen = pollers_look(all);

	if (seen.broken + seen.wrong > 0)
		fail_msg("%zu polls broken, %zu refused of %zu; the first: %s",
		    seen.broken, seen.wrong, seen.polls, seen.fault);
}

struct pollers_seen
pollers_end(struct pollers *all)
{
	struct pollers_seen seen;

	atomic_store(&all->stop, true);
	for (size_t i = 0; i < all->count; i++)
		assert_int_equal(pthread_join(all->each[i].thread, NULL), 0);
	seen = pollers_look(all);
	for (size_t i = 0; i < all->count; i++) {
		curl_easy_cleanup(all->each[i].curl);
		curl_slist_free_all(all->each[i].headers);
	}
	(void)pthread_mutex_destroy(&all->lock);
	mem_free(all);
	return seen;
}
