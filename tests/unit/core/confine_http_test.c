/* http and fetch at work under confinement: see role.h. */

#include "core/confine.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <microhttpd.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "tests/unit/core/role.h"

/* http: libmicrohttpd with TLS in two threads on a listening socket that was
 * inherited; answers from a mapped file, from a file descriptor, and after a
 * suspension. And fetch: a client outside that looks up names, speaks TLS and
 * Git, and writes what it gets. The two are tested against each other. */

struct site {
	const char *folder;
	int listener;
	int stop[2];
	uint16_t port;
	char *key;
	char *certificate;
};

enum { FILE_SIZE = 100000 };

struct server {
	struct MHD_Daemon *daemon;
	struct site *site;
	char *map;
	struct MHD_Connection *suspended; /* until the loop has run once */
};

static enum MHD_Result
answer(void *arg, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **seen)
{
	struct server *s = arg;
	struct MHD_Response *r;
	enum MHD_Result result;
	AUTO_STR path = NULL;
	static int first;
	static int second;

	(void)method;
	(void)version;
	(void)upload;
	*upload_size = 0;
	if (*seen == NULL) {
		*seen = &first;
		return MHD_YES;
	}
	if (strcmp(url, "/wait") == 0 && *seen == &first &&
	    s->suspended == NULL) {
		*seen = &second;
		MHD_suspend_connection(c);
		s->suspended = c;
		return MHD_YES;
	}
	if (strcmp(url, "/file") == 0) {
		path = file_path(s->site->folder, "file");
		r = MHD_create_response_from_fd(FILE_SIZE,
		    open(path, O_RDONLY | O_CLOEXEC));
	} else {
		r = MHD_create_response_from_buffer(FILE_SIZE, s->map,
		    MHD_RESPMEM_PERSISTENT);
	}
	if (r == NULL)
		return MHD_NO;
	result = MHD_queue_response(c,
	    strncmp(url, "/git", 4) == 0 ? MHD_HTTP_NOT_FOUND : MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return result;
}

static int
start_server(struct server *s)
{
	AUTO_STR path = file_path(s->site->folder, "file");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	NEED(fd >= 0);
	s->map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	NEED(s->map != MAP_FAILED);
	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TLS |
		MHD_ALLOW_SUSPEND_RESUME,
	    0, NULL, NULL, answer, s, MHD_OPTION_LISTEN_SOCKET,
	    s->site->listener, MHD_OPTION_HTTPS_MEM_KEY, s->site->key,
	    MHD_OPTION_HTTPS_MEM_CERT, s->site->certificate,
	    MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
	NEED(s->daemon != NULL);
	return 0;
}

/* Our own event loop around the daemon's epoll descriptor. */
static int
serve_until_stopped(struct server *s)
{
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int loop = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };

	NEED(info != NULL && loop >= 0);
	NEED(epoll_ctl(loop, EPOLL_CTL_ADD, info->epoll_fd, &event) == 0);
	event.data.u32 = 1;
	NEED(epoll_ctl(loop, EPOLL_CTL_ADD, s->site->stop[0], &event) == 0);
	for (;;) {
		MHD_UNSIGNED_LONG_LONG wait = 0;
		int timeout = MHD_get_timeout(s->daemon, &wait) == MHD_YES
		    ? (int)wait
		    : -1;
		int n = epoll_wait(loop, &event, 1, timeout);

		NEED(n >= 0 || errno == EINTR);
		if (n == 1 && event.data.u32 == 1)
			break;
		NEED(MHD_run(s->daemon) == MHD_YES);
		if (s->suspended == NULL)
			continue;
		/* Nothing in its epoll tells of this. */
		MHD_resume_connection(STEAL(s->suspended));
		NEED(MHD_run(s->daemon) == MHD_YES);
	}
	close(loop);
	return 0;
}

static void *
serve(void *arg)
{
	struct server s = { .site = arg };
	int bad = start_server(&s) != 0 || serve_until_stopped(&s) != 0;

	if (s.daemon != NULL) {
		(void)MHD_quiesce_daemon(s.daemon);
		MHD_stop_daemon(s.daemon);
	}
	return bad ? arg : NULL;
}

static int
run_http(void *arg)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		NEED(pthread_create(&threads[i], NULL, serve, arg) == 0);
	for (int i = 0; i < 2; i++) {
		void *bad = arg;

		NEED(pthread_join(threads[i], &bad) == 0 && bad == NULL);
	}
	return 0;
}

struct received {
	size_t len;
};

static size_t
receive(char *data, size_t size, size_t count, void *arg)
{
	struct received *r = arg;

	(void)data;
	r->len += size * count;
	return size * count;
}

static int
get_url(const struct site *site, const char *path, const char *ca)
{
	AUTO_STR url = mem_printf("https://localhost:%u%s", site->port, path);
	struct received r = { 0 };
	CURL *c = curl_easy_init();
	CURLcode code;

	NEED(c != NULL);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_CAINFO, ca);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &r);
	code = curl_easy_perform(c);
	curl_easy_cleanup(c);
	if (code != CURLE_OK)
		dprintf(STDERR_FILENO, "%s: %s\n", url,
		    curl_easy_strerror(code));
	NEED(code == CURLE_OK && r.len == FILE_SIZE);
	return 0;
}

static int
trust_any(git_cert *cert, int valid, const char *host, void *payload)
{
	(void)cert;
	(void)valid;
	(void)host;
	(void)payload;
	return 0;
}

/* No Git server here: that it answers 404 shows that libgit2 got there. */
static int
ask_git(const struct site *site)
{
	AUTO_STR url = mem_printf("https://localhost:%u/git", site->port);
	AUTO_STR path = file_path(site->folder, "clone/repo");
	git_remote_callbacks callbacks;
	git_repository *repo = NULL;
	git_remote *remote = NULL;

	NEED(git_remote_init_callbacks(&callbacks,
		 GIT_REMOTE_CALLBACKS_VERSION) == 0);
	callbacks.certificate_check = trust_any;
	NEED(git_repository_init(&repo, path, 1) == 0);
	NEED(git_remote_create_anonymous(&remote, repo, url) == 0);
	NEED(git_remote_connect(remote, GIT_DIRECTION_FETCH, &callbacks, NULL,
		 NULL) != 0);
	if (strstr(git_error_last()->message, "404") == NULL)
		dprintf(STDERR_FILENO, "git: %s\n", git_error_last()->message);
	NEED(strstr(git_error_last()->message, "404") != NULL);
	git_remote_free(remote);
	git_repository_free(repo);
	return 0;
}

static int
run_fetch(void *arg)
{
	const struct site *site = arg;
	AUTO_STR ca = file_path(site->folder, "ca.pem");
	struct addrinfo *found = NULL;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	NEED(getaddrinfo("localhost", "443", &hints, &found) == 0);
	freeaddrinfo(found);
	/* Nobody answers, or somebody says no; it must only not hang or die. */
	NEED(getaddrinfo("edict.invalid", "443", &hints, &found) != 0);
	NEED(get_url(site, "/buffer", ca) == 0);
	NEED(get_url(site, "/file", ca) == 0);
	for (int i = 0; i < 4; i++)
		NEED(get_url(site, "/wait", ca) == 0);
	NEED(ask_git(site) == 0);
	return 0;
}

static int
prepare_fetch(void *arg)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return role_no_global_git(arg);
}

static char *
pem_of(EVP_PKEY *key, X509 *certificate)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *data;
	char *text;
	long len;

	assert_non_null(out);
	if (certificate != NULL)
		assert_int_equal(PEM_write_bio_X509(out, certificate), 1);
	else
		assert_int_equal(PEM_write_bio_PrivateKey(out, key, NULL, NULL,
				     0, NULL, NULL),
		    1);
	len = BIO_get_mem_data(out, &data);
	text = mem_strndup(data, (size_t)len);
	BIO_free(out);
	return text;
}

static void
make_certificate(struct site *site)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name;

	assert_non_null(key);
	assert_non_null(x);
	assert_int_equal(X509_set_version(x, 2), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	name = X509_get_subject_name(x);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
			     (const unsigned char *)"localhost", -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(x, name), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	site->key = pem_of(key, NULL);
	site->certificate = pem_of(NULL, x);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
make_site(struct site *site)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof at;
	AUTO_STR file = file_path(role_folder, "file");
	AUTO_STR ca = file_path(role_folder, "ca.pem");
	AUTO_STR clone = file_path(role_folder, "clone");
	AUTO_STR text = mem_zalloc(FILE_SIZE);
	struct err e;

	site->folder = role_folder;
	make_certificate(site);
	assert_int_equal(file_replace(file, text, FILE_SIZE, 0600, &e), ERR_OK);
	assert_int_equal(file_replace(ca, site->certificate,
			     strlen(site->certificate), 0600, &e),
	    ERR_OK);
	assert_int_equal(file_make_dirs(clone, &e), ERR_OK);
	site->listener =
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(site->listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(site->listener, 64), 0);
	assert_int_equal(getsockname(site->listener, (struct sockaddr *)&at,
			     &len),
	    0);
	site->port = ntohs(at.sin_port);
	assert_int_equal(pipe2(site->stop, O_CLOEXEC), 0);
}

static void
start_http(pid_t *pid, struct site *site)
{
	const struct confine_path paths[] = {
		{ role_folder, CONFINE_PATH_READ, false },
	};
	int keep[] = { site->listener, site->stop[0] };
	struct child_spec spec = role_of("http", run_http,
	    CONFINE_READ_FILES | CONFINE_LOCK_FILES | CONFINE_MESSAGES |
		CONFINE_THREADS | CONFINE_ACCEPT,
	    paths, 1);
	struct err e = { 0 };

	spec.arg = site;
	spec.keep = keep;
	spec.keep_count = 2;
	spec.stdout_fd = -1;
	spec.stderr_fd = -1;
	if (child_start(pid, &spec, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
run_fetch_confined(struct site *site)
{
	AUTO_STR clone = file_path(role_folder, "clone");
	AUTO_STR ca = file_path(role_folder, "ca.pem");
	struct confine_path paths[CONFINE_NETWORK_PATHS + 2];
	struct child_spec spec = role_of("fetch", run_fetch,
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_CONNECT |
		CONFINE_THREADS,
	    paths, CONFINE_NETWORK_PATHS + 2);

	memcpy(paths, confine_network_paths, sizeof confine_network_paths);
	paths[CONFINE_NETWORK_PATHS] =
	    (struct confine_path){ ca, CONFINE_PATH_READ, false };
	paths[CONFINE_NETWORK_PATHS + 1] = (struct confine_path){ clone,
		CONFINE_PATH_READ | CONFINE_PATH_WRITE, false };
	spec.prepare = prepare_fetch;
	spec.arg = site;
	role_run(&spec);
}

static void
test_http_and_fetch(void **state)
{
	struct site site = { 0 };
	int status;
	pid_t pid;

	(void)state;
	make_site(&site);
	start_http(&pid, &site);
	run_fetch_confined(&site);
	assert_int_equal(write(site.stop[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(site.listener);
	close(site.stop[0]);
	close(site.stop[1]);
	mem_free(site.key);
	mem_free(site.certificate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_http_and_fetch),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
