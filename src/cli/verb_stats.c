/* SPDX-License-Identifier: MIT */
/* verb_stats.c - vmchannel stats */
#include "cli/ask.h"
#include "cli/cli.h"

#include <stdio.h>

static bool all;

/* Counters that never moved say little to people. */
static void print_part(const char *title, json_t *part)
{
	const char *name;
	json_t *v;

	printf("%s\n", title);
	json_object_foreach(part, name,
			    v) if (all || json_integer_value(v) != 0)
		printf("  %-32s %20lld\n", cli_safe(name),
		       (long long)json_integer_value(v));
}

static int run(const struct cli_args *a)
{
	json_t *answer;
	int r = ask(a->v[0], "Stats", json_object(), &answer);

	if (r)
		return r;
	if (cli_json)
		return cli_print_json(answer);
	print_part("session", json_object_get(answer, "session"));
	print_part("broker", json_object_get(answer, "broker"));
	json_decref(answer);
	return CLI_OK;
}

static const struct cli_option options[] = {
	{.name = "all", .help = "also what is zero", .flag = &all},
	{0},
};

const struct cli_verb verb_stats = {
	.name = "stats",
	.args = "VM",
	.summary = "counters of the session and of the broker",
	.help = "Every limit has a counter that moves when it is hit.\n\n"
		"example: vmchannel stats web1 --json\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
