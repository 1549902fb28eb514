/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ipc.c - what a worker or a QMP process that was taken over may send to
 * its supervisor (and, for good measure, the other way), and the configuration
 * blob
 *
 * The first byte chooses the direction, whether a descriptor came along, or
 * the blob. What is accepted must encode to the same bytes again.
 */
#include <string.h>

#include "fuzz.h"
#include "host/config.h"
#include "host/ipc.h"

static void try_message(const uint8_t *buf, size_t len, enum ipc_side from,
			bool has_fd)
{
	uint8_t again[IPC_BYTES_MAX];
	struct ipc_msg m;
	size_t n;

	if (!ipc_decode(&m, from, has_fd, buf, len))
		return;
	n = ipc_encode(&m, from, has_fd, again);
	FUZZ_CHECK(n == len && !memcmp(again, buf, n));
}

static void try_blob(const uint8_t *buf, size_t len)
{
	struct services s;
	struct policy *p;
	uint8_t *again;
	size_t n;

	if (config_parse(buf, len, &s, &p) < 0)
		return;
	FUZZ_CHECK(s.n <= SERVICES_MAX);
	again = config_blob(&s, p, &n);
	FUZZ_CHECK(again);
	free(again);
	services_done(&s);
	policy_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum ipc_side from = IPC_FROM_SUPERVISOR;
	uint8_t *copy;

	if (size == 0)
		return 0;
	if (data[0] & 8)
		from = IPC_FROM_QMP;
	else if (data[0] & 1)
		from = IPC_FROM_WORKER;
	copy = fuzz_copy(data + 1, size - 1);
	if (data[0] & 4)
		try_blob(copy, size - 1);
	else
		try_message(copy, size - 1, from, data[0] & 2);
	free(copy);
	return 0;
}
