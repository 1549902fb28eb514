/* SPDX-License-Identifier: MIT */
/*
 * verb_events.c - vmchannel events
 *
 * A subscription that ends is taken up again where it was: the guest repeats
 * what it remembers after that place, and says what it does not.
 */
#include "cli/ask.h"
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

#define AGENT  "org.vmchannel.Agent"
#define COMMON "org.vmchannel."
/* How often a guest that is away is looked for. */
#define AGAIN_MS 500

static struct cli_list types;
static const char *after;
static bool once;

struct feed {
	const char *vm;
	struct vmc_call *call; /* NULL while the guest is away */
	json_t *position;      /* of the last event seen, or NULL */
	bool told_away;
};

/* "13:05:59.123", local time. */
static void print_time(long long us)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	char text[16];

	localtime_r(&s, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%03lld  ", text, us / 1000 % 1000);
}

/* name=value for what is one word, JSON for the rest. */
static void print_member(const char *name, const json_t *v)
{
	char *text;

	if (json_is_null(v))
		return;
	if (json_is_string(v)) {
		printf(" %s=%s", name, cli_safe(json_string_value(v)));
		return;
	}
	text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	printf(" %s=%s", name, text ? cli_safe(text) : "");
	free(text);
}

static const char *short_type(const char *type)
{
	size_t len = strlen(COMMON);

	return strncmp(type, COMMON, len) == 0 ? type + len : type;
}

static int print_event(const struct feed *f, json_t *event)
{
	json_t *p = json_object_get(event, "parameters"), *v;
	const char *name;

	if (cli_json) {
		json_object_set_new(event, "vm", json_string(f->vm));
		return cli_print_json(json_incref(event));
	}
	print_time(ask_number(event, "time_us"));
	printf("%-28s", cli_safe(short_type(ask_text(event, "type"))));
	json_object_foreach(p, name, v) print_member(name, v);
	(void)putchar('\n');
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

/* What is no event of the guest's: {"vm", "note", more}. */
static int note(const struct feed *f, const char *what, const char *text,
		json_int_t lost)
{
	if (cli_json)
		return cli_print_json(json_pack("{s:s,s:s,s:I}", "vm", f->vm,
						"note", what, "lost", lost));
	printf("              (%s)\n", text);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

static int note_lost(const struct feed *f, json_int_t lost)
{
	char text[64];

	snprintf(text, sizeof(text), "%lld events are gone", (long long)lost);
	return note(f, "lost", text, lost);
}

static void remember(struct feed *f, const json_t *from)
{
	json_t *position =
		json_pack("{s:O,s:O}", "boot", json_object_get(from, "boot"),
			  "seq", json_object_get(from, "seq"));

	if (!position)
		return;
	json_decref(f->position);
	f->position = position;
}

/* The first reply of a subscription. */
static int begun(struct feed *f, const json_t *position)
{
	const char *boot = ask_text(f->position, "boot");
	bool other =
		f->position && strcmp(boot, ask_text(position, "boot")) != 0;
	int r = CLI_OK;

	if (f->told_away)
		r = note(f, "back", "the guest's operations are back", 0);
	if (other && r == CLI_OK)
		r = note(f, "rebooted", "the guest was booted anew", 0);
	f->told_away = false;
	remember(f, position);
	return r;
}

static int take(struct feed *f, const char *text)
{
	json_t *reply = json_loads(text, 0, NULL);
	json_t *event = json_object_get(reply, "event");
	json_t *position = json_object_get(reply, "position");
	json_int_t lost = json_integer_value(json_object_get(reply, "lost"));
	int r = CLI_OK;

	if (json_is_object(position))
		r = begun(f, position);
	if (lost > 0 && r == CLI_OK)
		r = note_lost(f, lost);
	if (json_is_object(event) && r == CLI_OK) {
		remember(f, event);
		r = print_event(f, event);
	}
	json_decref(reply);
	return r;
}

/* Return: 0 or a negative errno. */
static int subscribe(struct feed *f)
{
	json_t *p = json_object(), *list = json_array();
	char *text;
	int r;

	for (unsigned int i = 0; i < types.n; i++)
		json_array_append_new(list, json_string(types.v[i]));
	if (types.n > 0)
		json_object_set(p, "types", list);
	if (f->position)
		json_object_set(p, "after", f->position);
	text = json_dumps(p, JSON_COMPACT);
	r = text ? vmc_call_start(&f->call, f->vm, AGENT ".Subscribe", text,
				  VMC_CALL_MORE, ASK_MS)
		 : -ENOMEM;
	if (r < 0)
		f->call = NULL;
	free(text);
	json_decref(list);
	json_decref(p);
	return r;
}

/* @why: if it is to be the end. */
static int lose(struct feed *f, const char *why)
{
	if (once)
		return cli_error(CLI_FAILED, "%s", why);
	vmc_call_free(f->call);
	f->call = NULL;
	f->told_away = true;
	return note(f, "away",
		    "the guest's operations are away; looking for "
		    "them",
		    0);
}

/* A last reply, which no subscription has; but it may have said something. */
static int ended(struct feed *f, const char *text)
{
	char why[128];
	int r = take(f, text);

	snprintf(why, sizeof(why), "%.64s: the guest ended the subscription",
		 f->vm);
	return r == CLI_OK ? lose(f, why) : r;
}

/* Return: CLI_OK to go on. */
static int next_reply(struct feed *f)
{
	const char *text, *error;
	int r = vmc_call_reply(f->call, &text, &error, 0);

	if (r == -ETIMEDOUT)
		return CLI_OK;
	if (r == -EPROTO || r == -EMSGSIZE)
		return cli_vmc_error(r);
	if (r < 0)
		return lose(f, vmc_strerror());
	if (error)
		return cli_call_error(f->vm, AGENT ".Subscribe", error, text);
	return r > 0 ? take(f, text) : ended(f, text);
}

/* Waits for the next reply, or for the time to look again. */
static int wait_more(struct feed *f)
{
	struct pollfd fds[] = {
		{f->call ? vmc_call_fd(f->call) : -1, POLLIN, 0},
		{STDOUT_FILENO, 0, 0}, /* nobody reads any more */
	};

	if (poll(fds, 2, f->call ? -1 : AGAIN_MS) < 0)
		return CLI_OK;
	if (fds[1].revents & (POLLERR | POLLNVAL))
		return CLI_FAILED;
	if (fds[0].revents)
		return next_reply(f);
	if (!f->call)
		(void)subscribe(f);
	return CLI_OK;
}

/* BOOT:SEQ */
static json_t *parse_position(const char *text)
{
	const char *colon = strrchr(text, ':');
	char *end;
	long long seq;

	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
		return NULL;
	errno = 0;
	seq = strtoll(colon + 1, &end, 10);
	if (errno || *end != '\0')
		return NULL;
	return json_pack("{s:s%,s:I}", "boot", text, (size_t)(colon - text),
			 "seq", (json_int_t)seq);
}

static int run(const struct cli_args *a)
{
	struct feed f = {.vm = a->v[0]};
	int r;

	if (after && !(f.position = parse_position(after)))
		return cli_error(CLI_FAILED,
				 "--after %s: write BOOT:SEQ, as in the boot "
				 "and seq of an event",
				 cli_safe(after));
	r = subscribe(&f);
	r = r < 0 ? cli_vmc_error(r) : CLI_OK;
	while (r == CLI_OK && cli_flush())
		r = wait_more(&f);
	vmc_call_free(f.call);
	json_decref(f.position);
	return r;
}

static const struct cli_option options[] = {
	{.name = "type",
	 .value = "TYPE",
	 .help = "only these: INTERFACE.EVENT or INTERFACE.*; again for more",
	 .list = &types,
	 .most = 8},
	{.name = "after",
	 .value = "BOOT:SEQ",
	 .help = "first what is remembered after that event",
	 .text = &after},
	{.name = "once", .help = "end when the guest goes away", .flag = &once},
	{0},
};

const struct cli_verb verb_events = {
	.name = "events",
	.args = "VM",
	.summary = "print what happens in the guest, as it happens",
	.help = "Power, log-in sessions, addresses and the like, as the guest "
		"tells them. When the\nguest or its agent was away, what was "
		"missed is printed, or how much of it is gone.\n\n"
		"example: vmchannel events web1 --type "
		"'org.vmchannel.Power.*' --json\n",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
