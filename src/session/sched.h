/* SPDX-License-Identifier: MIT */
/*
 * sched.h - who may send next: owners first, then an owner's streams
 *
 * Two levels of the same queue. At each level a member that becomes
 * backlogged is "fresh" and is served before the old ones, for one quantum
 * (the sparse-flow rule of FQ-CoDel); then it takes its turn among the old
 * ones by deficit round robin. A member that runs empty keeps a place at the
 * end of the old list for one round, so that emptying and refilling wins
 * nothing. Opening many streams wins nothing either: they share their
 * owner's turn.
 *
 * One block of memory, no pointers: struct sched, then the nodes of the
 * streams, of the owners, and the owners' queues. Streams are numbered by the
 * caller (0..n-1).
 *
 * Cost: sched_add() looks through the owners; all else is O(1), amortised.
 */
#ifndef SESSION_SCHED_H
#define SESSION_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHED_NONE       0xffffu
#define SCHED_WEIGHT_MAX 16u

struct sched;

/* sched_size() - bytes for @n streams */
size_t sched_size(uint32_t n);
/* @quantum: bytes per turn and unit of weight; no charge may be larger */
void sched_init(struct sched *sc, uint32_t n, uint32_t quantum);
void sched_set_quantum(struct sched *sc, uint32_t quantum);

/* @weight 1..SCHED_WEIGHT_MAX; @i must not be there yet */
void sched_add(struct sched *sc, uint16_t i, uint64_t owner,
	       unsigned int weight);
/* Forgets @i, with its owner if that was the last one. No-op if not there. */
void sched_remove(struct sched *sc, uint16_t i);

/* sched_set() - has @i something to send? */
void sched_set(struct sched *sc, uint16_t i, bool backlogged);

/* sched_pick() - whose turn it is, or SCHED_NONE; changes no share */
uint16_t sched_pick(struct sched *sc);
/* sched_charge() - @i, which was picked, has used @bytes of its turn */
void sched_charge(struct sched *sc, uint16_t i, uint32_t bytes);

/* sched_give_way() - @i, which was picked while fresh, is to wait among the old
 * ones; its owner, too, unless other streams of it are fresh */
void sched_give_way(struct sched *sc, uint16_t i);

/* sched_owner() - number (0..n-1) of the owner of @i while it has streams, or
 * SCHED_NONE if @i is not there */
uint16_t sched_owner(const struct sched *sc, uint16_t i);

/* sched_key() - the owner's number as sched_add() was given it, sched_weight()
 * - the weight; 0 if @i is not there */
uint64_t sched_key(const struct sched *sc, uint16_t i);
unsigned int sched_weight(const struct sched *sc, uint16_t i);

/* sched_owner_streams() - how many streams owner number @owner has */
uint16_t sched_owner_streams(const struct sched *sc, uint16_t owner);

/* sched_is_fresh() - is @i in its first turn after having been idle? */
bool sched_is_fresh(const struct sched *sc, uint16_t i);

/* sched_fits() - may it be followed without leaving its memory or going round
 * in circles? For memory that somebody else left; else it is given. */
bool sched_fits(const struct sched *sc, uint32_t n, uint32_t quantum);

/* sched_check() - NULL, or which invariant is broken */
const char *sched_check(const struct sched *sc);

#endif /* SESSION_SCHED_H */
