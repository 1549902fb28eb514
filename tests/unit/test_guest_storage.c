/* SPDX-License-Identifier: MIT */
/* What is mounted and what disks there are, from files of our own. */
#include <limits.h>
#include <stdint.h>

#include "guest_root.h"

#include "guest/disks.h"
#include "guest/freeze_plan.h"
#include "guest/mount_disks.h"
#include "guest/mounts.h"

#define MOUNTINFO "/proc/self/mountinfo"

static void read_mounts(const char *text, struct mounts *ret)
{
	guest_root_text(MOUNTINFO, text);
	assert_int_equal(mounts_read(guest_root, ret), 0);
}

/* ---- mounts -------------------------------------------------------------- */

static void test_mounts(void **state)
{
	struct mounts m;

	(void)state;
	read_mounts("1 0 254:1 / / rw,noatime shared:1 - ext4 /dev/vda1 rw\n"
		    "2 1 0:30 / /proc rw - proc proc rw\n"
		    "3 1 254:17 /sub /a\\040b\\134c ro,nosuid - xfs "
		    "/dev/vdb1 rw,uquota\n"
		    "4 1 254:33 / /ro rw master:1 propagate_from:2 - ext4 "
		    "/dev/vdc1 ro\n",
		    &m);
	assert_int_equal(m.n, 4);
	assert_int_equal(m.list[0].major, 254);
	assert_int_equal(m.list[0].minor, 1);
	assert_string_equal(m.list[0].type, "ext4");
	assert_string_equal(m.list[0].source, "/dev/vda1");
	assert_false(m.list[0].read_only);
	assert_true(mounts_is_pseudo(&m.list[1]));
	assert_false(mounts_is_pseudo(&m.list[0]));
	assert_string_equal(m.list[2].path, "/a b\\c");
	assert_string_equal(m.list[2].root, "/sub");
	assert_true(m.list[2].read_only);
	assert_false(m.list[2].fs_read_only);
	assert_true(m.list[3].fs_read_only);
	assert_string_equal(m.list[2].options, "rw,uquota");
	mounts_done(&m);
}

static void test_lines_that_are_no_mounts(void **state)
{
	struct mounts m;

	(void)state;
	read_mounts("\n1 0 254:1 / / rw\n1 0 254:1 / / rw - ext4\n"
		    "1 0 254 / / rw - ext4 /dev/vda1 rw\n"
		    "1 0 254:x / / rw - ext4 /dev/vda1 rw\n"
		    "1 0 99999999999:1 / / rw - ext4 /dev/vda1 rw\n"
		    "1 0 254:1 / nopath rw - ext4 /dev/vda1 rw\n"
		    "1 0 254:1 / /x\\9z\\04 rw - ext4 /dev/vda1",
		    &m);
	assert_int_equal(m.n, 1);
	assert_string_equal(m.list[0].path, "/x\\9z\\04");
	mounts_done(&m);
	assert_int_equal(remove(guest_root_path(MOUNTINFO)), 0);
	assert_int_equal(mounts_read(guest_root, &m), -ENOENT);
}

static void test_one_mount_of_each_file_system(void **state)
{
	struct mounts m;

	(void)state;
	read_mounts("1 0 0:1 / / rw - rootfs rootfs rw\n"
		    "2 1 254:1 / / rw - ext4 /dev/vda1 rw\n"
		    "3 2 254:2 /x /part rw - ext4 /dev/vda2 rw\n"
		    "4 2 254:2 / /whole rw - ext4 /dev/vda2 rw\n"
		    "5 2 254:3 / /under/one rw - ext4 /dev/vda3 rw\n"
		    "6 2 254:4 / /under rw - ext4 /dev/vda4 rw\n"
		    "7 2 254:1 /home /bind rw - ext4 /dev/vda1 rw\n",
		    &m);
	assert_true(mounts_hidden(&m, 0));
	assert_false(mounts_once(&m, 0));
	assert_true(mounts_once(&m, 1));
	assert_false(mounts_once(&m, 2));
	assert_true(mounts_once(&m, 3));
	assert_true(mounts_hidden(&m, 4));
	assert_true(mounts_once(&m, 5));
	assert_false(mounts_once(&m, 6));
	assert_int_equal(mounts_under(&m, "/under/file"), 5);
	assert_int_equal(mounts_under(&m, "/underneath"), 1);
	assert_int_equal(mounts_under(&m, "/bind"), 6);
	assert_int_equal(mounts_under(&m, "relative"), -1);
	mounts_done(&m);
}

/* ---- disks --------------------------------------------------------------- */

static void make_disk(void)
{
	guest_root_text("/sys/block/vda/size", "2048\n");
	guest_root_text("/sys/block/vda/ro", "0\n");
	guest_root_text("/sys/block/vda/removable", "0\n");
	guest_root_text("/sys/block/vda/queue/logical_block_size", "4096\n");
	guest_root_text("/sys/block/vda/queue/rotational", "1\n");
	guest_root_text("/sys/block/vda/serial", "a serial  \n");
	guest_root_text("/sys/block/vda/vda1/partition", "1\n");
	guest_root_text("/sys/block/vda/vda1/size", "1000\n");
	guest_root_text("/sys/block/vda/vda1/ro", "1\n");
	guest_root_text("/sys/block/vda/vda2/partition", "2\n");
	guest_root_text("/sys/block/vda/vda2/size", "24\n");
	guest_root_text("/sys/block/vda/holders/x", "\n");
	guest_root_text("/sys/block/vda/device/x", "\n");
	guest_root_link("/sys/block/vda/device/subsystem", "../../bus/virtio");
}

static void test_disks(void **state)
{
	struct disk *d;
	size_t n = 0;

	(void)state;
	assert_null(disks_read(guest_root, &n));
	make_disk();
	guest_root_text("/sys/block/loop0/size", "0\n");
	guest_root_text("/sys/block/ram0/size", "100\n");
	guest_root_text("/sys/block/cciss!c0d0/size",
			"99999999999999999999999\n");
	guest_root_text("/sys/block/sda/size", "36893488147419103\n");
	guest_root_text("/sys/block/sda/device/model", "A Model\n");
	guest_root_write("/sys/block/sda/device/vpd_pg80",
			 "\0\x80\0\6 ab12 more", 14);
	d = disks_read(guest_root, &n);
	assert_non_null(d);
	assert_int_equal(n, 4);
	assert_string_equal(d[0].name, "sda");
	assert_true(d[0].size == INT64_MAX);
	assert_string_equal(d[0].model, "A Model");
	assert_string_equal(d[0].serial, "ab12");
	assert_int_equal(d[0].sector, 512);
	assert_string_equal(d[1].name, "vda");
	assert_int_equal(d[1].size, 2048 * 512);
	assert_int_equal(d[1].sector, 4096);
	assert_true(d[1].rotational);
	assert_string_equal(d[1].serial, "a serial");
	assert_string_equal(d[1].bus, "virtio");
	assert_string_equal(d[1].parent, "");
	assert_string_equal(d[2].name, "vda1");
	assert_string_equal(d[2].parent, "vda");
	assert_int_equal(d[2].size, 1000 * 512);
	assert_true(d[2].read_only);
	assert_string_equal(d[3].name, "vda2");
	assert_string_equal(d[3].parent, "vda");
	assert_false(d[3].read_only);
	free(d);
}

static void test_serials_that_lie(void **state)
{
	struct disk *d;
	size_t n = 0;

	(void)state;
	guest_root_text("/sys/block/sda/size", "8\n");
	guest_root_write("/sys/block/sda/device/vpd_pg80",
			 "\0\x80\0\xff"
			 "ab",
			 6);
	d = disks_read(guest_root, &n);
	assert_non_null(d);
	assert_string_equal(d[0].serial, "ab");
	free(d);
	guest_root_write("/sys/block/sda/device/vpd_pg80", "\0\x80", 2);
	d = disks_read(guest_root, &n);
	assert_non_null(d);
	assert_string_equal(d[0].serial, "");
	free(d);
}

static void test_disk_stats(void **state)
{
	struct disk_stats *d;
	size_t n = 0;

	(void)state;
	assert_null(disks_stats_read(guest_root, &n));
	guest_root_text("/proc/diskstats",
			" 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14\n"
			" 7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n"
			" 254 1 vda1 1 2 3\n"
			" 254 2 vda2 x 2 3 4 5 6 7 8 9\n");
	d = disks_stats_read(guest_root, &n);
	assert_non_null(d);
	assert_int_equal(n, 1);
	assert_string_equal(d[0].name, "vda");
	assert_int_equal(d[0].reads, 1);
	assert_int_equal(d[0].read_bytes, 3 * 512);
	assert_int_equal(d[0].read_us, 4000);
	assert_int_equal(d[0].writes, 5);
	assert_int_equal(d[0].written_bytes, 7 * 512);
	assert_int_equal(d[0].write_us, 8000);
	assert_int_equal(d[0].in_flight, 9);
	free(d);
}

static void test_what_is_below(void **state)
{
	char below[4][DISK_NAME_MAX];
	char file[PATH_MAX];

	(void)state;
	make_disk();
	guest_root_text("/sys/block/vdb/size", "8\n");
	guest_root_link("/sys/dev/block/254:1", "../../block/vda/vda1");
	guest_root_link("/sys/dev/block/254:16", "../../block/vdb");
	assert_int_equal(disks_below(guest_root, 254, 1, below, 4), 1);
	assert_string_equal(below[0], "vda");
	assert_int_equal(disks_below(guest_root, 254, 16, below, 4), 1);
	assert_string_equal(below[0], "vdb");
	assert_int_equal(disks_below(guest_root, 254, 99, below, 4), 0);
	/* Device mapper upon both, and upon a partition of one again. */
	guest_root_link("/sys/block/dm-0/slaves/vda1", "../../vda/vda1");
	guest_root_link("/sys/block/dm-0/slaves/vda2", "../../vda/vda2");
	guest_root_link("/sys/block/dm-0/slaves/vdb", "../../vdb");
	guest_root_link("/sys/dev/block/253:0", "../../block/dm-0");
	assert_int_equal(disks_below(guest_root, 253, 0, below, 4), 2);
	assert_int_equal(disks_below(guest_root, 253, 0, below, 1), 1);
	/* A circle ends. */
	guest_root_link("/sys/block/dm-1/slaves/dm-1", "../../dm-1");
	guest_root_link("/sys/dev/block/253:1", "../../block/dm-1");
	assert_int_equal(disks_below(guest_root, 253, 1, below, 4), 0);
	assert_false(disks_loop_file(guest_root, "vda", file));
	guest_root_text("/sys/block/loop3/loop/backing_file", "/a/file\n");
	assert_true(disks_loop_file(guest_root, "loop3", file));
	assert_string_equal(file, "/a/file");
}

/* ---- the order of freezing ----------------------------------------------- */

static void make_devices(void)
{
	static const char *const disks[] = {"vda", "vdb", "loop0", "loop1"};
	char path[64], to[64];

	for (unsigned int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/sys/block/%s/size", disks[i]);
		guest_root_text(path, "8\n");
		snprintf(path, sizeof(path), "/sys/dev/block/1:%u", i);
		snprintf(to, sizeof(to), "../../block/%s", disks[i]);
		guest_root_link(path, to);
	}
}

static void check_plan(const struct mounts *m, const char *const *names,
		       size_t n_names, const char *want)
{
	struct freeze_plan p;
	char got[256] = "";
	const char *bad;

	assert_int_equal(
		freeze_plan_make(&p, guest_root, m, names, n_names, &bad), 0);
	for (size_t i = 0; i < p.n; i++) {
		strcat(got, i ? " " : "");
		strcat(got, m->list[p.mounts[i]].path);
	}
	assert_string_equal(got, want);
}

static void test_innermost_first(void **state)
{
	static const char *const named[] = {"/", "/in"};
	struct mounts m;

	(void)state;
	make_devices();
	/* loop0 is a file of /data, loop1 a file of loop0's file system. The
	 * order of mounting says nothing: /data came back later. */
	guest_root_text("/sys/block/loop0/loop/backing_file", "/data/image\n");
	guest_root_text("/sys/block/loop1/loop/backing_file",
			"/in/image (deleted)\n");
	read_mounts("1 0 1:0 / / rw - ext4 /dev/vda rw\n"
		    "2 1 0:30 / /proc rw - proc proc rw\n"
		    "3 1 1:3 / /in/in rw - ext4 /dev/loop1 rw\n"
		    "4 1 1:2 / /in rw - ext4 /dev/loop0 rw\n"
		    "5 1 1:1 / /data rw - ext4 /dev/vdb rw\n"
		    "6 1 0:31 / /net rw - nfs server:/ rw\n",
		    &m);
	/* /in/in is under a later mount: nobody gets there by its path. */
	check_plan(&m, NULL, 0, "/in /data /");
	check_plan(&m, named, 2, "/in /");
	mounts_done(&m);
	read_mounts("1 0 1:0 / / rw - ext4 /dev/vda rw\n"
		    "4 1 1:2 / /in rw - ext4 /dev/loop0 rw\n"
		    "3 4 1:3 / /in/in rw - ext4 /dev/loop1 rw\n"
		    "5 1 1:1 / /data rw - ext4 /dev/vdb rw\n"
		    "6 1 1:1 /x /bind rw - ext4 /dev/vdb rw\n"
		    "7 1 1:9 / /ro ro - ext4 /dev/vdz ro\n",
		    &m);
	check_plan(&m, NULL, 0, "/in/in /in /data /");
	assert_int_equal(mount_depth(guest_root, &m, 2), 2);
	mounts_done(&m);
}

static void test_through_an_overlay(void **state)
{
	struct mounts m;

	(void)state;
	make_devices();
	guest_root_text("/sys/block/loop0/loop/backing_file", "/over/image\n");
	read_mounts("1 0 1:0 / / rw - ext4 /dev/vda rw\n"
		    "2 1 1:2 / /in rw - ext4 /dev/loop0 rw\n"
		    "3 1 1:1 / /data rw - ext4 /dev/vdb rw\n"
		    "4 1 0:40 / /over rw - overlay overlay "
		    "rw,lowerdir=/low,upperdir=/data/up,workdir=/data/w\n",
		    &m);
	check_plan(&m, NULL, 0, "/in /data /");
	mounts_done(&m);
}

static void test_what_cannot_be_frozen(void **state)
{
	static const char *const not_there[] = {"/", "/no"};
	static const char *const of_memory[] = {"/run"};
	static const char *const twice[] = {"/", "/", "/bind"};
	struct freeze_plan p;
	struct mounts m;
	const char *bad;

	(void)state;
	make_devices();
	read_mounts("1 0 1:0 / / rw - ext4 /dev/vda rw\n"
		    "2 1 0:30 / /run rw - tmpfs tmpfs rw\n"
		    "3 1 1:0 /x /bind rw - ext4 /dev/vda rw\n",
		    &m);
	assert_int_equal(
		freeze_plan_make(&p, guest_root, &m, not_there, 2, &bad),
		-ENOENT);
	assert_string_equal(bad, "/no");
	assert_int_equal(
		freeze_plan_make(&p, guest_root, &m, of_memory, 1, &bad),
		-EOPNOTSUPP);
	assert_string_equal(bad, "/run");
	check_plan(&m, twice, 3, "/");
	mounts_done(&m);
}

int main(void)
{
#define T(f) \
	cmocka_unit_test_setup_teardown(f, guest_root_make, guest_root_remove)
	const struct CMUnitTest tests[] = {
		T(test_mounts),
		T(test_lines_that_are_no_mounts),
		T(test_one_mount_of_each_file_system),
		T(test_disks),
		T(test_serials_that_lie),
		T(test_disk_stats),
		T(test_what_is_below),
		T(test_innermost_first),
		T(test_through_an_overlay),
		T(test_what_cannot_be_frozen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
