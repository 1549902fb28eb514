/* SPDX-License-Identifier: MIT */
/* stream.c - vmc_connect() and vmc_stream_status() */
#include "client/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/fields.h"
#include "client/follow.h"
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

/* The id of a reply, and the token if one was asked for. */
static bool read_ids(const json_t *o, char id[VMC_ID_MAX], char *ret_token)
{
	return fields_string(o, "id", true, id, VMC_ID_MAX) && id[0] != '\0' &&
	       (!ret_token ||
		(fields_string(o, "token", true, ret_token, REPLY_TOKEN_SIZE) &&
		 ret_token[0] != '\0'));
}

/* Return: 0, and @c carries the stream. */
static int upgrade(struct client_conn *c, const char *vm, const char *channel,
		   const char *method, json_t *parameters, uint64_t deadline,
		   char id[VMC_ID_MAX], char *ret_token)
{
	struct varlink_msg m;
	int r = client_ask(c, vm, channel, method, parameters, CLIENT_UPGRADE,
			   &m, deadline);

	if (r)
		return r;
	if (!read_ids(m.parameters, id, ret_token))
		r = stream_bad_reply(c, method);
	varlink_msg_done(&m);
	if (r)
		client_done(c);
	return r;
}

static int follow(const char *vm, const char *channel, const char *method,
		  json_t *parameters, uint64_t deadline, char id[VMC_ID_MAX])
{
	struct follow *f = calloc(1, sizeof(*f));
	int r;

	if (!f) {
		json_decref(parameters);
		return client_fail(ENOMEM, "%s: out of memory", vm);
	}
	r = upgrade(&f->conn, vm, channel, method, parameters, deadline, f->id,
		    f->token);
	if (r) {
		free(f);
		/* "follow" is what a guest's broker, or an old one, takes for
		 * an invalid parameter. */
		return r != -EPROTO
			       ? r
			       : client_fail(EPROTO,
					     "%s: its broker cannot let '%s' "
					     "follow a VM: that is for the "
					     "host's side, and vmchanneld must "
					     "not be older than this (%s)",
					     vm, channel, VMC_VERSION);
	}
	memcpy(id, f->id, VMC_ID_MAX);
	memcpy(f->vm, f->conn.vm, sizeof(f->vm));
	memcpy(f->channel, f->conn.channel, sizeof(f->channel));
	return follow_start(f);
}

int stream_upgrade(const char *vm, const char *channel, const char *method,
		   json_t *parameters, unsigned int flags, uint64_t deadline,
		   char *ret_id)
{
	struct client_conn c;
	char id[VMC_ID_MAX];
	int r;

	if (flags & VMC_FOLLOW) {
		json_object_set_new(parameters, "follow", json_true());
		r = follow(vm, channel, method, parameters, deadline, id);
	} else {
		r = upgrade(&c, vm, channel, method, parameters, deadline, id,
			    NULL);
		if (r == 0)
			r = client_release(&c);
	}
	if (r >= 0 && ret_id)
		memcpy(ret_id, id, sizeof(id));
	return r;
}

int stream_connect(const char *vm, const char *channel, unsigned int flags,
		   uint64_t deadline, char *ret_id)
{
	int r = stream_check_channel(channel);

	if (r)
		return r;
	if (flags & ~(VMC_MESSAGES | VMC_FOLLOW))
		return client_fail(EINVAL, "vmc_connect: unknown flags 0x%x",
				   flags);
	return stream_upgrade(vm, channel, BROKER "Connect",
			      json_pack("{s:s,s:b}", "channel", channel,
					"messages",
					(flags & VMC_MESSAGES) != 0),
			      flags, deadline, ret_id);
}

int vmc_connect(const char *vm, const char *channel, unsigned int flags,
		int timeout_ms, char *ret_id)
{
	return stream_connect(vm, channel, flags, client_deadline(timeout_ms),
			      ret_id);
}

/* A stream that followed its VM is known where it is now. */
static int dial_status(struct client_conn *c, const char *vm, const char *id,
		       uint64_t deadline, struct vmc_status *ret,
		       pid_t *ret_child)
{
	struct place at;

	*ret_child = 0;
	switch (followed_find(vm, id, &at, ret)) {
	case FOLLOWED_OTHER:
		return client_dial(c, vm, NULL, deadline);
	case FOLLOWED_AT:
		return place_dial(c, &at, vm, NULL, deadline, ret_child);
	case FOLLOWED_FAILED:
		break;
	}
	return 1;
}

static int ask_status(struct client_conn *c, const char *id, uint64_t deadline,
		      struct vmc_status *ret)
{
	struct varlink_msg m;
	struct vmc_status status;
	int r = client_send_call(c, BROKER "StreamStatus",
				 json_pack("{s:s}", "id", id), CLIENT_PLAIN,
				 deadline);

	if (!r)
		r = client_recv_ok(c, &m, deadline);
	if (r)
		return r;
	if (reply_status(m.parameters, &status))
		*ret = status;
	else
		r = stream_bad_reply(c, BROKER "StreamStatus");
	varlink_msg_done(&m);
	return r;
}

int vmc_stream_status(const char *vm, const char *id, struct vmc_status *ret)
{
	uint64_t deadline = client_deadline(CLIENT_LOCAL_MS);
	struct vmc_status failed;
	struct client_conn c;
	pid_t child;
	int r;

	if (!id || strlen(id) >= VMC_ID_MAX || stream_check_channel(id))
		return client_fail(EINVAL, "'%.80s' cannot be a stream's id",
				   id ? id : "");
	r = dial_status(&c, vm, id, deadline, &failed, &child);
	if (r == 1)
		*ret = failed;
	if (r)
		return r < 0 ? r : 0;
	r = ask_status(&c, id, deadline, ret);
	place_end(&c, child, false);
	return r;
}
