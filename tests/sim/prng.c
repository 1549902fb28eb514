/* SPDX-License-Identifier: MIT */
/* prng.c - every decision of the simulator */
#include "prng.h"

#define GOLDEN 0x9e3779b97f4a7c15u

void prng_seed(struct prng *p, uint64_t seed)
{
	p->state = prng_mix(seed + GOLDEN);
	p->data = NULL;
	p->left = 0;
}

void prng_bytes(struct prng *p, const uint8_t *data, size_t len)
{
	prng_seed(p, len);
	p->data = data;
	p->left = len;
}

uint64_t prng_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t prng_u64(struct prng *p)
{
	p->state += GOLDEN;
	return prng_mix(p->state);
}

/* As few of the given bytes as can tell @n values apart. */
static uint64_t take(struct prng *p, uint64_t n)
{
	uint64_t v = 0;

	for (unsigned int bits = 0; bits < 64 && p->left; bits += 8) {
		if (n <= (uint64_t)1 << bits)
			break;
		v = v << 8 | *p->data++;
		p->left--;
	}
	return v;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
	if (n < 2)
		return 0;
	if (p->left)
		return take(p, n) % n;
	return prng_u64(p) % n;
}

uint64_t prng_range(struct prng *p, uint64_t lo, uint64_t hi)
{
	return lo + prng_below(p, hi - lo + 1);
}

bool prng_chance(struct prng *p, uint32_t num, uint32_t den)
{
	return prng_below(p, den) < num;
}

uint64_t prng_size(struct prng *p, uint64_t max)
{
	uint64_t top = 0;

	while (top < 63 && (uint64_t)1 << top <= max)
		top++;
	top = (uint64_t)1 << prng_below(p, top + 1);
	return prng_below(p, top < max ? top : max + 1);
}

void prng_fill(struct prng *p, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)prng_u64(p);
}
