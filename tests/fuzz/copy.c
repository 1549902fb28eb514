/* SPDX-License-Identifier: MIT */
/* copy.c - an input in memory of exactly its size */
#include <string.h>

#include "fuzz.h"

uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);

	if (!p)
		abort();
	if (size)
		memcpy(p, data, size);
	return p;
}
