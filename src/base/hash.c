/* SPDX-License-Identifier: MIT */
/*
 * hash.c - XXH64 from the header-only libxxhash
 *
 * Not XXH3: its vectors are emulated lane by lane where there is no hardware
 * for them (bench/hash.c; the table is in docs/protocol.md).
 */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(const void *p, size_t n)
{
	return XXH64(p, n, 0);
}

uint64_t hash64_seed(const void *p, size_t n, uint64_t seed)
{
	return XXH64(p, n, seed);
}
