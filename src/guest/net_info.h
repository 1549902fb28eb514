/* SPDX-License-Identifier: MIT */
/*
 * net_info.h - interfaces, addresses and routes out of rtnetlink messages
 *
 * Pure: bytes in, structures out. A message is checked by its own lengths
 * before anything of it is looked at; one that is not whole is left out.
 */
#ifndef GUEST_NET_INFO_H
#define GUEST_NET_INFO_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define NET_MAC_MAX 32

struct net_link {
	int index;
	char name[IF_NAMESIZE];
	bool up, loopback;
	uint8_t state; /* IF_OPER_* */
	uint8_t mac[NET_MAC_MAX];
	size_t mac_len; /* 0: none */
	uint32_t mtu;
	uint64_t rx_bytes, rx_packets, rx_errors;
	uint64_t tx_bytes, tx_packets, tx_errors;
};

struct net_addr {
	int index; /* of its interface */
	uint8_t family, prefix, scope;
	uint8_t addr[16];
	uint32_t valid_s; /* NET_FOREVER: it does not expire */
};

#define NET_FOREVER UINT32_MAX

struct net_route {
	uint8_t family, prefix;
	uint8_t type; /* RTN_* */
	uint8_t dst[16], gateway[16];
	uint8_t gateway_family; /* 0: none */
	int index;              /* 0: none */
	uint32_t metric, table;
};

/* One message. */
struct net_msg {
	uint16_t type;    /* RTM_*, NLMSG_DONE, NLMSG_ERROR */
	int error;        /* of NLMSG_ERROR, and of NLMSG_DONE: 0 or negative */
	bool interrupted; /* the dump does not fit together */
	struct rd body;
};

/* net_next() - Return: false: there is no other whole message */
bool net_next(struct rd *in, struct net_msg *ret);

/* Return: false: it is not whole, or not of that kind. */
bool net_link_parse(const struct net_msg *m, struct net_link *ret);
bool net_addr_parse(const struct net_msg *m, struct net_addr *ret);

/**
 * net_routes_parse() - a route has several ways at times
 * @max: of @ret
 *
 * Return: how many; 0: none that the kernel did not make for itself.
 */
size_t net_routes_parse(const struct net_msg *m, struct net_route *ret,
			size_t max);

/* net_addr_same() - is it the same but for its life time? */
bool net_addr_same(const struct net_addr *a, const struct net_addr *b);

/* net_mac_text() - "52:54:00:12:34:56"; "" if it has none */
#define NET_MAC_TEXT (NET_MAC_MAX * 3 + 1)
void net_mac_text(const struct net_link *l, char ret[NET_MAC_TEXT]);

#endif /* GUEST_NET_INFO_H */
