/* SPDX-License-Identifier: MIT */
/* verb_version.c - vmchannel version */
#include "cli/cli.h"

#include <stdio.h>

#include <vmchannel/vmchannel.h>

/* @a is not used: "vmchannel --version" calls it without arguments. */
static int run(const struct cli_args *a)
{
	(void)a;
	if (cli_json)
		return cli_print_json(json_pack("{s:s,s:s}", "version",
						VMC_VERSION, "library",
						vmc_version()));
	printf("vmchannel %s (library %s)\n", VMC_VERSION, vmc_version());
	return CLI_OK;
}

const struct cli_verb verb_version = {
	.name = "version",
	.args = "",
	.summary = "print the version of the command and of the library",
	.run = run,
};
