/* SPDX-License-Identifier: MIT */
/* net_socket.h - rtnetlink's socket: what there is, and what changes */
#ifndef GUEST_NET_SOCKET_H
#define GUEST_NET_SOCKET_H

#include <stdint.h>

#include "guest/net_info.h"

/* net_socket() - @groups: RTMGRP_* to be told about; 0: none. Return: a
 * non-blocking descriptor, or a negative errno. */
int net_socket(uint32_t groups);

typedef void net_msg_fn(const struct net_msg *m, void *data);

/**
 * net_dump() - all of one kind
 * @fd:   without groups
 * @type: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE
 *
 * Return: 0; -EAGAIN: it changed meanwhile, do it again; or a negative errno.
 */
int net_dump(int fd, uint16_t type, net_msg_fn *fn, void *data);

/* net_read() - what is there now. Return: 0; -ENOBUFS: some of it is lost; or
 * a negative errno. */
int net_read(int fd, net_msg_fn *fn, void *data);

#endif /* GUEST_NET_SOCKET_H */
