/* SPDX-License-Identifier: MIT */
/*
 * history.h - which bytes an application may see, when time runs more than once
 *
 * An end that goes back to a snapshot begins a new branch: what it sends from
 * there on are other bytes at the same offsets. So each direction of a
 * conversation is a tree of pieces, one piece for each pull and one for the
 * end; a receiver walks down one path and never leaves it.
 *
 * A piece also knows what its sender had seen of the receiver when it was
 * sent. Whoever receives it must have done that in its own past, or it gets
 * an answer to what it never said.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;
struct conv;

/* A moment of one end: so many steps on that branch. */
struct moment {
	uint32_t branch; /* 0: nothing was seen yet */
	uint64_t step;
};

struct piece {
	uint32_t prev, child, sibling; /* 0: none */
	uint32_t order;                /* among its siblings */
	uint64_t off;
	uint32_t len;    /* 0: the end */
	uint32_t forged; /* index + 1 of recorded bytes that it is made of */
	struct moment sent, seen;
};

struct branch {
	int end;
	uint32_t parent; /* 0: none */
	uint64_t forked; /* the parent's step */
};

struct history {
	struct piece *piece; /* [0] is never one */
	uint32_t n_pieces, piece_room;
	struct branch *branch;
	uint32_t n_branches, branch_room;
	uint8_t *forged;
	uint32_t forged_len;
};

void history_init(struct history *h);
void history_done(struct history *h);

/* history_copy() - @to becomes equal to @from; its memory is used again */
void history_copy(struct history *to, const struct history *from);

/* history_branch() - @e begins a branch that leaves @from */
void history_branch(struct world *w, int e, struct moment from);

/* history_root() - the piece that a direction of a conversation begins with */
uint32_t history_root(struct world *w);

/*
 * history_send() - @e sends @n bytes (0: its end); they are put into @buf
 * @forge: what they shall look like as far as possible; NULL: anything
 */
void history_send(struct world *w, struct conv *c, int e, uint8_t *buf,
		  size_t n, const uint8_t *forge);

/*
 * history_look() - @e sees @n bytes at @off; they stay unread
 * @piece: that the bytes before @off were seen in; 0: they were taken
 *
 * Return: the piece of the last byte.
 */
uint32_t history_look(struct world *w, struct conv *c, int e, uint32_t piece,
		      uint64_t off, const uint8_t *buf, size_t n);

/* history_take() - @e took the @n bytes in @buf that it saw at @off */
void history_take(struct world *w, struct conv *c, int e, uint64_t off,
		  const uint8_t *buf, size_t n);

/* history_end() - @e took the end of its peer's bytes at @off */
void history_end(struct world *w, struct conv *c, int e, uint64_t off);

#endif /* SIM_HISTORY_H */
