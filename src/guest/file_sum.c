/* SPDX-License-Identifier: MIT */
/* file_sum.c - SHA-256 */
#include "guest/file_sum.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void file_sum_hex(const uint8_t sum[OPFRAME_SUM], char *ret)
{
	for (size_t i = 0; i < OPFRAME_SUM; i++)
		snprintf(ret + 2 * i, 3, "%02x", sum[i]);
}

int file_sum_from(struct sha256_ctx *sum, int fd, int64_t n)
{
	static uint8_t data[OPFRAME_MAX];

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	while (n > 0) {
		size_t want =
			n < (int64_t)sizeof(data) ? (size_t)n : sizeof(data);
		ssize_t got = read(fd, data, want);

		if (got == 0)
			return -ENODATA;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0) {
			sha256_update(sum, (size_t)got, data);
			n -= got;
		}
	}
	return 0;
}
