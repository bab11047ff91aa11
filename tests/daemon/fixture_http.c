#include "tests/daemon/fixture.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "tests/daemon/scene.h"

static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	struct buf *out = arg;

	buf_add(out, data, size * count);
	return out->overflow ? 0 : size * count;
}

static struct curl_slist *
headers_of(const struct request *r)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");

	if (r->token != NULL) {
		AUTO_STR line =
		    mem_printf("Authorization: Bearer %s", r->token);

		list = curl_slist_append(list, line);
	}
	if (r->header != NULL)
		list = curl_slist_append(list, r->header);
	if (r->header2 != NULL)
		list = curl_slist_append(list, r->header2);
	if (r->engine != NULL) {
		AUTO_STR line = mem_printf("X-Edict-Engine: %s", r->engine);

		list = curl_slist_append(list, line);
	}
	if (r->body != NULL)
		list =
		    curl_slist_append(list, "Content-Type: application/json");
	return list;
}

/* May run in a thread: keeps nothing, fails nothing. */
static void
perform(const char *base, const struct request *r, struct answer *a,
    struct buf *body, struct buf *head)
{
	CURL *curl = curl_easy_init();
	AUTO_STR url = mem_printf("%s%s", base, r->path);
	AUTO_STR authority = mem_printf("%s/tls/ca.pem", scene.dir);
	struct curl_slist *list = headers_of(r);
	int64_t begin = daemon_now_ms();

	*a = (struct answer){ 0 };
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (strncmp(base, "https:", 6) == 0)
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, authority);
	(void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
	    (long)REQUEST_MS + 1000L * r->wait_s);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, head);
	if (r->body != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
	if (r->method != NULL && strcmp(r->method, "HEAD") == 0)
		(void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else if (r->method != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
	if (curl_easy_perform(curl) == CURLE_OK)
		(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE,
		    &a->status);
	a->ms = daemon_now_ms() - begin;
	curl_slist_free_all(list);
	curl_easy_cleanup(curl);
}

static void
keep_answer(struct answer *a, struct buf *body, struct buf *head)
{
	size_t len;

	a->body = scene_keep(scene_contents(body, &a->len));
	a->head = scene_keep(scene_contents(head, &len));
}

struct answer
scene_send(const char *base, const struct request *r)
{
	struct answer a;
	struct buf body, head;

	buf_init(&body, BODY_MAX);
	buf_init(&head, 1 << 16);
	perform(base, r, &a, &body, &head);
	keep_answer(&a, &body, &head);
	return a;
}

struct answer
daemon_send(const struct request *r)
{
	return scene_send(scene.url, r);
}

struct answer
daemon_get(const char *path, const char *token, const char *header)
{
	return daemon_send(&(struct request){ .path = path,
	    .token = token,
	    .header = header });
}

const char *
answer_header(const struct answer *a, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = a->head; *p != '\0';) {
		const char *end = strchrnul(p, '\n');

		if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
			p += len + 1;
			p += strspn(p, " ");
			return scene_keep(mem_strndup(p, strcspn(p, "\r\n")));
		}
		p = *end == '\0' ? end : end + 1;
	}
	return "";
}

static void *
poll_main(void *arg)
{
	struct poll *p = arg;

	perform(scene.url, &p->request, &p->answer, &p->body, &p->head);
	atomic_store(&p->over, true);
	return NULL;
}

struct poll *
poll_start(const char *path, const char *token, const char *etag, int wait_s)
{
	return poll_start_as(NULL, path, token, etag, wait_s);
}

struct poll *
poll_start_as(const char *engine, const char *path, const char *token,
    const char *etag, int wait_s)
{
	struct poll *p = mem_zalloc(sizeof *p);

	assert_true(scene.poll_count < POLLS_MAX);
	scene.polls[scene.poll_count++] = p;
	p->request = (struct request){
		.path = path,
		.token = token,
		.engine = engine,
		.header = daemon_printf("If-None-Match: %s", etag),
		.header2 = daemon_printf("Prefer: modes=snapshot,delta;wait=%d",
		    wait_s),
		.wait_s = wait_s,
	};
	buf_init(&p->body, BODY_MAX);
	buf_init(&p->head, 1 << 16);
	assert_int_equal(pthread_create(&p->thread, NULL, poll_main, p), 0);
	return p;
}

bool
poll_is_over(const struct poll *p)
{
	return atomic_load(&p->over);
}

struct answer
poll_end(struct poll *p)
{
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	p->joined = true;
	keep_answer(&p->answer, &p->body, &p->head);
	return p->answer;
}

json_t *
scene_parse(const struct answer *a, const char *what)
{
	json_error_t fault;
	json_t *j = json_loadb(a->body, a->len, JSON_DECODE_ANY, &fault);

	if (j == NULL)
		fail_msg("%s: status %ld, not JSON (%s): %s", what, a->status,
		    fault.text, a->body);
	(void)json_array_append_new(scene.documents, j);
	return j;
}

json_t *
daemon_api(const char *method, const char *path, const char *body,
    long expected)
{
	struct answer a = daemon_send(&(struct request){ .method = method,
	    .path = daemon_printf("/v1%s", path),
	    .token = scene.admin,
	    .body = body });

	if (expected != 0 && a.status != expected)
		fail_msg("%s %s: status %ld, not %ld: %s", method, path,
		    a.status, expected, a.body);
	return scene_parse(&a, path);
}

const json_t *
daemon_at(const json_t *j, const char *path)
{
	while (j != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");
		AUTO_STR name = mem_strndup(path, len);

		j = json_is_array(j)
		    ? json_array_get(j, strtoul(name, NULL, 10))
		    : json_object_get(j, name);
		path += len + (path[len] == '.');
	}
	return json_is_null(j) ? NULL : j;
}

const char *
daemon_text(const json_t *j, const char *path)
{
	return json_string_value(daemon_at(j, path));
}

int64_t
daemon_number(const json_t *j, const char *path)
{
	return json_integer_value(daemon_at(j, path));
}
