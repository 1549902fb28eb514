/* SPDX-License-Identifier: MIT */
/* interrupt.h - last words of a command that a signal ends */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/**
 * interrupt_say() - what is said if SIGINT, SIGTERM or SIGHUP ends the command
 * from now on
 * @fmt: one line; NULL: nothing, as before
 *
 * The command still ends by the signal, and with it its streams, which cancels
 * the calls on them. A signal that is ignored stays so.
 */
void interrupt_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* CLI_INTERRUPT_H */
