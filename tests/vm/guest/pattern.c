/* SPDX-License-Identifier: MIT */
/* pattern.c - bytes that tell where in their stream they stand */
#include "pattern.h"

#include <string.h>

#define FACTOR      UINT64_C(0x9e3779b97f4a7c15)
#define SEED_FACTOR UINT64_C(0x100000001b3)
#define SHIFT       29
#define PIECE       (size_t)4096
/* A place further away than this is an accident of random bytes. */
#define JUMP_MAX (UINT64_C(1) << 32)

static uint64_t word_at(uint64_t seed, uint64_t index)
{
	uint64_t x = (index + seed * SEED_FACTOR) * FACTOR;

	return x ^ (x >> SHIFT);
}

/* 1 / FACTOR modulo 2^64, by Newton: each step doubles the right bits. */
static uint64_t inverse(void)
{
	uint64_t x = FACTOR;

	for (int i = 0; i < 5; i++)
		x *= 2 - FACTOR * x;
	return x;
}

/* The index that word_at() was given. */
static uint64_t index_of(uint64_t seed, uint64_t word)
{
	uint64_t x = word ^ (word >> SHIFT) ^ (word >> 2 * SHIFT);

	return x * inverse() - seed * SEED_FACTOR;
}

static uint8_t byte_at(uint64_t seed, uint64_t at)
{
	return (uint8_t)(word_at(seed, at / 8) >> (at % 8 * 8));
}

void pattern_fill(uint8_t *buf, size_t len, uint64_t seed, uint64_t at)
{
	size_t i = 0;

	for (; i < len && (at + i) % 8; i++)
		buf[i] = byte_at(seed, at + i);
	for (; i + 8 <= len; i += 8) {
		uint64_t w = word_at(seed, (at + i) / 8);

		memcpy(buf + i, &w, 8);
	}
	for (; i < len; i++)
		buf[i] = byte_at(seed, at + i);
}

/* The place of the tail's first byte, if two words in a row tell it. */
static bool tail_place(const struct pattern_check *c, uint64_t *ret)
{
	uint64_t w[2], index;

	for (size_t skip = 0; skip < 8; skip++) {
		memcpy(w, c->tail + skip, sizeof(w));
		index = index_of(c->seed, w[0]);
		if (w[1] != word_at(c->seed, index + 1) ||
		    index * 8 + JUMP_MAX < c->at || index * 8 < skip ||
		    index * 8 > c->at + JUMP_MAX)
			continue;
		*ret = index * 8 - skip;
		return true;
	}
	return false;
}

static void found(struct pattern_check *c, uint64_t place)
{
	if (place > c->at)
		c->lost += place - c->at;
	else
		c->doubled += c->at - place;
	c->jumps++;
	c->at = place + c->n_tail;
	c->n_tail = 0;
	c->astray = false;
}

/* Return: bytes taken; fewer than @len once the place is found. */
static size_t take_astray(struct pattern_check *c, const uint8_t *buf,
			  size_t len)
{
	uint64_t place;

	for (size_t i = 0; i < len; i++) {
		c->tail[c->n_tail++] = buf[i];
		if (c->n_tail < PATTERN_TAIL)
			continue;
		if (tail_place(c, &place)) {
			found(c, place);
			return i + 1;
		}
		c->garbage++;
		memmove(c->tail, c->tail + 1, --c->n_tail);
	}
	return len;
}

/* Return: bytes taken, up to the first one that is not the next. */
static size_t take_straight(struct pattern_check *c, const uint8_t *buf,
			    size_t len)
{
	uint8_t want[PIECE];
	size_t n = len < PIECE ? len : PIECE, i = 0;

	pattern_fill(want, n, c->seed, c->at);
	if (memcmp(want, buf, n) == 0)
		i = n;
	while (i < n && want[i] == buf[i])
		i++;
	c->at += i;
	c->astray = i < n;
	return i;
}

void pattern_take(struct pattern_check *c, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		size_t n = c->astray ? take_astray(c, buf, len)
				     : take_straight(c, buf, len);

		buf += n;
		len -= n;
	}
}

bool pattern_exact(const struct pattern_check *c)
{
	return !c->astray && c->jumps == 0 && c->garbage == 0;
}
