/* SPDX-License-Identifier: MIT */
/*
 * disks.h - block devices, from /sys and /proc/diskstats
 *
 * @root is "" but for tests.
 */
#ifndef GUEST_DISKS_H
#define GUEST_DISKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISKS_MAX      1024
#define DISK_NAME_MAX  64
#define DISK_TEXT_MAX  256
#define DISK_BELOW_MAX 64

struct disk {
	char name[DISK_NAME_MAX];
	char parent[DISK_NAME_MAX]; /* "": it is no partition */
	uint64_t size;              /* bytes */
	uint64_t sector;
	bool read_only, removable, rotational;
	char model[DISK_TEXT_MAX], serial[DISK_TEXT_MAX];
	char bus[DISK_NAME_MAX];
};

/* disks_read() - those with a medium, without RAM disks, partitions behind
 * their disk. Return: a list of *@ret_n, to be freed; NULL: it cannot be read
 */
struct disk *disks_read(const char *root, size_t *ret_n);

struct disk_stats {
	char name[DISK_NAME_MAX];
	uint64_t reads, read_bytes, read_us;
	uint64_t writes, written_bytes, write_us;
	uint64_t in_flight;
};

/* disks_stats_read() - the same of /proc/diskstats; those that were never used
 * are left out */
struct disk_stats *disks_stats_read(const char *root, size_t *ret_n);

/**
 * disks_below() - the disks that a block device is on
 *
 * Through partitions, device mapper and md. Return: how many; sorted by
 * nothing.
 */
size_t disks_below(const char *root, unsigned int major, unsigned int minor,
		   char ret[][DISK_NAME_MAX], size_t max);

/**
 * disks_loop_file() - what file a loop device is on
 * @ret: PATH_MAX bytes
 *
 * Return: false: it is none.
 */
bool disks_loop_file(const char *root, const char *name, char *ret);

#endif /* GUEST_DISKS_H */
