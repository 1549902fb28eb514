/* SPDX-License-Identifier: MIT */
/* verb_channels.c - vmchannel channels */
#include "cli/ask.h"
#include "cli/cli.h"

#include <stdio.h>

static bool names_only;

#define ROW "%-40s  %-5s  %-8s  %s\n"

static int print_channel(const json_t *c)
{
	bool peer = ask_text(c, "side")[0] == 'p';
	const char *allowed = "-";

	if (names_only) {
		/* Completion wants what can be connected to. */
		if (peer)
			puts(ask_text(c, "name"));
		return CLI_OK;
	}
	if (cli_json)
		return cli_print_json(json_deep_copy(c));
	if (peer)
		allowed = json_is_true(json_object_get(c, "allowed")) ? "yes"
								      : "no";
	printf(ROW, ask_text(c, "name"), ask_text(c, "side"),
	       json_is_true(json_object_get(c, "messages")) ? "messages"
							    : "bytes",
	       allowed);
	return CLI_OK;
}

static int run(const struct cli_args *a)
{
	json_t *list;
	const json_t *c;
	size_t i;
	int r = ask_list(a->v[0], "List", "channels", &list);

	if (r)
		return r;
	if (json_array_size(list) > 0 && !cli_json && !names_only)
		printf(ROW, "CHANNEL", "SIDE", "KIND", "MAY CONNECT");
	json_array_foreach(list, i, c)
	{
		r = print_channel(c);
		if (r)
			break;
	}
	if (json_array_size(list) == 0 && !cli_json && !names_only)
		cli_note("%s: no channels; 'vmchannel listen' announces one",
			 a->v[0]);
	json_decref(list);
	return r;
}

static const struct cli_option options[] = {
	{.name = "names",
	 .help = "only the other side's names, one per line",
	 .flag = &names_only},
	{0},
};

const struct cli_verb verb_channels = {
	.name = "channels",
	.args = "VM",
	.summary = "channels that programs on either side announce",
	.help = "SIDE is 'peer' for those that 'vmchannel connect' can reach "
		"from here, and\n'local' for those of programs on this side.\n\n"
		"example: vmchannel channels web1\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
