/* SPDX-License-Identifier: MIT */
/* verb_power.c - vmchannel shutdown, reboot, suspend */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/guest_call.h"
#include "cli/guest_verb.h"
#include "cli/interrupt.h"
#include "cli/vigil.h"

#define POWER GUEST "Power."
/* For --wait: systemd gives its services 90 s to end, and then kills. */
#define WAIT_S 300
/* Of --at: a year, which is more than the guest takes. */
#define AT_MINUTES_MAX (366L * 24 * 60)

static const char *reason, *at;
static bool force, halt, cancel, show, waits, hibernate;
static unsigned int wait_s = WAIT_S;

/* What a verb makes of its options. */
struct power_wish {
	const char *vm;
	const char *method; /* now */
	const char *action; /* the same for a schedule */
	const char *does;   /* "powers off" */
	const char *blocks; /* which inhibitors stand in its way */
	bool has_reason;    /* it is a parameter of the method */
};

/* ---- who holds it up
 * ------------------------------------------------------------- */

static bool is_in_the_way(const json_t *inhibitor, const char *what)
{
	/* Not what ask_text() gives: it is cut, and the word may be last. */
	const char *list =
		json_string_value(json_object_get(inhibitor, "what"));

	return strcmp(ask_text(inhibitor, "mode"), "block") == 0 && list &&
	       strstr(list, what);
}

/* "NAME (REASON), ..." of all of them. Room for a few; the rest would not help
 * anybody. */
static void name_inhibitors(const json_t *list, const char *what, char *ret,
			    size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		int n;

		if (!is_in_the_way(one, what))
			continue;
		n = snprintf(ret + used, size - used, "%s%s (%s)",
			     used ? ", " : "", ask_text(one, "who"),
			     ask_text(one, "why"));
		used += n > 0 ? (size_t)n : 0;
		if (used >= size)
			return;
	}
}

/* logind names one; all that must end are asked for. */
static int report_inhibited(const struct power_wish *w,
			    const struct guest_call *refused)
{
	struct guest_call c = {.method = POWER "ListInhibitors"};
	json_t *p = json_loads(guest_error_text(refused), 0, NULL);
	char names[GUEST_WHY_MAX] = "";

	guest_calls(w->vm, &c, 1, guest_deadline());
	name_inhibitors(json_object_get(c.reply, "inhibitors"), w->blocks,
			names, sizeof(names));
	guest_call_done(&c);
	if (names[0] == '\0')
		snprintf(names, sizeof(names), "%s (%s)", ask_text(p, "who"),
			 ask_text(p, "why"));
	json_decref(p);
	return cli_error(CLI_NO,
			 "%s: held up in the guest by %s; --force goes ahead "
			 "all the same",
			 cli_safe(w->vm), names);
}

/* ---- now
 * ---------------------------------------------------------------------------
 */

static json_t *parameters(const struct power_wish *w)
{
	json_t *p = json_object();

	if (reason && w->has_reason)
		json_object_set_new(p, "reason", json_string(reason));
	if (force)
		json_object_set_new(p, "inhibitors", json_string("ignore"));
	return p;
}

static int print_accepted(const struct power_wish *w, const json_t *reply)
{
	if (cli_json)
		return guest_print(w->vm, reply);
	printf("%s: accepted: it %s (job %lld)\n", cli_safe(w->vm), w->does,
	       ask_number(reply, "job"));
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

/* What is said from now on to whoever interrupts. */
static void say_accepted(const struct power_wish *w)
{
	if (waits)
		interrupt_say("%s: interrupted; the guest accepted, what "
			      "became of it is not known",
			      cli_safe(w->vm));
}

static int do_now(const struct power_wish *w)
{
	struct guest_call c = {.method = w->method,
			       .parameters = parameters(w)};
	int r;

	guest_change(w->vm, &c, true);
	say_accepted(w);
	if (c.reply)
		r = print_accepted(w, c.reply);
	else if (guest_is(&c, "Power.Inhibited"))
		r = report_inhibited(w, &c);
	else if (guest_is_unknown(&c) && waits)
		r = CLI_OK; /* whether it went is seen */
	else
		r = guest_change_report(w->vm, &c);
	guest_call_done(&c);
	return r;
}

/* ---- later
 * ------------------------------------------------------------------------- */

/* Decimal digits up to @max, and what comes behind them. */
static bool take_number(const char **text, long max, long *ret)
{
	const char *p = *text;

	if (*p < '0' || *p > '9')
		return false;
	for (*ret = 0; *p >= '0' && *p <= '9' && *ret <= max; p++)
		*ret = *ret * 10 + (*p - '0');
	*text = p;
	return *ret <= max;
}

/* The next time that a clock here shows this, in seconds from now. */
static long next(long hour, long minute)
{
	time_t now = time(NULL), then;
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return 0;
	tm.tm_hour = (int)hour;
	tm.tm_min = (int)minute;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	then = mktime(&tm);
	if (then <= now) {
		tm.tm_mday++;
		tm.tm_isdst = -1;
		then = mktime(&tm);
	}
	return (long)(then - now);
}

/* "+MINUTES" or "HH:MM" as shutdown(8) has it, as seconds from now. */
static bool parse_at(const char *text, long *ret)
{
	long hour, minute;

	if (*text == '+') {
		text++;
		if (!take_number(&text, AT_MINUTES_MAX, &minute))
			return false;
		*ret = minute * 60;
		return *text == '\0';
	}
	if (!take_number(&text, 23, &hour) || *text++ != ':' ||
	    !take_number(&text, 59, &minute) || *text != '\0')
		return false;
	*ret = next(hour, minute);
	return true;
}

static void say_scheduled(const json_t *reply)
{
	(void)reply;
	printf("scheduled; --show tells, --cancel calls it off");
}

/* The guest's clock may be another; what is meant is so long from now. */
static int do_later(const struct power_wish *w)
{
	static const struct guest_act act = {.method = POWER "ScheduleShutdown",
					     .request = true,
					     .say = say_scheduled};
	json_t *p, *ping;
	long from_now;
	int r;

	if (!parse_at(at, &from_now))
		return cli_error(CLI_FAILED, "--at %s: write +MINUTES or HH:MM",
				 cli_safe(at));
	r = guest_ask(w->vm, GUEST "Agent.Ping", NULL, NULL, &ping);
	if (r != CLI_OK)
		return r;
	p = json_pack("{s:s,s:I}", "action", w->action, "time_us",
		      ask_number(ping, "time_us") + from_now * 1000000LL);
	json_decref(ping);
	if (reason)
		json_object_set_new(p, "message", json_string(reason));
	return guest_act(w->vm, &act, p);
}

static void say_cancelled(const json_t *reply)
{
	(void)fputs(json_is_true(json_object_get(reply, "cancelled"))
			    ? "called off"
			    : "nothing was scheduled",
		    stdout);
}

static int do_cancel(const char *vm)
{
	static const struct guest_act act = {.method = POWER
					     "CancelScheduledShutdown",
					     .say = say_cancelled};

	return guest_act(vm, &act, NULL);
}

static int do_show(const char *vm)
{
	json_t *reply;
	const json_t *s;
	char when[32];
	int r = guest_ask(vm, POWER "GetScheduledShutdown", NULL, NULL, &reply);

	if (r != CLI_OK)
		return r;
	s = json_object_get(reply, "schedule");
	if (cli_json) {
		r = guest_print(vm, reply);
	} else if (json_is_object(s)) {
		table_time(ask_number(s, "time_us"), when, sizeof(when));
		printf("%s: %s at %s\n", cli_safe(vm), ask_text(s, "action"),
		       when);
	} else {
		printf("%s: nothing is scheduled\n", cli_safe(vm));
	}
	json_decref(reply);
	return r;
}

/* ---- and waiting for it
 * ------------------------------------------------------------ */

static uint64_t wait_deadline(void)
{
	return wait_s ? cli_now_us() + (uint64_t)wait_s * 1000000u : 0;
}

static int do_it(const struct power_wish *w)
{
	return at ? do_later(w) : do_now(w);
}

static int wait_gone(const struct power_wish *w, struct vigil *v)
{
	int r;

	r = vigil_gone(v, halt, wait_deadline());
	if (r == CLI_OK && !cli_json)
		printf("%s: gone\n", cli_safe(w->vm));
	return r;
}

/* @v: since before it was asked for. */
static int wait_booted(struct vigil *v, const char *boot)
{
	struct vigil_goal goal = goal_boot;

	goal.not_boot = boot;
	goal.lacking = "the guest's agent answers, but has not told that "
		       "another boot is complete";
	goal.deadline_us = wait_deadline();
	return vigil_run(v, &goal);
}

/* One that waits asks before it acts for whatever it compares with. */
static int run_waiting(const struct power_wish *w)
{
	bool reboots = strcmp(w->action, "reboot") == 0;
	json_t *info = NULL;
	struct vigil v;
	int r = vigil_begin(&v, w->vm, true);

	if (r == CLI_OK && reboots)
		r = guest_ask(w->vm, GUEST "Agent.GetInfo", NULL, NULL, &info);
	if (r == CLI_OK)
		r = do_it(w);
	say_accepted(w);
	if (r == CLI_OK && reboots)
		r = wait_booted(
			&v, json_string_value(json_object_get(info, "boot")));
	else if (r == CLI_OK)
		r = wait_gone(w, &v);
	json_decref(info);
	vigil_done(&v);
	return r;
}

/* ---- the verbs
 * --------------------------------------------------------------------- */

static int run_power(const struct power_wish *w)
{
	if (at && force)
		return cli_error(CLI_FAILED,
				 "--force does not go with --at; give it when "
				 "the time has come");
	return waits ? run_waiting(w) : do_it(w);
}

static int run_shutdown(const struct cli_args *a)
{
	const struct power_wish off = {
		.vm = a->v[0],
		.method = POWER "PowerOff",
		.action = "power_off",
		.does = "powers off",
		.blocks = "shutdown",
		.has_reason = true,
	};
	struct power_wish w = off;

	if (cancel)
		return do_cancel(w.vm);
	if (show)
		return do_show(w.vm);
	if (halt) {
		w.method = POWER "Halt";
		w.action = "halt";
		w.does = "halts";
	}
	return run_power(&w);
}

static int run_reboot(const struct cli_args *a)
{
	const struct power_wish w = {
		.vm = a->v[0],
		.method = POWER "Reboot",
		.action = "reboot",
		.does = "reboots",
		.blocks = "shutdown",
		.has_reason = true,
	};

	return run_power(&w);
}

static int run_suspend(const struct cli_args *a)
{
	const struct power_wish w = {
		.vm = a->v[0],
		.method = hibernate ? POWER "Hibernate" : POWER "Suspend",
		.does = hibernate ? "hibernates" : "goes to sleep",
		.blocks = "sleep",
	};

	return do_now(&w);
}

#define OPTION_FORCE                                                           \
	{                                                                      \
		.name = "force", .help = "also if somebody there inhibits it", \
		.flag = &force                                                 \
	}
#define OPTION_REASON                                            \
	{                                                        \
		.name = "reason", .value = "TEXT",               \
		.help = "for the guest's log, users and events", \
		.text = &reason                                  \
	}
#define OPTION_AT                                                   \
	{                                                           \
		.name = "at", .value = "WHEN",                      \
		.help = "later: +MINUTES or HH:MM of this machine", \
		.text = &at                                         \
	}
#define OPTION_WAIT                                                         \
	{                                                                   \
		.name = "wait", .value = "SECONDS",                         \
		.help = "until it has happened; 0: for ever (default 300)", \
		.flag = &waits, .number = &wait_s                           \
	}

static const struct cli_option shutdown_options[] = {
	OPTION_REASON,
	OPTION_FORCE,
	{.name = "halt",
	 .help = "stop the system, leave the machine on",
	 .flag = &halt},
	OPTION_AT,
	{.name = "show", .help = "what is scheduled", .flag = &show},
	{.name = "cancel",
	 .help = "call off what is scheduled",
	 .flag = &cancel},
	OPTION_WAIT,
	GUEST_OPTION_REQUEST,
	GUEST_OPTION_TIMEOUT,
	{0},
};

const struct cli_verb verb_shutdown = {
	.name = "shutdown",
	.args = "VM",
	.summary = "power the guest off, now or later",
	.help = "Ends when the guest has accepted it, which is not yet off; "
		"with --wait when it is\ngone, or with 1 if it is not in time. "
		"If somebody in the guest inhibits it, says\nwho. 'vmchannel "
		"events' tells what happens.\n\n"
		"example: vmchannel shutdown web1 --wait\n"
		"         vmchannel shutdown web1 --at +5 --reason 'new "
		"kernel'\n"
		"         vmchannel shutdown web1 --cancel\n",
	.options = shutdown_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_shutdown,
};

static const struct cli_option reboot_options[] = {
	OPTION_REASON,        OPTION_FORCE,         OPTION_AT, OPTION_WAIT,
	GUEST_OPTION_REQUEST, GUEST_OPTION_TIMEOUT, {0},
};

const struct cli_verb verb_reboot = {
	.name = "reboot",
	.args = "VM",
	.summary = "reboot the guest, now or later",
	.help = "Ends when the guest has accepted it; with --wait when it has "
		"finished another\nboot. 'vmchannel shutdown VM --show' and "
		"--cancel are for --at of both.\n\n"
		"example: vmchannel reboot web1 --wait --reason 'new kernel'\n"
		"         vmchannel reboot web1 --at 03:30\n",
	.options = reboot_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_reboot,
};

static const struct cli_option suspend_options[] = {
	{.name = "hibernate",
	 .help = "to disk; the machine ends",
	 .flag = &hibernate},
	OPTION_FORCE,
	GUEST_OPTION_REQUEST,
	GUEST_OPTION_TIMEOUT,
	{0},
};

const struct cli_verb verb_suspend = {
	.name = "suspend",
	.args = "VM",
	.summary = "put the guest to sleep",
	.help = "To memory: what wakes it is QEMU's system_wakeup (virsh "
		"dompmwakeup), or a timer\nof its own. With --hibernate to "
		"disk, if it has room there.\n\n"
		"example: vmchannel suspend web1\n"
		"         vmchannel suspend web1 --hibernate\n",
	.options = suspend_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_suspend,
};
