/* SPDX-License-Identifier: MIT */
/* verb_list.c - vmchannel list */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/vms.h"

#include <stdio.h>
#include <stdlib.h>

#include <vmchannel/vmchannel.h>

static bool names_only;

#define ROW "%-20s  %-10s  %-6s  %-8s  %-8s  %s\n"

static int print_info(const char *vm, json_t *info)
{
	char pid[24];

	if (cli_json) {
		json_object_set_new(info, "vm", json_string(vm));
		return cli_print_json(json_incref(info));
	}
	snprintf(pid, sizeof(pid), "%lld", ask_number(info, "pid"));
	printf(ROW, vm, ask_text(info, "link"),
	       ask_text(info, "peer_instance")[0] ? "yes" : "no",
	       ask_text(info, "version"), pid, ask_text(info, "link_detail"));
	return CLI_OK;
}

/* A VM whose broker does not answer is listed, too: somebody looks for it. */
static int print_silent(const char *vm, const char *why)
{
	if (cli_json)
		return cli_print_json(
			json_pack("{s:s,s:s}", "vm", vm, "error", why));
	printf(ROW, vm, "-", "-", "-", "-", cli_safe(why));
	return CLI_OK;
}

static int list_one(const char *vm)
{
	json_t *info = NULL;
	char *error = NULL;
	int r;

	if (names_only) {
		puts(vm);
		return CLI_OK;
	}
	r = ask_quiet(vm, "GetInfo", json_object(), ASK_QUICK_MS, &info,
		      &error);
	if (r < 0)
		r = print_silent(vm, vmc_strerror());
	else if (error)
		r = print_silent(vm, error);
	else
		r = print_info(vm, info);
	json_decref(info);
	free(error);
	return r;
}

static int run(const struct cli_args *a)
{
	struct vms vms;
	int r = CLI_OK;

	(void)a;
	if (vms_find(&vms))
		return cli_error(CLI_FAILED, "out of memory");
	if (vms.n > 0 && !cli_json && !names_only)
		printf(ROW, "VM", "LINK", "PEER", "VERSION", "PID", "DETAIL");
	for (size_t i = 0; r == CLI_OK && i < vms.n; i++)
		r = list_one(vms.names[i]);
	if (vms.n == 0 && !cli_json && !names_only)
		cli_note("no VM has a broker here; 'vmchannel run' starts one, "
			 "--dir looks elsewhere");
	vms_done(&vms);
	return r;
}

static const struct cli_option options[] = {
	{.name = "names",
	 .help = "only the names, one per line",
	 .flag = &names_only},
	{0},
};

const struct cli_verb verb_list = {
	.name = "list",
	.args = "",
	.summary = "VMs that have a broker here, with the state of each",
	.help = "LINK is down (no connection to QEMU), connected (but the other "
		"side is\nsilent), up, or stalled. PEER tells if the other "
		"side's broker answers.\n\nexample: vmchannel list --json\n",
	.options = options,
	.run = run,
};
