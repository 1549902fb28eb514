/* SPDX-License-Identifier: MIT */
/* test_opframe.c - the frames of Exec and File, byte for byte */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/opframe.h"

static void heads(void **state)
{
	static const struct {
		uint8_t bytes[OPFRAME_HEAD];
		bool good;
		struct opframe f;
	} cases[] = {
		{{1}, true, {OPFRAME_DATA, 1}},
		{{0}, false, {0}},
		{{0, 0, 1, 0, 1}, true, {OPFRAME_OUT, 65536}},
		{{1, 0, 1, 0, 1}, false, {0}},
		{{0, 1, 0, 0, 2}, true, {OPFRAME_ERR, 256}},
		{{0, 0, 0, 1, 2}, false, {0}},
		{{0, 0, 0, 0, 3}, true, {OPFRAME_END, 0}},
		{{1, 0, 0, 0, 3}, false, {0}},
		{{4, 0, 0, 0, 4}, true, {OPFRAME_SIZE, 4}},
		{{5, 0, 0, 0, 4}, false, {0}},
		{{1, 0, 0, 0, 5}, true, {OPFRAME_SIGNAL, 1}},
		{{0, 0, 0, 0, 5}, false, {0}},
		{{2, 0, 0, 0, 6}, true, {OPFRAME_EXIT, 2}},
		{{1, 0, 0, 0, 6}, false, {0}},
		{{32, 0, 0, 0, 7}, true, {OPFRAME_SUM_OF, 32}},
		{{31, 0, 0, 0, 7}, false, {0}},
		{{2, 0, 0, 0, 8}, true, {OPFRAME_ERROR, 2}},
		{{1, 0, 0, 0, 8}, false, {0}},
		{{4, 0, 0, 0, 9}, true, {OPFRAME_TOOK, 4}},
		{{3, 0, 0, 0, 9}, false, {0}},
		{{1, 0, 0, 0, 10}, false, {0}},
		{{1, 0, 0, 0, 255}, false, {0}},
		{{1, 0, 0, 0, 0, 1}, false, {0}},
		{{1, 0, 0, 0, 0, 0, 1}, false, {0}},
		{{1, 0, 0, 0, 0, 0, 0, 1}, false, {0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct opframe f = {OPFRAME_TYPES, 0};
		uint8_t again[OPFRAME_HEAD];

		assert_int_equal(opframe_get(cases[i].bytes, &f),
				 cases[i].good);
		if (!cases[i].good)
			continue;
		assert_int_equal(f.type, cases[i].f.type);
		assert_int_equal(f.len, cases[i].f.len);
		opframe_put(again, f.type, f.len);
		assert_memory_equal(again, cases[i].bytes, OPFRAME_HEAD);
	}
}

static void sizes(void **state)
{
	static const uint8_t bytes[] = {0x18, 0, 0x50, 1};
	static const uint8_t flat[] = {0, 0, 80, 0}, thin[] = {24, 0, 0, 0};
	struct opframe_size size;
	uint8_t again[OPFRAME_SIZE_LEN];

	(void)state;
	assert_true(opframe_get_size(bytes, &size));
	assert_int_equal(size.rows, 24);
	assert_int_equal(size.columns, 336);
	opframe_put_size(again, &size);
	assert_memory_equal(again, bytes, sizeof(again));
	assert_false(opframe_get_size(flat, &size));
	assert_false(opframe_get_size(thin, &size));
}

static void exits(void **state)
{
	static const uint8_t ended[] = {0, 200}, killed[] = {1, 64};
	static const uint8_t wrong[][2] = {{1, 0}, {1, 65}, {2, 1}};
	struct opframe_exit how;
	uint8_t again[OPFRAME_EXIT_LEN];

	(void)state;
	assert_true(opframe_get_exit(ended, &how));
	assert_false(how.killed);
	assert_int_equal(how.value, 200);
	opframe_put_exit(again, &how);
	assert_memory_equal(again, ended, sizeof(again));
	assert_true(opframe_get_exit(killed, &how));
	assert_true(how.killed);
	assert_int_equal(how.value, 64);
	opframe_put_exit(again, &how);
	assert_memory_equal(again, killed, sizeof(again));
	for (size_t i = 0; i < 3; i++)
		assert_false(opframe_get_exit(wrong[i], &how));
}

static void signals(void **state)
{
	static const uint8_t most = 64, none = 0, over = 65;

	(void)state;
	assert_int_equal(opframe_get_signal(&most), 64);
	assert_int_equal(opframe_get_signal(&none), 0);
	assert_int_equal(opframe_get_signal(&over), 0);
}

static void took(void **state)
{
	static const uint8_t most[] = {0, 0, 4, 0}, over[] = {1, 0, 4, 0};
	static const uint8_t none[] = {0, 0, 0, 0};
	uint8_t again[OPFRAME_TOOK_LEN];

	(void)state;
	assert_int_equal(opframe_get_took(most), OPFRAME_WINDOW);
	opframe_put_took(again, OPFRAME_WINDOW);
	assert_memory_equal(again, most, sizeof(again));
	assert_int_equal(opframe_get_took(over), 0);
	assert_int_equal(opframe_get_took(none), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads), cmocka_unit_test(sizes),
		cmocka_unit_test(exits), cmocka_unit_test(signals),
		cmocka_unit_test(took),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
