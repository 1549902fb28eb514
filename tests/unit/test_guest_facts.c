/* SPDX-License-Identifier: MIT */
/* What the kernel and /etc say: each file as it should be, short, and wrong. */
#include <stdint.h>

#include "guest_root.h"

#include "guest/load_info.h"
#include "guest/os_info.h"
#include "guest/text.h"

/* ---- text ---------------------------------------------------------------- */

static void test_words_end_where_the_text_ends(void **state)
{
	struct text t = {.p = "one  two\nthree", .left = 12}, line, w;

	(void)state;
	assert_true(text_line(&t, &line));
	assert_true(text_word(&line, &w));
	assert_true(text_is(w, "one"));
	assert_true(text_word(&line, &w));
	assert_true(text_is(w, "two"));
	assert_false(text_word(&line, &w));
	assert_true(text_line(&t, &line));
	assert_true(text_is(line, "thr"));
	assert_false(text_line(&t, &line));
}

static void test_numbers_that_do_not_fit_are_none(void **state)
{
	uint64_t n = 7;

	(void)state;
	assert_true(text_number(text_of("18446744073709551615"), &n));
	assert_true(n == UINT64_MAX);
	assert_false(text_number(text_of("18446744073709551616"), &n));
	assert_false(text_number(text_of("99999999999999999999"), &n));
	assert_false(text_number(text_of(""), &n));
	assert_false(text_number(text_of("-1"), &n));
	assert_false(text_number(text_of("1x"), &n));
	assert_true(text_hundredths(text_of("12.3456"), &n));
	assert_int_equal(n, 1234);
	assert_true(text_hundredths(text_of("7"), &n));
	assert_int_equal(n, 700);
	assert_true(text_hundredths(text_of("0.5"), &n));
	assert_int_equal(n, 50);
	assert_false(text_hundredths(text_of(".5"), &n));
	assert_false(text_hundredths(text_of("1.x"), &n));
}

static void test_only_regular_files_up_to_a_size(void **state)
{
	char *buf = NULL, line[8];

	(void)state;
	guest_root_text("/x/file", "  short text\nmore\n");
	assert_int_equal(text_read(guest_root, "/x/file", 18, &buf), 18);
	assert_string_equal(buf, "  short text\nmore\n");
	free(buf);
	assert_int_equal(text_read(guest_root, "/x/file", 17, &buf), -EFBIG);
	assert_int_equal(text_read(guest_root, "/x", 100, &buf), -EINVAL);
	assert_int_equal(text_read(guest_root, "/y", 100, &buf), -ENOENT);
	assert_true(text_read_line(guest_root, "/x/file", line, sizeof(line)));
	assert_string_equal(line, "short t");
	assert_int_equal(mkfifo(guest_root_path("/x/fifo"), 0600), 0);
	assert_false(text_read_line(guest_root, "/x/fifo", line, sizeof(line)));
	assert_string_equal(line, "");
}

/* ---- what it is ---------------------------------------------------------- */

static void test_os_release(void **state)
{
	struct os_info os;

	(void)state;
	os_info_read(guest_root, &os);
	assert_string_equal(os.id, "");
	guest_root_text("/usr/lib/os-release", "ID=fallback\n");
	os_info_read(guest_root, &os);
	assert_string_equal(os.id, "fallback");
	guest_root_text("/etc/os-release",
			"# a comment\nPRETTY_NAME=\"An \\\"OS\\\" 7\" \n"
			"  VERSION_ID='7.1'\nID=anos\nIDX=no\nnothing\n=\n");
	os_info_read(guest_root, &os);
	assert_string_equal(os.id, "anos");
	assert_string_equal(os.version, "7.1");
	assert_string_equal(os.name, "An \"OS\" 7");
	guest_root_text("/etc/os-release", "ID=\"open\\");
	os_info_read(guest_root, &os);
	assert_string_equal(os.id, "open\\");
}

static void test_ids_and_names(void **state)
{
	char id[OS_ID_MAX], name[OS_NAME_MAX];
	struct os_machine m;

	(void)state;
	os_machine_id(guest_root, id);
	assert_string_equal(id, "");
	guest_root_text("/etc/machine-id",
			"0123456789abcdef0123456789abcdef\n");
	os_machine_id(guest_root, id);
	assert_string_equal(id, "0123456789abcdef0123456789abcdef");
	guest_root_text("/etc/machine-id", "uninitialized\n");
	os_machine_id(guest_root, id);
	assert_string_equal(id, "");
	guest_root_text("/proc/sys/kernel/hostname", "a-host\n");
	os_hostname(guest_root, name);
	assert_string_equal(name, "a-host");
	guest_root_text("/etc/machine-info",
			"PRETTY_HOSTNAME=\"A Host\"\nCHASSIS=tablet\n");
	os_machine_read(guest_root, &m);
	assert_string_equal(m.pretty_hostname, "A Host");
	assert_string_equal(m.chassis, "tablet");
}

static void test_timezone(void **state)
{
	char zone[OS_NAME_MAX];

	(void)state;
	os_timezone(guest_root, zone);
	assert_string_equal(zone, "");
	guest_root_text("/etc/timezone", "Africa/Accra\n");
	os_timezone(guest_root, zone);
	assert_string_equal(zone, "Africa/Accra");
	guest_root_link("/etc/localtime", "../usr/share/zoneinfo/Asia/Tokyo");
	os_timezone(guest_root, zone);
	assert_string_equal(zone, "Asia/Tokyo");
	assert_false(os_rtc_is_local(guest_root));
	guest_root_text("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n");
	assert_true(os_rtc_is_local(guest_root));
	guest_root_text("/etc/adjtime", "0.0 0 0.0\n0\n");
	assert_false(os_rtc_is_local(guest_root));
}

static void test_virtualization_by_firmware(void **state)
{
	char virt[OS_ID_MAX];

	(void)state;
	os_virtualization(guest_root, virt);
	assert_string_equal(virt, "");
	guest_root_text("/sys/class/dmi/id/sys_vendor", "QEMU\n");
	os_virtualization(guest_root, virt);
	assert_string_equal(virt, "qemu");
	guest_root_text("/sys/class/dmi/id/sys_vendor", "A Maker of Boards\n");
	os_virtualization(guest_root, virt);
	assert_string_equal(virt, "");
}

/* ---- load ---------------------------------------------------------------- */

static void test_load_average(void **state)
{
	struct load_average l;

	(void)state;
	guest_root_text("/proc/loadavg", "0.07 12.50 3.00 2/345 6789\n");
	assert_true(load_average_read(guest_root, &l));
	assert_int_equal(l.load[0], 7);
	assert_int_equal(l.load[1], 1250);
	assert_int_equal(l.load[2], 300);
	assert_int_equal(l.running, 2);
	assert_int_equal(l.processes, 345);
	guest_root_text("/proc/loadavg", "0.07 12.50\n");
	assert_false(load_average_read(guest_root, &l));
	guest_root_text("/proc/loadavg", "0.07 12.50 3.00 2 6789\n");
	assert_false(load_average_read(guest_root, &l));
}

static void test_cpu_times(void **state)
{
	struct load_cpu c;

	(void)state;
	guest_root_text("/proc/stat",
			"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2\ncpu1 3 4\n"
			"intr 5 6 7\nctxt 11\nbtime 12\nprocesses 13\n");
	assert_true(load_cpu_read(guest_root, 100, &c));
	for (unsigned int i = 0; i < CPU_N_TIMES; i++)
		assert_int_equal(c.us[i], (i + 1) * 10000);
	assert_int_equal(c.cpus, 2);
	assert_int_equal(c.context_switches, 11);
	assert_int_equal(c.forks, 13);
	guest_root_text("/proc/stat", "cpu 1 x\ncpu0 1\n");
	assert_false(load_cpu_read(guest_root, 100, &c));
	guest_root_text("/proc/stat", "cpu 99999999999999999\ncpu0 1\n");
	assert_false(load_cpu_read(guest_root, 100, &c));
	guest_root_text("/proc/stat", "ctxt 1\n");
	assert_false(load_cpu_read(guest_root, 100, &c));
}

static void test_memory(void **state)
{
	struct load_memory m;

	(void)state;
	guest_root_text("/proc/meminfo",
			"MemTotal:  1000 kB\nMemFree: 200 kB\n"
			"MemAvailable: 300 kB\nBuffers: 4 kB\nCached: 5 kB\n"
			"SwapCached: 99 kB\nSwapTotal: 6 kB\nSwapFree: 7 kB\n");
	assert_true(load_memory_read(guest_root, &m));
	assert_int_equal(m.total, 1000 * 1024);
	assert_int_equal(m.free, 200 * 1024);
	assert_int_equal(m.available, 300 * 1024);
	assert_int_equal(m.buffers, 4 * 1024);
	assert_int_equal(m.cached, 5 * 1024);
	assert_int_equal(m.swap_total, 6 * 1024);
	assert_int_equal(m.swap_free, 7 * 1024);
	guest_root_text("/proc/meminfo", "MemTotal:\n");
	assert_false(load_memory_read(guest_root, &m));
	guest_root_text("/proc/meminfo", "MemTotal: 9999999999999999999 kB\n");
	assert_false(load_memory_read(guest_root, &m));
}

static void test_pressure(void **state)
{
	uint64_t n;

	(void)state;
	assert_false(load_pressure_read(guest_root, "io", &n));
	guest_root_text("/proc/pressure/io",
			"some avg10=1.25 avg60=0.00 avg300=0.00 total=5\n"
			"full avg10=9.00 avg60=0.00 avg300=0.00 total=5\n");
	assert_true(load_pressure_read(guest_root, "io", &n));
	assert_int_equal(n, 125);
	guest_root_text("/proc/pressure/io", "some avg10=100.01 avg60=0\n");
	assert_false(load_pressure_read(guest_root, "io", &n));
	guest_root_text("/proc/pressure/io", "full avg10=1.00\n");
	assert_false(load_pressure_read(guest_root, "io", &n));
}

int main(void)
{
#define T(f) \
	cmocka_unit_test_setup_teardown(f, guest_root_make, guest_root_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_end_where_the_text_ends),
		cmocka_unit_test(test_numbers_that_do_not_fit_are_none),
		T(test_only_regular_files_up_to_a_size),
		T(test_os_release),
		T(test_ids_and_names),
		T(test_timezone),
		T(test_virtualization_by_firmware),
		T(test_load_average),
		T(test_cpu_times),
		T(test_memory),
		T(test_pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
