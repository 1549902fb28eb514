/* SPDX-License-Identifier: MIT */
/* stream.c - vmc_connect() and vmc_stream_status() */
#include "client/stream.h"

#include <errno.h>
#include <string.h>

#include "client/error.h"
#include "client/fields.h"
#include "client/replies.h"

int stream_check_channel(const char *channel)
{
	size_t len = channel ? strlen(channel) : 0;

	/* The broker knows the whole rule; this keeps what it could not even
	 * be told (a text that is not UTF-8) out of the message. */
	for (size_t i = 0; i < len; i++)
		if (channel[i] < 0x21 || channel[i] > 0x7e)
			len = 0;
	if (len >= 1 && len <= VMC_NAME_MAX)
		return 0;
	return client_fail(EINVAL,
			   "'%.80s' cannot be a channel's name: use letters, "
			   "digits, '_' and '-' in labels joined by single "
			   "dots, at most %d characters",
			   channel ? channel : "", VMC_NAME_MAX);
}

int stream_bad_reply(const struct client_conn *c, const char *method)
{
	return client_fail(
		EPROTO,
		"%s: the broker's answer to %s lacks a member or has "
		"one of the wrong type; do its version and this "
		"library's (%s) fit?",
		c->vm, method, VMC_VERSION);
}

int stream_upgrade(const char *vm, const char *channel, const char *method,
		   json_t *parameters, uint64_t deadline, char *ret_id)
{
	struct client_conn c;
	struct varlink_msg m;
	char id[VMC_ID_MAX];
	int r;

	r = client_ask(&c, vm, channel, method, parameters, CLIENT_UPGRADE, &m,
		       deadline);
	if (r)
		return r;
	if (!fields_string(m.parameters, "id", true, id, sizeof(id)) ||
	    id[0] == '\0')
		r = stream_bad_reply(&c, method);
	varlink_msg_done(&m);
	if (r) {
		client_done(&c);
		return r;
	}
	if (ret_id)
		memcpy(ret_id, id, sizeof(id));
	return client_release(&c);
}

int stream_connect(const char *vm, const char *channel, unsigned int flags,
		   uint64_t deadline, char *ret_id)
{
	int r = stream_check_channel(channel);

	if (r)
		return r;
	if (flags & ~VMC_MESSAGES)
		return client_fail(EINVAL, "vmc_connect: unknown flags 0x%x",
				   flags);
	return stream_upgrade(vm, channel, BROKER "Connect",
			      json_pack("{s:s,s:b}", "channel", channel,
					"messages",
					(flags & VMC_MESSAGES) != 0),
			      deadline, ret_id);
}

int vmc_connect(const char *vm, const char *channel, unsigned int flags,
		int timeout_ms, char *ret_id)
{
	return stream_connect(vm, channel, flags, client_deadline(timeout_ms),
			      ret_id);
}

int vmc_stream_status(const char *vm, const char *id, struct vmc_status *ret)
{
	struct client_conn c;
	struct varlink_msg m;
	struct vmc_status status;
	int r;

	if (!id || strlen(id) >= VMC_ID_MAX || stream_check_channel(id))
		return client_fail(EINVAL, "'%.80s' cannot be a stream's id",
				   id ? id : "");
	r = client_ask(&c, vm, NULL, BROKER "StreamStatus",
		       json_pack("{s:s}", "id", id), CLIENT_PLAIN, &m,
		       client_deadline(CLIENT_LOCAL_MS));
	if (r)
		return r;
	if (reply_status(m.parameters, &status))
		*ret = status;
	else
		r = stream_bad_reply(&c, BROKER "StreamStatus");
	varlink_msg_done(&m);
	client_done(&c);
	return r;
}
