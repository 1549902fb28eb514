/* SPDX-License-Identifier: MIT */
/* test_base.c - cursors, lists, buckets, hash, reasons */
#include "pair.h"

#include "base/bucket.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/list.h"

static void reader_takes_exactly_what_is_there(void **state)
{
	static const uint8_t b[] = {1, 2,  3,  4,  5,  6,  7, 8,
				    9, 10, 11, 12, 13, 14, 15};
	struct rd r = rd_init(b, 15);

	(void)state;
	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16(&r), 0x0302);
	assert_int_equal(rd_u32(&r), 0x07060504);
	assert_int_equal(rd_u64(&r), UINT64_C(0x0f0e0d0c0b0a0908));
	assert_true(rd_done(&r));
	assert_int_equal(rd_u8(&r), 0);
	assert_false(rd_done(&r));
}

static void reader_that_was_short_stays_bad(void **state)
{
	static const uint8_t b[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct rd r = rd_init(b, 7);

	(void)state;
	assert_int_equal(rd_u64(&r), 0);
	assert_null(rd_bytes(&r, 1));
	assert_false(rd_done(&r));
	r = rd_init(b, 8);
	(void)rd_u32(&r);
	assert_false(rd_done(&r)); /* something is left over */
}

static void writer_stops_at_its_end(void **state)
{
	uint8_t b[5] = {0, 0, 0, 0, 0xee};
	struct wr w = wr_init(b, 4);

	(void)state;
	wr_u16(&w, 0x0201);
	wr_u32(&w, 0xffffffff);
	assert_true(w.bad);
	wr_u8(&w, 9);
	assert_memory_equal(b, "\x01\x02\0\0\xee", 5);
}

static void list_keeps_order_and_forgets(void **state)
{
	struct link links[3];
	struct list l;

	(void)state;
	link_init(links, 3);
	list_init(&l);
	for (uint16_t i = 0; i < 3; i++)
		list_append(links, &l, i);
	list_remove(links, &l, 1);
	assert_false(list_has(links, 1));
	assert_int_equal(l.first, 0);
	assert_int_equal(links[0].next, 2);
	list_remove(links, &l, 0);
	list_remove(links, &l, 2);
	assert_true(list_empty(&l));
}

static void bucket_gives_burst_then_rate(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 2, 0);
	assert_true(bucket_take(&b, 1, 2, 0));
	assert_true(bucket_take(&b, 1, 2, 0));
	assert_false(bucket_take(&b, 1, 2, 999999));
	assert_true(bucket_take(&b, 1, 2, 1000000));
	assert_false(bucket_take(&b, 1, 2, 0)); /* the clock steps back */
	/* Never more than the burst, however long it was idle. */
	assert_true(bucket_take(&b, 1, 2, UINT64_MAX));
	assert_true(bucket_take(&b, 1, 2, UINT64_MAX));
	assert_false(bucket_take(&b, 1, 2, UINT64_MAX));
}

static void hash_is_xxh64(void **state)
{
	(void)state;
	assert_true(hash64("", 0) == UINT64_C(0xef46db3751d8e999));
	assert_true(hash64("a", 1) == UINT64_C(0xd24ec4f1a98c6e5b));
	assert_true(hash64_seed("", 0, 1) == UINT64_C(0xd5afba1336a3be4b));
}

static void reasons_have_words(void **state)
{
	(void)state;
	assert_string_equal(vmc_reason_name(VMC_REASON_OK), "ok");
	assert_string_equal(vmc_reason_name(VMC_REASON_NO_PEER), "no-peer");
	assert_string_equal(vmc_reason_name(VMC_REASON_NO_PEER + 1), "unknown");
	assert_string_equal(vmc_reason_name(0x4000), "vendor");
	assert_string_equal(vmc_reason_name(0x7fff), "vendor");
	assert_string_equal(vmc_reason_name(0x8000), "application");
	assert_string_equal(vmc_reason_name(0xffff), "application");
	assert_string_equal(vmc_reason_name(0x10000), "unknown");
	assert_string_equal(vmc_reason_text(VMC_REASON_DENIED),
			    "policy does not allow it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_takes_exactly_what_is_there),
		cmocka_unit_test(reader_that_was_short_stays_bad),
		cmocka_unit_test(writer_stops_at_its_end),
		cmocka_unit_test(list_keeps_order_and_forgets),
		cmocka_unit_test(bucket_gives_burst_then_rate),
		cmocka_unit_test(hash_is_xxh64),
		cmocka_unit_test(reasons_have_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
