/* SPDX-License-Identifier: MIT */
/*
 * power_logind.c - off, reboot and sleep through systemd-logind
 *
 * A delay inhibitor is held, so that logind says what is to come and waits
 * until the host could be told. On a release of logind whose signal does not
 * say what kind of end it is (before 254), and for who wanted it, there is
 * power_callers.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_bus.h"
#include "guest/ops_text.h"
#include "guest/power.h"
#include "guest/power_callers.h"

#define LOGIND         "org.freedesktop.login1"
#define LOGIND_PATH    "/org/freedesktop/login1"
#define LOGIND_MANAGER LOGIND ".Manager"
#define SYSTEMD        "org.freedesktop.systemd1"
#define SYSTEMD_PATH   "/org/freedesktop/systemd1"
#define PROPERTIES     "org.freedesktop.DBus.Properties"

/* logind's own flags. */
#define ROOT_CHECKS_INHIBITORS UINT64_C(1)
#define SKIPS_INHIBITORS       (UINT64_C(1) << 4)

static const struct kind {
	const char *method, *can;
	const char *schedule; /* logind's word for it */
	const char *what;     /* what inhibits it */
} kinds[POWER_ACTIONS] = {
	[POWER_OFF] = {"PowerOffWithFlags", "CanPowerOff", "poweroff",
		       "shutdown"},
	[POWER_REBOOT] = {"RebootWithFlags", "CanReboot", "reboot", "shutdown"},
	[POWER_HALT] = {"HaltWithFlags", "CanHalt", "halt", "shutdown"},
	[POWER_SUSPEND] = {"SuspendWithFlags", "CanSuspend", NULL, "sleep"},
	[POWER_HIBERNATE] = {"HibernateWithFlags", "CanHibernate", NULL,
			     "sleep"},
};

/* logind's words for what this project's interface calls otherwise. */
static const struct {
	const char *logind, *ours;
} types[] = {
	{"power-off", "power_off"}, {"poweroff", "power_off"},
	{"reboot", "reboot"},       {"halt", "halt"},
	{"kexec", "kexec"},         {"soft-reboot", "soft_reboot"},
	{"suspend", "suspend"},     {"hibernate", "hibernate"},
};

static struct logind {
	int inhibitor;    /* -1: none is held */
	const char *type; /* that logind itself told; static */
} ld = {.inhibitor = -1};

static struct ops_bus_name manager(const char *member)
{
	return (struct ops_bus_name){
		.service = LOGIND,
		.path = LOGIND_PATH,
		.interface = LOGIND_MANAGER,
		.member = member,
	};
}

static const char *our_type(const char *logind)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].logind, logind) == 0)
			return types[i].ours;
	return NULL;
}

/* ---- inhibitors ---------------------------------------------------------- */

struct inhibitor {
	const char *what, *who, *why, *mode; /* the message's */
	uint32_t uid, pid;
};

/* Return: > 0: @ret is one. */
static int next_inhibitor(sd_bus_message *m, struct inhibitor *ret)
{
	return sd_bus_message_read(m, "(ssssuu)", &ret->what, &ret->who,
				   &ret->why, &ret->mode, &ret->uid, &ret->pid);
}

/* "block", and since systemd 257 "block-weak". */
static bool is_blocking(const struct inhibitor *i)
{
	return strncmp(i->mode, "block", 5) == 0;
}

static json_t *inhibitor_json(const struct inhibitor *i)
{
	return json_pack("{s:o,s:o,s:o,s:s,s:I,s:I}", "what",
			 op_text(i->what, POWER_WHO_MAX), "who",
			 op_text(i->who, POWER_WHO_MAX), "why",
			 op_text(i->why, POWER_REASON_MAX), "mode",
			 is_blocking(i) ? "block" : "delay", "uid",
			 (json_int_t)i->uid, "pid", (json_int_t)i->pid);
}

static void on_inhibitors(struct ops *o, struct op_call *call,
			  const struct ops_bus_answer *a, void *data)
{
	json_t *list = json_array();
	struct inhibitor i;
	int r;

	(void)o;
	(void)data;
	if (!call) {
		json_decref(list);
		return;
	}
	if (!a->m) {
		json_decref(list);
		ops_bus_refuse(call, a);
		return;
	}
	r = sd_bus_message_enter_container(a->m, 'a', "(ssssuu)");
	while (r >= 0 && json_array_size(list) < POWER_INHIBITORS_MAX &&
	       (r = next_inhibitor(a->m, &i)) > 0)
		json_array_append_new(list, inhibitor_json(&i));
	if (r < 0) {
		json_decref(list);
		op_failed(call, EBADMSG, "logind's answer makes no sense");
		return;
	}
	op_reply(call, json_pack("{s:o}", "inhibitors", list));
}

static void list_inhibitors(struct op_call *call)
{
	const struct ops_bus_name m = manager("ListInhibitors");

	ops_bus_call(op_ops(call), call, &m, on_inhibitors, NULL, NULL);
}

static bool word_in(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += len)
		if ((p == list || p[-1] == ':') &&
		    (p[len] == ':' || p[len] == '\0'))
			return true;
	return false;
}

/* Return: is there one in the way of @a? It is in @ret then. */
static bool find_blocking(sd_bus_message *m, enum power_action a,
			  struct inhibitor *ret)
{
	int r = sd_bus_message_enter_container(m, 'a', "(ssssuu)");

	for (int i = 0; r > 0 && i < POWER_INHIBITORS_MAX; i++) {
		r = next_inhibitor(m, ret);
		if (r > 0 && is_blocking(ret) &&
		    word_in(ret->what, kinds[a].what))
			return true;
	}
	return false;
}

/* ---- to do it ------------------------------------------------------------ */

/* What an answer is about: @data is a number, so nothing is to be freed. */
struct about {
	enum power_action a;
	bool ignore, old;
};

static void *pack(struct about x)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	return (void *)(uintptr_t)((unsigned int)x.a | (x.ignore ? 0x10u : 0u) |
				   (x.old ? 0x20u : 0u));
}

static struct about unpack(void *data)
{
	uintptr_t n = (uintptr_t)data;

	return (struct about){
		.a = (enum power_action)(n & 0xf),
		.ignore = (n & 0x10) != 0,
		.old = (n & 0x20) != 0,
	};
}

static void call_action(struct op_call *call, struct about x);

static void inhibited(struct op_call *call, const char *who, const char *why)
{
	power_refused();
	op_error(call, "Inhibited",
		 json_pack("{s:o,s:o}", "who", op_text(who, POWER_WHO_MAX),
			   "why", op_text(why, POWER_REASON_MAX)));
}

static void refuse(struct op_call *call, const struct ops_bus_answer *a)
{
	power_refused();
	ops_bus_refuse(call, a);
}

static void on_action(struct ops *o, struct op_call *call,
		      const struct ops_bus_answer *a, void *data)
{
	struct about x = unpack(data);

	(void)o;
	if (!call)
		return;
	if (a->m) {
		power_accepted(call);
	} else if (x.ignore && !x.old &&
		   strcmp(a->name, SD_BUS_ERROR_INVALID_ARGS) == 0) {
		/* Before systemd 255 root always skips them. */
		x.old = true;
		call_action(call, x);
	} else if (!x.ignore &&
		   strcmp(a->name, SD_BUS_ERROR_ACCESS_DENIED) == 0) {
		inhibited(call, "", a->text);
	} else {
		refuse(call, a);
	}
}

static void call_action(struct op_call *call, struct about x)
{
	const struct ops_bus_name m = manager(kinds[x.a].method);
	uint64_t flags = x.ignore ? SKIPS_INHIBITORS : ROOT_CHECKS_INHIBITORS;

	ops_bus_call(op_ops(call), call, &m, on_action, pack(x), "t",
		     x.old ? UINT64_C(0) : flags);
}

/* It is shown to the guest's users and stands in its journal; a logind that
 * does not take it does the rest all the same. */
static void set_wall_message(struct op_call *call, const char *text)
{
	const struct ops_bus_name m = manager("SetWallMessage");
	char buf[POWER_REASON_MAX + 1];

	op_cut(buf, sizeof(buf), text, strlen(text));
	ops_bus_call(op_ops(call), NULL, &m, ops_bus_done, NULL, "sb", buf, 1);
}

static void on_blocking(struct ops *o, struct op_call *call,
			const struct ops_bus_answer *a, void *data)
{
	struct about x = unpack(data);
	struct inhibitor i;

	(void)o;
	if (!call)
		return;
	if (!a->m)
		refuse(call, a);
	else if (find_blocking(a->m, x.a, &i))
		inhibited(call, i.who, i.why);
	else
		call_action(call, x);
}

static void act(struct op_call *call, enum power_action a, bool ignore)
{
	const struct ops_bus_name m = manager("ListInhibitors");
	struct about x = {.a = a, .ignore = ignore};

	if (a <= POWER_HALT && power_reason())
		set_wall_message(call, power_reason());
	/* logind itself only says that there is one. */
	if (ignore)
		call_action(call, x);
	else
		ops_bus_call(op_ops(call), call, &m, on_blocking, pack(x),
			     NULL);
}

/* ---- Can ----------------------------------------------------------------- */

static void on_can_inhibitors(struct ops *o, struct op_call *call,
			      const struct ops_bus_answer *a, void *data)
{
	struct about x = unpack(data);
	char detail[POWER_WHO_MAX + POWER_REASON_MAX + 4];
	struct inhibitor i;

	(void)o;
	if (!call)
		return;
	if (!a->m || !find_blocking(a->m, x.a, &i)) {
		op_reply(call, json_pack("{s:s}", "can", "yes"));
		return;
	}
	snprintf(detail, sizeof(detail), "%.255s: %.1023s", i.who, i.why);
	op_reply(call, json_pack("{s:s,s:o}", "can", "inhibited", "detail",
				 op_text(detail, POWER_DETAIL_MAX)));
}

static const struct {
	const char *said, *detail;
} noes[] = {
	{"na", "the kernel or the machine cannot"},
	{"no", "the guest's own policy forbids it"},
	{"challenge", "the guest's own policy wants a password"},
};

static void on_can(struct ops *o, struct op_call *call,
		   const struct ops_bus_answer *a, void *data)
{
	const struct ops_bus_name m = manager("ListInhibitors");
	const char *said, *detail = "logind says no";

	if (!call)
		return;
	if (!a->m) {
		ops_bus_refuse(call, a);
		return;
	}
	if (sd_bus_message_read(a->m, "s", &said) < 0)
		said = "";
	/* "inhibited" and the like came with systemd 257. */
	if (strcmp(said, "yes") == 0 || strncmp(said, "inhib", 5) == 0) {
		ops_bus_call(o, call, &m, on_can_inhibitors, data, NULL);
		return;
	}
	for (size_t i = 0; i < sizeof(noes) / sizeof(noes[0]); i++)
		if (strcmp(said, noes[i].said) == 0)
			detail = noes[i].detail;
	op_reply(call, json_pack("{s:s,s:s}", "can", "no", "detail", detail));
}

static void can(struct op_call *call, enum power_action a)
{
	const struct ops_bus_name m = manager(kinds[a].can);

	ops_bus_call(op_ops(call), call, &m, on_can,
		     pack((struct about){.a = a}), NULL);
}

/* ---- the schedule -------------------------------------------------------- */

static bool read_schedule(sd_bus_message *m, struct power_schedule *ret)
{
	const char *type, *ours;
	uint64_t at;

	*ret = (struct power_schedule){.action = POWER_ACTIONS};
	if (sd_bus_message_read(m, "v", "(st)", &type, &at) < 0)
		return false;
	ours = our_type(type);
	/* A "dry-" one only pretends; a year 584000 is no time. */
	if (ours && at > 0 && at <= INT64_MAX) {
		ret->action = power_action_of(ours);
		ret->time_us = at;
	}
	return true;
}

static void on_schedule(struct ops *o, struct op_call *call,
			const struct ops_bus_answer *a, void *data)
{
	struct power_schedule s;

	(void)data;
	if (a->given_up)
		return;
	if (!a->m) {
		if (call)
			ops_bus_refuse(call, a);
		return;
	}
	if (!read_schedule(a->m, &s)) {
		if (call)
			op_failed(call, EBADMSG,
				  "logind's answer makes no sense");
		return;
	}
	power_scheduled(o, &s, false, NULL);
	if (call)
		op_reply(call, json_pack("{s:o*}", "schedule",
					 power_schedule_json(&s)));
}

static void ask_schedule(struct ops *o, struct op_call *call)
{
	static const struct ops_bus_name get = {
		.service = LOGIND,
		.path = LOGIND_PATH,
		.interface = PROPERTIES,
		.member = "Get",
	};

	ops_bus_call(o, call, &get, on_schedule, NULL, "ss", LOGIND_MANAGER,
		     "ScheduledShutdown");
}

static void get_schedule(struct op_call *call)
{
	ask_schedule(op_ops(call), call);
}

struct scheduling {
	struct power_schedule s;
	char message[POWER_REASON_MAX + 1];
};

static void on_scheduled(struct ops *o, struct op_call *call,
			 const struct ops_bus_answer *a, void *data)
{
	struct scheduling *x = data;

	if (a->m)
		power_scheduled(o, &x->s, true, x->message);
	free(x);
	ops_bus_done(o, call, a, NULL);
}

static void schedule(struct op_call *call, const struct power_schedule *s,
		     const char *message)
{
	const struct ops_bus_name m = manager("ScheduleShutdown");
	struct scheduling *x = calloc(1, sizeof(*x));

	if (!x) {
		op_failed(call, ENOMEM, "");
		return;
	}
	x->s = *s;
	if (message) {
		op_cut(x->message, sizeof(x->message), message,
		       strlen(message));
		set_wall_message(call, message);
	}
	ops_bus_call(op_ops(call), call, &m, on_scheduled, x, "st",
		     kinds[s->action].schedule, s->time_us);
}

static void on_cancelled(struct ops *o, struct op_call *call,
			 const struct ops_bus_answer *a, void *data)
{
	const struct power_schedule none = {.action = POWER_ACTIONS};
	int was = 0;

	(void)data;
	if (!call)
		return;
	if (!a->m) {
		ops_bus_refuse(call, a);
		return;
	}
	if (sd_bus_message_read(a->m, "b", &was) < 0) {
		op_failed(call, EBADMSG, "logind's answer makes no sense");
		return;
	}
	power_scheduled(o, &none, true, NULL);
	op_reply(call, json_pack("{s:b}", "cancelled", was));
}

static void cancel(struct op_call *call)
{
	const struct ops_bus_name m = manager("CancelScheduledShutdown");

	ops_bus_call(op_ops(call), call, &m, on_cancelled, NULL, NULL);
}

/* ---- what is to come ----------------------------------------------------- */

static void release(struct ops *o)
{
	(void)o;
	if (ld.inhibitor >= 0)
		close(ld.inhibitor);
	ld.inhibitor = -1;
}

static void on_inhibit(struct ops *o, struct op_call *call,
		       const struct ops_bus_answer *a, void *data)
{
	int fd = -1;

	(void)o;
	(void)call;
	(void)data;
	if (ld.inhibitor >= 0)
		return;
	if (a->m && sd_bus_message_read(a->m, "h", &fd) >= 0 && fd >= 0)
		ld.inhibitor = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (ld.inhibitor < 0 && !a->given_up)
		log_info("ev=inhibit error=\"%s\": the host may miss the last "
			 "event",
			 a->name);
}

/* It belongs to us, not to the connection, and outlives logind. */
static void inhibit(struct ops *o)
{
	const struct ops_bus_name m = manager("Inhibit");

	if (ld.inhibitor >= 0)
		return;
	ops_bus_call(o, NULL, &m, on_inhibit, NULL, "ssss", "shutdown:sleep",
		     "vmchannel", "Tells the host first", "delay");
}

/* power_callers_fn: logind waits for our inhibitor meanwhile. */
static void begins(struct ops *o, bool sleep, const char *type,
		   const struct power_cause *cause)
{
	if (ld.type)
		type = ld.type;
	ld.type = NULL;
	if (sleep)
		power_sleep_begins(o, type, cause);
	else
		power_off_begins(o, type, cause);
	power_when_told(o, release);
}

static void on_prepare_for(struct ops *o, bool sleep, int start,
			   const char *type)
{
	if (start) {
		ld.type = type ? type : ld.type;
		power_callers_ask(o, sleep, begins);
		return;
	}
	if (sleep)
		power_sleep_ended(o);
	else
		power_off_cancelled(o);
	inhibit(o);
}

static void on_shutdown(struct ops *o, sd_bus_message *m, void *data)
{
	int start;

	(void)data;
	if (sd_bus_message_read(m, "b", &start) > 0)
		on_prepare_for(o, false, start, NULL);
}

static void on_sleep(struct ops *o, sd_bus_message *m, void *data)
{
	int start;

	(void)data;
	if (sd_bus_message_read(m, "b", &start) > 0)
		on_prepare_for(o, true, start, NULL);
}

/* Comes before the plain one, from logind that has it. */
static void on_shutdown_metadata(struct ops *o, sd_bus_message *m, void *data)
{
	const char *key, *type = NULL;
	int start, r;

	(void)data;
	if (sd_bus_message_read(m, "b", &start) <= 0 ||
	    sd_bus_message_enter_container(m, 'a', "{sv}") <= 0)
		return;
	while (!type && sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		r = sd_bus_message_read(m, "s", &key);
		if (r > 0 && strcmp(key, "type") == 0)
			r = sd_bus_message_read(m, "v", "s", &type);
		else if (r > 0)
			r = sd_bus_message_skip(m, "v");
		if (r <= 0 || sd_bus_message_exit_container(m) < 0)
			break;
	}
	on_prepare_for(o, false, start, type ? our_type(type) : NULL);
}

/* ---- the end of the boot ------------------------------------------------- */

/* systemd has many other things to tell. */
static void booted(struct ops *o, uint64_t us)
{
	static const struct ops_bus_name unsubscribe = {
		.service = SYSTEMD,
		.path = SYSTEMD_PATH,
		.interface = SYSTEMD ".Manager",
		.member = "Unsubscribe",
	};

	power_booted(o, us);
	ops_bus_call(o, NULL, &unsubscribe, ops_bus_done, NULL, NULL);
}

static void on_startup_finished(struct ops *o, sd_bus_message *m, void *data)
{
	uint64_t t[6];

	(void)data;
	/* firmware, loader, kernel, initrd, userspace, total */
	if (sd_bus_message_read(m, "tttttt", &t[0], &t[1], &t[2], &t[3], &t[4],
				&t[5]) > 0 &&
	    t[2] <= INT64_MAX / 4 && t[3] <= INT64_MAX / 4 &&
	    t[4] <= INT64_MAX / 4)
		booted(o, t[2] + t[3] + t[4]);
}

static void on_finish_time(struct ops *o, struct op_call *call,
			   const struct ops_bus_answer *a, void *data)
{
	uint64_t us;

	(void)call;
	(void)data;
	if (a->m && sd_bus_message_read(a->m, "v", "t", &us) > 0 && us > 0 &&
	    us <= INT64_MAX)
		booted(o, us);
}

/* It may have been before, or will be: systemd says so to who subscribed. */
static void ask_boot(struct ops *o)
{
	static const struct ops_bus_name subscribe = {
		.service = SYSTEMD,
		.path = SYSTEMD_PATH,
		.interface = SYSTEMD ".Manager",
		.member = "Subscribe",
	};
	static const struct ops_bus_name get = {
		.service = SYSTEMD,
		.path = SYSTEMD_PATH,
		.interface = PROPERTIES,
		.member = "Get",
	};

	if (ops_emitted(o, POWER ".BootComplete"))
		return;
	ops_bus_call(o, NULL, &subscribe, ops_bus_done, NULL, NULL);
	ops_bus_call(o, NULL, &get, on_finish_time, NULL, "ss",
		     SYSTEMD ".Manager", "FinishTimestampMonotonic");
}

/* ---- start and stop ------------------------------------------------------ */

static void on_up(struct ops *o, void *data)
{
	(void)data;
	inhibit(o);
	ask_boot(o);
	ask_schedule(o, NULL);
}

/* Somebody called for another one; logind answers us after him. */
static void look_at_schedule(struct ops *o)
{
	ask_schedule(o, NULL);
}

static const struct {
	struct ops_bus_name name;
	ops_bus_signal_fn *fn;
} signals[] = {
	{{LOGIND, LOGIND_PATH, LOGIND_MANAGER,
	  "PrepareForShutdownWithMetadata"},
	 on_shutdown_metadata},
	{{LOGIND, LOGIND_PATH, LOGIND_MANAGER, "PrepareForShutdown"},
	 on_shutdown},
	{{LOGIND, LOGIND_PATH, LOGIND_MANAGER, "PrepareForSleep"}, on_sleep},
	{{SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "StartupFinished"},
	 on_startup_finished},
};

static int start(struct ops *o)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(signals) / sizeof(signals[0]);
	     i++)
		r = ops_bus_watch(o, &signals[i].name, signals[i].fn, NULL);
	if (r == 0)
		r = ops_bus_on_up(o, on_up, NULL);
	if (r == 0)
		power_callers_start(o, look_at_schedule);
	return r;
}

static void stop(struct ops *o)
{
	release(o);
}

static const struct power_back_end back_end = {
	.start = start,
	.stop = stop,
	.act = act,
	.can = can,
	.schedule = schedule,
	.cancel = cancel,
	.get_schedule = get_schedule,
	.list_inhibitors = list_inhibitors,
};

const struct power_back_end *const power_logind = &back_end;
