/* SPDX-License-Identifier: MIT */
/* verb_who.c - vmchannel who, sessions */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/guest_verb.h"

/* Where somebody sits: a terminal, a display, or at least the seat. */
static void put_place(const json_t *s, long long now_us, char *ret)
{
	static const char *const keys[] = {"tty", "display", "seat"};

	(void)now_us;
	for (size_t i = 0; i < 3 && ret[0] == '\0'; i++)
		snprintf(ret, TABLE_CELL_MAX, "%s", ask_text(s, keys[i]));
}

/* As who(1): a dot is somebody who is there. */
static void put_idle(const json_t *s, long long now_us, char *ret)
{
	const json_t *idle = json_object_get(s, "idle");
	const json_t *since = json_object_get(s, "idle_since_us");

	if (json_is_false(idle))
		snprintf(ret, TABLE_CELL_MAX, ".");
	else if (json_is_true(idle) && json_is_integer(since) && now_us > 0)
		table_duration(now_us - json_integer_value(since), ret,
			       TABLE_CELL_MAX);
	else if (json_is_true(idle))
		snprintf(ret, TABLE_CELL_MAX, "idle");
}

/* Greeters and managers are nobody. */
static bool is_somebody(const json_t *s)
{
	return strcmp(ask_text(s, "class"), "user") == 0 &&
	       strcmp(ask_text(s, "state"), "closing") != 0;
}

static int run_who(const struct cli_args *a)
{
	static const struct table_column columns[] = {
		{.head = "USER", .key = "user"},
		{.head = "TTY", .text = put_place},
		{.head = "SINCE", .key = "since_us", .kind = TABLE_TIME},
		{.head = "IDLE", .text = put_idle},
		{.head = "FROM", .key = "remote_host"},
		{.head = NULL},
	};
	static const struct guest_list who = {
		.method = GUEST "Session.ListSessions",
		.list = "sessions",
		.columns = columns,
		.shown = is_somebody,
		.none = "nobody is logged in",
		.clock = true,
	};

	return guest_list(a->v[0], &who, NULL);
}

static int run_sessions(const struct cli_args *a)
{
	static const struct table_column columns[] = {
		{.head = "ID", .key = "id"},
		{.head = "USER", .key = "user"},
		{.head = "TYPE", .key = "type"},
		{.head = "CLASS", .key = "class"},
		{.head = "STATE", .key = "state"},
		{.head = "SEAT", .key = "seat"},
		{.head = "TTY", .text = put_place},
		{.head = "SINCE", .key = "since_us", .kind = TABLE_TIME},
		{.head = "IDLE", .text = put_idle},
		{.head = "LOCKED", .key = "locked", .kind = TABLE_FLAG},
		{.head = "FROM", .key = "remote_host"},
		{.head = NULL},
	};
	static const struct guest_list sessions = {
		.method = GUEST "Session.ListSessions",
		.list = "sessions",
		.columns = columns,
		.none = "there is no session",
		.clock = true,
	};

	return guest_list(a->v[0], &sessions, NULL);
}

static const struct cli_option options[] = {GUEST_OPTION_TIMEOUT, {0}};

const struct cli_verb verb_who = {
	.name = "who",
	.args = "VM",
	.summary = "who is logged in to the guest",
	.help = "One line for each log-in session of a user. IDLE is a dot for "
		"whoever is there,\nas the desktop knows it, and - where "
		"nobody knows.\n\n"
		"example: vmchannel who web1\n"
		"         vmchannel who web1 --json\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run_who,
};

const struct cli_verb verb_sessions = {
	.name = "sessions",
	.args = "VM",
	.summary = "the guest's log-in sessions, also of greeters and managers",
	.help = "ID is what lock, unlock and logoff --session take. --json has "
		"all members of\norg.vmchannel.Session.\n\n"
		"example: vmchannel sessions web1\n"
		"         vmchannel sessions web1 --json\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run_sessions,
};
