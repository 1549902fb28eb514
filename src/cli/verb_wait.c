/* SPDX-License-Identifier: MIT */
/* verb_wait.c - vmchannel wait */
#include <string.h>

#include "cli/cli.h"
#include "cli/guest_call.h"
#include "cli/vigil.h"

/* A Debian boots in 10 s, a large server in minutes. */
#define TIMEOUT_S 300

static const char *wanted;
static unsigned int timeout_s = TIMEOUT_S;

static const struct {
	const char *name;
	const struct vigil_goal *goal;
} goals[] = {
	{"agent", &goal_agent},
	{"boot-complete", &goal_boot},
	{"ip", &goal_ip},
};

static const struct vigil_goal *find_goal(const char *name)
{
	for (size_t i = 0; name && i < sizeof(goals) / sizeof(goals[0]); i++)
		if (strcmp(goals[i].name, name) == 0)
			return goals[i].goal;
	return NULL;
}

static int run(const struct cli_args *a)
{
	const struct vigil_goal *found = find_goal(wanted);
	struct vigil_goal goal;
	struct vigil v;
	int r;

	if (!found)
		return cli_error(CLI_FAILED,
				 "wait: give --for agent, --for boot-complete "
				 "or --for ip");
	goal = *found;
	guest_timeout_s = timeout_s;
	goal.deadline_us = guest_deadline();
	r = vigil_begin(&v, a->v[0], false);
	if (r == CLI_OK)
		r = vigil_run(&v, &goal);
	vigil_done(&v);
	return r;
}

static const struct cli_option options[] = {
	{.name = "for",
	 .value = "WHAT",
	 .help = "agent, boot-complete or ip",
	 .text = &wanted},
	{.name = "timeout",
	 .value = "SECONDS",
	 .help = "how long; 0: for ever (default 300)",
	 .number = &timeout_s},
	{0},
};

const struct cli_verb verb_wait = {
	.name = "wait",
	.args = "VM",
	.summary = "wait until the guest's agent answers, it has booted, has "
		   "an address",
	.help = "The VM need not be there yet. agent: the guest's operations "
		"can be called;\nboot-complete: the guest has finished booting; "
		"ip: it has an address that others\ncan reach, which is "
		"printed. Exit status 1: not in time, and stderr says which\n"
		"hop is missing.\n\n"
		"example: vmchannel wait web1 --for boot-complete\n"
		"         ssh root@$(vmchannel wait web1 --for ip | head -n 1)\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
