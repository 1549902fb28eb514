/* SPDX-License-Identifier: MIT */
/*
 * outgoing.c - a local program wants a channel of the peer
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/control.h"
#include "broker/internal.h"

/* One user other than the owner may hold this part of all streams. */
#define UID_SHARE 2

static bool refuse(struct broker *b, struct refusal *ret, unsigned int reason)
{
	b->count.connects_refused++;
	ret->reason = reason;
	return false;
}

static bool refuse_limit(struct broker *b, struct refusal *ret,
			 const char *limit, uint64_t value)
{
	ret->limit = limit;
	ret->value = value;
	return refuse(b, ret, VMC_REASON_LIMIT);
}

static bool uid_is_full(struct broker *b, const struct creds *c)
{
	if (creds_is_owner(b, c))
		return false;
	if (streams_from_uid(b, c->who.uid) < b->max_streams / UID_SHARE)
		return false;
	b->count.limit_streams_uid++;
	return true;
}

static bool open_session_stream(struct broker *b, struct stream *st,
				const struct creds *c, unsigned int weight,
				struct refusal *ret)
{
	int r = vmc_stream_open(b->session, &st->h, st->name,
				st->messages ? VMC_OPEN_MESSAGES : 0, &c->who,
				st->owner, weight, broker_now_us());

	if (r == VMC_ERR_NOT_UP)
		return refuse(b, ret, VMC_REASON_NO_PEER);
	if (r == VMC_ERR_LIMIT)
		return refuse_limit(b, ret, "streams", b->max_streams);
	if (r < 0)
		return refuse(b, ret, VMC_REASON_PROTOCOL);
	vmc_stream_set_cookie(b->session, st->h, stream_ref(b, st));
	return true;
}

static bool open_slot(struct broker *b, const struct outgoing *o,
		      const struct creds *c, unsigned int weight,
		      struct refusal *ret)
{
	struct stream *st = stream_new(b, STREAM_OPENING);

	if (!st)
		return refuse_limit(b, ret, "streams", b->max_streams);
	st->outgoing = true;
	st->answer = o->answer;
	st->messages = o->messages;
	st->follow = o->follow;
	if (st->follow)
		stream_make_token(st);
	st->caller = c->who;
	st->local_uid = c->who.uid;
	st->owner = principal_key(&c->who);
	strcpy(st->name, o->channel);
	if (!stream_keep_early(st, o->early, o->early_len)) {
		stream_drop(b, st);
		return refuse_limit(b, ret, "memory", 0);
	}
	if (!open_session_stream(b, st, c, weight, ret)) {
		stream_drop(b, st);
		return false;
	}
	st->fd = o->fd;
	st->writable = true;
	if (st->early)
		vmc_stream_ready(b->session, st->h);
	if (stream_watch(b, st) < 0)
		stream_reset(b, st, VMC_REASON_LIMIT);
	return true;
}

bool outgoing_open(struct broker *b, const struct outgoing *o,
		   const struct creds *c, struct refusal *ret)
{
	struct policy_verdict v;

	b->count.connects++;
	*ret = (struct refusal){.reason = VMC_REASON_OK};
	creds_check(b, c, POLICY_CONNECT, o->channel, &v);
	if (!v.allowed) {
		memcpy(ret->rule, v.rule, sizeof(ret->rule));
		return refuse(b, ret, VMC_REASON_DENIED);
	}
	if (!b->up || b->stopping)
		return refuse(b, ret, VMC_REASON_NO_PEER);
	if (uid_is_full(b, c))
		return refuse_limit(b, ret, "streams-of-user",
				    b->max_streams / UID_SHARE);
	return open_slot(b, o, c, v.weight, ret);
}

/* The socket is new and empty, so an answer fits at once or never. */
static bool send_all(int fd, const char *text, size_t len)
{
	return send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static bool answer_line(struct broker *b, const struct stream *st)
{
	char id[STREAM_ID_MAX], line[STREAM_ID_MAX + sizeof("OK \n")];
	int len;

	stream_id_text(b, st->number, id);
	len = snprintf(line, sizeof(line), "OK %s\n", id);
	return send_all(st->fd, line, (size_t)len);
}

static bool answer_varlink(struct broker *b, const struct stream *st)
{
	size_t len;
	char *text = control_id_reply_text(b, st, &len);
	bool ok = text && send_all(st->fd, text, len);

	free(text);
	return ok;
}

void outgoing_answered(struct broker *b, struct stream *st)
{
	bool ok = true;

	if (st->answer == STREAM_ANSWER_LINE)
		ok = answer_line(b, st);
	else if (st->answer == STREAM_ANSWER_VARLINK)
		ok = answer_varlink(b, st);
	if (!ok)
		stream_reset(b, st, VMC_REASON_APP_GONE);
	else
		stream_opened(b, st);
}

void outgoing_refused(struct broker *b, struct stream *st, unsigned int reason)
{
	struct refusal why = {.reason = reason};
	char line[CONNECT_LINE_MAX];
	size_t len;
	char *text;
	int n;

	b->count.connects_refused++;
	if (st->answer == STREAM_ANSWER_LINE) {
		n = snprintf(line, sizeof(line), "ERR %s %s\n",
			     vmc_reason_name(reason), vmc_reason_text(reason));
		send_all(st->fd, line, (size_t)n);
		return;
	}
	text = control_refusal_text(st->name, &why,
				    st->answer == STREAM_ANSWER_CALL, &len);
	if (text)
		send_all(st->fd, text, len);
	free(text);
}
