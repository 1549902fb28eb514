/* SPDX-License-Identifier: MIT */
/*
 * test_loaded.c - a saved state is taken over once per host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/loaded.h"

#define ID   "00112233445566778899aabbccddeeff"
#define ID_2 "10112233445566778899aabbccddeeff"

static char top[64], vm[80], other[80], folder[96];

static int set_up(void **state)
{
	(void)state;
	strcpy(top, "/tmp/vmc-test-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(vm, sizeof(vm), "%s/one", top);
	snprintf(other, sizeof(other), "%s/two", top);
	snprintf(folder, sizeof(folder), "%s/.loaded", top);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const ids[] = {ID, ID_2, "note"};
	char path[160];

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, ids[i]);
		unlink(path);
	}
	unlink(folder);
	rmdir(folder);
	return rmdir(top);
}

static void once_per_host(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(loaded_claim(vm, ID), 0);
	assert_int_equal(loaded_claim(vm, ID), -EEXIST);
	assert_int_equal(loaded_claim(other, ID), -EEXIST);
	assert_int_equal(loaded_claim(other, ID_2), 0);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

/* The worker died before it had taken it; anybody else is a clone. */
static void once_per_arrival(void **state)
{
	struct loaded l = {""}, l_other = {""};

	(void)state;
	assert_int_equal(loaded_claim_again(&l, vm, ID, true), 0);
	assert_int_equal(loaded_claim_again(&l, vm, ID, true), 0);
	assert_int_equal(loaded_claim_again(&l_other, other, ID, true),
			 -EEXIST);
	assert_int_equal(loaded_claim_again(&l_other, other, ID, true),
			 -EEXIST);
	/* It runs here. */
	assert_int_equal(loaded_claim_again(&l, vm, ID, false), -EEXIST);
	assert_int_equal(loaded_claim_again(&l, vm, "x", true), -EINVAL);
	assert_int_equal(loaded_claim_again(&l, vm, ID_2, true), 0);
	assert_int_equal(loaded_claim_again(&l, vm, ID, true), -EEXIST);
}

static void only_ids(void **state)
{
	(void)state;
	assert_int_equal(loaded_claim(vm, ""), -EINVAL);
	assert_int_equal(loaded_claim(vm, "../" ID), -EINVAL);
	assert_int_equal(loaded_claim(vm, "0011223344556677889/aabbccddeeff"),
			 -EINVAL);
	assert_int_equal(loaded_claim(vm, "00112233445566778899AABBCCDDEEFF"),
			 -EINVAL);
	assert_int_equal(loaded_claim("one", ID), -EINVAL);
	assert_int_equal(access(folder, F_OK), -1);
}

static void set_age(const char *name, time_t age)
{
	struct timespec ts[2] = {{.tv_sec = time(NULL) - age}};
	char path[160];

	ts[1] = ts[0];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(utimensat(AT_FDCWD, path, ts, 0), 0);
}

static void a_day_later_it_is_forgotten(void **state)
{
	char path[160];

	(void)state;
	assert_int_equal(loaded_claim(vm, ID), 0);
	set_age(ID, LOADED_DAYS_S - 60);
	assert_int_equal(loaded_claim(vm, ID), -EEXIST);
	set_age(ID, LOADED_DAYS_S + 60);
	set_age("note", LOADED_DAYS_S + 60);
	assert_int_equal(loaded_claim(vm, ID_2), 0);
	assert_int_equal(loaded_claim(vm, ID), 0);
	/* What is not ours stays. */
	snprintf(path, sizeof(path), "%s/note", folder);
	assert_int_equal(access(path, F_OK), 0);
}

/* Somebody else's link leads nowhere. */
static void a_link_is_no_folder(void **state)
{
	(void)state;
	assert_int_equal(symlink("/tmp", folder), 0);
	assert_int_equal(loaded_claim(vm, ID), -ENOTDIR);
	unlink(folder);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(once_per_host),
		T(once_per_arrival),
		T(only_ids),
		T(a_day_later_it_is_forgotten),
		T(a_link_is_no_folder),
	};
#undef T

	return cmocka_run_group_tests_name("loaded", tests, NULL, NULL);
}
