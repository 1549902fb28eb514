/* SPDX-License-Identifier: MIT */
/* hash.c - XXH64 from the header-only libxxhash */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(const void *p, size_t n, uint64_t seed)
{
	return XXH64(p, n, seed);
}
