/* SPDX-License-Identifier: MIT */
/*
 * hash.h - the check of the wire: XXH64
 *
 * The one place that knows which hash it is (docs/protocol.md, "Checks").
 * Not a cryptographic one: it catches damage and splices, and blind forgery
 * by somebody who does not know the seed.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* hash64() - of @n bytes, unseeded */
__attribute__((nonnull)) uint64_t hash64(const void *p, size_t n);

/* hash64_seed() - of @n bytes under @seed */
__attribute__((nonnull)) uint64_t hash64_seed(const void *p, size_t n,
					      uint64_t seed);

#endif /* BASE_HASH_H */
