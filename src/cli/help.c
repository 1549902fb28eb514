/* SPDX-License-Identifier: MIT */
/* help.c - the texts of --help, made from the verbs' tables */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define COLUMN 26 /* of the option's explanation */

static void print_option(const struct cli_option *o)
{
	int n = printf("  --%s", o->name);

	if (o->value && o->flag)
		n += printf("[=%s]", o->value);
	else if (o->value)
		n += printf(" %s", o->value);
	if (o->letter)
		n += printf(", -%c", o->letter);
	printf("%*s%s\n", n < COLUMN ? COLUMN - n : 1, "", o->help);
}

static void print_common(void)
{
	static const struct cli_option common[] = {
		{.name = "json", .help = "facts as JSON, one object per line"},
		{.name = "dir",
		 .value = "DIR",
		 .help = "where the VMs' directories are (or VMCHANNEL_DIR)"},
		{.name = "help", .help = "this text"},
	};

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		print_option(&common[i]);
}

void cli_help_overview(void)
{
	printf("vmchannel - named channels between virtual machines and their "
	       "host\n\n"
	       "usage: vmchannel VERB [OPTIONS] [ARGUMENTS]\n\n"
	       "In a guest, the other side is the VM called 'host'.\n\n"
	       "verbs:\n");
	for (const struct cli_verb *const *v = cli_verbs; *v; v++)
		printf("  %-12s  %s\n", (*v)->name, (*v)->summary);
	printf("\noptions of every verb:\n");
	print_common();
	printf("\n"
	       "exit status: 0 done; 1 the answer is no, or none came in "
	       "time;\n"
	       "  125 vmchannel failed; 126 refused by policy; 127 no such VM "
	       "or channel;\n"
	       "  141 nobody reads stdout (connect, listen, exec); others are a "
	       "command's\n"
	       "  (exec, shell, run, listen --once)\n\n"
	       "example:\n"
	       "  vmchannel run --name web1 -- qemu-system-x86_64 ...\n"
	       "  vmchannel channels web1\n"
	       "  vmchannel connect web1 org.example.echo\n\n"
	       "'vmchannel VERB --help' says more; so does vmchannel(1).\n");
}

void cli_help_verb(const struct cli_verb *v)
{
	printf("vmchannel %s - %s\n\nusage: vmchannel %s%s%s%s\n", v->name,
	       v->summary, v->name, " [OPTIONS]", v->args[0] ? " " : "",
	       v->args);
	if (v->help)
		printf("\n%s", v->help);
	printf("\noptions:\n");
	for (const struct cli_option *o = v->options; o && o->name; o++)
		if (o->help)
			print_option(o);
	print_common();
}
