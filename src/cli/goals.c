/* SPDX-License-Identifier: MIT */
/* goals.c - what is waited for */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/guest_call.h"
#include "cli/guest_verb.h"
#include "cli/vigil.h"

/* ---- the agent
 * ----------------------------------------------------------------- */

static int print_agent(const char *vm, const json_t *info)
{
	if (cli_json)
		return guest_print(vm, info);
	printf("%s: the agent answers: version %s, back end %s\n", cli_safe(vm),
	       ask_text(info, "version"), ask_text(info, "back_end"));
	return CLI_OK;
}

static int look_agent(struct vigil *v, const struct vigil_goal *g,
		      const json_t *reply)
{
	struct guest_call c = {.method = GUEST "Agent.GetInfo"};
	int r = vigil_ask(v, g, &c);

	(void)reply;
	if (r == CLI_OK)
		r = print_agent(v->vm, c.reply);
	guest_call_done(&c);
	return r;
}

const struct vigil_goal goal_agent = {
	.what = "waiting for the guest's agent",
	.lacking = "the guest's agent does not answer",
	.look = look_agent,
};

/* ---- the boot
 * ------------------------------------------------------------------ */

static int print_boot(const char *vm, const json_t *event)
{
	json_t *p = json_object_get(event, "parameters");

	if (cli_json && event)
		return guest_print(vm, event);
	if (cli_json)
		return guest_print(vm, json_object());
	if (event)
		printf("%s: booted in %.1f s\n", cli_safe(vm),
		       (double)ask_number(p, "duration_us") / 1e6);
	else
		printf("%s: booted long ago\n", cli_safe(vm));
	return CLI_OK;
}

static int look_boot(struct vigil *v, const struct vigil_goal *g,
		     const json_t *reply)
{
	const json_t *event = json_object_get(reply, "event");
	const json_t *of = event ? event : json_object_get(reply, "position");

	if (g->not_boot && (!json_is_object(of) ||
			    strcmp(ask_text(of, "boot"), g->not_boot) == 0))
		return VIGIL_NOT_YET;
	/* What is forgotten is the beginning, and that was in it: a guest tells
	 * a thousand events only after it has booted. */
	if (!json_is_object(event) && ask_number(reply, "lost") == 0)
		return VIGIL_NOT_YET;
	return print_boot(v->vm, json_is_object(event) ? event : NULL);
}

const struct vigil_goal goal_boot = {
	.what = "waiting for the guest to boot",
	.lacking = "the guest's agent answers, but has not told that the boot "
		   "is complete; 'systemctl is-system-running' there may say "
		   "why",
	.type = GUEST "Power.BootComplete",
	.from_boot = true,
	.look = look_boot,
};

/* ---- an address
 * ---------------------------------------------------------------- */

/* Nothing but an address: what is printed here becomes a word of people's
 * scripts, and it is the guest that says it. */
static bool is_address(const char *text)
{
	struct in6_addr addr;

	return inet_pton(AF_INET, text, &addr) == 1 ||
	       inet_pton(AF_INET6, text, &addr) == 1;
}

static bool is_reachable(const json_t *address)
{
	const char *scope = ask_text(address, "scope");

	return is_address(ask_text(address, "address")) &&
	       (strcmp(scope, "global") == 0 || strcmp(scope, "site") == 0);
}

/* Those of one interface; @print: one line each. Return: their number. */
static size_t addresses(const json_t *interface, bool print)
{
	json_t *list = json_object_get(interface, "addresses"), *a;
	size_t i, n = 0;

	if (json_is_true(json_object_get(interface, "loopback")) ||
	    !json_is_true(json_object_get(interface, "up")))
		return 0;
	json_array_foreach(list, i, a)
	{
		if (!is_reachable(a))
			continue;
		n++;
		if (print)
			puts(ask_text(a, "address"));
	}
	return n;
}

static int print_ip(const char *vm, json_t *list)
{
	json_t *interface;
	size_t i;
	int r = VIGIL_NOT_YET;

	json_array_foreach(list, i, interface)
	{
		if (addresses(interface, !cli_json) == 0)
			continue;
		r = cli_json ? guest_print(vm, interface) : CLI_OK;
	}
	return r;
}

static int look_ip(struct vigil *v, const struct vigil_goal *g,
		   const json_t *reply)
{
	struct guest_call c = {.method = GUEST "Network.ListInterfaces",
			       .list = "interfaces"};
	int r = vigil_ask(v, g, &c);

	(void)reply;
	if (r == CLI_OK)
		r = print_ip(v->vm, json_object_get(c.reply, "interfaces"));
	guest_call_done(&c);
	return r;
}

const struct vigil_goal goal_ip = {
	.what = "waiting for the guest's address",
	.lacking = "the guest has no address but local ones; 'vmchannel ip' "
		   "shows its interfaces",
	.type = GUEST "Network.AddressesChanged",
	.look = look_ip,
};
