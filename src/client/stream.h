/* SPDX-License-Identifier: MIT */
/* stream.h - a control connection that becomes a stream */
#ifndef CLIENT_STREAM_H
#define CLIENT_STREAM_H

#include "client/conn.h"

/* Does @channel look like a name? 0, or -EINVAL with vmc_strerror() set. */
int stream_check_channel(const char *channel);

/* stream_connect() - vmc_connect() with a deadline */
int stream_connect(const char *vm, const char *channel, unsigned int flags,
		   uint64_t deadline, char *ret_id);

/**
 * stream_upgrade() - call a method with "upgrade" and take the descriptor
 * @parameters: consumed
 * @flags:      VMC_FOLLOW: a relay goes before it
 * @ret_id:     VMC_ID_MAX bytes or NULL
 *
 * Return: the descriptor or a negative errno.
 */
int stream_upgrade(const char *vm, const char *channel, const char *method,
		   json_t *parameters, unsigned int flags, uint64_t deadline,
		   char *ret_id);

/* stream_bad_reply() - -EPROTO for a reply whose members do not fit */
int stream_bad_reply(const struct client_conn *c, const char *method);

#endif /* CLIENT_STREAM_H */
