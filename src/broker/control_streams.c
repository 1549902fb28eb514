/* SPDX-License-Identifier: MIT */
/*
 * control_streams.c - StreamStatus, Streams
 */
#include "broker/control.h"

/* Streams per reply: well within one message. */
#define STREAMS_CHUNK 128

static bool find_live(struct broker *b, uint64_t number,
		      struct stream_record *ret)
{
	for (uint32_t i = 0; i < b->n_slots; i++) {
		const struct stream *st = &b->streams[i];

		if (st->state == STREAM_FREE || st->number != number)
			continue;
		stream_record(b, st, ret);
		return true;
	}
	return false;
}

static bool find_record(struct broker *b, uint64_t number,
			struct stream_record *ret)
{
	const struct stream_record *rec;

	if (number == 0)
		return false;
	if (find_live(b, number, ret))
		return true;
	rec = status_find(b->status, number);
	if (rec)
		*ret = *rec;
	return rec != NULL;
}

void method_stream_status(struct control_call *call)
{
	const char *id = NULL;
	const struct arg args[] = {{"id", ARG_STRING, false, &id}};
	struct stream_record rec;

	if (!call_args(call, args, 1))
		return;
	/* Somebody else's stream looks like none. */
	if (!find_record(call->b, stream_number(call->b, id), &rec) ||
	    !may_see(call->c, &rec)) {
		call_error(call, "NoSuchStream", json_pack("{s:s}", "id", id));
		return;
	}
	call_reply(call,
		   json_pack("{s:o}", "stream", json_stream(call->b, &rec)));
}

static enum produced produce_streams(struct control_conn *c)
{
	json_t *list = json_array();
	struct stream_record rec;
	bool last;

	while (c->pos < c->b->n_slots &&
	       json_array_size(list) < STREAMS_CHUNK) {
		const struct stream *st = &c->b->streams[c->pos++];

		if (st->state == STREAM_FREE)
			continue;
		stream_record(c->b, st, &rec);
		if (may_see(c, &rec))
			json_array_append_new(list, json_stream(c->b, &rec));
	}
	last = c->pos >= c->b->n_slots;
	if (!last && !c->more) {
		json_decref(list);
		conn_error(c, "LimitReached",
			   json_pack("{s:s,s:i}", "limit",
				     "streams in one reply: call with \"more\"",
				     "value", STREAMS_CHUNK));
		return PRODUCED_DONE;
	}
	conn_reply(c, json_pack("{s:o}", "streams", list), !last);
	return last ? PRODUCED_DONE : PRODUCED_MORE;
}

void method_streams(struct control_call *call)
{
	if (!call_args(call, NULL, 0))
		return;
	call->c->pos = 0;
	call->c->produce = produce_streams;
}
