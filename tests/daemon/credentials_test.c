/* Engines that show tokens of another issuer, as Kubernetes' service accounts
 * are given; and what becomes of credentials when keys change. The tokens are
 * made by jose, the server of keys is nginx. */

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

enum { MINUTE_MS = 60000 };

static const char eu[] = "/clusters/prod-eu/bundles/authz";
static const char us[] = "/clusters/prod-us/bundles/authz";

static long
status_of(const char *token, const char *path)
{
	return daemon_get(path, token, NULL).status;
}

static const char *
configure(const char *more)
{
	return daemon_printf(
	    "repositories: {remote: {url: \"%s\"}}\n"
	    "access:\n"
	    "  jwt:\n"
	    "  - issuer: https://k8s.example.org\n"
	    "    audience: edict\n"
	    "    algorithms: [RS256, ES256]\n"
	    "    subjects:\n"
	    "    - {subject: \"system:serviceaccount:eu:*\", "
	    "cluster: prod-eu}\n"
	    "    - {subject: \"system:serviceaccount:us:opa\", "
	    "cluster: prod-us}\n"
	    "    %s\n",
	    daemon_path("remote.git"), more);
}

static void
start(const char *more)
{
	const char *rev = daemon_estate(1);

	daemon_start(&(struct daemon_options){ .config = configure(more) });
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "authz", rev, DAEMON_DEADLINE_MS);
}

static void
start_with_file(void)
{
	(void)daemon_jose("key rsa RS256; key ec ES256; key stranger ES256; "
			  "keyset rsa ec");
	start(daemon_printf("jwks_file: \"%s\"", daemon_path("keys.json")));
}

/* ---- who may and who may not ---- */

SCENARIO(tokens_of_service_accounts)
{
	static const char in_us[] = ".sub=\"system:serviceaccount:us:opa\"";
	struct answer a;
	const char *token;

	start_with_file();
	token = daemon_jwt("rsa", "RS256", ".");
	assert_int_equal(status_of(token, eu), 200);
	assert_int_equal(status_of(token, "/bundles/billing"), 200);
	/* Of another cluster it reads nothing, whatever it asks. */
	assert_int_equal(status_of(token, us), 404);
	assert_int_equal(status_of(token, "/clusters/test/bundles/billing"),
	    404);
	token = daemon_jwt("ec", "ES256", in_us);
	assert_int_equal(status_of(token, us), 200);
	assert_int_equal(status_of(token, eu), 404);
	assert_int_equal(status_of(token, "/bundles/billing"), 404);
	/* It is an engine, and no operator. */
	assert_int_equal(status_of(token, "/v1/clusters"), 403);
	/* aud may be one text; nbf and iat may be missing, pods too. */
	token = daemon_jwt("ec", "ES256",
	    ".aud=\"edict\" | del(.nbf,.iat,.\"kubernetes.io\")");
	assert_int_equal(status_of(token, eu), 200);
	/* Its pod is its name, whatever it says of itself. */
	a = daemon_get(eu, daemon_jwt("rsa", "RS256", "."),
	    "X-Edict-Engine: liar");
	assert_int_equal(a.status, 200);
	a = daemon_get(eu, token, "X-Edict-Engine: one-without-pod");
	assert_int_equal(a.status, 200);
	a = daemon_get("/v1/clusters/prod-eu/engines", daemon_admin(), NULL);
	assert_non_null(strstr(a.body, "\"opa-7f9c\""));
	assert_non_null(strstr(a.body, "\"one-without-pod\""));
	assert_null(strstr(a.body, "liar"));
}

/* Every one of them differs from a good one in one thing. */
SCENARIO(tokens_that_do_not_hold)
{
	static const struct {
		const char *what, *made;
	} rows[] = {
		{ "expired", "sign rsa RS256 \"$(claims '.exp=($n-60)')\"" },
		{ "no exp", "sign rsa RS256 \"$(claims 'del(.exp)')\"" },
		{ "exp is text",
		    "sign rsa RS256 \"$(claims '.exp=\"9999999999\"')\"" },
		{ "not yet", "sign rsa RS256 \"$(claims '.nbf=($n+600)')\"" },
		{ "of the future",
		    "sign rsa RS256 \"$(claims '.iat=($n+600)')\"" },
		{ "audience", "sign rsa RS256 \"$(claims '.aud=[\"x\"]')\"" },
		{ "no audience", "sign rsa RS256 \"$(claims 'del(.aud)')\"" },
		{ "audiences and more",
		    "sign rsa RS256 \"$(claims '.aud=[\"edict\",1]')\"" },
		{ "issuer",
		    "sign rsa RS256 \"$(claims "
		    "'.iss=\"https://k8s.example.org/\"')\"" },
		{ "subject",
		    "sign rsa RS256 \"$(claims "
		    "'.sub=\"system:serviceaccount:eu:a:b\"')\"" },
		{ "namespace",
		    "sign rsa RS256 \"$(claims "
		    "'.sub=\"system:serviceaccount:eu2:opa\"')\"" },
		{ "no subject", "sign rsa RS256 \"$(claims 'del(.sub)')\"" },
		{ "key", "sign stranger ES256 \"$(claims)\"" },
		{ "another's key id", "sign stranger ES256 \"$(claims)\" ec" },
		/* The algorithm is pinned for all, and by the key. */
		{ "algorithm",
		    "jq 'del(.alg)' rsa.jwk >any.jwk; "
		    "sign any RS512 \"$(claims)\" rsa" },
		{ "key of another algorithm",
		    "sign stranger ES256 \"$(claims)\" rsa" },
		{ "none",
		    "printf %s.%s. \"$(printf '{\"alg\":\"none\",\"kid\":"
		    "\"rsa\"}' | b64)\" \"$(claims | b64)\"" },
		/* The public key as a secret, as all know it. */
		{ "HS256 with the public key",
		    "h=$(printf '{\"alg\":\"HS256\",\"kid\":\"rsa\"}' | b64)."
		    "$(claims | b64); jose fmt -j rsa.pub -Oo - >/dev/null; "
		    "printf %s.%s $h $(printf %s $h | openssl dgst -sha256 "
		    "-hmac \"$(cat rsa.pub)\" -binary | b64)" },
		{ "crit",
		    "claims | jose jws sig -I - -k rsa.jwk -s '{"
		    "\"protected\":{\"alg\":\"RS256\",\"kid\":\"rsa\","
		    "\"crit\":[\"x\"],\"x\":1}}' -c" },
		{ "typ",
		    "claims | jose jws sig -I - -k rsa.jwk -s '{"
		    "\"protected\":{\"alg\":\"RS256\",\"kid\":\"rsa\","
		    "\"typ\":\"logout+jwt\"}}' -c" },
		{ "no kid",
		    "claims | jose jws sig -I - -k rsa.jwk -s '{"
		    "\"protected\":{\"alg\":\"RS256\"}}' -c" },
		{ "a key in its header",
		    "claims | jose jws sig -I - -k stranger.jwk -s "
		    "\"{\\\"protected\\\":{\\\"alg\\\":\\\"ES256\\\",\\\"kid"
		    "\\\":\\\"new\\\",\\\"jwk\\\":$(cat stranger.pub)}}\" -c" },
		{ "a claim twice",
		    "sign rsa RS256 \"$(claims | sed "
		    "'s/^{/{\"sub\":\"system:serviceaccount:us:opa\",/')\"" },
		{ "other claims under its signature",
		    "t=$(sign rsa RS256 \"$(claims)\"); printf %s.%s.%s "
		    "${t%%.*} \"$(claims '.exp=($n+9999)' | b64)\" ${t##*.}" },
		{ "cut", "sign rsa RS256 \"$(claims)\" | sed 's/.$//'" },
		{ "four parts", "sign rsa RS256 \"$(claims)\"; printf .x" },
		{ "not JSON",
		    "printf %s.%s.AAAA $(printf '{\"alg\":' | b64) "
		    "eA" },
		{ "too large",
		    "sign rsa RS256 \"$(claims "
		    "'.x=(\"x\"*4000)')\"" },
	};
	struct answer a;
	const char *body = NULL;

	start_with_file();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *token = daemon_jose(rows[i].made);

		a = daemon_get(eu, token, NULL);
		if (a.status != 401)
			fail_msg("%s: %ld: %s", rows[i].what, a.status, token);
		/* No answer tells more than another. */
		if (body == NULL)
			body = a.body;
		assert_string_equal(a.body, body);
		assert_string_equal(answer_header(&a, "WWW-Authenticate"),
		    "Bearer realm=\"edict\"");
		if (strlen(token) > 60 &&
		    strstr(daemon_log(), token + strlen(token) - 40) != NULL)
			fail_msg("%s: the token is in the log", rows[i].what);
	}
	/* It fell silent, but did not stop. */
	daemon_wait_log("jwt.refused", 0);
	assert_int_equal(status_of(daemon_jwt("rsa", "RS256", "."), eu), 200);
}

static bool
is_refused(void *token)
{
	return status_of(token, eu) == 401;
}

static bool
is_taken(void *token)
{
	return status_of(token, eu) == 200;
}

static bool
is_file(void *path)
{
	return access(path, R_OK) == 0;
}

static bool
is_no_file(void *path)
{
	return !is_file(path);
}

/* A number of /metrics. */
static int64_t
metric(const char *name)
{
	const char *text = daemon_get("/metrics", daemon_admin(), NULL).body;
	const char *at = strstr(text, daemon_printf("\n%s ", name));

	assert_non_null(at);
	return strtoll(at + strlen(name) + 2, NULL, 10);
}

SCENARIO(signatures_are_checked_once)
{
	const char *token;

	start_with_file();
	token = daemon_jwt("rsa", "RS256", ".");
	for (int i = 0; i < 40; i++)
		assert_int_equal(status_of(token, eu), 200);
	/* Once in each thread, of which there are as many as processors. */
	assert_in_range(metric("edict_jwt_verified_total"), 1, 30);
	assert_int_equal(metric("edict_jwt_refused_total"), 0);
	/* What was remembered expires all the same; 30 s of leeway. */
	token = daemon_jwt("rsa", "RS256", ".exp=($n-18)");
	assert_int_equal(status_of(token, eu), 200);
	daemon_wait("it expires", is_refused, (void *)(uintptr_t)token,
	    DAEMON_DEADLINE_MS);
}

/* ---- keys that change ---- */

SCENARIO(keys_in_a_file_change)
{
	const char *old, *next, *etag;
	struct answer a;
	struct poll *held;

	start_with_file();
	old = daemon_jwt("rsa", "RS256", ".");
	next = daemon_jwt("stranger", "ES256", ".");
	a = daemon_get(eu, old, NULL);
	assert_int_equal(a.status, 200);
	etag = answer_header(&a, "ETag");
	assert_int_equal(status_of(next, eu), 401);
	/* What is no set leaves the keys as they are. */
	daemon_write("keys.json", "{\"keys\":[");
	daemon_wait_log("credentials.refused", 0);
	assert_int_equal(status_of(old, eu), 200);
	/* An engine that waits with a key that goes is answered at once. */
	held = poll_start(eu, old, etag, 300);
	(void)daemon_jose("keyset stranger");
	daemon_wait("the new key is known", is_taken, (void *)(uintptr_t)next,
	    DAEMON_DEADLINE_MS);
	daemon_wait("the old key is gone", is_refused, (void *)(uintptr_t)old,
	    DAEMON_DEADLINE_MS);
	assert_int_equal(poll_end(held).status, 401);
	/* SIGHUP asks for a look, and ends nothing. */
	(void)daemon_jose("keyset rsa stranger");
	assert_int_equal(kill(daemon_pid(), SIGHUP), 0);
	daemon_wait("the old key is back", is_taken, (void *)(uintptr_t)old,
	    DAEMON_DEADLINE_MS);
	assert_int_equal(status_of(next, eu), 200);
	/* The process that knows it may die. */
	daemon_kill("http", SIGKILL);
	daemon_wait("it knows them again", is_taken, (void *)(uintptr_t)next,
	    DAEMON_DEADLINE_MS);
}

static bool
is_converged(void *revision)
{
	json_t *j = daemon_api("GET", "/clusters/prod-eu/engines", NULL, 200);

	for (size_t i = 0; i < json_array_size(daemon_at(j, "items")); i++) {
		const char *name =
		    daemon_text(j, daemon_printf("items.%zu.engine", i));
		const char *now = daemon_text(j,
		    daemon_printf("items.%zu.bundles.0.has.revision", i));

		if (name != NULL && strcmp(name, "opa-7f9c") == 0 &&
		    now != NULL && strcmp(now, revision) == 0)
			return true;
	}
	return false;
}

/* As kubelet does: a file that is put in place of the one before. */
SCENARIO(an_engine_in_a_pod)
{
	struct engine *e;
	const char *rev, *file;

	start_with_file();
	daemon_sh("edict engine-config prod-eu --persist $PWD/kept >pod.yaml");
	file = daemon_path("pod.token");
	daemon_write("pod.token", daemon_jwt("rsa", "RS256", "."));
	daemon_sh(
	    "sed -i -E 's|token(_path)?: .*|token_path: \"%s\"|' pod.yaml "
	    "&& grep -q token_path pod.yaml",
	    file);
	e = engine_start_with("container", daemon_path("pod.yaml"));
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	/* The next token is signed by another key; the one before goes. */
	daemon_sh("printf %%s '%s' >next.token && mv next.token pod.token",
	    daemon_jwt("ec", "ES256", "."));
	(void)daemon_jose("keyset ec");
	rev = daemon_estate(2);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	daemon_wait("it is known by its pod", is_converged,
	    (void *)(uintptr_t)rev, DAEMON_DEADLINE_MS);
}

/* nginx, which serves what is in keys/. */
struct host {
	int port;
	const char *pid_file;
};

static void
host_start(const struct host *h)
{
	daemon_sh("nginx -p '%s' -e error.log -c nginx.conf", daemon_path("."));
	daemon_wait("nginx runs", is_file, (void *)(uintptr_t)h->pid_file,
	    DAEMON_DEADLINE_MS);
}

static void
host_stop(const struct host *h)
{
	daemon_sh("kill $(cat '%s')", h->pid_file);
	daemon_wait("nginx ends", is_no_file, (void *)(uintptr_t)h->pid_file,
	    DAEMON_DEADLINE_MS);
}

static void
host_certificate(void)
{
	daemon_sh("openssl req -x509 -newkey ec -pkeyopt "
		  "ec_paramgen_curve:prime256v1 -nodes -keyout host.key -subj "
		  "/CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -days 2 "
		  "-out host.pem 2>/dev/null");
}

/* keys/keys.json with the key rsa is on it from the start. */
static struct host
host_new(void)
{
	struct host h = { .port = daemon_free_port(),
		.pid_file = daemon_path("nginx.pid") };

	host_certificate();
	daemon_write("nginx.conf",
	    /* Nobody else reads the scene's folder. */
	    daemon_printf("%s pid nginx.pid; daemon on; worker_processes 1;\n"
			  "events {}\n"
			  "http { access_log asked.log; "
			  "client_body_temp_path tmp; proxy_temp_path tmp; "
			  "fastcgi_temp_path tmp; uwsgi_temp_path tmp; "
			  "scgi_temp_path tmp;\n"
			  "server { listen 127.0.0.1:%d ssl; "
			  "ssl_certificate host.pem; ssl_certificate_key "
			  "host.key; root keys; } }\n",
		geteuid() == 0 ? "user root;" : "", h.port));
	(void)daemon_jose(
	    "mkdir keys; chmod 755 . keys; key rsa RS256; key ec ES256; "
	    "keyset rsa; mv keys.json keys/");
	host_start(&h);
	return h;
}

static const char *
by_url(const struct host *h)
{
	return daemon_printf("jwks_url: https://127.0.0.1:%d/keys.json\n"
			     "    ca_file: \"%s\"",
	    h->port, daemon_path("host.pem"));
}

SCENARIO(keys_come_from_a_url)
{
	struct host h = host_new();
	const char *old, *next;

	start(daemon_printf("%s\n    refresh: 10s", by_url(&h)));
	old = daemon_jwt("rsa", "RS256", ".");
	next = daemon_jwt("ec", "ES256", ".");
	daemon_wait("the first key is known", is_taken, (void *)(uintptr_t)old,
	    DAEMON_DEADLINE_MS);
	(void)daemon_jose("keyset rsa ec; mv keys.json keys/");
	daemon_wait("the next key is known", is_taken, (void *)(uintptr_t)next,
	    DAEMON_DEADLINE_MS);
	/* Without the issuer, over a restart, what was known counts. */
	host_stop(&h);
	daemon_restart();
	assert_int_equal(status_of(old, eu), 200);
	assert_int_equal(status_of(next, us), 404);
	daemon_wait_log("jwks.stale", 0);
	assert_int_equal(status_of(next, eu), 200);
	/* Back, with what is no set: the same. Then without the old key. */
	daemon_write("keys/keys.json", "<html>welcome</html>");
	host_start(&h);
	daemon_wait_log("no good JSON", 0);
	assert_int_equal(status_of(old, eu), 200);
	(void)daemon_jose("keyset ec; mv keys.json keys/");
	daemon_wait("the old key is gone", is_refused, (void *)(uintptr_t)old,
	    DAEMON_DEADLINE_MS);
	assert_int_equal(status_of(next, eu), 200);
	host_stop(&h);
}

static size_t
times_asked(void)
{
	return strlen(daemon_sh("grep -o keys.json asked.log | tr -dc k"));
}

static bool
was_asked_twice(void *arg)
{
	(void)arg;
	return times_asked() == 2;
}

/* A key that is not known yet is asked for at once, instead of in an hour; but
 * once a minute, and no more often. */
SCENARIO(unknown_keys_are_asked_for)
{
	struct host h = host_new();
	const char *token;
	size_t asked;
	int64_t began;

	/* Bad ones come faster here than one address may show them. */
	start(daemon_printf("%s\n    refresh: 1h\n"
			    "http: {limits: {failures_rate: 0}}",
	    by_url(&h)));
	token = daemon_jwt("rsa", "RS256", ".");
	daemon_wait("the first key is known", is_taken,
	    (void *)(uintptr_t)token, DAEMON_DEADLINE_MS);
	(void)daemon_jose("keyset rsa ec; mv keys.json keys/");
	token = daemon_jwt("ec", "ES256", ".");
	began = daemon_now_ms();
	daemon_wait("the next key is known", is_taken, (void *)(uintptr_t)token,
	    DAEMON_DEADLINE_MS);
	/* nginx writes it down when it has answered. */
	daemon_wait("it was asked for", was_asked_twice, NULL,
	    DAEMON_DEADLINE_MS);
	for (int i = 0; i < 5; i++) {
		token = daemon_jose(
		    daemon_printf("sign ec ES256 \"$(claims)\" no-%d", i));
		asked = 0;
		/* Longer than the pipeline takes to heed one. */
		for (int64_t end = daemon_now_ms() + 600; daemon_now_ms() < end;
		     asked++)
			assert_int_equal(status_of(token, eu), 401);
		assert_in_range(asked, 1, 100000);
	}
	assert_in_range(times_asked(), 2,
	    2 + (daemon_now_ms() - began) / MINUTE_MS);
	host_stop(&h);
}

/* It is not believed for ever; and an issuer with a certificate of somebody
 * else is not believed at all. */
SCENARIO(keys_grow_too_old)
{
	struct host h = host_new();
	const char *token;

	start(daemon_printf("%s\n    stale_max: 60s\n    refresh: 10s",
	    by_url(&h)));
	token = daemon_jwt("rsa", "RS256", ".");
	daemon_wait("the key is known", is_taken, (void *)(uintptr_t)token,
	    DAEMON_DEADLINE_MS);
	host_stop(&h);
	daemon_stop();
	daemon_sh("touch -d '40 seconds ago' data/jwks/*.json");
	daemon_restart();
	assert_int_equal(status_of(token, eu), 200);
	daemon_wait("it is too old", is_refused, (void *)(uintptr_t)token,
	    DAEMON_DEADLINE_MS);
	daemon_wait_log("older than stale_max", 0);
	daemon_sh("mv host.pem trusted.pem");
	host_certificate();
	daemon_sh("mv host.pem other.pem; mv trusted.pem host.pem; "
		  "sed -i s/host.pem/other.pem/ nginx.conf");
	host_start(&h);
	daemon_wait_log("untrusted", 0);
	assert_int_equal(status_of(token, eu), 401);
	host_stop(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(tokens_of_service_accounts),
		PLAY(tokens_that_do_not_hold),
		PLAY(signatures_are_checked_once),
		PLAY(keys_in_a_file_change),
		PLAY(an_engine_in_a_pod),
		PLAY(keys_come_from_a_url),
		PLAY(unknown_keys_are_asked_for),
		PLAY(keys_grow_too_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
