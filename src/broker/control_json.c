/* SPDX-License-Identifier: MIT */
/*
 * control_json.c - the types of org.vmchannel.Broker as JSON
 */
#include "broker/control.h"

const char *side_name(enum vmc_principal_kind kind)
{
	return kind == VMC_PRINCIPAL_HOST ? "host" : "guest";
}

json_t *json_caller(const struct vmc_principal *who)
{
	return json_pack("{s:s,s:I,s:I}", "side", side_name(who->kind), "uid",
			 (json_int_t)who->uid, "gid", (json_int_t)who->gid);
}

static void add_reason(const struct broker *b, json_t *o, unsigned int reason)
{
	json_object_set_new(o, "reason", json_string(vmc_reason_name(reason)));
	if (reason == VMC_REASON_MIGRATED && b->destination[0])
		json_object_set_new(o, "destination",
				    json_string(b->destination));
}

json_t *json_stream(const struct broker *b, const struct stream_record *rec)
{
	static const char *const states[] = {"opening", "open", "ended"};
	char id[STREAM_ID_MAX];
	json_t *o;

	stream_id_text(b, rec->number, id);
	o = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:o}", "id", id, "channel",
		      rec->channel, "direction",
		      rec->outgoing ? "outgoing" : "incoming", "state",
		      states[rec->state], "bytes_in", (json_int_t)rec->bytes_in,
		      "bytes_out", (json_int_t)rec->bytes_out, "caller",
		      json_caller(&rec->caller));
	if (rec->state == RECORD_ENDED)
		add_reason(b, o, rec->reason);
	return o;
}

bool may_see(const struct control_conn *c, const struct stream_record *rec)
{
	return creds_is_owner(c->b, &c->creds) ||
	       (!c->creds.peer && rec->local_uid == c->creds.who.uid);
}

static void add_details(const struct broker *b, const struct event *ev,
			json_t *o)
{
	switch (ev->type) {
	case EVENT_CHANNEL_ADDED:
		json_object_set_new(o, "messages", json_boolean(ev->messages));
		__attribute__((fallthrough));
	case EVENT_CHANNEL_REMOVED:
		json_object_set_new(o, "channel",
				    json_string(ev->stream.channel));
		json_object_set_new(
			o, "side",
			json_string(ev->peer_side ? "peer" : "local"));
		break;
	case EVENT_STREAM_OPENED:
	case EVENT_STREAM_CLOSED:
		json_object_set_new(o, "stream", json_stream(b, &ev->stream));
		break;
	case EVENT_PORT_ADDED:
	case EVENT_PORT_REMOVED:
		json_object_set_new(o, "port", json_string(ev->stream.channel));
		break;
	case EVENT_PEER_UP:
		json_object_set_new(o, "resumed", json_boolean(ev->resumed));
		break;
	case EVENT_LOST:
		json_object_set_new(o, "lost",
				    json_integer((json_int_t)ev->lost));
		break;
	case EVENT_SNAPSHOT_END:
	case EVENT_LINK_UP:
	case EVENT_LINK_DOWN:
	case EVENT_PEER_DOWN:
	case EVENT_PEER_STALLED:
	case EVENT_PEER_UNSTALLED:
	case EVENT_POLICY_RELOADED:
	case EVENT_TYPE_NUM:
	default:
		break;
	}
	if (ev->type == EVENT_PEER_DOWN || ev->type == EVENT_STREAM_CLOSED)
		add_reason(b, o, ev->reason);
}

json_t *json_event(const struct broker *b, const struct event *ev)
{
	json_t *o = json_pack("{s:I,s:s,s:I,s:s}", "seq", (json_int_t)ev->seq,
			      "instance", b->instance_text, "time_us",
			      (json_int_t)ev->time_us, "type",
			      event_type_name(ev->type));

	add_details(b, ev, o);
	return json_pack("{s:o}", "event", o);
}
