/* SPDX-License-Identifier: MIT */
/* net_json.c - interfaces, addresses and routes as the interface file has
 * them */
#include "guest/net_json.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "guest/ops_text.h"

/* Of one interface; the interface file's limit. */
#define ADDRS_MAX 256

static json_t *name_json(const char *name)
{
	return op_text(name, IF_NAMESIZE - 1);
}

/* The kernel counts to 2^64, JSON readers do not. */
static json_int_t count(uint64_t n)
{
	return n > INT64_MAX ? INT64_MAX : (json_int_t)n;
}

static const char *family_name(uint8_t family)
{
	return family == AF_INET6 ? "inet6" : "inet";
}

static const char *scope_name(uint8_t scope)
{
	switch (scope) {
	case RT_SCOPE_UNIVERSE:
		return "global";
	case RT_SCOPE_SITE:
		return "site";
	case RT_SCOPE_LINK:
		return "link";
	case RT_SCOPE_HOST:
		return "host";
	default:
		return "other";
	}
}

static const char *addr_text(uint8_t family, const uint8_t *addr,
			     char ret[INET6_ADDRSTRLEN])
{
	return inet_ntop(family, addr, ret, INET6_ADDRSTRLEN) ? ret : "?";
}

static json_t *address(const struct net_addr *a)
{
	char text[INET6_ADDRSTRLEN];

	return json_pack(
		"{s:s,s:s,s:i,s:s,s:o*}", "family", family_name(a->family),
		"address", addr_text(a->family, a->addr, text), "prefix",
		(int)a->prefix, "scope", scope_name(a->scope), "valid_s",
		a->valid_s == NET_FOREVER ? NULL : json_integer(a->valid_s));
}

json_t *net_json_addresses(const struct net_table *t, int index, size_t max)
{
	const struct net_addr *a;
	json_t *list = json_array();
	size_t at = 0;

	while (json_array_size(list) < max &&
	       (a = net_table_addr(t, index, &at)) != NULL)
		if (json_array_append_new(list, address(a)) < 0)
			break;
	return list;
}

json_t *net_json_interface(const struct net_table *t, const struct net_link *l)
{
	static const char *const states[] = {
		"unknown", "not_present", "down", "lower_layer_down",
		"testing", "dormant",     "up",
	};
	const size_t n = sizeof(states) / sizeof(states[0]);
	char mac[NET_MAC_TEXT];

	net_mac_text(l, mac);
	/* Longer ones (InfiniBand: 20 bytes) fit, tunnels have addresses. */
	return json_pack(
		"{s:o,s:i,s:b,s:b,s:s,s:o*,s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:I}",
		"name", name_json(l->name), "index", l->index, "up", l->up,
		"loopback", l->loopback, "state",
		states[l->state < n ? l->state : 0], "mac",
		mac[0] == '\0' ? NULL : op_text(mac, 63), "mtu",
		(json_int_t)l->mtu, "addresses",
		net_json_addresses(t, l->index, ADDRS_MAX), "rx_bytes",
		count(l->rx_bytes), "rx_packets", count(l->rx_packets),
		"rx_errors", count(l->rx_errors), "tx_bytes",
		count(l->tx_bytes), "tx_packets", count(l->tx_packets),
		"tx_errors", count(l->tx_errors));
}

json_t *net_json_route(const struct net_table *t, const struct net_route *r)
{
	const struct net_link *l = net_table_link(t, r->index);
	char text[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN + 4];

	snprintf(dst, sizeof(dst), "%s/%d", addr_text(r->family, r->dst, text),
		 r->prefix);
	return json_pack("{s:s,s:s,s:o*,s:o*,s:I,s:I}", "family",
			 family_name(r->family), "destination", dst, "gateway",
			 r->gateway_family == 0
				 ? NULL
				 : json_string(addr_text(r->gateway_family,
							 r->gateway, text)),
			 "interface", l ? name_json(l->name) : NULL, "metric",
			 (json_int_t)r->metric, "table", (json_int_t)r->table);
}
