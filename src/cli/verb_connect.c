/* SPDX-License-Identifier: MIT */
/* verb_connect.c - vmchannel connect */
#include "cli/cli.h"
#include "cli/relay.h"

#include <vmchannel/vmchannel.h>

static bool messages, follow;
static unsigned int timeout_s = 30;
static struct cli_list to, via;

static int open_stream(const struct cli_args *a, char id[VMC_ID_MAX])
{
	unsigned int flags =
		(messages ? VMC_MESSAGES : 0) | (follow ? VMC_FOLLOW : 0);
	int r = follow ? vmc_follow_to(a->v[0], to.v, via.v) : 0;

	return r ? r
		 : vmc_connect(a->v[0], a->v[1], flags,
			       cli_timeout_ms(timeout_s), id);
}

static int run(const struct cli_args *a)
{
	struct relay_sum sum;
	char id[VMC_ID_MAX];
	int fd, status;

	if ((to.n > 0 || via.n > 0) && !follow)
		return cli_error(CLI_FAILED,
				 "connect: --to and --via want --follow; see "
				 "'vmchannel connect --help'");
	if (follow && to.n == 0 && via.n == 0)
		return cli_error(CLI_FAILED,
				 "connect: --follow wants --to or --via: where "
				 "may the VM go? see 'vmchannel connect "
				 "--help'");
	fd = open_stream(a, id);
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
	{.name = "follow",
	 .help = "go along when the VM moves, to one of --to and --via",
	 .flag = &follow},
	{.name = "to",
	 .value = "VM|DIR",
	 .help = "another VM's name, or a --dir, on this machine; repeatable",
	 .list = &to,
	 .most = 8},
	{.name = "via",
	 .value = "COMMAND",
	 .help = "that gives the other 'vmchannel stdio VM'; repeatable",
	 .list = &via,
	 .most = 8},
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
		"org.example.backup\n\n"
		"With --follow, on the host, the stream survives the VM's "
		"migration: it goes on at\nthe destination's vmchanneld, "
		"each byte once, if that is found within 30 s.\n\n"
		"example: vmchannel connect web1 org.example.log --follow "
		"--via 'ssh host2 vmchannel stdio web1'\n",
	.options = options,
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
