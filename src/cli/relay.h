/* SPDX-License-Identifier: MIT */
/* relay.h - join stdin and stdout with a stream */
#ifndef CLI_RELAY_H
#define CLI_RELAY_H

#include <stdbool.h>

/**
 * relay_run() - carry bytes both ways until the stream has ended
 * @stream:   consumed
 * @messages: each line of stdin is a message, each message a line on stdout
 *
 * The end of stdin half-closes the stream; the stream's end closes stdout.
 *
 * Return: CLI_OK when the stream ended, or the exit status after an error of
 * this side's that was reported.
 */
int relay_run(int stream, bool messages);

/**
 * relay_result() - ask the broker how the stream ended
 *
 * Return: CLI_OK for an orderly end, else CLI_FAILED, reported.
 */
int relay_result(const char *vm, const char *id);

#endif /* CLI_RELAY_H */
