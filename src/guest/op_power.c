/* SPDX-License-Identifier: MIT */
/*
 * op_power.c - org.vmchannel.Power: off, reboot, sleep, and what is told of it
 */
#include "guest/power.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest/ops_table.h"
#include "guest/ops_text.h"
#include "guest/resumed.h"

/* An action that the guest accepted and then did not begin is no hindrance to
 * another one after that time. */
#define BEGIN_SECONDS 30
/* How far ahead a shutdown may be scheduled. */
#define AHEAD_US (366ull * 24 * 3600 * 1000000)
/* How often it is looked whether the host was told. */
#define LOOK_MS 5u

static const char *const names[POWER_ACTIONS] = {
	[POWER_OFF] = "power_off",       [POWER_REBOOT] = "reboot",
	[POWER_HALT] = "halt",           [POWER_SUSPEND] = "suspend",
	[POWER_HIBERNATE] = "hibernate",
};

/* One guest, one state. */
static struct power {
	const struct power_back_end *back_end;
	/* What the host asked for and the guest accepted. */
	enum power_action job_action;
	json_int_t job; /* of the last one */
	time_t job_at;
	char reason[POWER_REASON_MAX + 1];
	bool going; /* PrepareForShutdown or -Sleep was told */
	char going_type[16];
	struct power_schedule schedule;
	bool schedule_by_host;
	char message[POWER_REASON_MAX + 1];
	uv_timer_t timer; /* power_when_told() */
	uint64_t told_until;
	power_told_fn *told;
} pw;

const char *power_action_name(enum power_action a)
{
	return a < POWER_ACTIONS ? names[a] : "unknown";
}

enum power_action power_action_of(const char *name)
{
	unsigned int a = 0;

	while (a < POWER_ACTIONS && strcmp(names[a], name) != 0)
		a++;
	return a;
}

json_t *power_schedule_json(const struct power_schedule *s)
{
	if (s->action == POWER_ACTIONS)
		return NULL;
	return json_pack("{s:s,s:I}", "action", power_action_name(s->action),
			 "time_us", (json_int_t)s->time_us);
}

static struct timespec now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t;
}

static uint64_t realtime_us(void)
{
	struct timespec t = now(CLOCK_REALTIME);

	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the host's jobs ----------------------------------------------------- */

/* Larger than any before in this boot, also those of an earlier process. */
static json_int_t next_job(void)
{
	struct timespec t = now(CLOCK_BOOTTIME);
	json_int_t ms = (json_int_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;

	return ms > pw.job ? ms : pw.job + 1;
}

static bool is_busy(void)
{
	if (pw.going)
		return true;
	return pw.job_action != POWER_ACTIONS &&
	       now(CLOCK_BOOTTIME).tv_sec - pw.job_at < BEGIN_SECONDS;
}

static void forget_job(void)
{
	pw.job_action = POWER_ACTIONS;
	pw.reason[0] = '\0';
}

const char *power_reason(void)
{
	return pw.reason[0] != '\0' ? pw.reason : NULL;
}

/* From before the guest is asked: it may begin before it answers. */
static void begin_job(enum power_action a, const char *reason)
{
	pw.job_action = a;
	pw.job_at = now(CLOCK_BOOTTIME).tv_sec;
	pw.job = next_job();
	snprintf(pw.reason, sizeof(pw.reason), "%s", reason ? reason : "");
}

void power_refused(void)
{
	forget_job();
}

void power_accepted(struct op_call *call)
{
	op_reply(call, json_pack("{s:I}", "job", pw.job));
}

/* Is it the host's doing? By what is awaited: the guest says what, not why. */
static bool is_hosts(const char *type, bool sleep)
{
	bool sleeps = pw.job_action == POWER_SUSPEND ||
		      pw.job_action == POWER_HIBERNATE;

	return pw.job_action != POWER_ACTIONS && sleeps == sleep &&
	       (!type || strcmp(type, names[pw.job_action]) == 0 ||
		strcmp(type, "kexec") == 0);
}

/* ---- events -------------------------------------------------------------- */

static const char *initiator(bool host, const struct power_cause *cause)
{
	if (host)
		return "host";
	return cause && cause->user ? "guest_user" : "guest_system";
}

static json_t *optional_int(bool is, json_int_t value)
{
	return is ? json_integer(value) : NULL;
}

static void tell_shutdown(struct ops *o, bool start, const char *type,
			  const struct power_cause *cause)
{
	bool job = is_hosts(type, false);
	bool scheduled = !job && pw.schedule_by_host &&
			 pw.schedule.action != POWER_ACTIONS &&
			 pw.schedule.time_us <= realtime_us() + 1000000;
	const char *reason = job         ? pw.reason
			     : scheduled ? pw.message
			     : cause     ? cause->reason
					 : NULL;

	if (!type && (job || scheduled))
		type = power_action_name(job ? pw.job_action
					     : pw.schedule.action);
	snprintf(pw.going_type, sizeof(pw.going_type), "%s",
		 type ? type : "unknown");
	ops_emit(o, POWER ".PrepareForShutdown",
		 json_pack("{s:b,s:s,s:s,s:o*,s:o*,s:o*}", "start", start,
			   "type", pw.going_type, "initiator",
			   initiator(job || scheduled, cause), "uid",
			   optional_int(!job && !scheduled && cause &&
						cause->user,
					cause ? cause->uid : 0),
			   "reason", op_text_or_null(reason, POWER_REASON_MAX),
			   "job", optional_int(job, pw.job)));
}

void power_off_begins(struct ops *o, const char *type,
		      const struct power_cause *cause)
{
	if (pw.going)
		return; /* said by two signals */
	tell_shutdown(o, true, type, cause);
	pw.going = true;
}

void power_off_cancelled(struct ops *o)
{
	char type[sizeof(pw.going_type)];

	if (!pw.going)
		return;
	memcpy(type, pw.going_type, sizeof(type));
	tell_shutdown(o, false, type, NULL);
	pw.going = false;
	forget_job();
}

static void tell_sleep(struct ops *o, bool start, const char *type,
		       const struct power_cause *cause)
{
	bool job = is_hosts(type, true);

	if (!type && job)
		type = names[pw.job_action];
	snprintf(pw.going_type, sizeof(pw.going_type), "%s",
		 type ? type : "unknown");
	ops_emit(o, POWER ".PrepareForSleep",
		 json_pack("{s:b,s:s,s:s,s:o*}", "start", start, "type",
			   pw.going_type, "initiator", initiator(job, cause),
			   "job", optional_int(job, pw.job)));
}

void power_sleep_begins(struct ops *o, const char *type,
			const struct power_cause *cause)
{
	if (pw.going)
		return;
	tell_sleep(o, true, type, cause);
	pw.going = true;
}

void power_sleep_ended(struct ops *o)
{
	char type[sizeof(pw.going_type)];

	if (!pw.going)
		return;
	memcpy(type, pw.going_type, sizeof(type));
	tell_sleep(o, false, type, NULL);
	pw.going = false;
	forget_job();
}

void power_scheduled(struct ops *o, const struct power_schedule *s,
		     bool by_host, const char *message)
{
	bool same = s->action == pw.schedule.action &&
		    (s->action == POWER_ACTIONS ||
		     s->time_us == pw.schedule.time_us);

	if (same && !by_host)
		return;
	pw.schedule = *s;
	pw.schedule_by_host = by_host;
	snprintf(pw.message, sizeof(pw.message), "%s", message ? message : "");
	if (!same)
		ops_emit(o, POWER ".ShutdownScheduled",
			 json_pack("{s:o*}", "schedule",
				   power_schedule_json(s)));
}

void power_booted(struct ops *o, uint64_t duration_us)
{
	if (!ops_emitted(o, POWER ".BootComplete"))
		ops_emit(o, POWER ".BootComplete",
			 json_pack("{s:I}", "duration_us",
				   (json_int_t)duration_us));
}

/* ---- until the host was told --------------------------------------------- */

static void on_timer(uv_timer_t *h)
{
	struct ops *o = h->data;
	power_told_fn *fn = pw.told;

	if (!ops_delivered(o) && uv_now(h->loop) < pw.told_until)
		return;
	uv_timer_stop(h);
	pw.told = NULL;
	fn(o);
}

void power_when_told(struct ops *o, power_told_fn *fn)
{
	pw.told = fn;
	uv_update_time(ops_loop(o));
	pw.told_until = uv_now(ops_loop(o)) + POWER_TELL_MS;
	uv_timer_start(&pw.timer, on_timer, 0, LOOK_MS);
}

/* ---- the rows ------------------------------------------------------------ */

static const char *word(const json_t *p, const char *key)
{
	return json_string_value(json_object_get(p, key));
}

static void act(struct op_call *call, json_t *p, enum power_action a)
{
	const char *inhibitors = word(p, "inhibitors");
	const char *reason = word(p, "reason");

	if (is_busy()) {
		op_error(call, "Busy",
			 json_pack("{s:s}", "action",
				   power_action_name(
					   pw.job_action == POWER_ACTIONS
						   ? POWER_OFF
						   : pw.job_action)));
		return;
	}
	begin_job(a, reason);
	pw.back_end->act(call, a,
			 inhibitors && strcmp(inhibitors, "ignore") == 0);
}

static void power_off(struct op_call *call, json_t *p)
{
	act(call, p, POWER_OFF);
}

static void reboot(struct op_call *call, json_t *p)
{
	act(call, p, POWER_REBOOT);
}

static void halt(struct op_call *call, json_t *p)
{
	act(call, p, POWER_HALT);
}

static void suspend(struct op_call *call, json_t *p)
{
	act(call, p, POWER_SUSPEND);
}

static void hibernate(struct op_call *call, json_t *p)
{
	act(call, p, POWER_HIBERNATE);
}

static void can(struct op_call *call, json_t *p)
{
	pw.back_end->can(call, power_action_of(word(p, "action")));
}

static void schedule_shutdown(struct op_call *call, json_t *p)
{
	struct power_schedule s = {
		.action = power_action_of(word(p, "action")),
		.time_us = (uint64_t)json_integer_value(
			json_object_get(p, "time_us")),
	};
	uint64_t t = realtime_us();

	if (s.time_us < t || s.time_us > t + AHEAD_US)
		op_error(call, "InvalidTime", NULL);
	else
		pw.back_end->schedule(call, &s, word(p, "message"));
}

static void cancel_scheduled_shutdown(struct op_call *call, json_t *p)
{
	(void)p;
	pw.back_end->cancel(call);
}

static void get_scheduled_shutdown(struct op_call *call, json_t *p)
{
	(void)p;
	pw.back_end->get_schedule(call);
}

static void list_inhibitors(struct op_call *call, json_t *p)
{
	(void)p;
	pw.back_end->list_inhibitors(call);
}

static const char *lacks(enum power_action a)
{
	return pw.back_end->lacks ? pw.back_end->lacks(a) : NULL;
}

static const char *off_missing(struct ops *o)
{
	(void)o;
	return lacks(POWER_OFF);
}

static const char *reboot_missing(struct ops *o)
{
	(void)o;
	return lacks(POWER_REBOOT);
}

static const char *halt_missing(struct ops *o)
{
	(void)o;
	return lacks(POWER_HALT);
}

static const char *suspend_missing(struct ops *o)
{
	(void)o;
	return lacks(POWER_SUSPEND);
}

static const char *hibernate_missing(struct ops *o)
{
	(void)o;
	return lacks(POWER_HIBERNATE);
}

int power_start(struct ops *o, const struct power_back_end *back_end)
{
	pw = (struct power){
		.back_end = back_end,
		.job_action = POWER_ACTIONS,
		.schedule = {.action = POWER_ACTIONS},
	};
	uv_timer_init(ops_loop(o), &pw.timer);
	pw.timer.data = o;
	resumed_start(o);
	return pw.back_end->start(o);
}

static int start(struct ops *o)
{
	return power_start(o, ops_back_end(o) == OPS_SYSTEMD ? power_logind
							     : &power_kernel);
}

void power_stop(struct ops *o)
{
	pw.back_end->stop(o);
	resumed_stop();
	uv_close((uv_handle_t *)&pw.timer, NULL);
}

static const struct op_row rows[] = {
	{.method = "PowerOff", .run = power_off, .missing = off_missing},
	{.method = "Reboot", .run = reboot, .missing = reboot_missing},
	{.method = "Halt", .run = halt, .missing = halt_missing},
	{.method = "Suspend", .run = suspend, .missing = suspend_missing},
	{.method = "Hibernate", .run = hibernate, .missing = hibernate_missing},
	{.method = "Can", .run = can},
	{.method = "ScheduleShutdown",
	 .run = schedule_shutdown,
	 .missing = off_missing},
	{.method = "CancelScheduledShutdown", .run = cancel_scheduled_shutdown},
	{.method = "GetScheduledShutdown", .run = get_scheduled_shutdown},
	{.method = "ListInhibitors", .run = list_inhibitors},
};

const struct op_interface op_power = {
	.name = POWER,
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.start = start,
	.stop = power_stop,
};
