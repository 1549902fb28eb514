/* SPDX-License-Identifier: MIT */
/* verb_call.c - vmchannel call */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <vmchannel/vmchannel.h>

static bool more, local, follow;
static unsigned int timeout_s = 60;
static struct cli_list to, via;

/* Waits in slices so that somebody at a terminal sees that it goes on. */
static int wait_reply(struct vmc_call *c, const char **text, const char **error)
{
	uint64_t end = cli_now_us() + (uint64_t)timeout_s * 1000000u;
	int r;

	cli_progress_begin("waiting for the reply");
	do {
		r = vmc_call_reply(c, text, error, CLI_PROGRESS_MS);
		cli_progress_tick();
	} while (r == -ETIMEDOUT && (timeout_s == 0 || cli_now_us() < end));
	cli_progress_end();
	return r;
}

static int print_replies(struct vmc_call *c, const char *vm, const char *method)
{
	const char *text, *error;
	int r;

	do {
		r = wait_reply(c, &text, &error);
		if (r < 0)
			return cli_vmc_error(r);
		if (error)
			return cli_call_error(vm, method, error, text);
		cli_put_json(text);
	} while (cli_flush() && r == 1);
	return CLI_OK;
}

static int run(const struct cli_args *a)
{
	unsigned int flags = (more ? VMC_CALL_MORE : 0) |
			     (local ? VMC_CALL_LOCAL : 0) |
			     (follow ? VMC_CALL_FOLLOW : 0);
	struct vmc_call *c;
	int r = 0;

	if (follow != (to.n > 0 || via.n > 0))
		return cli_error(CLI_FAILED,
				 "call: --follow and --to or --via go "
				 "together; see 'vmchannel call --help'");
	if (follow)
		r = vmc_follow_to(a->v[0], to.v, via.v);
	if (r == 0)
		r = vmc_call_start(&c, a->v[0], a->v[1],
				   a->n > 2 ? a->v[2] : NULL, flags,
				   cli_timeout_ms(timeout_s));
	if (r)
		return cli_vmc_error(r);
	r = print_replies(c, a->v[0], a->v[1]);
	vmc_call_free(c);
	return r;
}

static const struct cli_option options[] = {
	{.name = "more",
	 .help = "several replies may come, one line each",
	 .flag = &more},
	{.name = "local",
	 .help = "ask the broker of this side (org.vmchannel.Broker)",
	 .flag = &local},
	{.name = "timeout",
	 .value = "SECONDS",
	 .help = "for each reply; 0: for ever (default 60)",
	 .number = &timeout_s},
	{.name = "follow",
	 .help = "go along when the VM moves, to one of --to and --via",
	 .flag = &follow},
	{.name = "to",
	 .value = "VM|DIR",
	 .help = "another VM's name, or a --dir, on this machine; repeatable",
	 .list = &to},
	{.name = "via",
	 .value = "COMMAND",
	 .help = "that gives the other 'vmchannel stdio VM'; repeatable",
	 .list = &via},
	{0},
};

const struct cli_verb verb_call = {
	.name = "call",
	.args = "VM INTERFACE.METHOD [JSON]",
	.summary = "call a varlink method of a service at the other side",
	.help = "The channel is named like the interface. The reply's parameters "
		"are printed\nas one line of JSON; an error reply goes to "
		"stderr, with exit status 1, or 126\nif policy does not allow "
		"it there.\n\n"
		"A call that was cut off may have been done. With --follow it "
		"survives the VM's\nmigration, as a stream does: see 'vmchannel "
		"connect --help'.\n\n"
		"example: vmchannel call web1 org.varlink.service.GetInfo\n"
		"         vmchannel call web1 --local "
		"org.vmchannel.Broker.List\n",
	.options = options,
	.min_args = 2,
	.max_args = 3,
	.run = run,
};
