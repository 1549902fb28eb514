/* SPDX-License-Identifier: MIT */
/* replies.c - the broker's replies, taken apart */
#include "client/replies.h"

#include <string.h>

#include "client/fields.h"

#define TYPE_SIZE   32
#define REASON_SIZE 32

static const struct {
	const char *name;
	enum vmc_monitor_type type;
} types[] = {
	{"snapshot-end", VMC_MON_SNAPSHOT_END},
	{"link-up", VMC_MON_LINK_UP},
	{"link-down", VMC_MON_LINK_DOWN},
	{"port-added", VMC_MON_PORT_ADDED},
	{"port-removed", VMC_MON_PORT_REMOVED},
	{"peer-up", VMC_MON_PEER_UP},
	{"peer-down", VMC_MON_PEER_DOWN},
	{"peer-stalled", VMC_MON_PEER_STALLED},
	{"peer-unstalled", VMC_MON_PEER_UNSTALLED},
	{"channel-added", VMC_MON_CHANNEL_ADDED},
	{"channel-removed", VMC_MON_CHANNEL_REMOVED},
	{"stream-opened", VMC_MON_STREAM_OPENED},
	{"stream-closed", VMC_MON_STREAM_CLOSED},
	{"policy-reloaded", VMC_MON_POLICY_RELOADED},
	{"lost", VMC_MON_LOST},
};

static enum vmc_monitor_type type_of(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].type;
	return VMC_MON_UNKNOWN;
}

static bool parse_stream(const json_t *stream, struct vmc_monitor_event *ret)
{
	if (!stream || json_is_null(stream))
		return true;
	return json_is_object(stream) &&
	       fields_string(stream, "id", true, ret->id, sizeof(ret->id)) &&
	       fields_string(stream, "channel", true, ret->channel,
			     sizeof(ret->channel)) &&
	       fields_u64(stream, "bytes_in", false, &ret->bytes_in) &&
	       fields_u64(stream, "bytes_out", false, &ret->bytes_out);
}

/* A stream's end has its reason in the stream, the peer's in the event. */
static bool parse_reason(const json_t *e, struct vmc_monitor_event *ret)
{
	char word[REASON_SIZE];

	if (!fields_string(e, "reason", false, word, sizeof(word)))
		return false;
	if (word[0] == '\0' &&
	    !fields_string(json_object_get(e, "stream"), "reason", false, word,
			   sizeof(word)))
		return false;
	if (word[0] != '\0')
		ret->reason = fields_reason(word);
	return true;
}

bool reply_event(const json_t *parameters,
		 char ret_instance[REPLY_INSTANCE_SIZE],
		 struct vmc_monitor_event *ret)
{
	const json_t *e = json_object_get(parameters, "event");
	char type[TYPE_SIZE], side[TYPE_SIZE], channel[VMC_NAME_MAX + 1];

	*ret = (struct vmc_monitor_event){0};
	if (!json_is_object(e) ||
	    !fields_string(e, "type", true, type, sizeof(type)) ||
	    !fields_string(e, "instance", true, ret_instance,
			   REPLY_INSTANCE_SIZE) ||
	    !fields_u64(e, "seq", true, &ret->seq) ||
	    !fields_u64(e, "time_us", true, &ret->time_us) ||
	    !fields_u64(e, "lost", false, &ret->lost) ||
	    !fields_bool(e, "resumed", false, &ret->resumed) ||
	    !fields_string(e, "side", false, side, sizeof(side)) ||
	    !fields_string(e, "channel", false, channel, sizeof(channel)) ||
	    !parse_stream(json_object_get(e, "stream"), ret) ||
	    !parse_reason(e, ret))
		return false;
	if (channel[0] != '\0')
		memcpy(ret->channel, channel, sizeof(channel));
	ret->type = type_of(type);
	ret->peer = strcmp(side, "peer") == 0;
	return true;
}

static bool parse_state(const json_t *stream, struct vmc_status *ret)
{
	static const char *const names[] = {
		[VMC_STREAM_OPENING] = "opening",
		[VMC_STREAM_OPEN] = "open",
		[VMC_STREAM_ENDED] = "ended",
	};
	const char *word = fields_text(stream, "state");

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(word, names[i]) != 0)
			continue;
		ret->state = (enum vmc_stream_state)i;
		return true;
	}
	return false;
}

bool reply_status(const json_t *parameters, struct vmc_status *ret)
{
	const json_t *stream = json_object_get(parameters, "stream");
	char reason[REASON_SIZE];

	*ret = (struct vmc_status){0};
	if (!json_is_object(stream) || !parse_state(stream, ret) ||
	    !fields_u64(stream, "bytes_in", true, &ret->bytes_in) ||
	    !fields_u64(stream, "bytes_out", true, &ret->bytes_out) ||
	    !fields_string(stream, "reason", ret->state == VMC_STREAM_ENDED,
			   reason, sizeof(reason)))
		return false;
	if (ret->state == VMC_STREAM_ENDED)
		ret->reason = fields_reason(reason);
	return true;
}

bool reply_offer(const json_t *parameters, char ret_token[REPLY_TOKEN_SIZE],
		 struct vmc_caller *ret)
{
	return fields_string(parameters, "token", true, ret_token,
			     REPLY_TOKEN_SIZE) &&
	       fields_string(parameters, "id", true, ret->id,
			     sizeof(ret->id)) &&
	       fields_caller(parameters, ret) && ret_token[0] != '\0';
}
