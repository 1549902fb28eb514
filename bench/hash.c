/* SPDX-License-Identifier: MIT */
/*
 * hash.c - which check is cheapest, here and in an emulated guest?
 *
 * Run it natively and under `qemu-x86_64 -cpu qemu64` (or in a TCG guest),
 * where vector instructions are emulated one by one and SSE4.2 does not
 * exist. The numbers are in docs/protocol.md.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "hash_impl.h"

#define RUNS    5
#define SECONDS 0.05 /* per run: 2 minutes in all under emulation */

static uint32_t crc_table[8][256];

static void crc_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		crc_table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++) {
		for (int t = 1; t < 8; t++) {
			uint32_t c = crc_table[t - 1][i];

			crc_table[t][i] = c >> 8 ^ crc_table[0][c & 0xff];
		}
	}
}

/* CRC32C, eight tables: what one writes without hardware. */
static uint64_t crc32c_table(const void *buf, size_t n)
{
	const uint8_t *p = buf;
	uint32_t c = 0xffffffffu;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		v ^= c;
		c = 0;
		for (int t = 0; t < 8; t++)
			c ^= crc_table[7 - t][v >> (8 * t) & 0xff];
	}
	for (; n; n--)
		c = c >> 8 ^ crc_table[0][(c ^ *p++) & 0xff];
	return ~c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint64_t crc32c_sse42(const void *buf,
							       size_t n)
{
	const uint8_t *p = buf;
	uint64_t c = 0xffffffffu;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		c = _mm_crc32_u64(c, v);
	}
	for (; n; n--)
		c = _mm_crc32_u8((uint32_t)c, *p++);
	return ~(uint32_t)c;
}
#endif

struct candidate {
	const char *name;
	uint64_t (*hash)(const void *p, size_t n);
	bool usable;
};

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Bytes per second, in units of GiB, best of the runs. */
static double measure(const struct candidate *c, const uint8_t *buf, size_t n)
{
	static volatile uint64_t sink;
	double best = 0;

	(void)sink; /* only written: keeps the calls from being left out */
	for (int r = 0; r < RUNS; r++) {
		double start = seconds(), t = 0;
		uint64_t done = 0;

		while ((t = seconds() - start) < SECONDS) {
			for (size_t i = 0; i < 65536 / n; i++)
				sink = sink + c->hash(buf, n);
			done += 65536 / n * n;
		}
		if ((double)done / t > best)
			best = (double)done / t;
	}
	return best / (1024.0 * 1024.0 * 1024.0);
}

int main(void)
{
	static const size_t sizes[] = {64, 4096, 32736};
	static uint8_t buf[32768];
	struct candidate list[] = {
		{"xxh3-scalar", bench_xxh3_scalar, true},
		{"xxh64", bench_xxh64, true},
		{"crc32c-table", crc32c_table, true},
#if defined(__x86_64__)
		{"xxh3-sse2", bench_xxh3_sse2, true},
		{"xxh3-avx2", bench_xxh3_avx2, __builtin_cpu_supports("avx2")},
		{"crc32c-sse4.2", crc32c_sse42,
		 __builtin_cpu_supports("sse4.2")},
#endif
	};

	crc_init();
	memset(buf, 'x', sizeof(buf));
	printf("%-14s %8s %8s %8s  GiB/s\n", "", "64", "4096", "32736");
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		printf("%-14s", list[i].name);
		for (size_t k = 0; k < 3 && list[i].usable; k++)
			printf(" %8.2f", measure(&list[i], buf, sizes[k]));
		printf("%s\n", list[i].usable ? "" : " not on this processor");
	}
	return 0;
}
