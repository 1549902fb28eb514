/* SPDX-License-Identifier: MIT */
/* events.c - how events are printed */
#include "cli/events.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/cli.h"

#define ROW "%-12s  %-16s  %-15s  "

/* "13:05:59.123", local time. */
static void format_time(long long us, char *ret, size_t size)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	size_t n;

	localtime_r(&s, &tm);
	n = strftime(ret, size, "%H:%M:%S", &tm);
	snprintf(ret + n, size - n, ".%03lld", us / 1000 % 1000);
}

static void print_channel(const json_t *e)
{
	printf("%s (%s%s)", ask_text(e, "channel"), ask_text(e, "side"),
	       json_is_true(json_object_get(e, "messages")) ? ", messages"
							    : "");
}

static void print_stream(const json_t *e)
{
	const json_t *s = json_object_get(e, "stream");
	const json_t *who = json_object_get(s, "caller");

	printf("%s %s %s by %s:%lld", ask_text(s, "channel"),
	       ask_text(s, "direction"), ask_text(s, "id"),
	       ask_text(who, "side"), ask_number(who, "uid"));
}

/* Where the VM went, if somebody said so; of foreign hands. */
static void print_destination(const json_t *o)
{
	const char *to = ask_text(o, "destination");

	if (to[0] != '\0')
		printf(" to %s", cli_safe(to));
}

static void print_stream_end(const json_t *e)
{
	const json_t *s = json_object_get(e, "stream");
	const char *reason = ask_text(s, "reason");

	print_stream(e);
	printf(": %s", reason[0] ? reason : ask_text(e, "reason"));
	print_destination(s);
	printf(", %lld bytes in, %lld out", ask_number(s, "bytes_in"),
	       ask_number(s, "bytes_out"));
}

static void print_peer(const json_t *e)
{
	const json_t *resumed = json_object_get(e, "resumed");

	if (json_is_boolean(resumed))
		(void)fputs(json_is_true(resumed) ? "streams went on"
						  : "new session",
			    stdout);
	(void)fputs(ask_text(e, "reason"), stdout);
	print_destination(e);
}

static void print_port(const json_t *e)
{
	(void)fputs(ask_text(e, "port"), stdout);
}

static void print_lost(const json_t *e)
{
	printf("%lld events before the next one are gone",
	       ask_number(e, "lost"));
}

static const struct {
	const char *type;
	void (*print)(const json_t *e);
} rows[] = {
	{"channel-added", print_channel},
	{"channel-removed", print_channel},
	{"stream-opened", print_stream},
	{"stream-closed", print_stream_end},
	{"peer-up", print_peer},
	{"peer-down", print_peer},
	{"port-added", print_port},
	{"port-removed", print_port},
	{"lost", print_lost},
};

static int print_as_json(const char *vm, const json_t *event)
{
	json_t *o = json_deep_copy(event);

	if (o)
		json_object_set_new(o, "vm", json_string(vm));
	return cli_print_json(o);
}

int events_print(const char *vm, const json_t *event)
{
	const char *type = ask_text(event, "type");
	char when[32];

	if (cli_json)
		return print_as_json(vm, event);
	/* Events of the snapshot did not happen now. */
	if (ask_number(event, "seq") == 0)
		snprintf(when, sizeof(when), "(present)");
	else
		format_time(ask_number(event, "time_us"), when, sizeof(when));
	printf(ROW, when, vm, type);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].type, type) == 0)
			rows[i].print(event);
	(void)putchar('\n');
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

void events_note(const char *vm, const char *type, const char *text)
{
	struct timespec now;
	char when[32];
	long long us;

	clock_gettime(CLOCK_REALTIME, &now);
	us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	if (cli_json) {
		cli_print_json(json_pack("{s:s,s:s,s:I,s:s}", "vm", vm, "type",
					 type, "time_us", (json_int_t)us,
					 "text", text));
		return;
	}
	format_time(us, when, sizeof(when));
	printf(ROW "%s\n", when, vm, type, text);
	cli_flush();
}
