/* SPDX-License-Identifier: MIT */
/* net_json.h - interfaces, addresses and routes as the interface file has
 * them */
#ifndef GUEST_NET_JSON_H
#define GUEST_NET_JSON_H

#include <jansson.h>

#include "guest/net_table.h"

/* net_json_addresses() - of one interface, at most @max */
json_t *net_json_addresses(const struct net_table *t, int index, size_t max);
json_t *net_json_interface(const struct net_table *t, const struct net_link *l);
/* net_json_route() - @t: for the names of interfaces */
json_t *net_json_route(const struct net_table *t, const struct net_route *r);

#endif /* GUEST_NET_JSON_H */
