/* SPDX-License-Identifier: MIT */
/*
 * power.h - org.vmchannel.Power between its rows and its back ends
 *
 * A row checks; a back end does it and says when the guest goes down or up;
 * op_power.c makes events of that, because it knows who asked.
 */
#ifndef GUEST_POWER_H
#define GUEST_POWER_H

#include <stdint.h>
#include <sys/types.h>

#include "guest/ops.h"

#define POWER "org.vmchannel.Power"

/* Of the interface file. */
#define POWER_REASON_MAX     1023
#define POWER_WHO_MAX        255
#define POWER_DETAIL_MAX     255
#define POWER_INHIBITORS_MAX 128

enum power_action {
	POWER_OFF,
	POWER_REBOOT,
	POWER_HALT,
	POWER_SUSPEND,
	POWER_HIBERNATE,
	POWER_ACTIONS, /* their number, and: none */
};

/* power_action_name() - of the interface file */
const char *power_action_name(enum power_action a);
/* power_action_of() - POWER_ACTIONS if there is none of that name */
enum power_action power_action_of(const char *name);

struct power_schedule {
	enum power_action action; /* POWER_ACTIONS: there is none */
	uint64_t time_us;
};

/* power_schedule_json() - {action, time_us}, or NULL if there is none */
json_t *power_schedule_json(const struct power_schedule *s);

struct power_back_end {
	int (*start)(struct ops *o);
	void (*stop)(struct ops *o);
	/* What the guest lacks for it, or NULL; the function may be NULL. */
	const char *(*lacks)(enum power_action a);
	/* Do it: power_accepted() when the guest takes it, or power_refused()
	 * and an error. */
	void (*act)(struct op_call *call, enum power_action a, bool ignore);
	void (*can)(struct op_call *call, enum power_action a);
	/* Each gives the call's reply. */
	void (*schedule)(struct op_call *call, const struct power_schedule *s,
			 const char *message);
	void (*cancel)(struct op_call *call);
	void (*get_schedule)(struct op_call *call);
	void (*list_inhibitors)(struct op_call *call);
};

extern const struct power_back_end power_kernel;
/* NULL without libsystemd. */
extern const struct power_back_end *const power_logind;

/* power_start() / power_stop() - of the interface, with that back end */
int power_start(struct ops *o, const struct power_back_end *back_end);
void power_stop(struct ops *o);

/* ---- what a back end tells ----------------------------------------------- */

/* Who, as far as the back end knows; what the host asked for is known here. */
struct power_cause {
	bool user; /* somebody in the guest: */
	uid_t uid;
	const char *reason; /* or NULL */
};

/* power_accepted() - reply to the call of act(), which is gone after */
void power_accepted(struct op_call *call);
/* power_refused() - the job was not begun; the call still wants its error */
void power_refused(void);
/* power_reason() - of the job that is under way, or NULL */
const char *power_reason(void);
/* power_off_begins() - PrepareForShutdown. @type: of that event's words, or
 * NULL: unknown; @cause: NULL: the system itself */
void power_off_begins(struct ops *o, const char *type,
		      const struct power_cause *cause);
/* power_off_cancelled() - and it does not after all */
void power_off_cancelled(struct ops *o);
/* The same for PrepareForSleep; @type may be NULL. */
void power_sleep_begins(struct ops *o, const char *type,
			const struct power_cause *cause);
void power_sleep_ended(struct ops *o);
/* power_scheduled() - ShutdownScheduled, if it is another than was known.
 * @by_host: it was asked for here, with that message */
void power_scheduled(struct ops *o, const struct power_schedule *s,
		     bool by_host, const char *message);
/* power_booted() - BootComplete, if it was not said in this boot */
void power_booted(struct ops *o, uint64_t duration_us);

/**
 * power_when_told() - call @fn when the host's broker can have the last event
 *
 * That is when the broker of the guest has taken all that was written to
 * subscribers, which it passes on at once; or after POWER_TELL_MS, because a
 * host that does not read must not keep the guest up.
 */
#define POWER_TELL_MS 500u
typedef void power_told_fn(struct ops *o);
void power_when_told(struct ops *o, power_told_fn *fn);

#endif /* GUEST_POWER_H */
