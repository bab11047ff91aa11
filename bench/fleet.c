/* Engines by the ten thousand, as OPA makes them: a connection for each poll, a
 * long poll with the ETag of what they run, the next poll says what they have.
 * bench/fleet starts what they poll; this is them and their clock. One epoll
 * loop; what an operator does goes through a thread with libcurl. */

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "series.h"

enum {
	ENGINES_MAX = 19000, /* descriptors of one process */
	CLUSTERS_MAX = 1000,
	TOKEN_MAX = 128,
	ETAG_MAX = 96,
	HEAD_MAX = 2048,
	EVENTS_MAX = 512,
	ANSWER_MAX = 16 << 20,
	ADDRESSES = 16, /* each has its own ephemeral ports */
	PATIENCE_MS = 120000
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_fleet: %s: %s\n", what, why);
	exit(1);
}

/* ---- engines ---- */

enum state {
	STATE_IDLE,
	STATE_ASKING, /* connects, or sends */
	STATE_HEAD,   /* waits: what a held poll does */
	STATE_BODY
};

struct engine {
	int fd;
	enum state state;
	char etag[ETAG_MAX]; /* of what it runs; "": nothing */
	char head[HEAD_MAX];
	size_t head_len;
	size_t left; /* bytes of the body to come */
	bool fresh;  /* it got a bundle in this round */
};

struct fleet {
	struct sockaddr_in server;
	const char *bundle;
	char (*tokens)[TOKEN_MAX];
	size_t token_count;
	struct engine *engines;
	size_t count;
	int epoll;
	bool wait;  /* poll long; else one answer and no more */
	size_t got; /* bundles in this round */
	double first_ms, last_ms;
	uint64_t bytes;
};

static void
hang_up(struct engine *g)
{
	if (g->state != STATE_IDLE)
		(void)close(g->fd);
	g->state = STATE_IDLE;
}

static void
watch(struct fleet *f, struct engine *g, uint32_t events, int how)
{
	struct epoll_event ev = { .events = events, .data.ptr = g };

	if (epoll_ctl(f->epoll, how, g->fd, &ev) != 0)
		give_up("epoll", strerror(errno));
}

static void
ask(struct fleet *f, struct engine *g)
{
	size_t number = (size_t)(g - f->engines);
	struct sockaddr_in from = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 +
		    (uint32_t)(number % ADDRESSES)) };
	const int on = 1;

	g->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (g->fd < 0)
		give_up("socket", strerror(errno));
	(void)setsockopt(g->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
	    sizeof on);
	if (bind(g->fd, (struct sockaddr *)&from, sizeof from) != 0)
		give_up("bind", strerror(errno));
	if (connect(g->fd, (struct sockaddr *)&f->server, sizeof f->server) !=
		0 &&
	    errno != EINPROGRESS)
		give_up("connect", strerror(errno));
	g->state = STATE_ASKING;
	g->head_len = 0;
	watch(f, g, EPOLLOUT, EPOLL_CTL_ADD);
}

static void
send_poll(struct fleet *f, struct engine *g)
{
	size_t number = (size_t)(g - f->engines);
	char text[HEAD_MAX];
	int len = snprintf(text, sizeof text,
	    "GET /bundles/%s HTTP/1.1\r\nHost: edict\r\n"
	    "User-Agent: Open-Policy-Agent/1.19.1 (linux, amd64)\r\n"
	    "Authorization: Bearer %s\r\nX-Edict-Engine: engine-%05zu\r\n"
	    "%s%s%s"
	    "Prefer: modes=snapshot,delta%s\r\nAccept-Encoding: gzip\r\n\r\n",
	    f->bundle, f->tokens[number % f->token_count], number,
	    *g->etag != '\0' ? "If-None-Match: " : "", g->etag,
	    *g->etag != '\0' ? "\r\n" : "", f->wait ? ";wait=300" : "");

	if (send(g->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		give_up("send", strerror(errno));
	g->state = STATE_HEAD;
	watch(f, g, EPOLLIN, EPOLL_CTL_MOD);
}

/* A header's value into out; false: it is not there. */
static bool
header(const struct engine *g, const char *name, char *out, size_t size)
{
	const char *line = g->head;
	size_t len = strlen(name);

	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
			line += len + 1;
			line += strspn(line, " ");
			(void)snprintf(out, size, "%.*s",
			    (int)strcspn(line, "\r"), line);
			return true;
		}
	}
	return false;
}

/* The answer is whole: an engine that activated says so with its next poll. */
static void
answered(struct fleet *f, struct engine *g, bool bundle)
{
	hang_up(g);
	if (bundle) {
		double now = series_now_ms();

		if (f->got == 0)
			f->first_ms = now;
		f->last_ms = now;
		f->got += g->fresh ? 0 : 1;
		g->fresh = true;
	}
	if (f->wait)
		ask(f, g);
}

static void
read_head(struct fleet *f, struct engine *g)
{
	char length[24] = "";
	char *end;
	size_t body;
	ssize_t n = recv(g->fd, g->head + g->head_len,
	    sizeof g->head - 1 - g->head_len, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		give_up("answer", n < 0 ? strerror(errno) : "closed");
	g->head_len += (size_t)n;
	g->head[g->head_len] = '\0';
	end = memmem(g->head, g->head_len, "\r\n\r\n", 4);
	if (end == NULL)
		return;
	if (strncmp(g->head, "HTTP/1.1 304", 12) == 0) {
		answered(f, g, false);
		return;
	}
	if (strncmp(g->head, "HTTP/1.1 200", 12) != 0)
		give_up("answer", g->head);
	*end = '\0';
	if (!header(g, "Content-Length", length, sizeof length) ||
	    !header(g, "ETag", g->etag, sizeof g->etag))
		give_up("answer", "no length or no ETag");
	body = g->head_len - (size_t)(end + 4 - g->head);
	g->left = strtoul(length, NULL, 10);
	f->bytes += g->left;
	g->left -= body < g->left ? body : g->left;
	g->state = STATE_BODY;
	if (g->left == 0)
		answered(f, g, true);
}

static void
read_body(struct fleet *f, struct engine *g)
{
	static char sink[1 << 16];
	ssize_t n = recv(g->fd, sink, sizeof sink, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		give_up("body", n < 0 ? strerror(errno) : "cut off");
	g->left -= (size_t)n < g->left ? (size_t)n : g->left;
	if (g->left == 0)
		answered(f, g, true);
}

static void
step(struct fleet *f, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(f->epoll, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct engine *g = events[i].data.ptr;

		if (g->state == STATE_ASKING)
			send_poll(f, g);
		else if (g->state == STATE_HEAD)
			read_head(f, g);
		else if (g->state == STATE_BODY)
			read_body(f, g);
	}
}

static void
begin_round(struct fleet *f)
{
	f->got = 0;
	for (size_t i = 0; i < f->count; i++)
		f->engines[i].fresh = false;
}

static void
run_until_all_have(struct fleet *f)
{
	double end = series_now_ms() + PATIENCE_MS;

	while (f->got < f->count) {
		step(f, 100);
		if (series_now_ms() > end)
			give_up("round", "not all engines got the bundle");
	}
}

static void
ask_all(struct fleet *f)
{
	for (size_t i = 0; i < f->count; i++) {
		ask(f, &f->engines[i]);
		if (i % 64 == 0)
			step(f, 0);
	}
}

static void
hang_up_all(struct fleet *f)
{
	for (size_t i = 0; i < f->count; i++) {
		hang_up(&f->engines[i]);
		f->engines[i].etag[0] = '\0';
	}
}

/* ---- the operator ---- */

struct operator
{
	const char *url, *token;
	char *path, *body; /* body NULL: GET */
	json_t *answer;
	atomic_bool done;
};

static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	buf_add(arg, data, size * count);
	return size * count;
}

static void *
request(void *arg)
{
	struct operator* o = arg;
	CURL *c = curl_easy_init();
	struct curl_slist *headers = NULL;
	AUTO_BUF out = { 0 };
	AUTO_STR url = mem_printf("%s%s", o->url, o->path);
	AUTO_STR who = mem_printf("Authorization: Bearer %s", o->token);
	CURLcode rc;

	buf_init(&out, ANSWER_MAX);
	headers = curl_slist_append(headers, who);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, &out);
	(void)curl_easy_setopt(c, CURLOPT_FAILONERROR, 0L);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	if (o->body != NULL)
		(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, o->body);
	rc = curl_easy_perform(c);
	if (rc != CURLE_OK)
		give_up(o->path, curl_easy_strerror(rc));
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	o->answer = json_loadb(out.data, out.len, 0, NULL);
	if (o->answer == NULL || json_object_get(o->answer, "error") != NULL)
		give_up(o->path, out.data);
	atomic_store(&o->done, true);
	return NULL;
}

/* Engines go on meanwhile. The answer is the caller's. */
static json_t *
operate(struct fleet *f, struct operator* o, char *path, char *body)
{
	pthread_t thread;

	o->path = path;
	o->body = body;
	atomic_store(&o->done, false);
	if (pthread_create(&thread, NULL, request, o) != 0)
		give_up("thread", strerror(errno));
	while (!atomic_load(&o->done))
		step(f, 1);
	(void)pthread_join(thread, NULL);
	mem_free(path);
	mem_free(body);
	return o->answer;
}

/* Engines that converged, as the server sees it. */
static size_t
converged(struct fleet *f, struct operator* o)
{
	size_t sum = 0;
	AUTO_STR next = mem_strdup("");

	do {
		json_t *page = operate(f, o,
		    mem_printf("/v1/clusters?limit=100%s%s",
			*next != '\0' ? "&next=" : "", next),
		    NULL);
		const char *more =
		    json_string_value(json_object_get(page, "next"));
		size_t i;
		json_t *cluster;

		json_array_foreach(json_object_get(page, "items"), i, cluster) {
			json_t *counts = json_object_get(cluster, "engines");

			sum +=
			    (size_t)json_integer_value(json_object_get(counts,
				"converged"));
		}
		mem_free(next);
		next = mem_strdup(more != NULL ? more : "");
		json_decref(page);
	} while (*next != '\0');
	return sum;
}

static double
run_until_known(struct fleet *f, struct operator* o)
{
	double end = series_now_ms() + PATIENCE_MS;

	while (converged(f, o) < f->count)
		if (series_now_ms() > end)
			give_up("round", "the server does not know of all");
	return series_now_ms();
}

/* ---- rounds ---- */

static void
note(struct series *s, double ms)
{
	const struct series_sample one = { .wall_ms = ms };

	series_add(s, &one);
}

static void
print(const struct series *s)
{
	double low = s->samples[0].wall_ms, high = low;

	for (size_t i = 1; i < s->count; i++) {
		double ms = s->samples[i].wall_ms;

		low = ms < low ? ms : low;
		high = ms > high ? ms : high;
	}
	(void)printf("%-42s %8.0f ms  (%.0f-%.0f)\n", s->name,
	    series_wall_ms(s), low, high);
}

/* Everybody asks at once, with nothing: the first start of a fleet. */
static double
wave(struct fleet *f)
{
	double begin = series_now_ms();

	f->wait = false;
	begin_round(f);
	ask_all(f);
	run_until_all_have(f);
	hang_up_all(f);
	return f->last_ms - begin;
}

static void
gather(struct fleet *f, struct operator* o)
{
	f->wait = true;
	begin_round(f);
	ask_all(f);
	run_until_all_have(f);
	(void)run_until_known(f, o);
}

static void
roll_back(struct fleet *f, struct operator* o, const char *rev,
    struct series *s)
{
	double begin;

	begin_round(f);
	begin = series_now_ms();
	json_decref(operate(f, o,
	    mem_printf("/v1/bundles/%s/rollback", f->bundle),
	    mem_printf("{\"to\": \"%s\", \"reason\": \"bench\"}", rev)));
	note(&s[0], series_now_ms() - begin);
	run_until_all_have(f);
	note(&s[1], f->first_ms - begin);
	note(&s[2], f->last_ms - begin);
	note(&s[3], run_until_known(f, o) - begin);
}

static void
read_tokens(struct fleet *f, const char *path)
{
	FILE *in = fopen(path, "re");

	if (in == NULL)
		give_up(path, strerror(errno));
	f->tokens = mem_zalloc(CLUSTERS_MAX * sizeof *f->tokens);
	while (f->token_count < CLUSTERS_MAX &&
	    fgets(f->tokens[f->token_count], TOKEN_MAX, in) != NULL) {
		f->tokens[f->token_count]
			 [strcspn(f->tokens[f->token_count], "\n")] = '\0';
		f->token_count++;
	}
	(void)fclose(in);
	if (f->token_count == 0)
		give_up(path, "no tokens");
}

static struct sockaddr_in
address(const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* PORT PEER_PORT BUNDLE TOKENS ENGINES ROUNDS NEW OLD; EDICT_TOKEN. */
int
main(int argc, char **argv)
{
	struct series s[] = { { .name = "rollback: the operator's answer" },
		{ .name = "rollback: first engine has it" },
		{ .name = "rollback: last engine has it" },
		{ .name = "rollback: the server knows that all run it" },
		{ .name = "all download at once, edict" },
		{ .name = "all download at once, nginx" } };
	struct fleet f = { 0 };
	struct operator o = { 0 };
	size_t rounds;

	if (argc != 9)
		give_up("usage", "see bench/fleet");
	f.server = address(argv[1]);
	f.bundle = argv[3];
	read_tokens(&f, argv[4]);
	f.count = strtoul(argv[5], NULL, 10);
	rounds = strtoul(argv[6], NULL, 10);
	if (f.count == 0 || f.count > ENGINES_MAX || rounds == 0 ||
	    rounds > SERIES_MAX / 2)
		give_up("usage", "too many engines or rounds, or none");
	f.engines = mem_zalloc(f.count * sizeof *f.engines);
	f.epoll = epoll_create1(EPOLL_CLOEXEC);
	AUTO_STR url = mem_printf("http://127.0.0.1:%s", argv[1]);
	o.url = url;
	o.token = getenv("EDICT_TOKEN");
	if (o.token == NULL)
		give_up("EDICT_TOKEN", "not set");
	for (size_t i = 0; i < rounds; i++) {
		f.server = address(argv[2]);
		note(&s[5], wave(&f));
		f.server = address(argv[1]);
		note(&s[4], wave(&f));
		gather(&f, &o);
		roll_back(&f, &o, argv[8], s);
		roll_back(&f, &o, argv[7], s);
		hang_up_all(&f);
	}
	for (size_t i = 0; i < sizeof s / sizeof *s; i++)
		print(&s[i]);
	(void)printf("\nthe rollback at the last engine / nginx's wave  %.2f\n"
		     "edict's wave / nginx's wave                   %.2f\n",
	    series_wall_ms(&s[2]) / series_wall_ms(&s[5]),
	    series_wall_ms(&s[4]) / series_wall_ms(&s[5]));
	mem_free(f.engines);
	mem_free(f.tokens);
	return 0;
}
