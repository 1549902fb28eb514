/* SPDX-License-Identifier: MIT */
/* events.h - how events are printed */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include <jansson.h>

/* events_print() - one Event of org.vmchannel.Broker. Return: as
 * cli_print_json(). */
int events_print(const char *vm, const json_t *event);

/* events_note() - an event of the monitor's own, about its subscription */
void events_note(const char *vm, const char *type, const char *text);

#endif /* CLI_EVENTS_H */
