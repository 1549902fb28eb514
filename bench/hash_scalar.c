/* SPDX-License-Identifier: MIT */
/* hash_scalar.c - XXH3 with one implementation, see hash.c */
#include "hash_impl.h"

#define XXH_VECTOR XXH_SCALAR
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t bench_xxh3_scalar(const void *p, size_t n)
{
	return XXH3_64bits(p, n);
}

uint64_t bench_xxh64(const void *p, size_t n)
{
	return XXH64(p, n, 0);
}
