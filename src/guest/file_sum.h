/* SPDX-License-Identifier: MIT */
/* file_sum.h - SHA-256 in the words that frames and calls have */
#ifndef GUEST_FILE_SUM_H
#define GUEST_FILE_SUM_H

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/opframe.h"

#define FILE_SUM_HEX ((size_t)2 * OPFRAME_SUM)

/* file_sum_hex() - @ret: FILE_SUM_HEX + 1 bytes */
void file_sum_hex(const uint8_t sum[OPFRAME_SUM], char *ret);

/* file_sum_from() - add the first @n bytes of a file, and stand behind them.
 * Return: 0, -ENODATA: it has fewer, or another negative errno. */
int file_sum_from(struct sha256_ctx *sum, int fd, int64_t n);

#endif /* GUEST_FILE_SUM_H */
