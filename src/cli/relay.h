/* SPDX-License-Identifier: MIT */
/* relay.h - join stdin and stdout with a stream */
#ifndef CLI_RELAY_H
#define CLI_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include <vmchannel/vmchannel.h>

/* What relay_run() saw, for relay_result(). */
struct relay_sum {
	uint64_t sent;  /* bytes that the stream took from us */
	bool left_over; /* bytes of stdin that it did not take */
};

/**
 * relay_run() - carry bytes both ways until the stream has ended
 * @stream:   consumed
 * @messages: each line of stdin is a message, each message a line on stdout
 *
 * The end of stdin half-closes the stream; the stream's end closes stdout.
 *
 * Return: CLI_OK when the stream ended; 128 + SIGPIPE if nobody reads stdout
 * any more; or the exit status after an error of this side's, reported.
 */
int relay_run(int stream, bool messages, struct relay_sum *ret);

/**
 * relay_wait_for_end() - ask the broker about a stream until it has ended
 *
 * For 30 s; then @ret says that it has not.
 *
 * Return: 0, or the negative errno of the last question.
 */
int relay_wait_for_end(const char *vm, const char *id, struct vmc_status *ret);

/**
 * relay_result() - ask the broker how the stream ended
 *
 * Return: CLI_OK for an orderly end at which the other side had taken all
 * that was sent; else CLI_FAILED, reported.
 */
int relay_result(const char *vm, const char *id, const struct relay_sum *sum);

#endif /* CLI_RELAY_H */
