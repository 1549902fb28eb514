/* SPDX-License-Identifier: MIT */
/*
 * bus_ipc.h - what the bus process and a worker say to each other
 *
 * The bus process (`vmchanneld --bus`) talks to QEMU, the worker to the guest;
 * a state goes from one to the other through shared memory, these messages
 * through a SOCK_SEQPACKET pair. The supervisor makes the pair, puts BUS_STATE
 * into it as the worker's first message, and gives each its end; a new worker
 * or a new bus process gets a new pair.
 *
 *	Save:  bus --SAVE{id}-------> worker --SAVED{id, size}---> bus
 *	Load:  bus --LOAD{id, size}-> worker --LOADED{id, result}-> bus
 *
 * The shared memory is a memfd of BUS_STATE_SIZE, sealed against resizing:
 * the first BUS_AREA is written by the worker (Save), the second by the bus
 * (Load). It holds foreign bytes that can change while one looks: copy first,
 * check the copy.
 *
 * The bus process outlives an upgrade, so the two can be of different
 * versions: a worker takes BUS_VERSION and the one before, and answers in the
 * version it was asked in.
 */
#ifndef HOST_BUS_IPC_H
#define HOST_BUS_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_VERSION     1
#define BUS_VERSION_OLD 1 /* oldest that is understood */

/* VMC_STATE_MAX; QEMU drops more than that. */
#define BUS_AREA       (1024u * 1024u)
#define BUS_SAVE_AT    0u
#define BUS_LOAD_AT    BUS_AREA
#define BUS_STATE_SIZE (2u * BUS_AREA)

#define BUS_ID_SIZE   16
#define BUS_MSG_BYTES 28 /* every message */

enum bus_type {
	BUS_NONE,
	BUS_WORKER, /* supervisor to bus; fd: the pair to a new worker */
	BUS_STATE,  /* to the worker, first; fd: the shared memory */
	BUS_QEMU,   /* to the worker; result: 1 connected, 0 not */
	BUS_SAVE,   /* to the worker; id: the save_id to use */
	BUS_SAVED,  /* to the bus; id as asked; size; 0: there is no session */
	BUS_LOAD,   /* to the worker; id; size; 0: what came is no state */
	BUS_LOADED, /* to the bus; id as asked; result: 0 or a negative number
		       for the log */
	BUS_TYPE_NUM
};

enum bus_side {
	BUS_FROM_SUPERVISOR, /* over the bus process's own pair */
	BUS_FROM_BUS,        /* or from who made the pair: BUS_STATE */
	BUS_FROM_WORKER,
};

struct bus_msg {
	enum bus_type type;
	uint16_t version; /* 0 when sending: BUS_VERSION */
	int32_t result;
	uint32_t size; /* <= BUS_AREA */
	uint8_t id[BUS_ID_SIZE];
};

/* bus_encode() - Return: is @m a legal message of @from? */
bool bus_encode(const struct bus_msg *m, enum bus_side from, bool has_fd,
		uint8_t buf[BUS_MSG_BYTES]);

/**
 * bus_decode() - check and read one packet
 * @ret:    written only on success
 * @has_fd: did exactly one descriptor come with it?
 */
bool bus_decode(struct bus_msg *ret, enum bus_side from, bool has_fd,
		const uint8_t *buf, size_t len);

/**
 * bus_ipc_send() - one message, never waits
 * @fd: goes along unless < 0; stays the caller's
 *
 * Return: 0 or a negative errno (-EAGAIN: the other end does not read).
 */
int bus_ipc_send(int sock, const struct bus_msg *m, enum bus_side from, int fd);

/**
 * bus_ipc_recv() - one message, never waits
 * @ret_fd: -1, or a close-on-exec descriptor that is the caller's now
 *
 * Return: 1, 0 (the other end is gone), -EAGAIN (nothing there), -EPROTO (not
 * a message that this side may get), or another negative errno.
 */
int bus_ipc_recv(int sock, struct bus_msg *ret, enum bus_side from,
		 int *ret_fd);

/**
 * bus_map_state() - map the shared memory that came with BUS_STATE
 * @fd:  stays the caller's
 * @ret: BUS_STATE_SIZE bytes; written only on success
 *
 * Whoever else has it could shrink it under us if it were not sealed, and an
 * access to a page that is gone is a signal.
 *
 * Return: 0, -EPERM (it is not sealed), -EBADF (no such memory, or another
 * size), or another negative errno.
 */
int bus_map_state(int fd, uint8_t **ret);

#endif /* HOST_BUS_IPC_H */
