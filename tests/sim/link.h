/* SPDX-License-Identifier: MIT */
/*
 * link.h - one direction of the virtual link
 *
 * A bounded byte pipe that keeps order. What was written becomes readable
 * after a delay, at a rate, in pieces of any size; it may stall. The faults
 * of a real link are here too: bytes lost anywhere, changed, or seen twice.
 *
 * It also counts what QEMU's socket would be charged for the writes that lie
 * in it: that is how "the port is never throttled" is checked.
 */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What QEMU's unix socket takes before it throttles the guest's port. */
#define LINK_SOCKET_CHARGE 212992u
#define LINK_SOCKET_WRITES 278u

#define LINK_NEVER UINT64_MAX

/* A stretch of bytes that becomes readable at one time. */
struct link_seg {
	uint64_t ready_at;
	size_t left;
	size_t charge;
};

struct link {
	uint8_t *buf; /* @len bytes from @head */
	size_t room, head, len;
	struct link_seg *seg; /* @n_seg of them from @seg_head */
	size_t seg_room, seg_head, n_seg;
	size_t cap;
	bool whole_writes; /* takes a write whole or not at all */
	uint64_t delay_us, jitter_us;
	uint64_t us_per_kib; /* 0: as fast as the reader */
	uint64_t stalled_until;
	uint64_t busy_until;
	size_t charge, writes; /* unread */
	size_t charge_peak, writes_peak;
	uint64_t bytes_total, writes_total;
	uint8_t *history; /* the newest bytes that were read: ... */
	size_t history_at, history_len; /* ... this many from here */
};

void link_init(struct link *l, size_t cap, bool whole_writes);
void link_done(struct link *l);

/**
 * link_write() - offer a write unit
 * @jitter: added to the delay of these bytes
 *
 * Return: bytes taken; 0 when the pipe is full.
 */
size_t link_write(struct link *l, const uint8_t *buf, size_t n, uint64_t now,
		  uint64_t jitter);

/* link_can_write() - would link_write() of @n bytes take anything? */
bool link_can_write(const struct link *l, size_t n);

/* link_readable() - bytes that can be read now */
size_t link_readable(const struct link *l, uint64_t now);
size_t link_read(struct link *l, uint8_t *buf, size_t n, uint64_t now);

/* link_next() - when more becomes readable; LINK_NEVER if nothing is there */
uint64_t link_next(const struct link *l, uint64_t now);

/* link_charge() - what one write of @len bytes costs in QEMU's socket */
size_t link_charge(size_t len);

/* ---- faults ----------------------------------------------------------- */

/* link_lose() - @n bytes at @off vanish (cut to what is there) */
void link_lose(struct link *l, size_t off, size_t n);

/* link_flip() - one bit changes */
void link_flip(struct link *l, size_t off, unsigned int bit);

/* link_split() - bytes from @off on become readable at @at */
void link_split(struct link *l, size_t off, uint64_t at);

/* link_replay() - the last @n bytes that were read come again, first */
void link_replay(struct link *l, size_t n);

/* link_history() - the newest l->history_len bytes that were read */
const uint8_t *link_history(const struct link *l);

/* link_forgive() - its writer does not know what lies in it: not charged */
void link_forgive(struct link *l);

/* link_copy() - @to becomes equal to @from; zeros or an older copy */
void link_copy(struct link *to, const struct link *from);

#endif /* SIM_LINK_H */
