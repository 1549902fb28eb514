/* SPDX-License-Identifier: MIT */
/* The record of a freeze: who holds it, who is believed, when a lease ends. */
#include <stdint.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "guest_root.h"

#include "guest/freeze_record.h"

static void test_one_holder(void **state)
{
	struct freeze_record *a, *b;
	char path[512];
	int fd, other;

	(void)state;
	snprintf(path, sizeof(path), "%s", guest_root_path("/r.freeze"));
	assert_int_equal(freeze_record_open(path, false, &a, &fd), -ENOENT);
	assert_int_equal(freeze_record_open(path, true, &a, &fd), 0);
	assert_int_equal(freeze_record_open(path, true, &b, &other),
			 -EWOULDBLOCK);
	/* It is the same memory. */
	freeze_ask(b, FREEZE_BY_HOST);
	freeze_ask(b, FREEZE_BY_LEASE);
	assert_int_equal(atomic_load(&a->ask), FREEZE_BY_HOST);
	freeze_record_close(b);
	close(other);
	close(fd); /* the mapping holds nothing */
	/* What is left by one who died is found; a new one is empty. */
	assert_int_equal(freeze_record_open(path, false, &b, &other), 0);
	assert_int_equal(atomic_load(&b->ask), FREEZE_BY_HOST);
	freeze_record_close(b);
	close(other);
	assert_int_equal(freeze_record_open(path, true, &b, &other), 0);
	assert_int_equal(atomic_load(&b->ask), FREEZE_NO_CAUSE);
	freeze_record_close(b);
	close(other);
	freeze_record_close(a);
}

static void test_what_is_no_record(void **state)
{
	struct freeze_record *rec;
	char path[512];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", guest_root_path("/r.freeze"));
	guest_root_text("/r.freeze", "short");
	assert_int_equal(freeze_record_open(path, false, &rec, &fd), -EINVAL);
	assert_int_equal(truncate(path, sizeof(*rec)), 0);
	assert_int_equal(freeze_record_open(path, false, &rec, &fd), -EINVAL);
	assert_int_equal(freeze_record_open(path, true, &rec, &fd), 0);
	rec->n = FREEZE_MAX + 1;
	freeze_record_close(rec);
	close(fd);
	assert_int_equal(freeze_record_open(path, false, &rec, &fd), -EINVAL);
	assert_int_equal(remove(path), 0);
	guest_root_link("/r.freeze", "/etc/hostname");
	assert_int_equal(freeze_record_open(path, true, &rec, &fd), -ELOOP);
	assert_int_equal(remove(path), 0);
	/* Anybody could have written it. */
	assert_int_equal(freeze_record_open(path, true, &rec, &fd), 0);
	freeze_record_close(rec);
	close(fd);
	assert_int_equal(chmod(path, 0622), 0);
	assert_int_equal(freeze_record_open(path, false, &rec, &fd), -EINVAL);
}

static void test_a_lease_ends_once(void **state)
{
	struct freeze_record *rec;
	int fd;

	(void)state;
	assert_int_equal(freeze_record_open(guest_root_path("/r.freeze"), true,
					    &rec, &fd),
			 0);
	atomic_store(&rec->until_us, freeze_now_us() + UINT64_C(1000000000));
	assert_false(freeze_expire(rec));
	assert_true(freeze_renew(rec, freeze_now_us()));
	assert_true(freeze_expire(rec));
	assert_true(freeze_expire(rec));
	/* Who comes too late does not get it back. */
	assert_false(freeze_renew(rec, UINT64_MAX));
	assert_int_equal(atomic_load(&rec->until_us), 0);
	freeze_record_close(rec);
	close(fd);
}

/* Another process rings: who waits for the bell is woken, and does not wait if
 * it rang before. */
static void test_the_bell(void **state)
{
	struct freeze_record *rec;
	uint32_t seen;
	int fd, status;
	pid_t pid;

	(void)state;
	assert_int_equal(freeze_record_open(guest_root_path("/r.freeze"), true,
					    &rec, &fd),
			 0);
	seen = atomic_load(&rec->bell);
	pid = fork();
	if (pid == 0) {
		freeze_ask(rec, FREEZE_BY_GUEST);
		_exit(0);
	}
	while (atomic_load(&rec->ask) == FREEZE_NO_CAUSE)
		freeze_wait(rec, seen, UINT64_C(60000000));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	freeze_wait(rec, seen, UINT64_C(3600000000)); /* at once */
	freeze_record_close(rec);
	close(fd);
}

int main(void)
{
#define T(f) \
	cmocka_unit_test_setup_teardown(f, guest_root_make, guest_root_remove)
	const struct CMUnitTest tests[] = {
		T(test_one_holder),
		T(test_what_is_no_record),
		T(test_a_lease_ends_once),
		T(test_the_bell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
