/* SPDX-License-Identifier: MIT */
/* verb_policy.c - vmchannel policy test */
#include "cli/ask.h"
#include "cli/cli.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *as;

struct who {
	const char *side;
	unsigned int uid, gid;
};

static bool parse_id(const char *text, unsigned int *ret)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || text[0] < '0' || text[0] > '9' || *end != '\0' ||
	    n >= UINT_MAX)
		return false;
	*ret = (unsigned int)n;
	return true;
}

/* From /etc/group only: a static program cannot ask other name services. */
static bool group_id(const char *name, unsigned int *ret)
{
	FILE *f = fopen("/etc/group", "re");
	const struct group *g;
	bool found = false;

	if (!f)
		return false;
	while (!found && (g = fgetgrent(f))) {
		found = strcmp(g->gr_name, name) == 0;
		*ret = g->gr_gid;
	}
	(void)fclose(f);
	return found;
}

/* A group that this side knows; a caller who is in it and in no other. */
static bool parse_group(const char *name, const char *side, struct who *ret)
{
	if (!parse_id(name, &ret->gid) && !group_id(name, &ret->gid))
		return false;
	/* Nobody's uid, which is not the owner's. */
	ret->uid = 65534;
	ret->side = side;
	return true;
}

/* host, host:UID, guest:UID, group:NAME */
static bool parse_principal(const char *text, const char *side, struct who *ret)
{
	const char *colon = strchr(text, ':');

	if (strcmp(text, "host") == 0) {
		*ret = (struct who){"host", geteuid(), getegid()};
		return true;
	}
	if (!colon)
		return false;
	if (strncmp(text, "group:", 6) == 0)
		return parse_group(colon + 1, side, ret);
	if (!parse_id(colon + 1, &ret->uid))
		return false;
	ret->gid = ret->uid;
	ret->side = text[0] == 'h' ? "host" : "guest";
	return strncmp(text, "host:", 5) == 0 ||
	       strncmp(text, "guest:", 6) == 0;
}

/* Which side is this? The broker knows. */
static int own_side(const char *vm, const char **ret)
{
	json_t *info;
	int r = ask(vm, "GetInfo", json_object(), &info);

	if (r)
		return r;
	*ret = strcmp(ask_text(info, "side"), "guest") == 0 ? "guest" : "host";
	json_decref(info);
	return CLI_OK;
}

static int print_verdict(const struct cli_args *a, const struct who *w,
			 json_t *answer)
{
	bool allowed = json_is_true(json_object_get(answer, "allowed"));

	if (cli_json) {
		json_object_set_new(answer, "operation", json_string(a->v[2]));
		json_object_set_new(answer, "channel", json_string(a->v[3]));
		cli_print_json(json_incref(answer));
	} else {
		printf("%s: %s %s by %s:%u (rule %s)\n",
		       allowed ? "allowed" : "denied", a->v[2], a->v[3],
		       w->side, w->uid, ask_text(answer, "rule"));
	}
	json_decref(answer);
	return allowed ? CLI_OK : CLI_REFUSED;
}

static int run(const struct cli_args *a)
{
	struct who w = {NULL, geteuid(), getegid()};
	json_t *answer;
	int r;

	if (strcmp(a->v[0], "test") != 0)
		return cli_error(CLI_FAILED,
				 "policy: '%s' is not known; write 'vmchannel "
				 "policy test VM connect CHANNEL'",
				 cli_safe(a->v[0]));
	if (strcmp(a->v[2], "connect") != 0 && strcmp(a->v[2], "listen") != 0 &&
	    strcmp(a->v[2], "call") != 0)
		return cli_error(CLI_FAILED,
				 "policy test: '%s' is not 'connect', 'listen' "
				 "or 'call'",
				 cli_safe(a->v[2]));
	r = own_side(a->v[1], &w.side);
	if (r)
		return r;
	if (as && !parse_principal(as, w.side, &w))
		return cli_error(CLI_FAILED,
				 "--as %s: write host, host:UID, guest:UID or "
				 "group:NAME (a group that exists here)",
				 cli_safe(as));
	r = ask(a->v[1], "CheckPolicy",
		json_pack("{s:s,s:s,s:{s:s,s:I,s:I}}", "operation", a->v[2],
			  "channel", a->v[3], "caller", "side", w.side, "uid",
			  (json_int_t)w.uid, "gid", (json_int_t)w.gid),
		&answer);
	return r ? r : print_verdict(a, &w, answer);
}

static const struct cli_option options[] = {
	{.name = "as",
	 .value = "PRINCIPAL",
	 .help = "host[:UID], guest:UID or group:NAME (default: you)",
	 .text = &as},
	{0},
};

const struct cli_verb verb_policy = {
	.name = "policy",
	.args = "test VM connect|listen|call SUBJECT",
	.summary = "what the policy says to an operation, and which line",
	.help = "SUBJECT is a channel; of call, which is asked in the guest (VM "
		"is host there),\nINTERFACE.METHOD. Prints the decision and the line of policy.d that makes it, or "
		"the number of\nthe built-in rule. Exit status 0: allowed, 126: "
		"denied.\n\n"
		"example: vmchannel policy test web1 connect org.example.db --as "
		"guest:1000\n",
	.options = options,
	.min_args = 4,
	.max_args = 4,
	.run = run,
};
