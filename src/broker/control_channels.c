/* SPDX-License-Identifier: MIT */
/*
 * control_channels.c - List, Connect, Listen, Accept, Reject
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "broker/control.h"

/* Channels per reply of List: well within one message. */
#define LIST_CHUNK 256

/* ---- List -----------------------------------------------------------------
 */

enum {
	LIST_LOCAL,
	LIST_PEER,
	LIST_END
};

static json_t *json_channel(struct control_conn *c, const char *name,
			    bool peer_side, bool messages)
{
	struct policy_verdict v;

	creds_check(c->b, &c->creds, POLICY_CONNECT, name, &v);
	return json_pack("{s:s,s:s,s:b,s:b}", "name", name, "side",
			 peer_side ? "peer" : "local", "messages", messages,
			 "allowed", v.allowed);
}

/* Return: the next channel, or NULL after the last. */
static json_t *next_channel(struct control_conn *c)
{
	const char *name;
	uint32_t flags;

	while (c->phase == LIST_LOCAL) {
		const struct channel *ch;

		if (c->pos >= c->b->n_channels) {
			c->phase = LIST_PEER;
			c->pos = 0;
			break;
		}
		ch = &c->b->channels[c->pos++];
		if (ch->kind != CHANNEL_FREE)
			return json_channel(c, ch->name, false, ch->messages);
	}
	if (c->phase == LIST_PEER &&
	    vmc_name_next(c->b->session, &c->pos, &name, &flags))
		return json_channel(c, name, true,
				    (flags & VMC_NAME_MESSAGES) != 0);
	c->phase = LIST_END;
	return NULL;
}

static enum produced produce_list(struct control_conn *c)
{
	json_t *list = json_array();
	json_t *ch = NULL;
	bool last;

	while (json_array_size(list) < LIST_CHUNK && (ch = next_channel(c)))
		json_array_append_new(list, ch);
	last = c->phase == LIST_END;
	if (!last && !c->more) {
		json_decref(list);
		conn_error(
			c, "LimitReached",
			json_pack("{s:s,s:i}", "limit",
				  "channels in one reply: call with \"more\"",
				  "value", LIST_CHUNK));
		return PRODUCED_DONE;
	}
	conn_reply(c, json_pack("{s:o}", "channels", list), !last);
	return last ? PRODUCED_DONE : PRODUCED_MORE;
}

void method_list(struct control_call *call)
{
	if (!call_args(call, NULL, 0))
		return;
	call->c->phase = LIST_LOCAL;
	call->c->pos = 0;
	call->c->produce = produce_list;
}

/* ---- Connect, Listen --------------------------------------------------------
 */

/* @ret_follow: NULL if it is no parameter of the method. Return: false when the
 * call was answered. */
static bool channel_args(struct control_call *call, const char **ret_channel,
			 bool *ret_messages, bool *ret_follow)
{
	const struct arg args[] = {
		{"channel", ARG_STRING, false, ret_channel},
		{"messages", ARG_BOOL, true, ret_messages},
		{"follow", ARG_BOOL, true, ret_follow},
	};

	if (!call_args(call, args, ret_follow ? 3 : 2))
		return false;
	if (vmc_name_valid(*ret_channel, strlen(*ret_channel)))
		return true;
	call_error(call, "InvalidName",
		   json_pack("{s:s}", "channel", *ret_channel));
	return false;
}

/* A guest takes its programs along by itself. Return: false when the call was
 * answered. */
static bool may_follow(struct control_call *call)
{
	if (call->b->role == VMC_ROLE_HOST)
		return true;
	call_invalid(call, "follow");
	return false;
}

void method_connect(struct control_call *call)
{
	struct outgoing o = {
		.answer = STREAM_ANSWER_VARLINK,
		.fd = call->c->fd,
	};
	struct refusal why;

	if (!channel_args(call, &o.channel, &o.messages, &o.follow))
		return;
	if (o.follow && !may_follow(call))
		return;
	o.early = varlink_buf_rest(&call->c->in, &o.early_len);
	if (outgoing_open(call->b, &o, &call->c->creds, &why))
		control_take_fd(call->c);
	else
		call_refused(call, o.channel, &why);
}

static void not_added(struct control_call *call, const char *channel, int r)
{
	bool of_user = r == -EDQUOT;

	if (r == -EEXIST)
		call_error(call, "NameInUse",
			   json_pack("{s:s}", "channel", channel));
	else
		call_error(
			call, "LimitReached",
			json_pack("{s:s,s:i}", "limit",
				  of_user ? "channels-of-user" : "channels",
				  "value",
				  of_user ? CHANNELS_UID_MAX : CHANNELS_MAX));
}

void method_listen(struct control_call *call)
{
	const char *channel = NULL;
	struct policy_verdict v;
	bool messages = false;
	int r;

	if (!channel_args(call, &channel, &messages, NULL))
		return;
	creds_check(call->b, &call->c->creds, POLICY_LISTEN, channel, &v);
	if (!v.allowed) {
		call_error(call, "Denied",
			   json_pack("{s:s,s:s}", "channel", channel, "rule",
				     v.rule));
		return;
	}
	r = channel_add(call->b, &call->c->channel, CHANNEL_LISTENER, channel,
			messages, call->c->creds.who.uid);
	if (r < 0) {
		not_added(call, channel, r);
		return;
	}
	call->c->channel->conn = call->c;
	call->c->mode = CONTROL_LISTENING;
	call_continue(call, NULL);
}

void control_notify_stream(struct control_conn *c, const struct stream *st)
{
	char token[TOKEN_TEXT], id[STREAM_ID_MAX];

	token_text(st->token, token);
	stream_id_text(c->b, st->number, id);
	conn_reply(c,
		   json_pack("{s:s,s:s,s:o}", "token", token, "id", id,
			     "caller", json_caller(&st->caller)),
		   true);
	c->b->control_again = true;
}

/* ---- Accept, Reject
 * ---------------------------------------------------------- */

/* @ret_follow: NULL if it is no parameter of the method. Return: the stream, or
 * NULL when the call was answered. */
static struct stream *waiting_stream(struct control_call *call,
				     bool *ret_follow)
{
	const char *token = NULL;
	const struct arg args[] = {
		{"token", ARG_STRING, false, &token},
		{"follow", ARG_BOOL, true, ret_follow},
	};
	struct stream *st;

	if (!call_args(call, args, ret_follow ? 2 : 1))
		return NULL;
	if (ret_follow && *ret_follow && !may_follow(call))
		return NULL;
	st = incoming_by_token(call->b, token);
	/* The token is the right; the user is checked as well, so that a
	 * token that leaks into a log is of no use to others. */
	if (st && (creds_is_owner(call->b, &call->c->creds) ||
		   st->channel->uid == call->c->creds.who.uid))
		return st;
	call_error(call, "NoSuchToken", NULL);
	return NULL;
}

/* The caller went away: the stream waits on, under the token that the listener
 * knows. */
static void wait_on(struct control_conn *c, struct stream *st,
		    const uint8_t token[TOKEN_LEN])
{
	st->follow = false;
	memcpy(st->token, token, TOKEN_LEN);
	close(control_take_fd(c));
}

void method_accept(struct control_call *call)
{
	struct control_conn *c = call->c;
	struct broker *b = call->b;
	uid_t uid = c->creds.who.uid;
	const char *early;
	uint8_t waiting[TOKEN_LEN];
	bool follow = false;
	struct stream *st;
	size_t len;
	char *text;

	st = waiting_stream(call, &follow);
	if (!st)
		return;
	early = varlink_buf_rest(&c->in, &len);
	if (!stream_keep_early(st, early, len)) {
		call_error(
			call, "LimitReached",
			json_pack("{s:s,s:i}", "limit", "memory", "value", 0));
		return;
	}
	memcpy(waiting, st->token, TOKEN_LEN);
	st->follow = follow;
	if (follow)
		stream_make_token(st); /* a right of its own */
	text = control_id_reply_text(b, st, &len);
	if (control_send_now(c, text, len))
		incoming_take(b, st, control_take_fd(c), uid);
	else
		wait_on(c, st, waiting);
}

void method_reject(struct control_call *call)
{
	struct stream *st = waiting_stream(call, NULL);

	if (!st)
		return;
	incoming_refuse(call->b, st, VMC_REASON_DENIED);
	call_reply(call, NULL);
}
