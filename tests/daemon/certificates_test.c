/* Engines that show a certificate instead of a token. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

/* authority NAME, and certificate NAME AUTHORITY SUBJECT EXTENSIONS DAYS; the
 * server's own is tls/ca.pem. */
static const char made[] =
    "mkdir -p tls && cd tls\n"
    "key() { openssl ecparam -genkey -name prime256v1 -noout -out $1.key; }\n"
    "authority() { key $1; openssl req -x509 -new -key $1.key -subj /CN=$1 "
    "-days 2 -out $1.pem; }\n"
    "certificate() { key $1; openssl req -new -key $1.key -subj \"$3\" "
    "-out $1.csr; printf '%b' \"$4\" >$1.ext; openssl x509 -req -in $1.csr "
    "-CA $2.pem -CAkey $2.key -CAcreateserial -days $5 -extfile $1.ext "
    "-out $1.pem 2>/dev/null; }\n"
    "client='extendedKeyUsage=clientAuth\\n'\n"
    "dns='subjectAltName=DNS:'\n"
    "key ca; openssl req -x509 -new -key ca.key -subj /CN=127.0.0.1 -addext "
    "subjectAltName=IP:127.0.0.1 -days 2 -out ca.pem; chmod 600 *.key\n"
    "authority fleet; authority foe\n"
    "certificate eu fleet /CN=x \"$client${dns}Opa-1.prod-eu.example.org\" 2\n"
    "certificate us fleet /CN=x \"$client${dns}opa-1.prod-us.example.org\" 2\n"
    "certificate deep fleet /CN=x \"$client${dns}a.b.prod-eu.example.org\" 2\n"
    "certificate uri fleet /CN=x "
    "\"${client}subjectAltName=URI:spiffe://example.org/ns/eu/opa\" 2\n"
    "certificate plain fleet /CN=opa-2.prod-eu.example.org \"$client\" 2\n"
    "certificate any fleet /CN=opa-2.prod-eu.example.org '' 2\n"
    "certificate hidden fleet /CN=opa-2.prod-eu.example.org "
    "\"$client${dns}elsewhere.example.org\" 2\n"
    "certificate both fleet /CN=x \"$client${dns}a.prod-eu.example.org,"
    "DNS:a.prod-us.example.org\" 2\n"
    "certificate forged foe /CN=x \"$client${dns}opa-1.prod-eu.example.org\" "
    "2\n"
    "certificate old fleet /CN=x \"$client${dns}opa-1.prod-eu.example.org\" "
    "-1\n"
    "certificate server fleet /CN=x \"extendedKeyUsage=serverAuth\\n"
    "${dns}opa-1.prod-eu.example.org\" 2\n"
    "certificate chained eu /CN=x \"$client${dns}opa-9.prod-us.example.org\" "
    "2\ncat eu.pem >>chained.pem\n"
    "key self; openssl req -x509 -new -key self.key -subj /CN=x -addext "
    "subjectAltName=DNS:opa-1.prod-eu.example.org -addext "
    "extendedKeyUsage=clientAuth -days 2 -out self.pem\n";

/* list NAME AUTHORITY CERTIFICATES SECONDS: NAME.crl, which revokes them. */
static const char listed[] =
    "cd tls; list() { rm -f index*; touch index; printf '[ca]\\ndefault_ca=x\\n"
    "[x]\\ndatabase=index\\ndefault_md=sha256\\n' >ca.cnf; for c in $3; do "
    "openssl ca -config ca.cnf -keyfile $2.key -cert $2.pem -revoke $c.pem "
    "2>/dev/null; done; openssl ca -config ca.cnf -keyfile $2.key -cert $2.pem "
    "-gencrl -crlsec $4 -out new.crl 2>/dev/null; mv new.crl $1.crl; }\n";

static void
list(const char *arguments)
{
	daemon_sh("%slist %s", listed, arguments);
}

/* tls_more and more are further settings of tls and of access. */
static void
start_with(const char *tls_more, const char *more)
{
	const char *rev = daemon_estate(1);

	daemon_start(&(struct daemon_options){
	    .config =
		daemon_printf("repositories: {remote: {url: \"%s\"}}\n"
			      "tls:\n"
			      "  certificate: %s\n"
			      "  key: %s\n"
			      "  client_ca: %s\n%s"
			      "access:\n"
			      "  certificates:\n"
			      "  - {name: \"*.prod-eu.example.org\", "
			      "cluster: prod-eu}\n"
			      "  - {name: \"*.prod-us.example.org\", "
			      "cluster: prod-us}\n"
			      "  - {name: \"spiffe://example.org/ns/eu/*\""
			      ", cluster: prod-eu}\n%s",
		    daemon_path("remote.git"), daemon_path("tls/ca.pem"),
		    daemon_path("tls/ca.key"), daemon_path("tls/fleet.pem"),
		    tls_more, more) });
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "authz", rev, DAEMON_DEADLINE_MS);
}

static void
start(const char *more)
{
	daemon_sh("%s", made);
	start_with("", more);
}

/* "200 the body", asked with curl. */
static const char *
ask(const char *name, const char *path, const char *more)
{
	const char *mine = name != NULL
	    ? daemon_printf("--cert tls/%s.pem --key tls/%s.key", name, name)
	    : "";

	return daemon_sh("curl -s --cacert tls/ca.pem %s %s -o body -w "
			 "'%%{http_code} ' '%s%s'; head -c 400 body | "
			 "tr -cd '[:print:]'",
	    mine, more, daemon_url(), path);
}

static void
check(const char *name, const char *path, const char *status, const char *why)
{
	const char *text = ask(name, path, "");

	if (strncmp(text, status, 3) != 0 ||
	    (why != NULL && strstr(text, why) == NULL))
		fail_msg("%s with %s: %s, not %s %s", path,
		    name != NULL ? name : "none", text, status,
		    why != NULL ? why : "");
}

SCENARIO(certificates_say_whose_engine_it_is)
{
	static const char eu[] = "/clusters/prod-eu/bundles/billing";
	static const char us[] = "/clusters/prod-us/bundles/authz";
	static const struct {
		const char *name, *path, *status, *why;
	} rows[] = {
		{ "eu", eu, "200", NULL },
		{ "eu", "/bundles/billing", "200", NULL },
		{ "eu", us, "404", NULL }, /* another cluster's */
		{ "us", us, "200", NULL },
		{ "us", eu, "404", NULL },
		{ "uri", eu, "200", NULL },
		{ "uri", us, "404", NULL },
		{ "plain", eu, "200", NULL }, /* by its common name */
		{ "any", eu, "200", NULL },   /* for any purpose */
		{ NULL, eu, "401", "needs a credential" },
		{ "forged", eu, "401", "nobody that is trusted" },
		{ "self", eu, "401", "nobody that is trusted" },
		{ "old", eu, "401", "expired" },
		{ "server", eu, "401", "not meant for clients" },
		{ "chained", us, "401", "not accepted" },
		{ "deep", eu, "401", "knows none" },
		{ "hidden", eu, "401", "knows none" },
		{ "both", eu, "401", "several clusters" },
		/* An engine is no operator. */
		{ "eu", "/v1/clusters", "403", NULL },
		{ "eu", "/healthz", "200", NULL },
		{ "forged", "/healthz", "200", NULL },
	};

	start("");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check(rows[i].name, rows[i].path, rows[i].status, rows[i].why);
	/* A token counts for more, good or not. */
	assert_int_equal(
	    strncmp(ask("eu", us,
			daemon_printf("-H 'Authorization: Bearer %s'",
			    daemon_engine())),
		"200", 3),
	    0);
	assert_int_equal(strncmp(ask("eu", eu, "-H 'Authorization: Bearer x'"),
			     "401", 3),
	    0);
}

/* The certificate's name is the engine's, whatever it says of itself; and it is
 * held and woken like any other. */
SCENARIO(engines_are_called_as_their_certificate_says)
{
	const char *etag, *next, *got;

	start("");
	etag =
	    daemon_sh("curl -s --cacert tls/ca.pem --cert tls/eu.pem --key "
		      "tls/eu.key -H 'X-Edict-Engine: liar' -o one.tar.gz "
		      "-D - %s/bundles/authz | sed -n 's/^[Ee][Tt]ag: //p' | "
		      "tr -d '\\r'",
		daemon_url());
	daemon_sh("(curl -s --cacert tls/ca.pem --cert tls/eu.pem --key "
		  "tls/eu.key -H 'Prefer: modes=snapshot;wait=40' -H "
		  "'If-None-Match: %s' -o two.tar.gz -w '%%{http_code}' "
		  "%s/bundles/authz >held.status; mv held.status held.done) "
		  ">/dev/null 2>&1 &",
	    etag, daemon_url());
	/* A change of tokens does not wake it. */
	(void)daemon_token("{\"name\":\"t\",\"role\":\"viewer\"}");
	next = daemon_estate(2);
	daemon_wait_revision("prod-eu", "authz", next, DAEMON_DEADLINE_MS);
	got = daemon_sh("for i in $(seq 400); do test -e held.done && exec cat "
			"held.done; sleep 0.05; done; exit 1");
	assert_string_equal(got, "200");
	got = daemon_get("/v1/clusters/prod-eu/engines", daemon_admin(), NULL)
		  .body;
	assert_non_null(strstr(got, "\"opa-1.prod-eu.example.org\""));
	assert_null(strstr(got, "liar"));
}

SCENARIO(a_wrong_certificate_is_no_anonymous_engine)
{
	start("  anonymous_cluster: prod-us\n");
	check(NULL, "/bundles/authz", "200", NULL);
	check("forged", "/bundles/authz", "401", NULL);
	check("eu", "/clusters/prod-us/bundles/authz", "404", NULL);
	check("eu", "/clusters/prod-eu/bundles/authz", "200", NULL);
}

/* ---- what changes while the server runs ---- */

struct wish {
	const char *name, *status, *why;
};

static bool
is_answered(void *arg)
{
	const struct wish *w = arg;
	const char *text =
	    ask(w->name, "/clusters/prod-eu/bundles/billing", "");

	return strncmp(text, w->status, 3) == 0 &&
	    (w->why == NULL || strstr(text, w->why) != NULL);
}

static void
expect(const char *name, const char *status, const char *why)
{
	struct wish w = { name, status, why };

	daemon_wait(daemon_printf("%s gets %s", name, status), is_answered, &w,
	    DAEMON_DEADLINE_MS);
}

/* A long poll of curl with these options: NAME.status when it is over. */
static void
hold(const char *name, const char *options)
{
	daemon_sh("etag=$(curl -s --cacert tls/ca.pem %s -o got -D - "
		  "%s/clusters/prod-eu/bundles/authz | sed -n "
		  "'s/^[Ee][Tt]ag: //p' | tr -d '\r'); "
		  "(curl -s --cacert tls/ca.pem %s -H 'Prefer: "
		  "modes=snapshot;wait=50' -H \"If-None-Match: $etag\" -o got "
		  "-w '%%{http_code}' %s/clusters/prod-eu/bundles/authz "
		  ">%s.held; mv %s.held %s.status) >/dev/null 2>&1 &",
	    options, daemon_url(), options, daemon_url(), name, name, name);
}

static bool
is_over(void *name)
{
	return access(daemon_path(daemon_printf("%s.status",
			  (const char *)name)),
		   R_OK) == 0;
}

static bool
is_held(void *count)
{
	const char *text = daemon_get("/metrics", daemon_admin(), NULL).body;

	return strstr(text,
		   daemon_printf("\nedict_engines_waiting %d\n",
		       *(int *)count)) != NULL;
}

static void
check_held(const char *name, const char *status)
{
	daemon_wait("the poll is over", is_over, (void *)(uintptr_t)name,
	    DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_read(daemon_printf("%s.status", name)),
	    status);
}

SCENARIO(certificates_are_revoked_while_serving)
{
	int two = 2;
	size_t log;
	const char *next;

	daemon_sh("%s", made);
	list("fleet fleet '' 3600");
	start_with(daemon_printf("  client_crl: %s\n",
		       daemon_path("tls/fleet.crl")),
	    "");
	expect("eu", "200", NULL);
	expect("uri", "200", NULL);
	hold("eu", "--cert tls/eu.pem --key tls/eu.key");
	hold("token",
	    daemon_printf("-H 'Authorization: Bearer %s' -H "
			  "'X-Edict-Engine: e'",
		daemon_engine()));
	daemon_wait("two wait", is_held, &two, DAEMON_DEADLINE_MS);
	list("fleet fleet 'eu us' 3600");
	expect("eu", "401", "revoked");
	/* Who waits with it is told; nobody else's connection is touched. */
	check_held("eu", "401");
	expect("uri", "200", NULL);
	assert_false(is_over((char[]){ "token" }));
	/* A list of others is none of ours; nor is one that is no list. */
	log = strlen(daemon_log());
	list("fleet foe '' 3600");
	daemon_wait_log("credentials.refused", log);
	expect("eu", "401", "revoked");
	expect("uri", "200", NULL);
	/* Nor is one of somebody else of the same name. */
	log = strlen(daemon_log());
	daemon_sh("cd tls; mkdir fake; cd fake; openssl req -x509 -newkey ec "
		  "-pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "
		  "fake.key -subj /CN=fleet -days 2 -out fake.pem 2>/dev/null; "
		  "mv fake.* ..");
	list("fleet fake '' 3600");
	daemon_wait_log("credentials.refused", log);
	expect("eu", "401", "revoked");
	log = strlen(daemon_log());
	daemon_write("tls/fleet.crl", "nothing");
	daemon_wait_log("credentials.refused", log);
	expect("eu", "401", "revoked");
	/* One that is out of date says nothing of today. */
	list("fleet fleet '' 1");
	expect("uri", "401", "out of date");
	list("fleet fleet '' 3600");
	expect("uri", "200", NULL);
	expect("eu", "200", NULL);
	next = daemon_estate(2);
	daemon_wait_revision("prod-eu", "authz", next, DAEMON_DEADLINE_MS);
	check_held("token", "200");
}

/* The server goes on without the certificates of clients. */
SCENARIO(a_list_of_no_use_at_the_start)
{
	daemon_sh("%s", made);
	list("fleet foe '' 3600");
	start_with(daemon_printf("  client_crl: [%s]\n",
		       daemon_path("tls/fleet.crl")),
	    "");
	daemon_wait_log("tls.revocation", 0);
	expect("eu", "401", "cannot be used");
	assert_int_equal(daemon_get("/clusters/prod-eu/bundles/authz",
			     daemon_engine(), NULL)
			     .status,
	    200);
	list("fleet fleet us 3600");
	expect("eu", "200", NULL);
	expect("us", "401", "revoked");
}

static bool
shows_another(void *arg)
{
	(void)arg;
	return daemon_try("curl -s --cacert tls/new.pem %s/healthz",
		   daemon_url())
		   .status == 0;
}

SCENARIO(authorities_and_certificates_are_renewed_while_serving)
{
	int one = 1;
	size_t log;
	const char *next;

	start("");
	expect("eu", "200", NULL);
	expect("forged", "401", "nobody that is trusted");
	hold("token",
	    daemon_printf("-H 'Authorization: Bearer %s' -H "
			  "'X-Edict-Engine: e'",
		daemon_engine()));
	daemon_wait("one waits", is_held, &one, DAEMON_DEADLINE_MS);
	/* Both authorities, then the new one alone. */
	daemon_sh(
	    "cd tls; cp fleet.pem old.pem; cat old.pem foe.pem >both.pem; "
	    "mv both.pem fleet.pem");
	expect("forged", "200", NULL);
	expect("eu", "200", NULL);
	daemon_sh("cd tls; cp foe.pem new.pem; mv new.pem fleet.pem");
	assert_int_equal(kill(daemon_pid(), SIGHUP), 0);
	expect("eu", "401", "nobody that is trusted");
	expect("forged", "200", NULL);
	/* The server's own: a certificate without its key is not taken. */
	log = strlen(daemon_log());
	daemon_sh(
	    "cd tls; openssl ecparam -genkey -name prime256v1 -noout -out "
	    "new.key; chmod 600 new.key; openssl req -x509 -new -key "
	    "new.key -subj /CN=127.0.0.1 -addext "
	    "subjectAltName=IP:127.0.0.1 -days 2 -out new.pem; cp ca.pem "
	    "first.pem; cp new.pem next.pem; mv next.pem ca.pem");
	daemon_wait_log("cannot be used", log);
	daemon_sh("curl -s --cacert tls/first.pem %s/healthz", daemon_url());
	daemon_sh("mv tls/new.key tls/ca.key");
	daemon_wait("the new one is shown", shows_another, NULL,
	    DAEMON_DEADLINE_MS);
	assert_int_not_equal(daemon_try("curl -s --cacert tls/first.pem "
					"%s/healthz",
				 daemon_url())
				 .status,
	    0);
	/* It connected long ago, and is held still. */
	assert_false(is_over((char[]){ "token" }));
	next = daemon_estate(2);
	daemon_wait_revision("prod-eu", "authz", next, DAEMON_DEADLINE_MS);
	check_held("token", "200");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(certificates_say_whose_engine_it_is),
		PLAY(engines_are_called_as_their_certificate_says),
		PLAY(a_wrong_certificate_is_no_anonymous_engine),
		PLAY(certificates_are_revoked_while_serving),
		PLAY(a_list_of_no_use_at_the_start),
		PLAY(authorities_and_certificates_are_renewed_while_serving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
