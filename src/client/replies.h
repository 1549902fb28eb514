/* SPDX-License-Identifier: MIT */
/*
 * replies.h - the broker's replies, taken apart
 *
 * Pure: a reply's parameters in, a checked structure out. Each returns false
 * for a reply that lacks a member or has one of the wrong type or size; what
 * it was to fill is then of no use.
 */
#ifndef CLIENT_REPLIES_H
#define CLIENT_REPLIES_H

#include <jansson.h>
#include <stdbool.h>

#include <vmchannel/vmchannel.h>

#define REPLY_INSTANCE_SIZE 64  /* with the NUL: an id of the broker's start */
#define REPLY_TOKEN_SIZE    128 /* same: what Accept() wants back */

/* reply_event() - of Monitor() */
bool reply_event(const json_t *parameters,
		 char ret_instance[REPLY_INSTANCE_SIZE],
		 struct vmc_monitor_event *ret);

/* reply_status() - of StreamStatus() */
bool reply_status(const json_t *parameters, struct vmc_status *ret);

/* reply_offer() - of Listen(): somebody connects */
bool reply_offer(const json_t *parameters, char ret_token[REPLY_TOKEN_SIZE],
		 struct vmc_caller *ret);

#endif /* CLIENT_REPLIES_H */
