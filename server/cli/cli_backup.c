/* backup, restore: a data folder in one file, and back. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "server/backup/backup.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"

enum { PROGRESS_MS = 500 };

static const struct cli_option backup_options[] = {
	{ "data-dir", 0, "DIR",
	    "the server's folder; or EDICT_DATA_DIR, or /var/lib/edict" },
	{ "with-keys", 0, NULL, "private signing keys too; guard the file" },
	{ "force", 0, NULL, "write over a file that is there" },
	{ "json", 0, NULL, "print what was done, for machines" },
	{ 0 },
};

static const struct cli_option restore_options[] = {
	{ "data-dir", 0, "DIR", "the folder to make; it has to be empty" },
	{ "with-keys", 0, NULL, "private signing keys too, if it has them" },
	{ "json", 0, NULL, "print what was done, for machines" },
	{ 0 },
};

/* ---- for people who wait ---- */

struct watching {
	int64_t next_ms;
	bool shown;
};

static void
tell(void *arg, int64_t done, int64_t all)
{
	struct watching *w = arg;
	int64_t now = clock_mono_ms();

	if (now < w->next_ms || all <= 0)
		return;
	w->next_ms = now + PROGRESS_MS;
	w->shown = true;
	(void)fprintf(stderr, "\r%3d %% of %lld MiB ", (int)(done * 100 / all),
	    (long long)(all >> 20));
}

static struct backup_watch
watch(struct watching *w)
{
	bool terminal = isatty(STDERR_FILENO) != 0;

	*w = (struct watching){ .next_ms = clock_mono_ms() + PROGRESS_MS };
	return (struct backup_watch){ .tell = terminal ? tell : NULL,
		.arg = w };
}

static void
end_watch(const struct watching *w)
{
	if (w->shown)
		(void)fprintf(stderr, "\r%24s\r", "");
}

static const char *
folder(const struct cli_args *a)
{
	const char *dir = cli_value(a, "data-dir");
	const char *named = getenv("EDICT_DATA_DIR");

	if (dir == NULL && named != NULL && *named != '\0')
		dir = named;
	return dir != NULL ? dir : "/var/lib/edict";
}

static void
print_missing(const json_t *done)
{
	const json_t *missing = json_object_get(done, "missing");
	const json_t *path;
	size_t i;

	json_array_foreach(missing, i, path)
		(void)fprintf(stderr,
		    "not in it, since it is gone or damaged: %s\n",
		    json_string_value(path));
}

/* Says what was done, and lets go of it. */
static int
finish(const struct cli_args *a, json_t *done, void (*print)(const json_t *))
{
	print_missing(done);
	if (cli_given(a, "json"))
		(void)client_print_json(done);
	else
		print(done);
	json_decref(done);
	return 0;
}

static void
print_line(const json_t *done, const char *before, const char *name)
{
	(void)printf("%s %lld files, %.1f MiB: %s\n", before,
	    (long long)table_number(done, "files"),
	    (double)table_number(done, "bytes") / (1 << 20),
	    table_string(done, name));
}

/* ---- backup ---- */

static void
print_backup(const json_t *done)
{
	print_line(done, "backed up", "file");
	(void)printf("audit head  %s\n", table_string(done, "audit_head"));
	(void)printf(json_is_true(json_object_get(done, "private_keys"))
		? "It holds the private signing keys: who has it can sign "
		  "bundles.\n"
		: "Private signing keys are not in it: keep them elsewhere, "
		  "or say --with-keys.\n");
}

static int
backup(int argc, char **argv)
{
	struct cli_args a;
	struct watching w;
	struct backup_watch how = watch(&w);
	struct err e = { 0 };
	json_t *done = NULL;
	enum err_code code;
	int n = cli_parse(&a, &cli_backup, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_backup,
		    "give the file to write, or the "
		    "folder to put it into");
	code = backup_write(&done, folder(&a), a.rest[0],
	    cli_given(&a, "with-keys"), cli_given(&a, "force"), &how, &e);
	end_watch(&w);
	return code == ERR_OK ? finish(&a, done, print_backup)
			      : client_fail(&a, &e);
}

const struct cli_command cli_backup = {
	.name = "backup",
	.group = "Server",
	.usage = "FILE|DIR [--data-dir DIR] [--with-keys] [--force]",
	.summary = "copy a server's folder into one file, while it serves",
	.help =
	    "Writes a tar with the database as of one moment, all artifacts\n"
	    "and contents that it names, and public keys; with --with-keys the\n"
	    "private ones too. In a folder the file is named by the time. There\n"
	    "is all of it or nothing: it is written beside, synced and renamed.\n"
	    "A file that is there is written over with --force only.\n"
	    "\n"
	    "Runs on the server's own machine, as the user it runs as; whether\n"
	    "the server is running makes no difference.\n"
	    "\n"
	    "Not in it: mirrors of repositories, which are fetched anew (commits\n"
	    "that only a mirror still has, since their branch was rewritten, can\n"
	    "be served from a backup, but not be built again), server.yaml, and\n"
	    "the files with tokens, which a start makes anew.\n"
	    "\n"
	    "  edict backup /backups --data-dir /var/lib/edict",
	.options = backup_options,
	.run = backup,
};

/* ---- restore ---- */

static void
print_restore(const json_t *done)
{
	print_line(done, "restored", "data_dir");
	(void)printf("as of       %s\n", table_string(done, "backup_at"));
	(void)printf("serials     begin anew at %lld\n",
	    (long long)table_number(done, "epoch"));
	if (!json_is_true(json_object_get(done, "private_keys")))
		(void)printf(
		    "\nPrivate signing keys were not taken. Put yours into "
		    "keys/ (ID.key, ID.pub,\nID.json, current) before the "
		    "server is started; else it makes a new one, and\nengines "
		    "have to be told of it.\n");
	(void)printf("\nTokens that were revoked since then are valid again, "
		     "and those made since then\nare not: edict token list\n");
}

static int
restore(int argc, char **argv)
{
	struct cli_args a;
	struct watching w;
	struct backup_watch how = watch(&w);
	struct err e = { 0 };
	json_t *done = NULL;
	enum err_code code;
	int n = cli_parse(&a, &cli_restore, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_restore, "give the file of a backup");
	if (cli_value(&a, "data-dir") == NULL)
		return cli_usage(&cli_restore,
		    "--data-dir: say which folder "
		    "is to be made");
	code = backup_restore(&done, a.rest[0], cli_value(&a, "data-dir"),
	    cli_given(&a, "with-keys"), &how, &e);
	end_watch(&w);
	return code == ERR_OK ? finish(&a, done, print_restore)
			      : client_fail(&a, &e);
}

const struct cli_command cli_restore = {
	.name = "restore",
	.group = "Server",
	.usage = "FILE --data-dir DIR [--with-keys]",
	.summary = "make a server's folder from a backup",
	.help =
	    "Checks every byte of the file and the audit's chain, and makes the\n"
	    "folder: all of it or nothing. The folder must be empty or not exist\n"
	    "yet. Run it as the user that the server runs as.\n"
	    "\n"
	    "Serials begin anew far above those of the backup, so that none that\n"
	    "anybody has seen comes again; the audit says that there was a\n"
	    "restore. Engines get what was assigned then, and the server goes on\n"
	    "from there: what follows a branch moves to its newest commit that\n"
	    "passes.\n"
	    "\n"
	    "Private keys are taken with --with-keys only.\n"
	    "\n"
	    "  edict restore edict-2026-11-23-101502.tar --data-dir /srv/edict",
	.options = restore_options,
	.run = restore,
};
