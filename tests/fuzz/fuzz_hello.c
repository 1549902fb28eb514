/* SPDX-License-Identifier: MIT */
/*
 * fuzz_hello.c - the HELLO parser
 *
 * With an odd first byte the magic, the length and the check are put right,
 * so that the fuzzer gets behind them. What is accepted must be within its
 * stated ranges and survive encoding and decoding.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "session/wire.h"

#define AT_CHECK 16u
#define AT_BODY  24u

static void fix_up(uint8_t *p, size_t n)
{
	if (n < HELLO_FIXED || n > HELLO_MAX)
		return;
	memcpy(p, hello_magic, HELLO_MAGIC_LEN);
	le16_put(p + AT_BODY, (uint16_t)n);
	le64_put(p + AT_CHECK, hash64(p + AT_BODY, n - AT_BODY));
}

static void check_ranges(const struct hello *h, size_t len, size_t size)
{
	FUZZ_CHECK(len >= HELLO_FIXED && len <= HELLO_MAX && len <= size);
	FUZZ_CHECK(h->kind == HELLO_KIND_HELLO || h->kind == HELLO_KIND_ACK);
	FUZZ_CHECK(h->role <= VMC_ROLE_GUEST);
	FUZZ_CHECK(h->verdict < HELLO_VERDICT_NUM);
	FUZZ_CHECK(h->version_min && h->version_min <= h->version_max);
	FUZZ_CHECK(h->tx_first <= h->tx_next);
	FUZZ_CHECK(h->max_frame >= VMC_MIN_FRAME);
	FUZZ_CHECK(h->tlvs_ignored <= HELLO_TLVS_MAX);
}

static void check_round_trip(const struct hello *h)
{
	uint8_t wire[HELLO_MAX];
	struct hello again;
	size_t len, parsed;

	len = wire_put_hello(wire, h);
	FUZZ_CHECK(wire_get_hello(wire, len, &again, &parsed) == HELLO_OK);
	FUZZ_CHECK(parsed == len);
	again.tlvs_ignored = h->tlvs_ignored;
	again.tlv_refused = h->tlv_refused;
	FUZZ_CHECK(again.nonce == h->nonce && again.echo == h->echo);
	FUZZ_CHECK(again.rx_next == h->rx_next &&
		   again.rx_digest == h->rx_digest);
	FUZZ_CHECK(!memcmp(again.session_id, h->session_id,
			   sizeof(h->session_id)));
	for (size_t n = 0; n < len; n++)
		FUZZ_CHECK(wire_get_hello(wire, n, &again, &parsed) ==
			   HELLO_SHORT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hello h;
	uint8_t *copy;
	size_t len = 0;

	if (!size)
		return 0;
	copy = fuzz_copy(data + 1, size - 1);
	if (data[0] & 1)
		fix_up(copy, size - 1);
	if (wire_get_hello(copy, size - 1, &h, &len) == HELLO_OK) {
		check_ranges(&h, len, size - 1);
		check_round_trip(&h);
	}
	free(copy);
	return 0;
}
