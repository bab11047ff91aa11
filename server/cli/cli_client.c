#include "server/cli/cli_client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli_screen.h"

struct client {
	CURL *curl;
	char *url;        /* without a slash at its end */
	char *public_url; /* or NULL */
	struct curl_slist *headers;
};

/* ---- which server ---- */

struct place {
	char *url;
	char *public_url; /* or NULL */
	char *token;
};

static void
place_clear(struct place *p)
{
	mem_free(p->url);
	mem_free(p->public_url);
	if (p->token != NULL)
		mem_free_secret(p->token, strlen(p->token));
}

static const char *
from_environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* The address here, then perhaps the one that the world uses. */
static void
take_lines(struct place *p, const char *text)
{
	size_t len = strcspn(text, "\n");

	p->url = mem_strndup(text, len);
	text += len + (text[len] == '\n');
	len = strcspn(text, "\n");
	if (len > 0)
		p->public_url = mem_strndup(text, len);
}

static enum err_code
local_place(struct place *p, const char *dir, struct err *e)
{
	AUTO_STR address = file_path(dir, "address");
	AUTO_STR token = file_path(dir, "admin-token");
	AUTO_BUF url = { 0 };

	buf_init(&url, 4096);
	if (p->url == NULL) {
		if (file_read(&url, address, NULL) != ERR_OK)
			return err_set(e, ERR_NOT_FOUND,
			    "which server? give --server URL and --token-file "
			    "FILE, or --data-dir DIR on the server's own "
			    "machine (there is no %s)",
			    address);
		take_lines(p, url.data);
	}
	if (p->token == NULL)
		TRY(file_read_secret(&p->token, token, e));
	return ERR_OK;
}

static enum err_code
find_place(struct place *p, const struct cli_args *a, struct err *e)
{
	const char *server = cli_value(a, "server");
	const char *dir = cli_value(a, "data-dir");
	const char *file = cli_value(a, "token-file");

	if (server == NULL && dir == NULL)
		server = from_environment("EDICT_SERVER");
	if (dir == NULL)
		dir = from_environment("EDICT_DATA_DIR");
	p->url = mem_strdup(server);
	if (file != NULL)
		TRY(file_read_secret(&p->token, file, e));
	else if (server != NULL)
		p->token = mem_strdup(from_environment("EDICT_TOKEN"));
	if (p->url != NULL && p->token != NULL)
		return ERR_OK;
	return local_place(p, dir != NULL ? dir : "/var/lib/edict", e);
}

enum err_code
client_open(struct client **out, const struct cli_args *a, struct err *e)
{
	struct place p = { 0 };
	enum err_code code = find_place(&p, a, e);
	struct client *c;
	size_t len;

	if (code != ERR_OK) {
		place_clear(&p);
		return code;
	}
	c = mem_zalloc(sizeof *c);
	c->url = STEAL(p.url);
	c->public_url = STEAL(p.public_url);
	for (len = strlen(c->url); len > 0 && c->url[len - 1] == '/'; len--)
		c->url[len - 1] = '\0';
	AUTO_STR bearer = mem_printf("Authorization: Bearer %s", p.token);
	c->headers = curl_slist_append(NULL, bearer);
	c->headers =
	    curl_slist_append(c->headers, "Content-Type: application/json");
	c->curl = curl_easy_init();
	explicit_bzero(bearer, strlen(bearer));
	place_clear(&p);
	if (c->curl == NULL || c->headers == NULL)
		abort();
	if (cli_value(a, "ca-file") != NULL)
		(void)curl_easy_setopt(c->curl, CURLOPT_CAINFO,
		    cli_value(a, "ca-file"));
	*out = c;
	return ERR_OK;
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	curl_easy_cleanup(c->curl);
	curl_slist_free_all(c->headers);
	mem_free(c->url);
	mem_free(c->public_url);
	mem_free(c);
}

const char *
client_url(const struct client *c)
{
	return c->url;
}

const char *
client_public_url(const struct client *c)
{
	return c->public_url != NULL ? c->public_url : c->url;
}

/* ---- one request ---- */

static size_t
take(char *data, size_t size, size_t count, void *arg)
{
	struct buf *out = arg;

	buf_add(out, data, size * count);
	return out->overflow ? 0 : size * count;
}

static void
set_up(struct client *c, const char *url, const char *method, const char *body,
    struct buf *answer)
{
	(void)curl_easy_setopt(c->curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
	(void)curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS,
	    (long)CLIENT_TIMEOUT_MS);
	(void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, answer);
	(void)curl_easy_setopt(c->curl, CURLOPT_USERAGENT,
	    "edict/" EDICT_VERSION);
	if (body != NULL)
		(void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
	else
		(void)curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	(void)curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
}

static enum err_code
perform(struct client *c, const char *method, const char *path,
    const char *body, struct buf *answer, long *status, struct err *e)
{
	AUTO_STR url = mem_printf("%s/v1%s", c->url, path);
	CURLcode n;

	set_up(c, url, method, body, answer);
	n = curl_easy_perform(c->curl);
	if (answer->overflow)
		return buf_check(answer, c->url, e);
	if (n != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, "%s: %s%s", c->url,
		    curl_easy_strerror(n),
		    n == CURLE_COULDNT_CONNECT
			? "; is edict serve running there?"
			: "");
	(void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, status);
	return ERR_OK;
}

static enum err_code
code_from_name(const char *name)
{
	for (int code = ERR_INVALID; code < ERR_CODES; code++)
		if (strcmp(name, err_name((enum err_code)code)) == 0)
			return (enum err_code)code;
	return ERR_IO;
}

static enum err_code
refused(const struct client *c, const struct buf *answer, long status,
    struct err *e)
{
	json_t *j = json_loadb(answer->data, answer->len, 0, NULL);
	const char *code = "io";
	const char *message = NULL;
	enum err_code n;

	(void)json_unpack(j, "{s:{s:s,s:s}}", "error", "code", &code, "message",
	    &message);
	if (message != NULL)
		n = err_set(e, code_from_name(code), "%s", message);
	else
		n = err_set(e, ERR_IO, "%s: HTTP status %ld", c->url, status);
	json_decref(j);
	return n;
}

enum err_code
client_call(struct client *c, const char *method, const char *path,
    const json_t *body, json_t **out, long *status, struct err *e)
{
	AUTO_BUF answer = { 0 };
	long got = 0;
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	enum err_code code;
	json_error_t fault;

	buf_init(&answer, CLIENT_ANSWER_MAX);
	code = perform(c, method, path, text, &answer, &got, e);
	free(text);
	if (code != ERR_OK)
		return code;
	if (got < 200 || got > 299)
		return refused(c, &answer, got, e);
	*out = json_loadb(answer.data, answer.len, 0, &fault);
	if (*out == NULL)
		return err_set(e, ERR_INVALID, "%s: not JSON: %s", c->url,
		    fault.text);
	if (status != NULL)
		*status = got;
	return ERR_OK;
}

enum err_code
client_list(struct client *c, const char *path, size_t max, json_t **out,
    struct err *e)
{
	json_t *all = json_array();
	AUTO_STR next = NULL;

	do {
		size_t left = max - json_array_size(all);
		AUTO_STR token = next != NULL ? client_segment(next) : NULL;
		AUTO_STR page = mem_printf("%s%climit=%zu%s%s", path,
		    strchr(path, '?') != NULL ? '&' : '?',
		    left < 500 ? left : 500, token != NULL ? "&next=" : "",
		    token != NULL ? token : "");
		json_t *answer = NULL;
		enum err_code code =
		    client_call(c, "GET", page, NULL, &answer, NULL, e);

		if (code != ERR_OK) {
			json_decref(all);
			return code;
		}
		(void)json_array_extend(all, json_object_get(answer, "items"));
		mem_free(next);
		next = mem_strdup(json_string_value(json_object_get(answer,
		    "next")));
		json_decref(answer);
	} while (next != NULL && json_array_size(all) < max);
	*out = all;
	return ERR_OK;
}

/* ---- operations ---- */

static bool
is_over(const json_t *operation, struct err *e, enum err_code *code)
{
	const char *state =
	    json_string_value(json_object_get(operation, "state"));
	const char *name = "io";
	const char *message = "it failed";

	if (state == NULL || strcmp(state, "done") == 0) {
		*code = ERR_OK;
		return true;
	}
	if (strcmp(state, "failed") != 0)
		return false;
	(void)json_unpack(json_object_get(operation, "error"), "{s:s,s:s}",
	    "code", &name, "message", &message);
	*code = err_set(e, code_from_name(name), "%s", message);
	return true;
}

static void
show_progress(const json_t *operation, char last[256])
{
	const char *progress =
	    json_string_value(json_object_get(operation, "progress"));

	if (progress == NULL || !isatty(STDERR_FILENO) ||
	    strncmp(last, progress, 255) == 0)
		return;
	AUTO_STR line = screen_clean(progress, strlen(progress));
	(void)snprintf(last, 256, "%s", progress);
	(void)fprintf(stderr, "%s ...\n", line);
}

enum err_code
client_await(struct client *c, const json_t *operation, json_t **out,
    struct err *e)
{
	AUTO_STR path = mem_printf("/operations/%s",
	    json_string_value(json_object_get(operation, "id")));
	const struct timespec pause = { .tv_nsec = 150 * 1000000 };
	int64_t until = clock_mono_ms() + CLIENT_OPERATION_MS;
	char last[256] = "";

	while (clock_mono_ms() < until) {
		json_t *now = NULL;
		enum err_code code =
		    client_call(c, "GET", path, NULL, &now, NULL, e);
		bool over;

		if (code != ERR_OK)
			return code;
		show_progress(now, last);
		over = is_over(now, e, &code);
		if (over && code == ERR_OK) {
			*out = now;
			return ERR_OK;
		}
		json_decref(now);
		if (over)
			return code;
		(void)nanosleep(&pause, NULL);
	}
	return err_set(e, ERR_TIMEOUT,
	    "still under way; look again with: GET /v1%s", path);
}

/* ---- small things ---- */

char *
client_segment(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = strlen(text);
	char *out = mem_alloc(3 * len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (isalnum(c) || strchr("-._~", c) != NULL) {
			out[n++] = text[i];
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
	return out;
}

int
client_fail(const struct cli_args *a, const struct err *e)
{
	const char *text = e->text;
	size_t len;

	/* A server tells what a commit says, line by line. */
	(void)fprintf(stderr, "edict %s: ", a->command->name);
	do {
		len = strcspn(text, "\n");
		AUTO_STR line = screen_clean(text, len);
		(void)fprintf(stderr, "%s\n", line);
		text += len + (text[len] == '\n');
	} while (*text != '\0');
	return 1;
}

int
client_print_json(const json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(2));

	(void)printf("%s\n", text != NULL ? text : "null");
	free(text);
	return 0;
}
