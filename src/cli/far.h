/* SPDX-License-Identifier: MIT */
/* far.h - stdin, stdout, stderr, terminal and signals for a command far away */
#ifndef CLI_FAR_H
#define CLI_FAR_H

#include "cli/opstream.h"

/**
 * far_run() - until the command has ended
 * @s: of Exec's methods; consumed
 * @tty: the command has a terminal
 *
 * Return: the command's exit status, 128 + N if signal N killed it;
 * 128 + SIGPIPE if nobody reads its output any more; or CLI_FAILED, reported.
 */
int far_run(struct opstream *s, bool tty);

#endif /* CLI_FAR_H */
