/* The child of an outgoing call: it alone holds the secret, and it alone talks
 * to the host. It reads what it needs before it is confined, asks once, prints a
 * line and the answer's body, and ends. One call per process, hence the one
 * static struct. */

#include <curl/curl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "server/supervisor/call_private.h"

static struct {
	struct call_child *c;
	char *url;
	char *secrets[CALL_SECRETS_MAX];
	size_t secret_count;
	struct buf body;
	struct buf answer;
	size_t header_bytes;
	char etag[CALL_HEADER_MAX + 1];
	char fault[CURL_ERROR_SIZE];
	CURL *curl;
	struct curl_slist *headers;
	struct call_result result;
	bool concluded;
} self;

/* -- the result ----------------------------------------------------------- */

static void PRINTF_LIKE(2, 3)
    conclude(enum call_outcome outcome, const char *fmt, ...)
{
	va_list ap;

	if (self.concluded)
		return;
	self.concluded = true;
	self.result.outcome = outcome;
	va_start(ap, fmt);
	(void)vsnprintf(self.result.message, sizeof self.result.message, fmt,
	    ap);
	va_end(ap);
}

static void
blot_out(const char *secret)
{
	char *at;

	if (secret == NULL || *secret == '\0')
		return;
	while ((at = strstr(self.result.message, secret)) != NULL)
		memset(at, '*', strlen(secret));
}

static int
print_result(void)
{
	struct call_result *r = &self.result;
	bool has_body = r->outcome == CALL_ANSWERED;
	json_t *j;
	char *line;
	int failed = 1;

	for (size_t i = 0; i < self.secret_count; i++)
		blot_out(self.secrets[i]);
	if (self.c->target->url_file != NULL)
		blot_out(self.url);
	utf8_repair(r->message);
	j = json_pack("{s:s, s:i, s:I, s:s, s:s}", "outcome",
	    call_outcome_name(r->outcome), "status", r->status, "retry_after",
	    (json_int_t)r->retry_after_s, "etag", self.etag, "message",
	    r->message);
	line = json_dumps(j, JSON_COMPACT);
	if (line != NULL)
		failed = file_write_all(STDOUT_FILENO, line, strlen(line),
			     NULL) != ERR_OK ||
		    file_write_all(STDOUT_FILENO, "\n", 1, NULL) != ERR_OK ||
		    (has_body &&
			file_write_all(STDOUT_FILENO, self.answer.data,
			    self.answer.len, NULL) != ERR_OK);
	free(line);
	json_decref(j);
	return failed;
}

/* -- before confinement --------------------------------------------------- */

static enum err_code
read_url(struct err *e)
{
	const struct call_target *t = self.c->target;

	if (t->url_file == NULL) {
		self.url = mem_strdup(t->url);
		return ERR_OK;
	}
	TRY(file_read_secret(&self.url, t->url_file, e));
	if (call_url_check(self.url, true, e) != ERR_OK)
		return err_add(e, "%s", t->url_file);
	return ERR_OK;
}

static enum err_code
read_secrets(struct err *e)
{
	const struct call_target *t = self.c->target;

	for (size_t i = 0; i < CALL_SECRETS_MAX; i++)
		if (t->secret_files[i] != NULL)
			TRY(file_read_secret(&self.secrets[self.secret_count++],
			    t->secret_files[i], e));
	if (t->proof != CALL_NO_PROOF && self.secret_count == 0)
		return err_set(e, ERR_INVALID, "no secret to prove it with");
	return ERR_OK;
}

static enum err_code
prepare(struct err *e)
{
	const struct call_target *t = self.c->target;

	TRY(read_url(e));
	TRY(read_secrets(e));
	if (t->ca_file != NULL && access(t->ca_file, R_OK) != 0)
		return err_errno(e, "ca_file %s", t->ca_file);
	buf_init(&self.body, CALL_BODY_MAX);
	if (self.c->body_fd >= 0 && lseek(STDIN_FILENO, 0, SEEK_SET) != 0)
		return err_errno(e, "body");
	if (self.c->body_fd >= 0)
		TRY(file_read_fd(&self.body, STDIN_FILENO, "body", e));
	buf_init(&self.answer, t->answer_max);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_UNSUPPORTED, "libcurl did not start");
	return ERR_OK;
}

int
call_prepare(void *arg)
{
	struct err e = { 0 };

	self.c = arg;
	/* A fault of the configuration's is a result like others. */
	if (prepare(&e) != ERR_OK)
		conclude(CALL_FAILED, "%s", e.text);
	return 0;
}

/* -- what libcurl asks ---------------------------------------------------- */

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	(void)arg;
	buf_add(&self.answer, data, size * count);
	if (!self.answer.overflow)
		return size * count;
	conclude(CALL_TOO_LARGE, "the answer is larger than %zu bytes",
	    self.answer.max);
	return 0;
}

static void
take_etag(const char *value, size_t len)
{
	while (len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	while (len > 0 && (unsigned char)value[len - 1] <= ' ')
		len--;
	self.etag[0] = '\0';
	if (len > CALL_HEADER_MAX)
		return;
	for (size_t i = 0; i < len; i++)
		if (value[i] < ' ' || value[i] > '~')
			return;
	memcpy(self.etag, value, len);
	self.etag[len] = '\0';
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	static const char etag[] = "etag:";
	size_t len = size * count;

	(void)arg;
	self.header_bytes += len;
	if (self.header_bytes > CALL_HEADERS_BYTES) {
		conclude(CALL_TOO_LARGE,
		    "the answer's headers are larger than %d bytes",
		    (int)CALL_HEADERS_BYTES);
		return 0;
	}
	if (len >= sizeof etag - 1 &&
	    strncasecmp(data, etag, sizeof etag - 1) == 0)
		take_etag(data + sizeof etag - 1, len - (sizeof etag - 1));
	return len;
}

/* -- asking --------------------------------------------------------------- */

static void
add_header(const char *text)
{
	struct curl_slist *more = curl_slist_append(self.headers, text);

	if (more == NULL)
		abort();
	self.headers = more;
}

static void
add_proof(void)
{
	AUTO_STR value = NULL;
	AUTO_STR header = NULL;

	switch (self.c->target->proof) {
	case CALL_NO_PROOF:
		return;
	case CALL_BEARER:
		header =
		    mem_printf("Authorization: Bearer %s", self.secrets[0]);
		break;
	case CALL_SIGNED:
		value =
		    call_signature((const char *const *)(uintptr_t)self.secrets,
			self.secret_count, clock_now_ms() / 1000,
			self.body.data, self.body.len);
		header = mem_printf("X-Edict-Signature: %s", value);
		break;
	}
	add_header(header);
}

static void
set_headers(void)
{
	const struct call_target *t = self.c->target;

	if (t->content_type != NULL) {
		AUTO_STR type =
		    mem_printf(t->post ? "Content-Type: %s" : "Accept: %s",
			t->content_type);

		add_header(type);
	}
	add_header("Expect:"); /* nobody needs 100-continue */
	for (size_t i = 0; i < self.c->header_count; i++)
		add_header(self.c->headers[i]);
	add_proof();
}

/* Results are looked at once, at the end. */
#define SET(option, value) \
	(failed |= curl_easy_setopt(self.curl, (option), (value)) != CURLE_OK)

static bool
set_options(void)
{
	const struct call_target *t = self.c->target;
	bool failed = false;

	SET(CURLOPT_URL, self.url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (t->ca_file != NULL) {
		SET(CURLOPT_CAINFO, t->ca_file);
		SET(CURLOPT_CAPATH, NULL); /* those, and no others */
	}
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CALL_CONNECT_MS);
	SET(CURLOPT_TIMEOUT_MS, (long)t->timeout_ms);
	SET(CURLOPT_USERAGENT, "edict/" EDICT_VERSION);
	SET(CURLOPT_ERRORBUFFER, self.fault);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HTTPHEADER, self.headers);
	if (t->post) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE, (long)self.body.len);
		SET(CURLOPT_POSTFIELDS, self.body.data);
	}
	return !failed;
}

static enum call_outcome
outcome_of(CURLcode code)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return CALL_TIMED_OUT;
	case CURLE_PEER_FAILED_VERIFICATION:
		return CALL_UNTRUSTED;
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
		return CALL_FAILED;
	default:
		return CALL_UNREACHABLE;
	}
}

/* The status counts even when the body was too large or broke off. */
static void
take_answer(void)
{
	long status = 0;
	curl_off_t after = 0;

	(void)curl_easy_getinfo(self.curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(self.curl, CURLINFO_RETRY_AFTER, &after);
	self.result.status = (int)status;
	if (after > 0)
		self.result.retry_after_s = after < CALL_RETRY_MAX_S
		    ? (int64_t)after
		    : CALL_RETRY_MAX_S;
}

static void
call(void)
{
	CURLcode code;

	self.curl = curl_easy_init();
	if (self.curl == NULL)
		abort();
	set_headers();
	if (!set_options()) {
		conclude(CALL_FAILED, "libcurl refuses an option");
		return;
	}
	code = curl_easy_perform(self.curl);
	take_answer();
	if (code == CURLE_OK)
		conclude(CALL_ANSWERED, "%s", "");
	else
		conclude(outcome_of(code), "%s",
		    self.fault[0] != '\0' ? self.fault
					  : curl_easy_strerror(code));
}

int
call_main(void *arg)
{
	(void)arg;
	(void)signal(SIGPIPE, SIG_IGN);
	if (!self.concluded)
		call();
	return print_result();
}
