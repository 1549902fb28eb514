/* SPDX-License-Identifier: MIT */
/* verb_upgrade.c - vmchannel upgrade: replace a VM's vmchanneld in place */
#include "cli/ask.h"
#include "cli/cli.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmchannel/vmchannel.h>

#define UPGRADE_FAILED "org.vmchannel.Broker.UpgradeFailed"

/* The new one must load the state, or the old one goes on, within 2 s. */
#define AFTER_MS 10000u

/* GetInfo, or NULL. */
static json_t *info_of(const char *vm)
{
	json_t *info = NULL;
	char *error = NULL;
	int r = ask_quiet(vm, "GetInfo", json_object(), ASK_QUICK_MS, &info,
			  &error);

	if (r == 0 && !error)
		return info;
	free(error);
	json_decref(info);
	return NULL;
}

/* A connection that ends without an answer: its process has ended, too. Is
 * there another one? */
static json_t *wait_for_new(const char *vm, long long old_pid)
{
	uint64_t end = cli_now_us() + (uint64_t)AFTER_MS * 1000;

	while (cli_now_us() < end) {
		json_t *info = info_of(vm);

		if (info && ask_number(info, "pid") != old_pid)
			return info;
		json_decref(info);
		poll(NULL, 0, CLI_PROGRESS_MS);
		cli_progress_tick();
	}
	return NULL;
}

static int print(const char *vm, const json_t *before, json_t *after)
{
	int r = CLI_OK;

	if (cli_json)
		r = cli_print_json(
			json_pack("{s:s,s:s,s:s,s:I}", "vm", vm, "from",
				  ask_text(before, "version"), "version",
				  ask_text(after, "version"), "pid",
				  (json_int_t)ask_number(after, "pid")));
	else
		printf("%s: vmchanneld %s serves in place of %s\n", vm,
		       cli_safe(ask_text(after, "version")),
		       cli_safe(ask_text(before, "version")));
	json_decref(after);
	return r;
}

static int failed(const char *vm, const char *error, const json_t *parameters)
{
	if (strcmp(error, UPGRADE_FAILED) == 0)
		return cli_error(
			CLI_FAILED,
			"%s: not replaced, the running vmchanneld goes "
			"on: %s",
			vm, cli_safe(ask_text(parameters, "detail")));
	return ask_report(vm, error, parameters);
}

static int upgrade(const char *vm, const json_t *before)
{
	json_t *answer = NULL, *after;
	char *error = NULL;
	int r;

	cli_progress_begin("replacing vmchanneld");
	r = ask_quiet(vm, "Upgrade", json_object(), ASK_MS, &answer, &error);
	after = error ? NULL : wait_for_new(vm, ask_number(before, "pid"));
	cli_progress_end();
	if (error) {
		r = failed(vm, error, answer);
		free(error);
	} else if (after) {
		r = print(vm, before, after);
	} else {
		r = cli_error(
			CLI_FAILED,
			"%s: %s; 'vmchannel doctor %s' says how it is", vm,
			r < 0 ? vmc_strerror()
			      : "no new process answers after the upgrade",
			vm);
	}
	json_decref(answer);
	return r;
}

static int run(const struct cli_args *a)
{
	json_t *before;
	int r = ask(a->v[0], "GetInfo", json_object(), &before);

	if (r != CLI_OK)
		return r;
	if (strcmp(ask_text(before, "side"), "host") != 0)
		r = cli_error(
			CLI_FAILED,
			"%s: only vmchanneld, on the host, is replaced in "
			"place; restart the agent",
			a->v[0]);
	else
		r = upgrade(a->v[0], before);
	json_decref(before);
	return r;
}

const struct cli_verb verb_upgrade = {
	.name = "upgrade",
	.args = "VM",
	.summary = "replace the VM's running vmchanneld by the installed one",
	.help = "Streams, listeners and the connection to QEMU stay; nothing is "
		"lost or doubled.\nIf the new one cannot take over, the old one "
		"goes on, and the exit status is 125.\n\n"
		"example: vmchannel upgrade web1\n"
		"         vmchannel list --names | xargs -n1 vmchannel upgrade\n",
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
