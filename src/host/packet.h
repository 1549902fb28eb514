/* SPDX-License-Identifier: MIT */
/*
 * packet.h - one packet of a SOCK_SEQPACKET pair, with a descriptor or without
 *
 * Below the messages of ipc.h and bus_ipc.h; knows nothing of their content.
 */
#ifndef HOST_PACKET_H
#define HOST_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * packet_send() - one packet, never waits
 * @fd: goes along unless < 0; stays the caller's
 *
 * Return: 0 or a negative errno (-EAGAIN: the other end does not read).
 */
int packet_send(int sock, const uint8_t *buf, size_t len, int fd);

/**
 * packet_recv() - one packet, never waits
 * @ret_fd: -1, or a close-on-exec descriptor that is the caller's now
 *
 * Return: bytes; 0 (the other end is gone), -EAGAIN (nothing there), -EPROTO
 * (too long, or more than one descriptor), or another negative errno.
 */
ssize_t packet_recv(int sock, uint8_t *buf, size_t size, int *ret_fd);

#endif /* HOST_PACKET_H */
