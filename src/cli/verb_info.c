/* SPDX-License-Identifier: MIT */
/*
 * verb_info.c - vmchannel info
 *
 * All at once, each on a stream of its own: what cannot be told is named, and
 * spoils nothing else.
 */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/guest_verb.h"

/* As wide as the widest name, and two before it. */
#define LABEL_WIDTH 12

enum fact {
	FACT_AGENT,
	FACT_SYSTEM,
	FACT_UPTIME,
	FACT_LOAD,
	FACT_MEMORY,
	FACT_TIMEZONE,
	FACT_USERS,
	FACT_INTERFACES,
	FACTS,
};

/* name: the member of --json. */
static const struct {
	const char *name, *method, *list;
} asked[FACTS] = {
	[FACT_AGENT] = {"agent", GUEST "Agent.GetInfo", NULL},
	[FACT_SYSTEM] = {"system", GUEST "System.Describe", NULL},
	[FACT_UPTIME] = {"uptime", GUEST "System.GetUptime", NULL},
	[FACT_LOAD] = {"load", GUEST "System.GetLoad", NULL},
	[FACT_MEMORY] = {"memory", GUEST "System.GetMemory", NULL},
	[FACT_TIMEZONE] = {"timezone", GUEST "System.GetTimezone", NULL},
	[FACT_USERS] = {"users", GUEST "Session.ListUsers", "users"},
	[FACT_INTERFACES] = {"interfaces", GUEST "Network.ListInterfaces",
			     "interfaces"},
};

static void put_label(const char *label)
{
	printf("%*s  ", LABEL_WIDTH, label);
}

/* ---- what is told
 * -------------------------------------------------------------- */

static void print_system(const json_t *system)
{
	const char *os = ask_text(system, "os_name");

	put_label("hostname");
	printf("%s\n", ask_text(system, "hostname"));
	put_label("system");
	printf("%s\n", os[0] != '\0' ? os : TABLE_NONE);
	put_label("kernel");
	printf("%s %s, %lld CPU%s\n", ask_text(system, "kernel"),
	       ask_text(system, "architecture"), ask_number(system, "cpus"),
	       ask_number(system, "cpus") == 1 ? "" : "s");
}

static void print_uptime(const json_t *uptime)
{
	char since[32], up[32];

	table_time(ask_number(uptime, "boot_time_us"), since, sizeof(since));
	table_duration(ask_number(uptime, "uptime_us"), up, sizeof(up));
	put_label("up since");
	printf("%s (%s)\n", since, up);
}

static double hundredths(const json_t *o, const char *key)
{
	return (double)ask_number(o, key) / 100;
}

static void print_load(const json_t *load)
{
	put_label("load");
	printf("%.2f %.2f %.2f, %lld processes\n", hundredths(load, "load_1"),
	       hundredths(load, "load_5"), hundredths(load, "load_15"),
	       ask_number(load, "processes"));
}

static void print_memory(const json_t *memory)
{
	char total[16], available[16], swap[16], swap_free[16];

	table_bytes(ask_number(memory, "total"), total, sizeof(total));
	table_bytes(ask_number(memory, "available"), available,
		    sizeof(available));
	table_bytes(ask_number(memory, "swap_total"), swap, sizeof(swap));
	table_bytes(ask_number(memory, "swap_free"), swap_free,
		    sizeof(swap_free));
	put_label("memory");
	printf("%s of %s available", available, total);
	if (ask_number(memory, "swap_total") > 0)
		printf(", swap %s of %s free", swap_free, swap);
	(void)putchar('\n');
}

static void print_timezone(const json_t *timezone)
{
	long long minutes = ask_number(timezone, "offset_s") / 60;
	const char *name = ask_text(timezone, "timezone");
	bool west = minutes < 0;

	if (west)
		minutes = -minutes;
	put_label("time zone");
	printf("%s (UTC%c%02lld:%02lld)\n", name[0] != '\0' ? name : TABLE_NONE,
	       west ? '-' : '+', minutes / 60, minutes % 60);
}

static void print_users(const json_t *reply)
{
	json_t *list = json_object_get(reply, "users"), *user;
	const char *comma = "";
	size_t i;

	put_label("users");
	json_array_foreach(list, i, user)
	{
		if (json_array_size(json_object_get(user, "sessions")) == 0)
			continue;
		printf("%s%s", comma, ask_text(user, "user"));
		comma = ", ";
	}
	printf("%s\n", comma[0] != '\0' ? "" : TABLE_NONE);
}

/* Those of one interface that are not only for its own link. */
static const char *print_of(const json_t *interface, const char *comma)
{
	json_t *list = json_object_get(interface, "addresses"), *a;
	size_t i;

	json_array_foreach(list, i, a)
	{
		const char *scope = ask_text(a, "scope");

		if (strcmp(scope, "link") == 0 || strcmp(scope, "host") == 0)
			continue;
		printf("%s%s (%s)", comma, ask_text(a, "address"),
		       ask_text(interface, "name"));
		comma = ", ";
	}
	return comma;
}

static void print_interfaces(const json_t *reply)
{
	json_t *list = json_object_get(reply, "interfaces"), *interface;
	const char *comma = "";
	size_t i;

	put_label("addresses");
	json_array_foreach(list, i, interface) comma =
		print_of(interface, comma);
	printf("%s\n", comma[0] != '\0' ? "" : TABLE_NONE);
}

/* ---- the agent, and what its policy lets one do
 * ---------------------------------- */

struct count {
	const char *class;
	int allowed, all;
};

static void count_one(const json_t *capability, struct count *counts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(ask_text(capability, "class"), counts[i].class) != 0)
			continue;
		counts[i].all++;
		counts[i].allowed +=
			json_is_true(json_object_get(capability, "allowed"));
	}
}

static void print_agent(const json_t *agent)
{
	struct count counts[] = {
		{.class = "read"}, {.class = "control"}, {.class = "full"}};
	json_t *list = json_object_get(agent, "capabilities"), *one;
	size_t i, n = sizeof(counts) / sizeof(counts[0]);

	put_label("agent");
	printf("%s, back end %s\n", ask_text(agent, "version"),
	       ask_text(agent, "back_end"));
	json_array_foreach(list, i, one) count_one(one, counts, n);
	put_label("allowed");
	for (i = 0; i < n; i++)
		printf("%s%s %d of %d", i ? ", " : "", counts[i].class,
		       counts[i].allowed, counts[i].all);
	(void)putchar('\n');
}

/* In the order of the lines. */
static const struct {
	enum fact fact;
	void (*print)(const json_t *reply);
} lines[] = {
	{FACT_SYSTEM, print_system},         {FACT_UPTIME, print_uptime},
	{FACT_TIMEZONE, print_timezone},     {FACT_LOAD, print_load},
	{FACT_MEMORY, print_memory},         {FACT_USERS, print_users},
	{FACT_INTERFACES, print_interfaces}, {FACT_AGENT, print_agent},
};

static int print_plain(const char *vm, const struct guest_call *calls)
{
	char why[GUEST_WHY_MAX];

	for (size_t i = 0; i < FACTS; i++)
		if (calls[lines[i].fact].reply)
			lines[i].print(calls[lines[i].fact].reply);
	for (size_t i = 0; i < FACTS; i++) {
		if (calls[i].reply)
			continue;
		guest_call_why(vm, &calls[i], why);
		put_label("not known");
		printf("%s: %s\n", asked[i].name, why);
	}
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

/* What came, each as its interface has it; of lists the list. */
static int print_object(const char *vm, const struct guest_call *calls)
{
	json_t *o = json_object(), *missing = json_object();
	char why[GUEST_WHY_MAX];
	int r;

	for (size_t i = 0; i < FACTS; i++) {
		json_t *of = calls[i].reply;

		if (of && asked[i].list)
			of = json_object_get(of, asked[i].list);
		if (of) {
			json_object_set(o, asked[i].name, of);
			continue;
		}
		guest_call_why(vm, &calls[i], why);
		json_object_set_new(missing, asked[i].name, json_string(why));
	}
	json_object_set(o, "missing", missing);
	r = guest_print(vm, o);
	json_decref(missing);
	json_decref(o);
	return r;
}

static int run(const struct cli_args *a)
{
	struct guest_call calls[FACTS];
	size_t i, n = 0;
	int r;

	for (i = 0; i < FACTS; i++)
		calls[i] = (struct guest_call){.method = asked[i].method,
					       .list = asked[i].list};
	guest_calls(a->v[0], calls, FACTS, guest_deadline());
	for (i = 0; i < FACTS; i++)
		n += calls[i].reply != NULL;
	if (n == 0)
		r = guest_call_report(a->v[0], &calls[0]);
	else
		r = cli_json ? print_object(a->v[0], calls)
			     : print_plain(a->v[0], calls);
	for (i = 0; i < FACTS; i++)
		guest_call_done(&calls[i]);
	return r;
}

static const struct cli_option options[] = {GUEST_OPTION_TIMEOUT, {0}};

const struct cli_verb verb_info = {
	.name = "info",
	.args = "VM",
	.summary = "the guest at a glance: system, load, users, addresses",
	.help = "What one part of the guest does not tell is named and spoils "
		"nothing else. ALLOWED is\nhow many operations of each class "
		"the guest's policy lets you call. --json has one\nobject, "
		"with the replies as the interfaces have them.\n\n"
		"example: vmchannel info web1\n"
		"         vmchannel info web1 --json\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
