#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/cli/cli.h"

static const struct cli_command *
find(const char *name)
{
	for (size_t i = 0; cli_commands[i] != NULL; i++)
		if (strcmp(cli_commands[i]->name, name) == 0)
			return cli_commands[i];
	return NULL;
}

static int
help(int argc, char **argv)
{
	const struct cli_command *c = argc > 2 ? find(argv[2]) : NULL;

	if (argc > 2 && c == NULL) {
		(void)fprintf(stderr, "edict help: %s: no such command\n",
		    argv[2]);
		return 2;
	}
	cli_help(c);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct cli_command *c;

	/* Whatever is created is for its owner alone unless said otherwise. */
	(void)umask(077);
	if (argc < 2) {
		cli_help(NULL);
		return 2;
	}
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0)
		return help(argc, argv);
	if (strcmp(argv[1], "--version") == 0 ||
	    strcmp(argv[1], "version") == 0) {
		(void)printf("edict " EDICT_VERSION "\n");
		return 0;
	}
	c = find(argv[1]);
	if (c == NULL) {
		(void)fprintf(stderr,
		    "edict: %s: no such command; edict help lists them\n",
		    argv[1]);
		return 2;
	}
	return c->run(argc - 1, argv + 1);
}
