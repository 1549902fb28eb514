/* SPDX-License-Identifier: MIT */
/* verb_connect.c - vmchannel connect */
#include "cli/cli.h"
#include "cli/relay.h"

#include <vmchannel/vmchannel.h>

static bool messages;
static unsigned int timeout_s = 30;

static int run(const struct cli_args *a)
{
	struct relay_sum sum;
	char id[VMC_ID_MAX];
	int fd = vmc_connect(a->v[0], a->v[1], messages ? VMC_MESSAGES : 0,
			     cli_timeout_ms(timeout_s), id);
	int status;

	if (fd < 0)
		return cli_vmc_error(fd);
	status = relay_run(fd, messages, &sum);
	return status ? status : relay_result(a->v[0], id, &sum);
}

static const struct cli_option options[] = {
	{.name = "messages",
	 .help = "a line of stdin is a message, and the other way round",
	 .flag = &messages},
	{.name = "timeout",
	 .value = "SECONDS",
	 .help = "for the channel to answer; 0: for ever (default 30)",
	 .number = &timeout_s},
	{0},
};

const struct cli_verb verb_connect = {
	.name = "connect",
	.args = "VM CHANNEL",
	.summary = "join stdin and stdout with a channel of the other side",
	.help = "The end of stdin closes that direction; the command ends when "
		"the other side\nhas ended, too. Exit status 0 means that all "
		"bytes arrived in order, both ways,\nand both sides ended "
		"orderly; 125 that the stream was reset, or ended before the\n"
		"other side had all of stdin, and stderr says why.\n\n"
		"example: echo hello | vmchannel connect web1 org.example.echo\n"
		"         tar c /etc | vmchannel connect web1 "
		"org.example.backup\n",
	.options = options,
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
