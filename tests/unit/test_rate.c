/* SPDX-License-Identifier: MIT */
/* What a worker may ask for again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/rate.h"

static void test_burst_then_window(void **state)
{
	struct rate r = {0};

	for (unsigned int i = 0; i < RATE_MAX; i++)
		assert_true(rate_take(&r, 100 + i));
	for (unsigned int i = 0; i < 1000; i++)
		assert_false(rate_take(&r, 200 + i));
	assert_int_equal(r.refused, 1000);
	assert_int_equal(r.n, RATE_MAX);
	/* Those that were refused have not moved the window. */
	assert_false(rate_take(&r, 99 + RATE_WINDOW_MS));
	assert_true(rate_take(&r, 100 + RATE_WINDOW_MS));
	assert_false(rate_take(&r, 100 + RATE_WINDOW_MS));
	assert_true(rate_take(&r, 101 + RATE_WINDOW_MS));
}

/* In no window there are more than RATE_MAX. */
static void test_steady(void **state)
{
	struct rate r = {0};
	unsigned int taken = 0;

	for (uint64_t now = 1; now <= 10u * RATE_WINDOW_MS; now += 7)
		taken += rate_take(&r, now);
	assert_int_equal(taken, 10 * RATE_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_then_window),
		cmocka_unit_test(test_steady),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
