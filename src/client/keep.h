/* SPDX-License-Identifier: MIT */
/*
 * keep.h - what was sent, kept until it is known to have been taken
 *
 * A ring of the last bytes of a stream, numbered from 0. Bytes before "sent"
 * went to a socket, from which the broker may or may not have read them;
 * those from there to "end" wait. Pure: no I/O.
 */
#ifndef CLIENT_KEEP_H
#define CLIENT_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that may lie between us and a broker: a socket of KEEP_SNDBUF (which
 * the kernel doubles) has a quarter of that. */
#define KEEP_BYTES  (256u * 1024u)
#define KEEP_SNDBUF (64 * 1024)
/* Behind a command there are pipes and windows: ssh's is 2 MiB. */
#define KEEP_BYTES_VIA (4096u * 1024u)
/* Read ahead of what was sent: one system call's worth. */
#define KEEP_AHEAD (64u * 1024u)

struct keep {
	uint8_t *data;
	size_t size;
	uint64_t sent, end;
};

/* keep_init() - room for @bytes sent ones, and KEEP_AHEAD; false: no memory */
bool keep_init(struct keep *k, size_t bytes);
void keep_done(struct keep *k);
/* keep_grow() - the same for more @bytes; nothing is lost on failure */
bool keep_grow(struct keep *k, size_t bytes);

/* keep_room() - where to read to; 0: send first */
size_t keep_room(const struct keep *k, uint8_t **ret);
void keep_add(struct keep *k, size_t len);
/* keep_next() - what to send next; 0: nothing */
size_t keep_next(const struct keep *k, const uint8_t **ret);
void keep_sent(struct keep *k, size_t len);

/* keep_first() - number of the oldest byte that can be sent again */
uint64_t keep_first(const struct keep *k);

/* keep_sure() - number of the oldest one that can be sent again whatever is
 * read ahead meanwhile */
uint64_t keep_sure(const struct keep *k);

/* keep_rewind() - send again from number @at; false: it was never sent, or it
 * is not there any more */
bool keep_rewind(struct keep *k, uint64_t at);

#endif /* CLIENT_KEEP_H */
