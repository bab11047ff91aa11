#include <stdio.h>
#include <sys/stat.h>

#include "core/err.h"
#include "core/mem.h"
#include "policies/fetch.h"
#include "server/cli.h"
#include "server/conf.h"
#include "server/supervisor.h"

static const struct cli_option serve_options[] = {
	{ "config", 'c', "FILE", "server.yaml; see docs/settings.md" },
	{ "repo", 0, "URL", "watch this one repository, without a file" },
	{ "branch", 0, "NAME", "its branch; default: the remote's own" },
	{ "listen", 0, "HOST:PORT", "default: 127.0.0.1:8282" },
	{ "data-dir", 0, "DIR", "default: /var/lib/edict" },
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
	return supervisor_main(c);
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
	    "(DIR/admin-token) and an engine token (DIR/engine-token). Ends\n"
	    "with Ctrl-C or SIGTERM; started again, it serves at once what it\n"
	    "served last.",
	.options = serve_options,
	.run = serve,
};
