/* SPDX-License-Identifier: MIT */
/*
 * fuzz_uevent.c - the kernel's messages about devices
 *
 * The answer must be that of a slower reader which looks at every place.
 */
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "guest/uevent.h"

/* Does the wanted string stand at @at, whole? */
static bool stands_at(const char *msg, size_t len, size_t at)
{
	static const char wanted[] = "SUBSYSTEM=virtio-ports";
	const size_t n = sizeof(wanted) - 1;

	if (len - at < n || memcmp(msg + at, wanted, n) != 0)
		return false;
	return (at == 0 || msg[at - 1] == '\0') &&
	       (at + n == len || msg[at + n] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *msg = (char *)fuzz_copy(data, size);
	bool want = false;

	for (size_t at = 0; at < size && !want; at++)
		want = stands_at(msg, size, at);
	FUZZ_CHECK(uevent_is_port(msg, size) == want);
	free(msg);
	return 0;
}
