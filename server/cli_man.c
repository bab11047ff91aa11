/* man: the manual page, from the same tables as the help texts. */

#include <stdio.h>
#include <string.h>

#include "server/cli.h"

static const struct cli_option man_options[] = { { 0 } };

/* A leading dot or quote would be a request, a backslash an escape, a minus a
 * hyphen. */
static void
put(const char *text)
{
	int start = 1;

	for (const char *p = text; *p != '\0'; p++) {
		if (start && (*p == '.' || *p == '\''))
			(void)printf("\\&");
		if (*p == '\\')
			(void)printf("\\e");
		else if (*p == '-')
			(void)printf("\\-");
		else
			(void)putchar(*p);
		start = *p == '\n';
	}
}

/* Lines that are set in by two spaces are examples. */
static void
put_help(const char *text)
{
	int example = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		char line[512];

		(void)snprintf(line, sizeof line, "%.*s", (int)len, text);
		if ((strncmp(line, "  ", 2) == 0) != example) {
			example = !example;
			(void)printf(example ? ".PP\n.nf\n" : ".fi\n.PP\n");
		}
		if (len == 0)
			(void)printf(example ? "\n" : ".PP\n");
		else
			put(line);
		if (len > 0)
			(void)putchar('\n');
		text += len + (text[len] == '\n');
	}
	if (example)
		(void)printf(".fi\n");
}

static void
put_command(const struct cli_command *c)
{
	(void)printf(".SS edict ");
	put(c->name);
	(void)printf(" ");
	put(c->usage);
	(void)printf("\n");
	put_help(c->help);
	for (size_t i = 0; c->options != NULL && c->options[i].name != NULL;
	     i++) {
		const struct cli_option *o = &c->options[i];

		(void)printf(".TP\n\\fB");
		if (o->letter != 0)
			(void)printf("\\-%c\\fR, \\fB", o->letter);
		(void)printf("\\-\\-");
		put(o->name);
		(void)printf("\\fR");
		if (o->argument != NULL)
			(void)printf(" \\fI%s\\fR", o->argument);
		(void)printf("\n");
		put(o->help);
		(void)printf("\n");
	}
}

static int
man(int argc, char **argv)
{
	const char *group = "";
	struct cli_args a;
	int n = cli_parse(&a, &cli_man, argc, argv);

	if (n != 0)
		return n - 1;
	(void)printf(
	    ".TH EDICT 1 \"\" \"edict " EDICT_VERSION "\"\n"
	    ".SH NAME\nedict \\- takes Rego policies from Git to the engines "
	    "that enforce them\n"
	    ".SH SYNOPSIS\n.B edict\n.I COMMAND\n[options]\n");
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		if (strcmp(group, cli_commands[i]->group) != 0) {
			group = cli_commands[i]->group;
			(void)printf(".SH ");
			for (const char *p = group; *p != '\0'; p++)
				(void)putchar(*p >= 'a' && *p <= 'z'
				        ? *p - 'a' + 'A' : *p);
			(void)printf("\n");
		}
		put_command(cli_commands[i]);
	}
	(void)printf(
	    ".SH ENVIRONMENT\n"
	    ".TP\n\\fBEDICT_SERVER\\fR, \\fBEDICT_TOKEN\\fR\n"
	    "The server and its admin token.\n"
	    ".TP\n\\fBEDICT_DATA_DIR\\fR\n"
	    "On the server's own machine: its folder.\n"
	    ".TP\n\\fBEDICT_OPA\\fR\nThe engine's program.\n"
	    ".SH EXIT STATUS\n"
	    "0 done, 1 refused or failed, 2 wrong usage.\n");
	return 0;
}

const struct cli_command cli_man = {
	.name = "man",
	.group = "Help",
	.usage = "",
	.summary = "print this program's manual page",
	.help = "  edict man | man -l -",
	.options = man_options,
	.run = man,
};
