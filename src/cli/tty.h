/* SPDX-License-Identifier: MIT */
/*
 * tty.h - the terminal that stdin is, while a command far away has it
 *
 * Every way out but SIGKILL puts it back: exit() by itself, signals through
 * signals.h.
 */
#ifndef CLI_TTY_H
#define CLI_TTY_H

#include <stdbool.h>

#include "base/opframe.h"

/* tty_raw() - every key becomes a byte and nothing else; false: stdin is no
 * terminal, or somebody else's at the moment */
bool tty_raw(void);

/* tty_restore() - as it was before tty_raw(); may be called at any time, also
 * by a signal handler */
void tty_restore(void);

/* tty_size() - of the terminal that stdin, stdout or stderr is; 24 by 80 if
 * none is, or it does not know */
void tty_size(struct opframe_size *ret);

#endif /* CLI_TTY_H */
