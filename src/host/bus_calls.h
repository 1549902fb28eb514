/* SPDX-License-Identifier: MIT */
/*
 * bus_calls.h - the calls that QEMU makes, as a table
 */
#ifndef HOST_BUS_CALLS_H
#define HOST_BUS_CALLS_H

#include <stdbool.h>
#include <systemd/sd-bus.h>

struct bus;

/* bus_call() - answer the method call @m, or begin to.
 * Return: false if it was refused. */
bool bus_call(struct bus *b, sd_bus_message *m);

/* In bus.c. Return: 0 (answered now or later), -EBUSY, -EINVAL. */
int bus_on_save(struct bus *b, sd_bus_message *call);
int bus_on_load(struct bus *b, sd_bus_message *call);

#endif /* HOST_BUS_CALLS_H */
