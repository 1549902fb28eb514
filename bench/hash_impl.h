/* SPDX-License-Identifier: MIT */
/* hash_impl.h - the candidates for the check, one function each */
#ifndef BENCH_HASH_IMPL_H
#define BENCH_HASH_IMPL_H

#include <stddef.h>
#include <stdint.h>

uint64_t bench_xxh3_scalar(const void *p, size_t n);
uint64_t bench_xxh3_sse2(const void *p, size_t n);
uint64_t bench_xxh3_avx2(const void *p, size_t n);
uint64_t bench_xxh64(const void *p, size_t n);

#endif /* BENCH_HASH_IMPL_H */
