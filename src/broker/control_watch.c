/* SPDX-License-Identifier: MIT */
/*
 * control_watch.c - Follow: the program of a stream hears where it stands
 *
 * One reply for each change of the broker's own view, never a history: who
 * reads late hears of the last one. The end of the stream is the last reply.
 */
#include <string.h>

#include "broker/control.h"

static json_t *fenced(const struct broker *b, const struct stream *st)
{
	char save[TOKEN_TEXT];

	token_text(b->saved_id, save);
	return json_pack("{s:s,s:I,s:s}", "life", "fenced", "delivered",
			 (json_int_t)st->delivered, "save", save);
}

static json_t *ended(const struct broker *b, uint64_t number)
{
	const struct stream_record *rec = status_find(b->status, number);
	unsigned int reason = rec ? rec->reason : VMC_REASON_SESSION_LOST;
	json_t *o = json_pack("{s:s,s:s}", "life", "ended", "reason",
			      vmc_reason_name(reason));

	if (o && reason == VMC_REASON_MIGRATED && b->destination[0] != '\0')
		json_object_set_new(o, "destination",
				    json_string(b->destination));
	return o;
}

static enum produced produce(struct control_conn *c)
{
	struct broker *b = c->b;
	struct follow_call *f = &c->follow;
	const struct stream *st = stream_get(b, f->ref);

	if (!st) {
		c->mode = CONTROL_CALLS;
		conn_reply(c, ended(b, f->number), false);
		return PRODUCED_DONE;
	}
	if (b->frozen ? b->fence == f->fence : f->serving)
		return PRODUCED_WAIT;
	f->fence = b->fence;
	f->serving = !b->frozen;
	conn_reply(c,
		   b->frozen ? fenced(b, st)
			     : json_pack("{s:s}", "life", "serving"),
		   true);
	return PRODUCED_MORE;
}

void method_follow(struct control_call *call)
{
	struct control_conn *c = call->c;
	const struct stream *st;
	const char *token = NULL;
	const struct arg args[] = {
		{"token", ARG_STRING, false, &token},
	};

	if (!call_args(call, args, 1))
		return;
	if (!token_parse(token, c->resume.token)) {
		call_invalid(call, "token");
		return;
	}
	st = control_find_token(c->b, 1u << STREAM_OPEN, c->resume.token);
	if (!st) {
		control_no_such_token(c);
		return;
	}
	c->follow = (struct follow_call){
		.ref = stream_ref(c->b, st),
		.number = st->number,
	};
	c->mode = CONTROL_FOLLOWING;
	c->produce = produce;
}
