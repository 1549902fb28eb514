/* SPDX-License-Identifier: MIT */
/* verb_ip.c - vmchannel ip, df */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/guest_verb.h"

static bool routes, all;

static void put_addresses(const json_t *i, long long now_us, char *ret)
{
	static const char more[] = " ...";
	json_t *list = json_object_get(i, "addresses"), *a;
	size_t used = 0, n;

	(void)now_us;
	json_array_foreach(list, n, a)
	{
		char one[80];
		size_t len;

		snprintf(one, sizeof(one), "%s%s/%lld", n ? " " : "",
			 ask_text(a, "address"), ask_number(a, "prefix"));
		len = strlen(one);
		if (used + len + sizeof(more) > TABLE_CELL_MAX) {
			memcpy(ret + used, more, sizeof(more));
			return;
		}
		memcpy(ret + used, one, len + 1);
		used += len;
	}
}

static int run_ip(const struct cli_args *a)
{
	static const struct table_column columns[] = {
		{.head = "INTERFACE", .key = "name"},
		{.head = "STATE", .key = "state"},
		{.head = "MAC", .key = "mac"},
		{.head = "ADDRESSES", .text = put_addresses},
		{.head = NULL},
	};
	static const struct table_column route_columns[] = {
		{.head = "DESTINATION", .key = "destination"},
		{.head = "GATEWAY", .key = "gateway"},
		{.head = "INTERFACE", .key = "interface"},
		{.head = "METRIC", .key = "metric", .kind = TABLE_NUMBER},
		{.head = "TABLE", .key = "table", .kind = TABLE_NUMBER},
		{.head = NULL},
	};
	static const struct guest_list interfaces = {
		.method = GUEST "Network.ListInterfaces",
		.list = "interfaces",
		.columns = columns,
		.none = "it has no network interface",
	};
	static const struct guest_list route_list = {
		.method = GUEST "Network.ListRoutes",
		.list = "routes",
		.columns = route_columns,
		.none = "it has no routes",
	};

	if (routes || all)
		return guest_list(a->v[0], &route_list,
				  json_pack("{s:b}", "all", all));
	return guest_list(a->v[0], &interfaces, NULL);
}

/* As df(1): of what a user can have, rounded up. */
static void put_use(const json_t *fs, long long now_us, char *ret)
{
	long long used = ask_number(fs, "used");
	double of = (double)used + (double)ask_number(fs, "available");
	int percent;

	(void)now_us;
	if (!json_is_integer(json_object_get(fs, "used")) || of <= 0)
		return;
	percent = (int)((double)used * 100 / of);
	if ((double)percent * of < (double)used * 100)
		percent++;
	snprintf(ret, TABLE_CELL_MAX, "%d%%", percent);
}

static void put_state(const json_t *fs, long long now_us, char *ret)
{
	(void)now_us;
	snprintf(ret, TABLE_CELL_MAX, "%s%s",
		 json_is_true(json_object_get(fs, "read_only")) ? "ro" : "rw",
		 json_is_true(json_object_get(fs, "frozen")) ? ",frozen" : "");
}

static int run_df(const struct cli_args *a)
{
	static const struct table_column columns[] = {
		{.head = "FILESYSTEM", .key = "source"},
		{.head = "TYPE", .key = "type"},
		{.head = "SIZE", .key = "total", .kind = TABLE_BYTES},
		{.head = "USED", .key = "used", .kind = TABLE_BYTES},
		{.head = "AVAIL", .key = "available", .kind = TABLE_BYTES},
		{.head = "USE%", .text = put_use},
		{.head = "STATE", .text = put_state},
		{.head = "MOUNTED ON", .key = "mount"},
		{.head = NULL},
	};
	static const struct guest_list df = {
		.method = GUEST "Storage.ListFilesystems",
		.list = "filesystems",
		.columns = columns,
		.none = "it has no file system on a disk",
	};

	return guest_list(a->v[0], &df, NULL);
}

static const struct cli_option ip_options[] = {
	{.name = "routes", .help = "routes instead", .flag = &routes},
	{.name = "all", .help = "routes of all tables", .flag = &all},
	GUEST_OPTION_TIMEOUT,
	{0},
};

const struct cli_verb verb_ip = {
	.name = "ip",
	.args = "VM",
	.summary = "the guest's network addresses, or its routes",
	.help = "As the guest's kernel has them. To wait for an address: "
		"'vmchannel wait VM --for ip'.\n\n"
		"example: vmchannel ip web1\n"
		"         vmchannel ip web1 --routes\n",
	.options = ip_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_ip,
};

static const struct cli_option df_options[] = {GUEST_OPTION_TIMEOUT, {0}};

const struct cli_verb verb_df = {
	.name = "df",
	.args = "VM",
	.summary = "the guest's file systems and how full they are",
	.help = "Sizes are in units of 1024, as df -h shows them; --json has "
		"bytes. STATE is rw or\nro, and frozen.\n\n"
		"example: vmchannel df web1\n"
		"         vmchannel df web1 --json\n",
	.options = df_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_df,
};
