/* SPDX-License-Identifier: MIT */
/*
 * conn.h - one varlink connection to a local broker, or through a stream
 *
 * Replies are read so that not one byte after the NUL is taken: the
 * descriptor is readable exactly when there is more to come, and after an
 * upgrade it carries the stream from its first byte. What the broker says is
 * checked for size and type before it is used.
 *
 * Every function that fails sets vmc_strerror() and returns a negative errno.
 */
#ifndef CLIENT_CONN_H
#define CLIENT_CONN_H

#include <stdint.h>
#include <sys/un.h>

#include <vmchannel/vmchannel.h>

#include "varlink/varlink.h"

#define BROKER "org.vmchannel.Broker."

/* For questions that the local broker answers from its own memory: far more
 * than a busy machine needs, short enough to be told that it hangs. */
#define CLIENT_LOCAL_MS 20000

#define CLIENT_NEVER UINT64_MAX

enum client_kind {
	CLIENT_PLAIN,
	CLIENT_MORE,
	CLIENT_UPGRADE,
};

struct client_conn {
	int fd;  /* blocking, close-on-exec; -1 when closed */
	int out; /* where it is written to: the same, but for a command that
		  * carries the connection (place.h) */
	struct varlink_buf in;
	char vm[VMC_NAME_MAX + 1];      /* for error texts */
	char channel[VMC_NAME_MAX + 1]; /* same; "" if there is none */
};

/* client_deadline() - the monotonic time in microseconds at which @timeout_ms
 * will be over; CLIENT_NEVER for negative ones */
uint64_t client_deadline(int timeout_ms);

/* client_wait() - poll @fd: 0 when ready, -ETIMEDOUT (no text set) */
int client_wait(int fd, short events, uint64_t deadline);

/* client_init() - a closed connection for @fd < 0, else around @fd (consumed
 * always) */
void client_init(struct client_conn *c, int fd, const char *vm,
		 const char *channel);
/* client_done() - close it; can be called twice */
void client_done(struct client_conn *c);
/* client_release() - give up the descriptor instead of closing it */
int client_release(struct client_conn *c);

/* client_dial() - connect to the control socket of @vm's broker */
int client_dial(struct client_conn *c, const char *vm, const char *channel,
		uint64_t deadline);

/* client_open() - a socket that is not connected yet */
int client_open(struct client_conn *c, const char *vm, const char *channel);

/* client_reach() - connect that one; on failure it is still open */
int client_reach(struct client_conn *c, const struct sockaddr_un *sa,
		 uint64_t deadline);

/* client_connect() - both */
int client_connect(struct client_conn *c, const struct sockaddr_un *sa,
		   const char *vm, const char *channel, uint64_t deadline);

/* client_send_call() - @parameters is consumed; NULL: no memory for it */
int client_send_call(struct client_conn *c, const char *method,
		     json_t *parameters, enum client_kind kind,
		     uint64_t deadline);

/**
 * client_recv() - the next reply, be it an error reply
 *
 * Return: 0 with a message that the caller releases; -ETIMEDOUT, -ECONNRESET
 * (the other end closed), -EPROTO, -EMSGSIZE, -ENOMEM.
 */
int client_recv(struct client_conn *c, struct varlink_msg *ret,
		uint64_t deadline);

/* client_recv_ok() - as client_recv(), but an error reply becomes an errno */
int client_recv_ok(struct client_conn *c, struct varlink_msg *ret,
		   uint64_t deadline);

/* client_ask() - client_dial(), client_send_call(), client_recv_ok(); on
 * failure the connection is closed */
int client_ask(struct client_conn *c, const char *vm, const char *channel,
	       const char *method, json_t *parameters, enum client_kind kind,
	       struct varlink_msg *ret, uint64_t deadline);

/* client_reply_error() - errno and text for an error reply (errors.c) */
int client_reply_error(const struct client_conn *c,
		       const struct varlink_msg *m);

#endif /* CLIENT_CONN_H */
