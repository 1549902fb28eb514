/* SPDX-License-Identifier: MIT */
/* storage_sizes.h - how full file systems are, those that answer */
#ifndef GUEST_STORAGE_SIZES_H
#define GUEST_STORAGE_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One that does not answer by then (a dead server) goes without sizes. */
#define STORAGE_ANSWER_MS 2000
/* All of them together. */
#define STORAGE_TOTAL_MS 15000

struct storage_size {
	bool known;
	uint64_t total, used, available; /* bytes */
	uint64_t files, files_free;
};

/**
 * storage_sizes() - ask for each of @paths in turn
 *
 * To be called in a child: it waits, and starts processes of its own, which
 * end with it.
 */
void storage_sizes(const char *const *paths, size_t n,
		   struct storage_size *ret);

#endif /* GUEST_STORAGE_SIZES_H */
