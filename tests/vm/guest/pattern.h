/* SPDX-License-Identifier: MIT */
/*
 * pattern.h - bytes that tell where in their stream they stand
 *
 * Each 8 aligned bytes of a stream are a word that only its place and the
 * stream's seed make, and that can be turned back into the place. So a reader
 * can tell how much was lost or came twice, and not only that something did.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* pattern_fill() - the @len bytes from place @at on */
void pattern_fill(uint8_t *buf, size_t len, uint64_t seed, uint64_t at);

/* Needed to find a place again: two words, wherever they begin. */
#define PATTERN_TAIL 24

/* What a reader found out; begin with zeros and the seed. */
struct pattern_check {
	uint64_t seed;
	uint64_t at;      /* the place that comes next */
	uint64_t lost;    /* bytes that never came */
	uint64_t doubled; /* bytes that came again */
	uint64_t garbage; /* bytes of no known place */
	uint64_t jumps;   /* how many times the place changed */
	uint8_t tail[PATTERN_TAIL];
	size_t n_tail;
	bool astray;
};

/* pattern_take() - compare what came; after a jump it finds the place again */
void pattern_take(struct pattern_check *c, const uint8_t *buf, size_t len);

/* pattern_exact() - nothing was lost, doubled or changed */
bool pattern_exact(const struct pattern_check *c);
