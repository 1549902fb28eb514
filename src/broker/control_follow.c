/* SPDX-License-Identifier: MIT */
/*
 * control_follow.c - Resume: a program takes up its stream where its VM runs
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/control.h"

struct stream *control_find_token(struct broker *b, unsigned int states,
				  const uint8_t token[TOKEN_LEN])
{
	struct stream *found = NULL;

	/* All are looked at: time tells nothing. */
	for (uint32_t i = 0; i < b->n_slots; i++) {
		struct stream *st = &b->streams[i];

		if ((states & 1u << st->state) && st->follow &&
		    token_equal(st->token, token))
			found = st;
	}
	return found;
}

static void refuse(struct control_conn *c, unsigned int reason,
		   const char *channel)
{
	conn_error(c, "Refused",
		   json_pack("{s:s,s:s}", "channel", channel, "reason",
			     vmc_reason_name(reason)));
}

static void deny(struct control_conn *c, const char *rule, const char *channel)
{
	conn_error(c, "Denied",
		   json_pack("{s:s,s:s}", "channel", channel, "rule", rule));
}

void control_no_such_token(struct control_conn *c)
{
	const struct stream_record *rec =
		status_find_token(c->b->status, c->resume.token);

	/* It has ended: that program may know how. */
	if (rec) {
		refuse(c, rec->reason, rec->channel);
		return;
	}
	conn_error(c, "NoSuchToken", NULL);
	/* It has not left: no guess, only in vain. */
	if (control_find_token(c->b, ~(1u << STREAM_FREE), c->resume.token))
		return;
	c->b->count.wrong_tokens++;
	/* What was said goes out first; nothing more is heard. */
	if (++c->wrong_tokens >= WRONG_TOKENS_MAX)
		c->last = true;
}

/* Bytes of the program that were taken; those that came with its call were,
 * though they may not have been passed on yet. */
static uint64_t consumed(const struct broker *b, const struct stream *st)
{
	struct vmc_stream_info info = {0};

	vmc_stream_get_info(b->session, st->h, &info);
	return info.bytes_out + st->early_len - st->early_off;
}

/* All that was delivered arrived, and nothing that is missing is lost. */
static bool continues(const struct broker *b, const struct stream *st,
		      const struct resume_call *call)
{
	uint64_t taken = consumed(b, st);

	if (call->received != st->delivered ||
	    (call->received_end && !st->rx_done) || taken > call->sent)
		return false;
	/* The peer wants no more, so no more is needed. */
	if (st->tx_stopped)
		return true;
	if (st->tx_done)
		return call->sent_end && taken == call->sent;
	return taken >= call->kept;
}

/* Return: OK, or why this caller may not have it. */
static unsigned int judge(struct control_conn *c, const struct stream *st,
			  struct policy_verdict *v)
{
	/* The rules of here, for whoever calls here. */
	creds_check(c->b, &c->creds,
		    st->outgoing ? POLICY_CONNECT : POLICY_LISTEN, st->name, v);
	if (!v->allowed)
		return VMC_REASON_DENIED;
	return continues(c->b, st, &c->resume) ? VMC_REASON_OK
					       : VMC_REASON_SESSION_LOST;
}

static char *reply_text(const struct control_conn *c, const struct stream *st,
			size_t *ret_len)
{
	char id[STREAM_ID_MAX];
	json_t *params;
	char *text;

	stream_id_text(c->b, st->number, id);
	params = json_pack("{s:s,s:I,s:b,s:b}", "id", id, "consumed",
			   (json_int_t)consumed(c->b, st), "received_end",
			   st->rx_done, "consumed_end", st->tx_done);
	text = varlink_reply_text(NULL, params, false, ret_len);
	json_decref(params);
	return text;
}

static void go_on(struct broker *b, struct stream *st, int fd)
{
	st->fd = fd;
	st->writable = st->drain = true;
	b->count.resumed++;
	if (stream_watch(b, st) < 0) {
		stream_reset(b, st, VMC_REASON_LIMIT);
		return;
	}
	if (st->rx_done)
		shutdown(fd, SHUT_WR);
	if (st->tx_done)
		shutdown(fd, SHUT_RD);
	else
		vmc_stream_ready(b->session, st->h);
	stream_opened(b, st);
}

static void resume(struct control_conn *c)
{
	struct broker *b = c->b;
	struct stream *st =
		control_find_token(b, 1u << STREAM_AWAITED, c->resume.token);
	struct policy_verdict v;
	unsigned int reason;
	size_t len = 0;
	char *text;
	uid_t uid;

	c->mode = CONTROL_CALLS;
	if (st && c->resume.has_save &&
	    memcmp(c->resume.save, b->loaded_id, sizeof(b->loaded_id)) != 0) {
		/* An older copy of the stream, from a file perhaps. The call
		 * is of one that may go on where it was. */
		conn_error(c, "NoSuchToken", NULL);
		return;
	}
	if (!st) {
		control_no_such_token(c);
		return;
	}
	reason = judge(c, st, &v);
	if (reason != VMC_REASON_OK) {
		if (reason == VMC_REASON_DENIED)
			deny(c, v.rule, st->name);
		else
			refuse(c, reason, st->name);
		stream_reset(b, st, reason);
		pump_kick(b);
		return;
	}
	uid = c->creds.who.uid;
	text = reply_text(c, st, &len);
	if (!control_send_now(c, text, len)) {
		/* It may have part of the answer: nobody can go on from
		 * there. */
		close(control_take_fd(c));
		stream_reset(b, st, VMC_REASON_APP_GONE);
		return;
	}
	st->local_uid = uid;
	go_on(b, st, control_take_fd(c));
	pump_kick(b);
}

static unsigned int resumes_waiting(const struct broker *b)
{
	unsigned int n = 0;

	for (const struct control_conn *c = b->control.list; c; c = c->next)
		n += c->mode == CONTROL_RESUMING;
	return n;
}

/* Its program had nothing left to do when it came here: how it ends will be
 * known soon. */
static bool ends_by_itself(const struct stream *st)
{
	return st && st->fd < 0 && st->rx_done && st->tx_done;
}

/* The stream may not be here yet, or its VM may not run here yet. */
static bool must_wait(const struct control_conn *c)
{
	struct broker *b = c->b;

	return b->frozen || b->expecting ||
	       ends_by_itself(control_find_token(b, 1u << STREAM_OPEN,
						 c->resume.token));
}

static void wait_for_stream(struct control_conn *c)
{
	struct broker *b = c->b;

	if (resumes_waiting(b) >= RESUMES_MAX) {
		b->count.limit_resumes++;
		conn_error(c, "LimitReached",
			   json_pack("{s:s,s:i}", "limit", "resumes", "value",
				     RESUMES_MAX));
		return;
	}
	c->mode = CONTROL_RESUMING;
	c->resume.since_ms = broker_now_us() / 1000u;
	broker_sweep_need(b);
}

void method_resume(struct control_call *call)
{
	struct control_conn *c = call->c;
	const char *token = NULL, *save = NULL;
	const struct arg args[] = {
		{"token", ARG_STRING, false, &token},
		{"received", ARG_UINT, false, &c->resume.received},
		{"received_end", ARG_BOOL, false, &c->resume.received_end},
		{"sent", ARG_UINT, false, &c->resume.sent},
		{"sent_end", ARG_BOOL, false, &c->resume.sent_end},
		{"kept", ARG_UINT, false, &c->resume.kept},
		{"save", ARG_STRING, true, &save},
	};

	if (!call_args(call, args, sizeof(args) / sizeof(args[0])))
		return;
	if (!token_parse(token, c->resume.token)) {
		call_invalid(call, "token");
		return;
	}
	c->resume.has_save = save != NULL;
	if (save && !token_parse(save, c->resume.save)) {
		call_invalid(call, "save");
		return;
	}
	if (!must_wait(c))
		resume(c);
	else
		wait_for_stream(c);
}

void control_resume_ready(struct control_conn *c)
{
	if (!must_wait(c))
		resume(c);
}

bool control_sweep_resumes(struct broker *b, uint64_t now_ms)
{
	bool left = false;

	for (struct control_conn *c = b->control.list; c; c = c->next) {
		if (c->mode != CONTROL_RESUMING)
			continue;
		left = true;
		if (now_ms - c->resume.since_ms < FOLLOW_MS)
			continue;
		c->mode = CONTROL_CALLS;
		control_no_such_token(c);
		b->control_again = true;
	}
	return left;
}
