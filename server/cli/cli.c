#include "server/cli/cli.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CLI_OPTIONS_MAX = 32, CLI_HELP = 1000 };

static size_t
option_count(const struct cli_command *c)
{
	size_t n = 0;

	while (c->options != NULL && c->options[n].name != NULL)
		n++;
	assert(n < CLI_OPTIONS_MAX - 1);
	return n;
}

static void
print_options(const struct cli_command *c)
{
	size_t n = option_count(c);

	if (n > 0)
		(void)printf("\nOptions:\n");
	for (size_t i = 0; i < n; i++) {
		const struct cli_option *o = &c->options[i];
		char left[64];

		(void)snprintf(left, sizeof left, "%s%c%s--%s%s%s",
		    o->letter != 0 ? "-" : "", o->letter != 0 ? o->letter : ' ',
		    o->letter != 0 ? ", " : "   ", o->name,
		    o->argument != NULL ? " " : "",
		    o->argument != NULL ? o->argument : "");
		if (strlen(left) > 26)
			(void)printf("  %s\n  %-26s %s\n", left, "", o->help);
		else
			(void)printf("  %-26s %s\n", left, o->help);
	}
}

static void
print_overview(void)
{
	const char *group = "";

	(void)printf(
	    "edict " EDICT_VERSION
	    " - takes Rego policies from Git to the engines that enforce "
	    "them\n\n"
	    "usage: edict COMMAND [options]\n");
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		const struct cli_command *c = cli_commands[i];

		if (strcmp(group, c->group) != 0) {
			group = c->group;
			(void)printf("\n%s\n", group);
		}
		(void)printf("  %-14s %s\n", c->name, c->summary);
	}
	(void)printf(
	    "\nedict COMMAND --help tells more. A server is found by --server "
	    "or EDICT_SERVER;\non its own machine by --data-dir.\n");
}

void
cli_help(const struct cli_command *command)
{
	if (command == NULL) {
		print_overview();
		return;
	}
	(void)printf("usage: edict %s %s\n\n%s\n", command->name,
	    command->usage, command->help);
	print_options(command);
}

int
cli_usage(const struct cli_command *command, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "edict %s: ", command->name);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr,
	    "\nusage: edict %s %s\n"
	    "edict %s --help tells more.\n",
	    command->name, command->usage, command->name);
	return 2;
}

/* getopt's tables, made from ours. Returns the string of letters. */
static void
make_tables(const struct cli_command *c, struct option *longs, char *letters)
{
	size_t n = option_count(c);
	size_t k = 0;

	/* A colon first: a missing argument is told apart. */
	letters[k++] = ':';
	letters[k++] = 'h';
	for (size_t i = 0; i < n; i++) {
		const struct cli_option *o = &c->options[i];

		longs[i] = (struct option){ o->name,
			o->argument != NULL ? required_argument : no_argument,
			NULL, CLI_HELP + 1 + (int)i };
		if (o->letter == 0)
			continue;
		letters[k++] = o->letter;
		if (o->argument != NULL)
			letters[k++] = ':';
	}
	longs[n] = (struct option){ "help", no_argument, NULL, CLI_HELP };
	longs[n + 1] = (struct option){ 0 };
	letters[k] = '\0';
}

static int
index_of_letter(const struct cli_command *c, int letter)
{
	int i = 0;

	while (c->options[i].letter != letter) {
		assert(c->options[i].name != NULL); /* letters are from here */
		i++;
	}
	return i;
}

int
cli_parse(struct cli_args *out, const struct cli_command *command, int argc,
    char **argv)
{
	struct option longs[CLI_OPTIONS_MAX + 2];
	char letters[2 * CLI_OPTIONS_MAX + 4];
	int n;

	*out = (struct cli_args){ .command = command };
	make_tables(command, longs, letters);
	opterr = 0;
	optind = 1;
	while ((n = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		int i;

		if (n == CLI_HELP || n == 'h') {
			cli_help(command);
			return 1;
		}
		if (n == '?')
			return cli_usage(command, "%s: no such option",
				   argv[optind - 1]) +
			    1;
		if (n == ':')
			return cli_usage(command, "%s: needs an argument",
				   argv[optind - 1]) +
			    1;
		i = n > CLI_HELP ? n - CLI_HELP - 1
				 : index_of_letter(command, n);
		out->given[i] = true;
		out->values[i] = optarg;
	}
	out->rest = argv + optind;
	out->rest_count = argc - optind;
	return 0;
}

static size_t
index_of_name(const struct cli_args *a, const char *option)
{
	size_t i = 0;

	for (;; i++) {
		assert(a->command->options[i].name != NULL);
		if (strcmp(a->command->options[i].name, option) == 0)
			return i;
	}
}

const char *
cli_value(const struct cli_args *a, const char *option)
{
	return a->values[index_of_name(a, option)];
}

bool
cli_given(const struct cli_args *a, const char *option)
{
	return a->given[index_of_name(a, option)];
}

int64_t
cli_seconds(const char *text)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 9 || strlen(text) != digits + 1)
		return 0;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (text[digits] == units[i].unit)
			return strtoll(text, NULL, 10) * units[i].seconds;
	return 0;
}
