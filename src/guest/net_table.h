/* SPDX-License-Identifier: MIT */
/*
 * net_table.h - the interfaces and addresses that there are
 *
 * Fed by the kernel's messages, of a dump or of a change. Pure.
 */
#ifndef GUEST_NET_TABLE_H
#define GUEST_NET_TABLE_H

#include "guest/net_info.h"

/* As many as the interface file lets through; a guest with more has its
 * reasons, and sees the first ones. */
#define NET_LINKS_MAX 1024
#define NET_ADDRS_MAX 8192

struct net_table {
	struct net_link *links;
	size_t n_links;
	struct net_addr *addrs;
	size_t n_addrs;
	size_t left_out; /* there was no room or no memory for them */
};

/* net_table_feed() - net_msg_fn: @data is the table */
void net_table_feed(const struct net_msg *m, void *data);
void net_table_done(struct net_table *t);

/* net_table_link() - NULL: there is none with that index */
const struct net_link *net_table_link(const struct net_table *t, int index);

/* net_table_addr() - the next address of @index after *@at, which begins with
 * 0; NULL: there is no other */
const struct net_addr *net_table_addr(const struct net_table *t, int index,
				      size_t *at);

/* net_table_same() - is that interface the same in both, but for what counts
 * on and runs out? */
bool net_table_same(const struct net_table *a, const struct net_table *b,
		    int index);

/* net_table_copy() - Return: false: no memory; @to is as it was */
bool net_table_copy(struct net_table *to, const struct net_table *from);

#endif /* GUEST_NET_TABLE_H */
