/* SPDX-License-Identifier: MIT */
/* monitor.c - vmc_monitor_*(): what happens, numbered */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/fields.h"
#include "client/stream.h"

#define INSTANCE_SIZE 64
#define TYPE_SIZE     32
#define REASON_SIZE   32

struct vmc_monitor {
	struct client_conn conn;
	char instance[INSTANCE_SIZE];
};

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

static json_t *monitor_parameters(unsigned int flags, uint64_t after,
				  const char *instance)
{
	if (after == 0 || !instance || instance[0] == '\0')
		return json_pack("{s:b}", "snapshot",
				 (flags & VMC_MONITOR_SNAPSHOT) != 0);
	return json_pack("{s:b,s:I,s:s}", "snapshot",
			 (flags & VMC_MONITOR_SNAPSHOT) != 0, "after",
			 (json_int_t)after, "instance", instance);
}

int vmc_monitor_open(struct vmc_monitor **ret, const char *vm,
		     unsigned int flags, uint64_t after, const char *instance)
{
	uint64_t deadline = client_deadline(CLIENT_LOCAL_MS);
	struct vmc_monitor *m;
	int r;

	if (flags & ~VMC_MONITOR_SNAPSHOT || after > INT64_MAX)
		return client_fail(EINVAL,
				   "vmc_monitor_open: unknown flags or number");
	m = calloc(1, sizeof(*m));
	if (!m)
		return client_fail(ENOMEM, "vmc_monitor_open: out of memory");
	r = client_dial(&m->conn, vm, NULL, deadline);
	if (r) {
		free(m);
		return r;
	}
	r = client_send_call(&m->conn, BROKER "Monitor",
			     monitor_parameters(flags, after, instance),
			     CLIENT_MORE, deadline);
	if (r) {
		vmc_monitor_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

int vmc_monitor_fd(const struct vmc_monitor *m)
{
	return m->conn.fd;
}

const char *vmc_monitor_instance(const struct vmc_monitor *m)
{
	return m->instance;
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

static bool parse_event(struct vmc_monitor *m, const json_t *e,
			struct vmc_monitor_event *ret)
{
	char type[TYPE_SIZE], side[TYPE_SIZE], channel[VMC_NAME_MAX + 1];

	*ret = (struct vmc_monitor_event){0};
	if (!json_is_object(e) ||
	    !fields_string(e, "type", true, type, sizeof(type)) ||
	    !fields_string(e, "instance", true, m->instance,
			   sizeof(m->instance)) ||
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

int vmc_monitor_next(struct vmc_monitor *m, struct vmc_monitor_event *ret,
		     int timeout_ms)
{
	struct vmc_monitor_event event;
	struct varlink_msg msg;
	int r = client_recv_ok(&m->conn, &msg, client_deadline(timeout_ms));

	if (r == -ECONNRESET)
		return client_fail(ECONNRESET,
				   "%s: the broker went away; subscribe again",
				   m->conn.vm);
	if (r == -ETIMEDOUT)
		return client_fail(ETIMEDOUT, "%s: no event in time",
				   m->conn.vm);
	if (r)
		return r;
	if (!parse_event(m, json_object_get(msg.parameters, "event"), &event))
		r = stream_bad_reply(&m->conn, BROKER "Monitor");
	varlink_msg_done(&msg);
	if (r)
		return r;
	*ret = event;
	return 1;
}

void vmc_monitor_free(struct vmc_monitor *m)
{
	if (!m)
		return;
	client_done(&m->conn);
	free(m);
}
