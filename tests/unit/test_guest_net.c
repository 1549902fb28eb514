/* SPDX-License-Identifier: MIT */
/* rtnetlink messages: whole ones, cut ones, and ones that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "guest/net_table.h"

/* ---- a writer of messages ------------------------------------------------ */

struct out {
	uint8_t bytes[4096];
	size_t len;
	size_t msg; /* where the last one begins */
};

static void put(struct out *o, const void *p, size_t n)
{
	assert_true(o->len + n + 4 < sizeof(o->bytes));
	memcpy(o->bytes + o->len, p, n);
	o->len += n;
	while (o->len % 4)
		o->bytes[o->len++] = 0;
}

static void set_length(struct out *o)
{
	uint32_t n = (uint32_t)(o->len - o->msg);

	memcpy(o->bytes + o->msg, &n, sizeof(n));
}

static void begin(struct out *o, uint16_t type, const void *head, size_t n)
{
	struct nlmsghdr h = {.nlmsg_type = type};

	o->msg = o->len;
	put(o, &h, sizeof(h));
	put(o, head, n);
	set_length(o);
}

static void attr(struct out *o, uint16_t type, const void *value, size_t n)
{
	struct rtattr a = {
		.rta_type = type,
		.rta_len = (uint16_t)(sizeof(a) + n),
	};

	put(o, &a, sizeof(a));
	put(o, value, n);
	set_length(o);
}

static void attr_u32(struct out *o, uint16_t type, uint32_t n)
{
	attr(o, type, &n, sizeof(n));
}

static void link_msg(struct out *o, uint16_t type, int index, const char *name)
{
	struct ifinfomsg h = {.ifi_index = index, .ifi_flags = IFF_UP};

	begin(o, type, &h, sizeof(h));
	attr(o, IFLA_IFNAME, name, strlen(name) + 1);
}

static void addr_msg(struct out *o, uint16_t type, unsigned int index,
		     const char *addr, uint8_t prefix)
{
	struct ifaddrmsg h = {
		.ifa_family = AF_INET,
		.ifa_prefixlen = prefix,
		.ifa_index = index,
	};
	struct in_addr in;

	assert_int_equal(inet_pton(AF_INET, addr, &in), 1);
	begin(o, type, &h, sizeof(h));
	attr(o, IFA_LOCAL, &in, sizeof(in));
}

static struct net_msg only(const struct out *o)
{
	struct rd in = rd_init(o->bytes, o->len);
	struct net_msg m;

	assert_true(net_next(&in, &m));
	return m;
}

static void feed(struct net_table *t, const struct out *o)
{
	struct rd in = rd_init(o->bytes, o->len);
	struct net_msg m;

	while (net_next(&in, &m))
		net_table_feed(&m, t);
}

/* ---- messages ------------------------------------------------------------ */

static void test_link(void **state)
{
	static const uint8_t mac[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
	struct rtnl_link_stats64 s = {.rx_bytes = 7, .tx_errors = 9};
	struct out o = {.len = 0};
	char text[NET_MAC_TEXT];
	struct net_link l;
	struct net_msg m;

	(void)state;
	link_msg(&o, RTM_NEWLINK, 3, "eth0");
	attr(&o, IFLA_ADDRESS, mac, sizeof(mac));
	attr_u32(&o, IFLA_MTU, 1400);
	attr(&o, IFLA_OPERSTATE, "\6", 1);
	attr(&o, IFLA_STATS64, &s, sizeof(s));
	m = only(&o);
	assert_true(net_link_parse(&m, &l));
	assert_int_equal(l.index, 3);
	assert_string_equal(l.name, "eth0");
	assert_true(l.up);
	assert_false(l.loopback);
	assert_int_equal(l.state, 6);
	assert_int_equal(l.mtu, 1400);
	assert_int_equal(l.rx_bytes, 7);
	assert_int_equal(l.tx_errors, 9);
	net_mac_text(&l, text);
	assert_string_equal(text, "52:54:00:12:34:56");
	l.mac_len = NET_MAC_MAX; /* the longest fits */
	net_mac_text(&l, text);
	assert_int_equal(strlen(text), NET_MAC_MAX * 3 - 1);
}

/* Cut at every place, it is the same or none; nothing is read behind it. */
static void test_cut_messages(void **state)
{
	struct out o = {.len = 0};

	(void)state;
	link_msg(&o, RTM_NEWLINK, 3, "eth0");
	attr_u32(&o, IFLA_MTU, 1400);
	for (size_t n = 0; n < o.len; n++) {
		uint8_t *copy = malloc(n ? n : 1); /* for the sanitizer */
		struct rd in = rd_init(copy, n);
		struct net_msg m;

		assert_non_null(copy);
		memcpy(copy, o.bytes, n);
		assert_false(net_next(&in, &m));
		free(copy);
	}
}

static void test_lengths_that_lie(void **state)
{
	struct out o = {.len = 0};
	struct net_link l;
	struct net_msg m;
	struct rd in;

	(void)state;
	link_msg(&o, RTM_NEWLINK, 3, "eth0");
	/* An attribute that says it is longer than the message. */
	o.bytes[sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg)] = 200;
	m = only(&o);
	assert_false(net_link_parse(&m, &l)); /* it has no name */
	/* One that says it is shorter than its own head. */
	o.bytes[sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg)] = 3;
	m = only(&o);
	assert_false(net_link_parse(&m, &l));
	/* A message that says the same of itself, and one of no length. */
	o.bytes[0] = 15;
	in = rd_init(o.bytes, o.len);
	assert_false(net_next(&in, &m));
	o.bytes[0] = 0;
	in = rd_init(o.bytes, o.len);
	assert_false(net_next(&in, &m));
}

static void test_names_that_do_not_fit(void **state)
{
	struct out o = {.len = 0};
	struct net_link l;
	struct net_msg m;

	(void)state;
	link_msg(&o, RTM_NEWLINK, 3, "a-name-that-is-too-long");
	m = only(&o);
	assert_false(net_link_parse(&m, &l));
	o.len = 0;
	link_msg(&o, RTM_NEWLINK, 0, "eth0");
	m = only(&o);
	assert_false(net_link_parse(&m, &l));
}

static void test_addresses(void **state)
{
	struct ifa_cacheinfo c = {.ifa_valid = 77};
	struct out o = {.len = 0};
	struct net_addr a;
	struct net_msg m;

	(void)state;
	addr_msg(&o, RTM_NEWADDR, 3, "192.0.2.7", 24);
	attr(&o, IFA_ADDRESS, "\1\2\3\4", 4); /* the peer's: not ours */
	attr(&o, IFA_CACHEINFO, &c, sizeof(c));
	m = only(&o);
	assert_true(net_addr_parse(&m, &a));
	assert_memory_equal(a.addr, "\300\0\2\7", 4);
	assert_int_equal(a.prefix, 24);
	assert_int_equal(a.valid_s, 77);
	o.len = 0;
	addr_msg(&o, RTM_NEWADDR, 3, "192.0.2.7", 33);
	m = only(&o);
	assert_false(net_addr_parse(&m, &a));
	o.len = 0;
	addr_msg(&o, RTM_NEWADDR, 0, "192.0.2.7", 24);
	m = only(&o);
	assert_false(net_addr_parse(&m, &a));
}

static void route_head(struct out *o, uint8_t prefix)
{
	struct rtmsg h = {
		.rtm_family = AF_INET,
		.rtm_dst_len = prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_type = RTN_UNICAST,
	};

	begin(o, RTM_NEWROUTE, &h, sizeof(h));
}

static void test_routes(void **state)
{
	struct out o = {.len = 0};
	struct net_route r[2];
	struct net_msg m;

	(void)state;
	route_head(&o, 0);
	attr(&o, RTA_GATEWAY, "\300\0\2\1", 4);
	attr_u32(&o, RTA_OIF, 3);
	attr_u32(&o, RTA_PRIORITY, 100);
	attr_u32(&o, RTA_TABLE, 1000);
	m = only(&o);
	assert_int_equal(net_routes_parse(&m, r, 2), 1);
	assert_int_equal(r[0].gateway_family, AF_INET);
	assert_memory_equal(r[0].gateway, "\300\0\2\1", 4);
	assert_int_equal(r[0].index, 3);
	assert_int_equal(r[0].metric, 100);
	assert_int_equal(r[0].table, 1000);
	assert_int_equal(net_routes_parse(&m, r, 0), 0);
	o.len = 0;
	route_head(&o, 33);
	m = only(&o);
	assert_int_equal(net_routes_parse(&m, r, 2), 0);
	o.len = 0;
	route_head(&o, 0);
	attr(&o, RTA_GATEWAY, "\300\0\2", 3); /* no address */
	m = only(&o);
	assert_int_equal(net_routes_parse(&m, r, 2), 1);
	assert_int_equal(r[0].gateway_family, 0);
}

static void test_routes_of_several_ways(void **state)
{
	struct {
		struct rtnexthop h;
		struct rtattr a;
		uint8_t gateway[4];
	} ways[3];
	struct out o = {.len = 0};
	struct net_route r[2];
	struct net_msg m;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		memset(&ways[i], 0, sizeof(ways[i]));
		ways[i].h.rtnh_len = sizeof(ways[i]);
		ways[i].h.rtnh_ifindex = (int)i + 5;
		ways[i].a.rta_len = sizeof(ways[i].a) + 4;
		ways[i].a.rta_type = RTA_GATEWAY;
		ways[i].gateway[3] = (uint8_t)i;
	}
	route_head(&o, 0);
	attr(&o, RTA_MULTIPATH, ways, sizeof(ways));
	m = only(&o);
	assert_int_equal(net_routes_parse(&m, r, 2), 2); /* as there is room */
	assert_int_equal(r[1].index, 6);
	assert_int_equal(r[1].gateway[3], 1);
	ways[1].h.rtnh_len = 4000;
	o.len = 0;
	route_head(&o, 0);
	attr(&o, RTA_MULTIPATH, ways, sizeof(ways));
	m = only(&o);
	assert_int_equal(net_routes_parse(&m, r, 2), 1);
	ways[0].h.rtnh_len = 0;
	o.len = 0;
	route_head(&o, 0);
	attr(&o, RTA_MULTIPATH, ways, sizeof(ways));
	m = only(&o);
	assert_int_equal(net_routes_parse(&m, r, 2), 0);
}

/* ---- the table ----------------------------------------------------------- */

static void test_table_follows(void **state)
{
	struct net_table t = {.links = NULL}, told = {.links = NULL};
	struct out o = {.len = 0};
	size_t at = 0;

	(void)state;
	link_msg(&o, RTM_NEWLINK, 1, "lo");
	link_msg(&o, RTM_NEWLINK, 2, "eth0");
	addr_msg(&o, RTM_NEWADDR, 2, "192.0.2.1", 24);
	addr_msg(&o, RTM_NEWADDR, 2, "192.0.2.2", 24);
	addr_msg(&o, RTM_NEWADDR, 2, "192.0.2.1", 24); /* again */
	feed(&t, &o);
	assert_int_equal(t.n_links, 2);
	assert_int_equal(t.n_addrs, 2);
	assert_true(net_table_copy(&told, &t));
	assert_true(net_table_same(&t, &told, 1));
	assert_true(net_table_same(&t, &told, 2));
	assert_true(net_table_same(&t, &told, 3)); /* in neither */
	o.len = 0;
	addr_msg(&o, RTM_DELADDR, 2, "192.0.2.1", 24);
	addr_msg(&o, RTM_DELADDR, 2, "192.0.2.9", 24); /* there is none */
	feed(&t, &o);
	assert_int_equal(t.n_addrs, 1);
	assert_true(net_table_same(&t, &told, 1));
	assert_false(net_table_same(&t, &told, 2));
	assert_false(net_table_same(&told, &t, 2));
	assert_non_null(net_table_addr(&t, 2, &at));
	assert_null(net_table_addr(&t, 2, &at));
	o.len = 0;
	link_msg(&o, RTM_DELLINK, 2, "eth0");
	feed(&t, &o);
	assert_null(net_table_link(&t, 2));
	assert_int_equal(t.n_addrs, 0);
	assert_false(net_table_same(&t, &told, 2));
	net_table_done(&t);
	net_table_done(&told);
}

static void test_table_is_bounded(void **state)
{
	struct net_table t = {.links = NULL};
	struct out o;
	char name[IF_NAMESIZE];

	(void)state;
	for (int i = 1; i <= NET_LINKS_MAX + 5; i++) {
		o.len = 0;
		snprintf(name, sizeof(name), "d%d", i);
		link_msg(&o, RTM_NEWLINK, i, name);
		feed(&t, &o);
	}
	assert_int_equal(t.n_links, NET_LINKS_MAX);
	assert_int_equal(t.left_out, 5);
	net_table_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_cut_messages),
		cmocka_unit_test(test_lengths_that_lie),
		cmocka_unit_test(test_names_that_do_not_fit),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_routes_of_several_ways),
		cmocka_unit_test(test_table_follows),
		cmocka_unit_test(test_table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
