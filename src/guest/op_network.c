/* SPDX-License-Identifier: MIT */
/*
 * op_network.c - org.vmchannel.Network: interfaces, addresses, routes
 *
 * In a child: the kernel answers while a lock is free that a stuck network
 * driver may hold.
 */
#include <errno.h>
#include <linux/rtnetlink.h>

#include "guest/net_json.h"
#include "guest/net_socket.h"
#include "guest/net_watch.h"
#include "guest/ops_table.h"

/* The interface file's limit. */
#define ROUTES_MAX 4096
/* Of one route. */
#define WAYS_MAX 32

/* Return: a socket that was asked already, or a negative errno. */
static int fill(struct net_table *t)
{
	int fd = net_socket(0);
	int r;

	if (fd < 0)
		return fd;
	r = net_dump(fd, RTM_GETLINK, net_table_feed, t);
	/* What changes meanwhile may be in it or not. */
	if (r == 0 || r == -EAGAIN)
		r = net_dump(fd, RTM_GETADDR, net_table_feed, t);
	return r == 0 || r == -EAGAIN ? fd : r;
}

static void list_interfaces(struct op_call *call, json_t *p)
{
	struct net_table t = {.links = NULL};
	json_t *list = json_array();
	int r = fill(&t);

	(void)p;
	if (r < 0) {
		op_failed(call, r, "the kernel does not tell its interfaces");
		return;
	}
	for (size_t i = 0; i < t.n_links; i++)
		json_array_append_new(list,
				      net_json_interface(&t, &t.links[i]));
	op_reply_list(call, "interfaces", list);
}

struct routes {
	const struct net_table *table;
	json_t *list;
	bool all;
};

static bool is_wanted(const struct routes *r, const struct net_route *way)
{
	return r->all ||
	       (way->table == RT_TABLE_MAIN && way->type == RTN_UNICAST);
}

static void on_route(const struct net_msg *m, void *data)
{
	struct net_route ways[WAYS_MAX];
	struct routes *r = data;
	size_t n = net_routes_parse(m, ways, WAYS_MAX);

	for (size_t i = 0; i < n; i++)
		if (is_wanted(r, &ways[i]) &&
		    json_array_size(r->list) < ROUTES_MAX)
			json_array_append_new(
				r->list, net_json_route(r->table, &ways[i]));
}

static void list_routes(struct op_call *call, json_t *p)
{
	struct net_table t = {.links = NULL};
	struct routes routes = {
		.table = &t,
		.list = json_array(),
		.all = json_is_true(json_object_get(p, "all")),
	};
	int fd = fill(&t);
	int r = fd < 0 ? fd : net_dump(fd, RTM_GETROUTE, on_route, &routes);

	if (r < 0 && r != -EAGAIN)
		op_failed(call, r, "the kernel does not tell its routes");
	else
		op_reply_list(call, "routes", routes.list);
}

static const struct op_row rows[] = {
	{.method = "ListInterfaces",
	 .run = list_interfaces,
	 .flags = OP_BLOCKING},
	{.method = "ListRoutes", .run = list_routes, .flags = OP_BLOCKING},
};

const struct op_interface op_network = {
	.name = "org.vmchannel.Network",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.start = net_watch_start,
	.stop = net_watch_stop,
};
