#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/err.h"
#include "core/mem.h"
#include "policies/fetch.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"
#include "server/conf/conf.h"
#include "server/supervisor/activation.h"
#include "server/supervisor/notify.h"
#include "server/supervisor/reload.h"
#include "server/supervisor/supervisor.h"

enum { SERVE_GREET_MS = 10 * 60 * 1000 };

static const struct cli_option serve_options[] = {
	{ "config", 'c', "FILE", "server.yaml; see docs/settings.md" },
	{ "repo", 0, "URL", "watch this one repository, without a file" },
	{ "branch", 0, "NAME", "its branch; default: the remote's own" },
	{ "listen", 0, "HOST:PORT", "default: 127.0.0.1:8282" },
	{ "data-dir", 0, "DIR", "default: /var/lib/edict" },
	{ "check", 0, NULL, "only say whether FILE is good" },
	{ "opa", 0, "FILE", "the engine; default: EDICT_OPA, else from PATH" },
	{ 0 }
};

/* A mistyped path is told at once; one that vanished later must not keep the
 * server from serving what it has. */
static int
is_mistyped(const struct conf *c)
{
	const struct conf_repository *r = c->repositories.items;
	AUTO_STR mirror = mem_printf("%s/repos/%s/git", c->data_dir, r->name);
	struct stat st;

	return fetch_is_local(r->url) &&
	    stat(fetch_local_path(r->url), &st) != 0 && stat(mirror, &st) != 0;
}

/* ---- the configuration to paste ---- */

/* The first cluster that has a bundle, or NULL. */
static char *
first_cluster(const char *data_dir)
{
	struct cli_args a;
	AUTO_STR option = mem_printf("--data-dir=%s", data_dir);
	char name_of[] = "status";
	char *argv[] = { name_of, option, NULL };
	AUTO(client, c) = NULL;
	json_t *list = NULL;
	const json_t *cluster;
	char *name = NULL;
	size_t i;

	if (cli_parse(&a, &cli_status, 2, argv) != 0 ||
	    client_open(&c, &a, NULL) != ERR_OK ||
	    client_list(c, "/clusters", 100, &list, NULL) != ERR_OK)
		return NULL;
	json_array_foreach(list, i, cluster)
		if (name == NULL &&
		    json_array_size(json_object_get(cluster, "assignments")) >
			0)
			name = mem_strdup(table_string(cluster, "name"));
	json_decref(list);
	return name;
}

static void
greet(const char *data_dir)
{
	const struct timespec pause = { .tv_nsec = 300 * 1000000 };
	int64_t until = clock_mono_ms() + SERVE_GREET_MS;
	AUTO_STR cluster = NULL;

	while (cluster == NULL && clock_mono_ms() < until) {
		(void)nanosleep(&pause, NULL);
		cluster = first_cluster(data_dir);
	}
	if (cluster == NULL)
		return;
	AUTO_STR option = mem_printf("--data-dir=%s", data_dir);
	char name_of[] = "engine-config";
	char *argv[] = { name_of, cluster, option, NULL };

	(void)printf("# An engine of cluster %s, for: opa run --server -c "
		     "FILE\n",
	    cluster);
	(void)fflush(stdout);
	(void)cli_engine_config.run(3, argv);
	(void)fflush(stdout);
}

/* A process of its own, like any client; it ends when it has printed. */
static void
start_greeter(const struct conf *c)
{
	pid_t parent = getpid();

	if (fork() != 0)
		return;
	(void)prctl(PR_SET_NAME, "edict greeter");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* What systemd gave is the server's. */
	activation_drop();
	notify_drop();
	if (getppid() == parent)
		greet(c->data_dir);
	_exit(0);
}

/* As `nginx -t`: what a start or a SIGHUP would say of the file. */
static int
check(const struct conf_flags *flags)
{
	struct err e = { 0 };

	if (flags->file == NULL)
		return cli_usage(&cli_serve, "--check: give -c FILE");
	if (reload_check(flags, &e) != ERR_OK) {
		(void)fprintf(stderr, "edict serve: %s\n", e.text);
		return 1;
	}
	(void)printf("%s is good\n", flags->file);
	return 0;
}

static int
serve(int argc, char **argv)
{
	AUTO(conf, c) = NULL;
	struct cli_args a;
	struct conf_flags flags;
	struct err e = { 0 };
	int n = cli_parse(&a, &cli_serve, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 0)
		return cli_usage(&cli_serve, "%s: not expected", a.rest[0]);
	flags = (struct conf_flags){
		.file = cli_value(&a, "config"),
		.repo = cli_value(&a, "repo"),
		.branch = cli_value(&a, "branch"),
		.listen = cli_value(&a, "listen"),
		.data_dir = cli_value(&a, "data-dir"),
		.opa = cli_value(&a, "opa"),
	};
	if (flags.file == NULL && flags.repo == NULL)
		return cli_usage(&cli_serve, "give --repo URL or -c FILE");
	if (cli_given(&a, "check"))
		return check(&flags);
	if (conf_read(&c, &flags, &e) != ERR_OK) {
		(void)fprintf(stderr, "edict serve: %s\n", e.text);
		return 1;
	}
	if (flags.repo != NULL && is_mistyped(c)) {
		(void)fprintf(stderr,
		    "edict serve: --repo %s: no such repository on this "
		    "machine\n",
		    flags.repo);
		return 1;
	}
	if (flags.repo != NULL)
		start_greeter(c);
	return supervisor_main(c, &flags);
}

const struct cli_command cli_serve = {
	.name = "serve",
	.group = "Server",
	.usage = "(--repo URL | -c FILE) [options]",
	.summary = "watch repositories, test, sign and serve bundles",
	.help =
	    "Watches Git repositories of Rego policies, runs their tests on\n"
	    "every commit, builds signed bundles from what passes, and serves\n"
	    "them to Open Policy Agent engines. Nothing else is needed.\n"
	    "\n"
	    "The shortest way, for one repository on this machine:\n"
	    "  edict serve --repo ./policies --data-dir ./data\n"
	    "\n"
	    "It listens on loopback, makes a signing key, an admin token\n"
	    "(DIR/admin-token) and an engine token (DIR/engine-token), and\n"
	    "prints the configuration of an engine once the first commit has\n"
	    "passed. Ends with Ctrl-C or SIGTERM; started again, it serves at\n"
	    "once what it served last. SIGHUP has FILE read again.",
	.options = serve_options,
	.run = serve,
};
