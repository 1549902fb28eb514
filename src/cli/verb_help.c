/* SPDX-License-Identifier: MIT */
/* verb_help.c - vmchannel help */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static bool names, arguments;

/* For shell completion: verbs, or the options of one; "=" ends those that take
 * a value. */
static void print_names(const struct cli_verb *v)
{
	if (!v) {
		for (const struct cli_verb *const *i = cli_verbs; *i; i++)
			puts((*i)->name);
		return;
	}
	for (const struct cli_option *o = v->options; o && o->name; o++)
		if (o->help)
			printf("--%s%s\n", o->name, o->flag ? "" : "=");
	(void)fputs("--json\n--dir=\n--help\n", stdout);
}

/* For the same: what each argument is, as in the usage, one a line, without the
 * brackets: "[USER@]VM [-- COMMAND...]" is USER@VM; what comes behind "--" is
 * somebody else's. */
static void print_arguments(const struct cli_verb *v)
{
	const char *end = strstr(v->args, "--");

	for (const char *p = v->args; *p != '\0' && p != end; p++) {
		if (*p == ' ')
			(void)putchar('\n');
		else if (*p != '[' && *p != ']')
			(void)putchar(*p);
	}
	(void)putchar('\n');
}

static int run(const struct cli_args *a)
{
	const struct cli_verb *v = a->n ? cli_find_verb(a->v[0]) : NULL;

	if (a->n && !v)
		return cli_error(CLI_FAILED,
				 "there is no verb '%s'; 'vmchannel help' "
				 "lists them",
				 cli_safe(a->v[0]));
	if (names)
		print_names(v);
	else if (arguments && v)
		print_arguments(v);
	else if (v)
		cli_help_verb(v);
	else
		cli_help_overview();
	return CLI_OK;
}

static const struct cli_option options[] = {
	{.name = "names",
	 .help = "names of verbs, or options (NAME= takes a value)",
	 .flag = &names},
	{.name = "arguments",
	 .help = "what each argument of the verb is",
	 .flag = &arguments},
	{0},
};

const struct cli_verb verb_help = {
	.name = "help",
	.args = "[VERB]",
	.summary = "list the verbs, or explain one",
	.options = options,
	.max_args = 1,
	.run = run,
};
