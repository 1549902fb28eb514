/* SPDX-License-Identifier: MIT */
/* verb_status.c - vmchannel status */
#include "cli/ask.h"
#include "cli/cli.h"

#include <stdio.h>

#define HEAD "%-24s  %-8s  %-8s  %-12s  %12s  %12s  %-16s  %s\n"
#define ROW  "%-24s  %-8s  %-8s  %-12s  %12lld  %12lld  %-16s  %s\n"

static int print_stream(const json_t *s)
{
	const json_t *who = json_object_get(s, "caller");
	char caller[32];

	if (cli_json)
		return cli_print_json(json_deep_copy(s));
	snprintf(caller, sizeof(caller), "%s:%lld", ask_text(who, "side"),
		 ask_number(who, "uid"));
	printf(ROW, ask_text(s, "id"), ask_text(s, "direction"),
	       ask_text(s, "state"), ask_text(s, "reason"),
	       ask_number(s, "bytes_in"), ask_number(s, "bytes_out"), caller,
	       ask_text(s, "channel"));
	return CLI_OK;
}

static void print_head(void)
{
	if (!cli_json)
		printf(HEAD, "ID", "DIR", "STATE", "REASON", "BYTES IN",
		       "BYTES OUT", "CALLER", "CHANNEL");
}

static int one(const char *vm, const char *id)
{
	const char *to;
	json_t *answer;
	int r = ask(vm, "StreamStatus", json_pack("{s:s}", "id", id), &answer);

	if (r)
		return r;
	print_head();
	r = print_stream(json_object_get(answer, "stream"));
	to = ask_text(json_object_get(answer, "stream"), "destination");
	if (to[0] != '\0' && !cli_json)
		cli_note("VM %s: it went to %s", vm, cli_safe(to));
	json_decref(answer);
	return r;
}

static int every(const char *vm)
{
	json_t *list;
	const json_t *s;
	size_t i;
	int r = ask_list(vm, "Streams", "streams", &list);

	if (r)
		return r;
	print_head();
	json_array_foreach(list, i, s)
	{
		r = print_stream(s);
		if (r)
			break;
	}
	json_decref(list);
	return r;
}

static int run(const struct cli_args *a)
{
	return a->n == 2 ? one(a->v[0], a->v[1]) : every(a->v[0]);
}

const struct cli_verb verb_status = {
	.name = "status",
	.args = "VM [ID]",
	.summary = "how streams are, or how one ended",
	.help = "Without ID, the streams that exist. The broker remembers the "
		"last 1024 that\nended; REASON 'ok' is an orderly end.\n\n"
		"example: vmchannel status web1\n",
	.min_args = 1,
	.max_args = 2,
	.run = run,
};
