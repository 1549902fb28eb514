/* SPDX-License-Identifier: MIT */
/*
 * bus.h - the message bus that QEMU's dbus-vmstate object wants
 *
 * Theory of operation
 *
 * QEMU calls it a bus; it is a connection to us that answers as a message bus
 * with one other participant, org.qemu.VMState1. Save and Load are passed on
 * to the worker (bus_ipc.h), everything else is answered here. QEMU stands
 * still while it waits for Save and Load, so each is answered in time,
 * whatever the worker does:
 *
 *	Save:  the worker's state; NOTHING if it has none or says what cannot
 *	       be, or if no worker answers within BUS_SAVE_MS
 *	Load:  success, always, as soon as a worker took it or after
 *	       BUS_LOAD_MS; then the state waits for the next worker
 *
 * A worker that is replaced or dies leaves what it was asked to the next one.
 * Nothing in here waits: the caller polls the descriptors and calls back.
 */
#ifndef HOST_BUS_H
#define HOST_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "host/bus_ipc.h"

/* A lost state costs all streams, a late one only downtime, and VMs move away
 * from hosts that are too busy: there, a worker that does well has answered
 * after 200 ms and more. One that hangs for longer has lost its streams anyway.
 * QEMU's own patience ends after 25 s. Load is the same for the same reason: a
 * guest that runs before the worker took the state begins a new session. */
#define BUS_SAVE_MS 5000u
#define BUS_LOAD_MS 5000u
/* Workers that are offered a state; one that kills two is not tried again. */
#define BUS_LOAD_TRIES 2u
/* Messages of QEMU handled per wake-up; then the worker and time. */
#define BUS_MESSAGES_PER_TURN 16
/* Answers that QEMU has not read; it waits for each before its next call. */
#define BUS_QUEUE_MAX 32u

#define BUS_US_NEVER UINT64_MAX

struct bus_counters {
	uint64_t connections;
	uint64_t saves;     /* answered with a state */
	uint64_t nothing;   /* Saves answered without */
	uint64_t late;      /* calls that no worker answered in time */
	uint64_t loads;     /* states that a worker took */
	uint64_t bad_loads; /* Loads of what is no state */
	uint64_t refused;   /* calls that QEMU does not make */
	uint64_t dropped;   /* connections ended by us */
	uint64_t nonsense;  /* messages of a worker that make no sense */
};

struct bus {
	sd_bus *conn; /* to QEMU; NULL: none */
	int worker;   /* pair; -1: none */
	uint8_t *mem; /* BUS_STATE_SIZE, shared; borrowed */

	sd_bus_message *call; /* a Save or Load to be answered; or NULL */
	enum bus_type asked;  /* which: BUS_SAVE, BUS_LOAD */
	uint8_t save_id[BUS_ID_SIZE];
	uint64_t deadline_us;

	bool load_waits; /* no worker has taken it yet */
	uint8_t load_id[BUS_ID_SIZE];
	uint32_t load_size;
	unsigned int load_tries;

	uint64_t now_us; /* CLOCK_MONOTONIC, of the present turn */
	struct bus_counters n;
};

/* bus_init() - @mem: zeroed, stays the caller's */
void bus_init(struct bus *b, uint8_t *mem);
/* bus_done() - close what is open */
void bus_done(struct bus *b);

/* bus_connect() - a QEMU; it replaces the one before. Consumes @fd.
 * Return: 0 or a negative errno. */
int bus_connect(struct bus *b, int fd);
/* bus_set_worker() - it replaces the one before. Consumes @fd. */
void bus_set_worker(struct bus *b, int fd);

/* bus_turn() - handle what is there, from QEMU, the worker and time */
void bus_turn(struct bus *b, uint64_t now_us);

/* What to poll for before the next turn. An fd of -1: nothing to poll. */
struct bus_poll {
	int qemu_fd;
	short qemu_events;
	uint64_t until_us; /* CLOCK_MONOTONIC; BUS_US_NEVER */
};

void bus_poll(const struct bus *b, struct bus_poll *ret);

#endif /* HOST_BUS_H */
