/* SPDX-License-Identifier: MIT */
/*
 * prng.h - every decision of the simulator, from one seed or from given bytes
 *
 * With a seed the decisions are random; with bytes (a fuzzer's input) each
 * decision takes a byte or two of them, so that a small change of the input
 * is a small change of the run. When the bytes are used up the seed goes on.
 */
#ifndef SIM_PRNG_H
#define SIM_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
	uint64_t state;
	const uint8_t *data; /* borrowed; NULL: seed only */
	size_t left;
};

/* prng_seed() - decisions from @seed only */
void prng_seed(struct prng *p, uint64_t seed);

/* prng_bytes() - decisions from @data first, which stays the caller's */
void prng_bytes(struct prng *p, const uint8_t *data, size_t len);

/* prng_mix() - a 64-bit mixing function: equal in, equal out */
uint64_t prng_mix(uint64_t x);

uint64_t prng_u64(struct prng *p);

/* prng_below() - uniform in [0, n); 0 for n == 0 */
uint64_t prng_below(struct prng *p, uint64_t n);

/* prng_range() - uniform in [lo, hi] */
uint64_t prng_range(struct prng *p, uint64_t lo, uint64_t hi);

/* prng_chance() - true about @num times in @den */
bool prng_chance(struct prng *p, uint32_t num, uint32_t den);

/* prng_size() - small values often, every power of two as likely, <= @max */
uint64_t prng_size(struct prng *p, uint64_t max);

void prng_fill(struct prng *p, uint8_t *buf, size_t len);

#endif /* SIM_PRNG_H */
