/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what every fuzz target has in common
 *
 * A target is one function over bytes that must return, whatever they are.
 * Linked with libFuzzer it is a fuzzer; linked with main.c it runs its
 * committed corpus as a normal test.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold; the fuzzer reports the abort. */
#define FUZZ_CHECK(cond)         \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

/* fuzz_copy() - in memory of its own, so that a sanitizer sees every byte
 * too far; the caller frees it */
uint8_t *fuzz_copy(const uint8_t *data, size_t size);

#endif /* FUZZ_FUZZ_H */
