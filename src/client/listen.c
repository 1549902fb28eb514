/* SPDX-License-Identifier: MIT */
/* listen.c - vmc_listen() and vmc_accept() */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/replies.h"
#include "client/stream.h"

struct vmc_listener {
	struct client_conn conn;
	/* The stream that the broker offered last. It stays here while it
	 * could not be accepted for want of a descriptor. */
	char token[REPLY_TOKEN_SIZE]; /* "" if there is none */
	struct vmc_caller caller;
	unsigned int flags;
};

int vmc_listen(struct vmc_listener **ret, const char *vm, const char *channel,
	       unsigned int flags)
{
	struct vmc_listener *l;
	struct varlink_msg m;
	int r = stream_check_channel(channel);

	if (r)
		return r;
	if (flags & ~(VMC_MESSAGES | VMC_FOLLOW))
		return client_fail(EINVAL, "vmc_listen: unknown flags 0x%x",
				   flags);
	l = calloc(1, sizeof(*l));
	if (!l)
		return client_fail(ENOMEM, "vmc_listen: out of memory");
	r = client_ask(&l->conn, vm, channel, BROKER "Listen",
		       json_pack("{s:s,s:b}", "channel", channel, "messages",
				 (flags & VMC_MESSAGES) != 0),
		       CLIENT_MORE, &m, client_deadline(CLIENT_LOCAL_MS));
	if (r) {
		free(l);
		return r;
	}
	varlink_msg_done(&m);
	l->flags = flags;
	*ret = l;
	return 0;
}

int vmc_listener_fd(const struct vmc_listener *l)
{
	return l->conn.fd;
}

/* The broker no longer offers anything. */
static int listener_gone(const struct vmc_listener *l)
{
	return client_fail(ECONNRESET,
			   "%s: the broker went away, and with it the channel "
			   "'%s'; listen again",
			   l->conn.vm, l->conn.channel);
}

static int next_offer(struct vmc_listener *l, uint64_t deadline)
{
	struct varlink_msg m;
	bool ok;
	int r = client_recv_ok(&l->conn, &m, deadline);

	if (r == -ECONNRESET)
		return listener_gone(l);
	if (r == -ETIMEDOUT)
		return client_fail(ETIMEDOUT,
				   "%s: no stream came on '%s' in time",
				   l->conn.vm, l->conn.channel);
	if (r)
		return r;
	ok = reply_offer(m.parameters, l->token, &l->caller);
	varlink_msg_done(&m);
	if (ok)
		return 0;
	l->token[0] = '\0';
	return stream_bad_reply(&l->conn, BROKER "Listen");
}

/* Is it worth keeping the token after that failure? */
static bool can_retry(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

static int accept_offer(struct vmc_listener *l)
{
	int r = stream_upgrade(l->conn.vm, l->conn.channel, BROKER "Accept",
			       json_pack("{s:s}", "token", l->token), l->flags,
			       client_deadline(CLIENT_LOCAL_MS), NULL);

	if (!can_retry(r))
		l->token[0] = '\0';
	return r;
}

int vmc_accept(struct vmc_listener *l, struct vmc_caller *ret_caller,
	       int timeout_ms)
{
	uint64_t deadline = client_deadline(timeout_ms);
	int r;

	do {
		r = l->token[0] ? 0 : next_offer(l, deadline);
		if (r)
			return r;
		r = accept_offer(l);
		/* -ENOENT: whoever opened it did not wait; on to the next. */
	} while (r == -ENOENT);
	if (r >= 0 && ret_caller)
		*ret_caller = l->caller;
	return r;
}

void vmc_listener_free(struct vmc_listener *l)
{
	if (!l)
		return;
	client_done(&l->conn);
	free(l);
}
