/* SPDX-License-Identifier: MIT */
/* monitor.c - vmc_monitor_*(): what happens, numbered */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/replies.h"
#include "client/stream.h"

struct vmc_monitor {
	struct client_conn conn;
	char instance[REPLY_INSTANCE_SIZE];
};

static json_t *monitor_parameters(unsigned int flags, uint64_t after,
				  const char *instance)
{
	if (!instance || instance[0] == '\0')
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
	if (!reply_event(msg.parameters, m->instance, &event))
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
