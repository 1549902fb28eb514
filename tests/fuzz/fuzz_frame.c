/* SPDX-License-Identifier: MIT */
/*
 * fuzz_frame.c - the payload decoders of control frames
 *
 * The first byte picks the decoder. What a decoder accepts, the encoder must
 * turn back into the same bytes: no two payloads mean the same.
 */
#include <string.h>

#include "fuzz.h"
#include "session/wire.h"

static void check_name(const char *name, uint8_t len)
{
	FUZZ_CHECK(len >= 1 && len <= VMC_NAME_MAX);
	FUZZ_CHECK(strlen(name) == len);
	FUZZ_CHECK(vmc_name_valid(name, len));
}

static size_t try_open(const uint8_t *p, size_t n, uint8_t *out)
{
	struct wire_open o;

	if (!wire_get_open(p, n, &o))
		return SIZE_MAX;
	check_name(o.name, o.name_len);
	return wire_put_open(out, &o);
}

static size_t try_reason(const uint8_t *p, size_t n, uint8_t *out)
{
	uint16_t reason;

	if (!wire_get_reason(p, n, &reason))
		return SIZE_MAX;
	FUZZ_CHECK(vmc_reason_name(reason) && vmc_reason_text(reason));
	return wire_put_reason(out, reason);
}

static size_t try_u64(const uint8_t *p, size_t n, uint8_t *out)
{
	uint64_t v;

	if (!wire_get_u64(p, n, &v))
		return SIZE_MAX;
	return wire_put_u64(out, v);
}

static size_t try_advertise(const uint8_t *p, size_t n, uint8_t *out)
{
	struct wire_name a;

	if (!wire_get_advertise(p, n, &a))
		return SIZE_MAX;
	check_name(a.name, a.name_len);
	return wire_put_advertise(out, &a);
}

static size_t try_withdraw(const uint8_t *p, size_t n, uint8_t *out)
{
	struct wire_name a;

	if (!wire_get_withdraw(p, n, &a))
		return SIZE_MAX;
	check_name(a.name, a.name_len);
	return wire_put_withdraw(out, &a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static size_t (*const decoders[])(const uint8_t *, size_t,
					  uint8_t *) = {
		try_open, try_reason, try_u64, try_advertise, try_withdraw,
	};
	uint8_t out[WIRE_CONTROL_MAX];
	uint8_t *copy;
	size_t n;

	if (!size)
		return 0;
	copy = fuzz_copy(data + 1, size - 1);
	n = decoders[data[0] % 5](copy, size - 1, out);
	if (n != SIZE_MAX)
		FUZZ_CHECK(n == size - 1 && !memcmp(out, copy, n));
	free(copy);
	return 0;
}
