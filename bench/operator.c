#include "bench/operator.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/series.h"
#include "core/buf.h"
#include "core/mem.h"

enum { ANSWER_MAX = 16 << 20, PATIENCE_MS = 120000, LOOK_MS = 5 };

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	buf_add(arg, data, size * count);
	return size * count;
}

static void
perform(const char *url, const char *token, const char *body, struct buf *out)
{
	CURL *c = curl_easy_init();
	struct curl_slist *headers = NULL;
	AUTO_STR who = mem_printf("Authorization: Bearer %s", token);
	CURLcode rc;

	headers = curl_slist_append(headers, who);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	/* Else all that the system trusts is read for each request. */
	(void)curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS);
	if (body != NULL)
		(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	rc = curl_easy_perform(c);
	if (rc != CURLE_OK)
		give_up(url, curl_easy_strerror(rc));
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
}

json_t *
operator_ask(const struct operator* o, const char *path, const char *body)
{
	AUTO_STR url = mem_printf("%s%s", o->url, path);
	AUTO_BUF out = { 0 };
	json_t *answer;

	buf_init(&out, ANSWER_MAX);
	perform(url, o->token, body, &out);
	answer = json_loadb(out.data, out.len, 0, NULL);
	if (answer == NULL || json_object_get(answer, "error") != NULL)
		give_up(path, out.len > 0 ? out.data : "no answer");
	return answer;
}

void
operator_roll_back(const struct operator* o, const char *bundle,
    const char *revision)
{
	AUTO_STR path = mem_printf("/v1/bundles/%s/rollback", bundle);
	AUTO_STR body =
	    mem_printf("{\"to\": \"%s\", \"reason\": \"bench\"}", revision);

	json_decref(operator_ask(o, path, body));
}

size_t
operator_converged(const struct operator* o)
{
	size_t sum = 0;
	AUTO_STR next = mem_strdup("");

	do {
		AUTO_STR path = mem_printf("/v1/clusters?limit=100%s%s",
		    *next != '\0' ? "&next=" : "", next);
		json_t *page = operator_ask(o, path, NULL);
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

void
operator_wait_converged(const struct operator* o, struct crowd *c)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	double end = series_now_ms() + PATIENCE_MS;

	while (operator_converged(o) < crowd_size(c)) {
		(void)crowd_look(c);
		if (series_now_ms() > end)
			give_up("round", "the server does not know of all");
		(void)nanosleep(&pause, NULL);
	}
}
