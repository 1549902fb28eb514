/* SPDX-License-Identifier: MIT */
/* signals.h - signals of a command that runs far away */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>

/**
 * signals_catch() - from now on signals are for the command
 * @tty: it has a terminal, whose keys are not signals here: one that would
 *       end us does, after the terminal was put back. Without: the first of
 *       SIGINT, SIGTERM, SIGHUP and SIGQUIT is the command's, the next one
 *       ours.
 *
 * Return: a descriptor that becomes readable, or a negative errno.
 */
int signals_catch(bool tty);

/* signals_next() - one that came: of those four, SIGWINCH, SIGCONT, SIGTSTP;
 * 0: none */
int signals_next(void);

/* signals_stop() - be stopped, as by SIGTSTP; returns when it goes on */
void signals_stop(void);

/* signals_release() - signals are ours again */
void signals_release(void);

#endif /* CLI_SIGNALS_H */
