/* SPDX-License-Identifier: MIT */
/*
 * power_callers.h - who asked logind for what
 *
 * logind's signals do not say, and before systemd 254 not even what is to
 * come. The calls do, and root may see them; the bus shows a call to its
 * monitors before logind gets it.
 */
#ifndef GUEST_POWER_CALLERS_H
#define GUEST_POWER_CALLERS_H

#include "guest/power.h"

/* power_callers_start() - @on_schedule is called when somebody has called for
 * another schedule, or for none */
void power_callers_start(struct ops *o, void (*on_schedule)(struct ops *o));

/**
 * power_callers_ask() - whose is what logind begins just now?
 * @fn: called once, now or when the bus has answered; @type is NULL if that
 *      is not known, @cause NULL if it was nobody who calls
 */
typedef void power_callers_fn(struct ops *o, bool sleep, const char *type,
			      const struct power_cause *cause);
void power_callers_ask(struct ops *o, bool sleep, power_callers_fn *fn);

#endif /* GUEST_POWER_CALLERS_H */
