/* SPDX-License-Identifier: MIT */
/* net_info.c - interfaces, addresses and routes out of rtnetlink messages */
#include "guest/net_info.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the cursor ---------------------------------------------------------- */

static struct rd left_of(struct rd *r, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	return rd_init(p, p ? n : 0);
}

/* Copies a structure: netlink aligns to 4 only. Return: false: too short. */
static bool take(struct rd *r, void *ret, size_t size)
{
	const uint8_t *p = rd_bytes(r, size);

	if (p)
		memcpy(ret, p, size);
	return p != NULL;
}

/* What is between this and the next one; the last one has none. */
static void skip_padding(struct rd *r, size_t len)
{
	size_t pad = (4 - len % 4) % 4;

	(void)rd_bytes(r, pad < r->left ? pad : r->left);
}

bool net_next(struct rd *in, struct net_msg *ret)
{
	struct nlmsghdr h;

	if (in->left < sizeof(h) || !take(in, &h, sizeof(h)) ||
	    h.nlmsg_len < sizeof(h))
		return false;
	*ret = (struct net_msg){
		.type = h.nlmsg_type,
		.interrupted = (h.nlmsg_flags & NLM_F_DUMP_INTR) != 0,
		.body = left_of(in, h.nlmsg_len - sizeof(h)),
	};
	if (in->bad)
		return false;
	skip_padding(in, h.nlmsg_len);
	if (h.nlmsg_type == NLMSG_ERROR || h.nlmsg_type == NLMSG_DONE) {
		struct rd body = ret->body;

		(void)take(&body, &ret->error, sizeof(ret->error));
	}
	return true;
}

struct attr {
	unsigned int type;
	struct rd value;
};

static bool next_attr(struct rd *r, struct attr *ret)
{
	struct rtattr h;

	if (r->left < sizeof(h) || !take(r, &h, sizeof(h)) ||
	    h.rta_len < sizeof(h))
		return false;
	ret->type = h.rta_type & (unsigned int)NLA_TYPE_MASK;
	ret->value = left_of(r, h.rta_len - sizeof(h));
	if (r->bad)
		return false;
	skip_padding(r, h.rta_len);
	return true;
}

static uint32_t u32_of(const struct attr *a)
{
	struct rd v = a->value;
	uint32_t n = 0;

	(void)take(&v, &n, sizeof(n));
	return n;
}

/* ---- interfaces ---------------------------------------------------------- */

static void link_stats(struct rd v, struct net_link *ret)
{
	struct rtnl_link_stats64 s = {.rx_bytes = 0};

	/* Newer kernels have more of it, older ones less. */
	(void)take(&v, &s, v.left < sizeof(s) ? v.left : sizeof(s));
	ret->rx_bytes = s.rx_bytes;
	ret->rx_packets = s.rx_packets;
	ret->rx_errors = s.rx_errors;
	ret->tx_bytes = s.tx_bytes;
	ret->tx_packets = s.tx_packets;
	ret->tx_errors = s.tx_errors;
}

static void link_attr(const struct attr *a, struct net_link *ret)
{
	struct rd v = a->value;

	switch (a->type) {
	case IFLA_IFNAME:
		if (v.left <= sizeof(ret->name))
			snprintf(ret->name, sizeof(ret->name), "%.*s",
				 (int)v.left, (const char *)v.p);
		break;
	case IFLA_ADDRESS:
		if (v.left <= sizeof(ret->mac)) {
			ret->mac_len = v.left;
			(void)take(&v, ret->mac, v.left);
		}
		break;
	case IFLA_MTU:
		ret->mtu = u32_of(a);
		break;
	case IFLA_OPERSTATE:
		ret->state = rd_u8(&v);
		break;
	case IFLA_STATS64:
		link_stats(v, ret);
		break;
	default:
		break;
	}
}

bool net_link_parse(const struct net_msg *m, struct net_link *ret)
{
	struct rd r = m->body;
	struct ifinfomsg h;
	struct attr a;

	if ((m->type != RTM_NEWLINK && m->type != RTM_DELLINK) ||
	    !take(&r, &h, sizeof(h)))
		return false;
	*ret = (struct net_link){
		.index = h.ifi_index,
		.up = (h.ifi_flags & IFF_UP) != 0,
		.loopback = (h.ifi_flags & IFF_LOOPBACK) != 0,
	};
	while (next_attr(&r, &a))
		link_attr(&a, ret);
	/* A bridge tells about its ports in the same type, without a name. */
	return ret->index > 0 && ret->name[0] != '\0' &&
	       h.ifi_family == AF_UNSPEC;
}

void net_mac_text(const struct net_link *l, char ret[NET_MAC_TEXT])
{
	ret[0] = '\0';
	for (size_t i = 0; i < l->mac_len; i++)
		snprintf(ret + (i ? i * 3 - 1 : 0),
			 NET_MAC_TEXT - (i ? i * 3 - 1 : 0), "%s%02x",
			 i ? ":" : "", l->mac[i]);
}

/* ---- addresses ----------------------------------------------------------- */

static size_t addr_len(uint8_t family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

static bool copy_addr(uint8_t to[16], uint8_t family, struct rd v)
{
	return v.left == addr_len(family) && take(&v, to, v.left);
}

bool net_addr_parse(const struct net_msg *m, struct net_addr *ret)
{
	struct rd r = m->body;
	bool there = false, local = false;
	struct ifaddrmsg h;
	struct attr a;

	if ((m->type != RTM_NEWADDR && m->type != RTM_DELADDR) ||
	    !take(&r, &h, sizeof(h)) || addr_len(h.ifa_family) == 0 ||
	    h.ifa_index == 0 || h.ifa_index > INT32_MAX ||
	    h.ifa_prefixlen > addr_len(h.ifa_family) * 8)
		return false;
	*ret = (struct net_addr){
		.index = (int)h.ifa_index,
		.family = h.ifa_family,
		.prefix = h.ifa_prefixlen,
		.scope = h.ifa_scope,
		.valid_s = NET_FOREVER,
	};
	while (next_attr(&r, &a)) {
		struct ifa_cacheinfo c;

		/* With a peer, ADDRESS is the peer's, LOCAL ours. */
		if (a.type == IFA_LOCAL)
			local = there =
				copy_addr(ret->addr, h.ifa_family, a.value);
		else if (a.type == IFA_ADDRESS && !local)
			there = copy_addr(ret->addr, h.ifa_family, a.value);
		else if (a.type == IFA_CACHEINFO &&
			 take(&a.value, &c, sizeof(c)))
			ret->valid_s = c.ifa_valid;
	}
	return there;
}

bool net_addr_same(const struct net_addr *a, const struct net_addr *b)
{
	return a->index == b->index && a->family == b->family &&
	       a->prefix == b->prefix && a->scope == b->scope &&
	       memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* ---- routes -------------------------------------------------------------- */

/* RTA_VIA: a gateway of the other family. */
static void via(struct net_route *r, struct rd v)
{
	uint16_t family = 0;

	if (take(&v, &family, sizeof(family)) && family <= UINT8_MAX &&
	    copy_addr(r->gateway, (uint8_t)family, v))
		r->gateway_family = (uint8_t)family;
}

static void way_attr(struct attr *a, struct net_route *r)
{
	if (a->type == RTA_GATEWAY) {
		if (copy_addr(r->gateway, r->family, a->value))
			r->gateway_family = r->family;
	} else if (a->type == RTA_VIA) {
		via(r, a->value);
	} else if (a->type == RTA_OIF) {
		r->index = (int)(u32_of(a) & INT32_MAX);
	}
}

static size_t several_ways(struct rd v, const struct net_route *r,
			   struct net_route *ret, size_t max)
{
	struct rtnexthop h;
	size_t n = 0;

	while (n < max && v.left >= sizeof(h) && take(&v, &h, sizeof(h)) &&
	       h.rtnh_len >= sizeof(h)) {
		struct rd attrs = left_of(&v, h.rtnh_len - sizeof(h));
		struct attr a;

		if (v.bad)
			break;
		ret[n] = *r;
		ret[n].index = h.rtnh_ifindex > 0 ? h.rtnh_ifindex : 0;
		while (next_attr(&attrs, &a))
			way_attr(&a, &ret[n]);
		n++;
		skip_padding(&v, h.rtnh_len);
	}
	return n;
}

size_t net_routes_parse(const struct net_msg *m, struct net_route *ret,
			size_t max)
{
	struct rd r = m->body, ways = {.p = NULL};
	struct net_route route;
	struct rtmsg h;
	struct attr a;

	if (m->type != RTM_NEWROUTE || max == 0 || !take(&r, &h, sizeof(h)) ||
	    addr_len(h.rtm_family) == 0 || h.rtm_flags & RTM_F_CLONED ||
	    h.rtm_dst_len > addr_len(h.rtm_family) * 8)
		return 0;
	route = (struct net_route){
		.family = h.rtm_family,
		.prefix = h.rtm_dst_len,
		.type = h.rtm_type,
		.table = h.rtm_table,
	};
	while (next_attr(&r, &a)) {
		if (a.type == RTA_DST)
			(void)copy_addr(route.dst, route.family, a.value);
		else if (a.type == RTA_PRIORITY)
			route.metric = u32_of(&a);
		else if (a.type == RTA_TABLE)
			route.table = u32_of(&a);
		else if (a.type == RTA_MULTIPATH)
			ways = a.value;
		else
			way_attr(&a, &route);
	}
	if (ways.left > 0)
		return several_ways(ways, &route, ret, max);
	ret[0] = route;
	return 1;
}
