#include "server/cli/cli_local.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "core/mem.h"
#include "server/conf/conf.h"

static enum err_code
make_work(struct cli_local *l, struct err *e)
{
	const char *base = getenv("TMPDIR");
	char *real;

	l->work = mem_printf("%s/edict-XXXXXX",
	    base != NULL && *base != '\0' ? base : "/tmp");
	if (mkdtemp(l->work) == NULL) {
		(void)err_errno(e, "%s", l->work);
		mem_free(STEAL(l->work));
		return ERR_IO;
	}
	real = realpath(l->work, NULL);
	if (real == NULL)
		return err_errno(e, "%s", l->work);
	mem_free(l->work);
	l->work = mem_strdup(real);
	free(real);
	return ERR_OK;
}

enum err_code
cli_local_open(struct cli_local *l, const char *opa, bool best_effort,
    struct err *e)
{
	*l = (struct cli_local){ 0 };
	TRY(conf_find_engine(&l->engine, opa != NULL ? opa : "opa", e));
	TRY(make_work(l, e));
	l->argv[0] = l->engine;
	l->local = (struct gate_local){ .engine = l->argv,
		.engine_count = 1,
		.work = l->work,
		.best_effort = best_effort };
	l->runner = gate_local_runner(&l->local);
	gate_local_sandbox(l->sandbox);
	l->job = (struct gate_job){ .repository = "(here)",
		.work = l->work,
		.engine = &l->known,
		.minimum = &l->minimum,
		.sandbox = l->sandbox,
		.runner = &l->runner };
	return ERR_OK;
}

enum err_code
cli_local_ask(struct cli_local *l, struct err *e)
{
	return gate_ask_engine(&l->known, l->engine, &l->runner, l->work, e);
}

void
cli_local_close(struct cli_local *l)
{
	struct err e = { 0 };

	if (l->work != NULL && file_remove_tree(l->work, &e) != ERR_OK)
		(void)fprintf(stderr, "edict: %s\n", e.text);
	mem_free(STEAL(l->work));
	mem_free(STEAL(l->engine));
}
