/* SPDX-License-Identifier: MIT */
/*
 * ops_offer.h - services of the guest that policy offers to the host
 *
 *	ops_offer.c    channels, as policy has them
 *	offer_conn.c   one stream, and its connection to the service
 *	offer_proxy.c  what passes between the two
 */
#ifndef GUEST_OPS_OFFER_H
#define GUEST_OPS_OFFER_H

#include <sys/queue.h>

#include "guest/offer_proxy.h"
#include "guest/ops_internal.h"

/* Streams at once, of OPS_CONNS_MAX: a service that never answers must leave
 * some for what is asked of us. */
#define OFFER_CONNS_MAX 64
/* Until the service takes the connection. Its answer may take any time. */
#define OFFER_CONNECT_MS 10000u
/* Its queue of connections is full: look again. */
#define OFFER_RETRY_MS 100u
/* Read at once, either way. */
#define OFFER_CHUNK (64u * 1024u)

struct offer_channel;
struct offer_conn;

struct ops_offers {
	struct ops *o;
	LIST_HEAD(, offer_channel) channels;
	LIST_HEAD(, offer_conn) conns;
	unsigned int n_conns;
	bool paused;
};

/* ---- ops_offer.c */

/* ops_offers_new() - none yet. Return: 0 or -ENOMEM. */
int ops_offers_new(struct ops *o);
/* ops_offers_update() - announce and withdraw what policy says now */
void ops_offers_update(struct ops *o);
/* ops_offers_resume() - a stream has ended: new ones may be taken */
void ops_offers_resume(struct ops *o);
/* ops_offers_stop() - end all; the loop runs on until they are closed */
void ops_offers_stop(struct ops *o);
void ops_offers_free(struct ops *o);

/* ---- offer_conn.c */

/* offer_conn_new() - consumes @fd. Return: 0 or a negative errno. */
int offer_conn_new(struct ops_offers *of, const char *interface, int fd,
		   const struct vmc_caller *caller);
void offer_conn_close(struct offer_conn *c);
/* offer_conns_close() - all of them */
void offer_conns_close(struct ops_offers *of);

#endif /* GUEST_OPS_OFFER_H */
