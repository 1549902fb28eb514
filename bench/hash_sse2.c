/* SPDX-License-Identifier: MIT */
/* hash_sse2.c - XXH3 with one implementation, see hash.c */
#include "hash_impl.h"

#define XXH_VECTOR XXH_SSE2
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t bench_xxh3_sse2(const void *p, size_t n)
{
	return XXH3_64bits(p, n);
}
