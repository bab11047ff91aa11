/* HTTPS: by a client that everybody has, and by some that nobody wants. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "http_fixture.h"
#include "server/http/service.h"

/* http.limits.headers_timeout, if nothing is said. */
enum { HEADERS_MS = 15000 };

struct secure {
	struct site site;
	char *certificate, *key, *url, *authorization;
	struct curl_slist *headers;
};

static void
make_certificate(const char *certificate, const char *key)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL,
	    NID_subject_alt_name, "IP:127.0.0.1");
	FILE *f;

	assert_non_null(alt);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pair);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"127.0.0.1", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_add_ext(x, alt, -1);
	assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
	f = fopen(certificate, "w");
	assert_true(f != NULL && PEM_write_X509(f, x) == 1);
	(void)fclose(f);
	f = fopen(key, "w");
	assert_true(f != NULL &&
	    PEM_write_PrivateKey(f, pair, NULL, NULL, 0, NULL, NULL) == 1);
	(void)fclose(f);
	X509_EXTENSION_free(alt);
	X509_free(x);
	EVP_PKEY_free(pair);
}

static size_t
take(char *data, size_t size, size_t count, void *out)
{
	buf_add(out, data, size * count);
	return size * count;
}

static void
open_secure(struct secure *s, size_t threads)
{
	*s = (struct secure){ 0 };
	site_open(&s->site, threads);
	site_assign(&s->site, "default", "main", "one", 3);
	s->certificate = file_path(s->site.dir, "tls.pem");
	s->key = file_path(s->site.dir, "tls.key");
	make_certificate(s->certificate, s->key);
	s->site.conf.tls.certificate = s->certificate;
	s->site.conf.tls.key = s->key;
	site_start(&s->site);
	s->url = mem_printf("https://127.0.0.1:%d/bundles/main", s->site.port);
	s->authorization =
	    mem_printf("Authorization: Bearer %s", s->site.engine);
	s->headers = curl_slist_append(NULL, s->authorization);
}

static void
close_secure(struct secure *s)
{
	(void)site_stop(&s->site);
	site_close(&s->site);
	curl_slist_free_all(s->headers);
	mem_free(s->certificate);
	mem_free(s->key);
	mem_free(s->url);
	mem_free(s->authorization);
}

static CURL *
client(const struct secure *s, struct buf *body)
{
	CURL *curl = curl_easy_init();

	assert_non_null(curl);
	curl_easy_setopt(curl, CURLOPT_URL, s->url);
	curl_easy_setopt(curl, CURLOPT_CAINFO, s->certificate);
	/* Else each reads those of the system, too. */
	curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
	return curl;
}

static void
check_answer(CURL *curl, const struct buf *body)
{
	long status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	assert_int_equal(status, 200);
	assert_string_equal(body->data, "one");
}

static void
serves_by_tls(void **state)
{
	struct secure s;
	AUTO_BUF body = { 0 };
	CURL *curl;

	(void)state;
	open_secure(&s, 1);
	buf_init(&body, 1024);
	curl = client(&s, &body);
	for (int i = 0; i < 3; i++) {
		buf_reset(&body);
		assert_int_equal(curl_easy_perform(curl), CURLE_OK);
		check_answer(curl, &body);
	}
	curl_easy_cleanup(curl);
	close_secure(&s);
}

/* The shorter of what both know, whatever the client would rather have. */
static void
chooses_the_cipher(void **state)
{
	struct secure s;
	char answer[64] = "";

	(void)state;
	open_secure(&s, 1);
	AUTO_STR line = mem_printf(
	    "openssl s_client -connect 127.0.0.1:%d -ciphersuites "
	    "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256 </dev/null "
	    "2>/dev/null | sed -n 's/^New, //p'",
	    s.site.port);
	FILE *out = popen(line, "re");

	assert_non_null(out);
	assert_non_null(fgets(answer, sizeof answer, out));
	(void)pclose(out);
	assert_string_equal(answer,
	    "TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256\n");
	close_secure(&s);
}

/* Many whose handshakes are under way at the same time, more than any set of
 * events holds, and as many as a known fault of the library needs. */
static void
shakes_many_hands(void **state)
{
	enum { MANY = 256 };
	struct secure s;
	struct buf bodies[MANY] = { 0 };
	CURL *clients[MANY];
	CURLM *all = curl_multi_init();
	CURLMsg *m;
	int left = 0, running = 1, good = 0;

	(void)state;
	open_secure(&s, 1);
	for (size_t i = 0; i < MANY; i++) {
		buf_init(&bodies[i], 1024);
		clients[i] = client(&s, &bodies[i]);
		curl_easy_setopt(clients[i], CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(clients[i], CURLOPT_FORBID_REUSE, 1L);
		curl_multi_add_handle(all, clients[i]);
	}
	while (running > 0) {
		assert_int_equal(curl_multi_perform(all, &running), CURLM_OK);
		assert_int_equal(curl_multi_poll(all, NULL, 0, 1000, NULL),
		    CURLM_OK);
	}
	while ((m = curl_multi_info_read(all, &left)) != NULL)
		good += m->msg == CURLMSG_DONE && m->data.result == CURLE_OK;
	assert_int_equal(good, MANY);
	for (size_t i = 0; i < MANY; i++) {
		check_answer(clients[i], &bodies[i]);
		curl_multi_remove_handle(all, clients[i]);
		curl_easy_cleanup(clients[i]);
		buf_clear(&bodies[i]);
	}
	curl_multi_cleanup(all);
	close_secure(&s);
}

static int64_t
processor_ms(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Who connects and says nothing, or half of a hello, is let go when its time is
 * over, and has cost next to nothing until then. */
static void
silence_costs_nothing(void **state)
{
	/* A record of 512 bytes that begins a ClientHello, and no more. */
	static const char half[] = "\x16\x03\x01\x02\x01\x01\x01\x01";
	enum { SILENT = 8 };
	struct secure s;
	AUTO_BUF body = { 0 };
	int64_t begin_ms, used_ms;
	int fds[SILENT];
	CURL *curl;

	(void)state;
	open_secure(&s, 1);
	buf_init(&body, 1024);
	used_ms = processor_ms(s.site.http);
	begin_ms = clock_mono_ms();
	for (size_t i = 0; i < SILENT; i++) {
		fds[i] = wire_open(&s.site);
		if (i % 2 == 1)
			assert_int_equal(write(fds[i], half, sizeof half - 1),
			    sizeof half - 1);
	}
	curl = client(&s, &body);
	assert_int_equal(curl_easy_perform(curl), CURLE_OK);
	check_answer(curl, &body);
	curl_easy_cleanup(curl);
	for (size_t i = 0; i < SILENT; i++) {
		assert_true(wire_closed(fds[i], 2 * HEADERS_MS));
		(void)close(fds[i]);
	}
	used_ms = processor_ms(s.site.http) - used_ms;
	assert_true(clock_mono_ms() - begin_ms >= HEADERS_MS / 2);
	assert_in_range(used_ms, 0, HEADERS_MS / 10);
	close_secure(&s);
}

/* It ends in order while they are at it. */
static void
ends_amid_handshakes(void **state)
{
	struct secure s;
	AUTO_BUF body = { 0 };
	CURL *curl;
	int fd;

	(void)state;
	open_secure(&s, 1);
	buf_init(&body, 1024);
	fd = wire_open(&s.site);
	curl = client(&s, &body);
	/* It answers, so the one before was accepted. */
	assert_int_equal(curl_easy_perform(curl), CURLE_OK);
	check_answer(curl, &body);
	curl_easy_cleanup(curl);
	close_secure(&s);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_by_tls),
		cmocka_unit_test(chooses_the_cipher),
		cmocka_unit_test(shakes_many_hands),
		cmocka_unit_test(silence_costs_nothing),
		cmocka_unit_test(ends_amid_handshakes),
	};
	int failed;

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	curl_global_cleanup();
	return failed;
}
