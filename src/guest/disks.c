/* SPDX-License-Identifier: MIT */
/* disks.c - block devices, from /sys and /proc/diskstats */
#include "guest/disks.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/text.h"

/* What /sys and /proc count in, whatever the disk has. */
#define SECTOR         512u
#define STATS_FILE_MAX 1048576
/* Device mapper upon device mapper upon ... */
#define DEPTH_MAX 8

/* A name of /sys: '!' stands for the slash of the device's. */
static void name_of(char *name)
{
	for (; *name; name++)
		if (*name == '!')
			*name = '/';
}

static uint64_t bytes_of(uint64_t sectors)
{
	return sectors > INT64_MAX / SECTOR ? INT64_MAX : sectors * SECTOR;
}

/* ---- one disk ------------------------------------------------------------ */

struct at {
	const char *root;
	char dir[PATH_MAX]; /* below root */
};

static bool go(struct at *ret, const char *root, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool go(struct at *ret, const char *root, const char *fmt, ...)
{
	va_list ap;
	int n;

	ret->root = root;
	va_start(ap, fmt);
	n = vsnprintf(ret->dir, sizeof(ret->dir), fmt, ap);
	va_end(ap);
	return n > 0 && (size_t)n < sizeof(ret->dir);
}

static bool file(const struct at *at, const char *name, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s", at->dir, name);

	return n > 0 && n < PATH_MAX;
}

static uint64_t number(const struct at *at, const char *name, uint64_t or_else)
{
	char path[PATH_MAX];
	uint64_t n;

	return file(at, name, path) && text_read_number(at->root, path, &n)
		       ? n
		       : or_else;
}

static bool line(const struct at *at, const char *name, char *ret, size_t size)
{
	char path[PATH_MAX];

	ret[0] = '\0';
	return file(at, name, path) &&
	       text_read_line(at->root, path, ret, size) && ret[0] != '\0';
}

/* Return: the last part of where a link leads; false: it is none. */
static bool link_end(const struct at *at, const char *name, char *ret,
		     size_t size)
{
	char path[PATH_MAX], to[PATH_MAX];
	const char *slash;
	ssize_t n;

	ret[0] = '\0';
	if (snprintf(path, sizeof(path), "%s%s/%s", at->root, at->dir, name) >=
	    (int)sizeof(path))
		return false;
	n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return false;
	to[n] = '\0';
	slash = strrchr(to, '/');
	text_copy(text_of(slash ? slash + 1 : to), ret, size);
	return true;
}

/* SCSI has it in a page: two bytes of head, two of length, then the text. */
static void scsi_serial(const struct at *at, char *ret, size_t size)
{
	char path[PATH_MAX], *page;
	struct text t;
	long n;

	if (!file(at, "device/vpd_pg80", path))
		return;
	n = text_read(at->root, path, 4096, &page);
	if (n < 0)
		return;
	if (n > 4) {
		t = (struct text){.p = page + 4, .left = (size_t)n - 4};
		if (t.left > (unsigned char)page[3])
			t.left = (unsigned char)page[3];
		text_copy(text_trim(t), ret, size);
	}
	free(page);
}

static void read_identity(const struct at *at, struct disk *ret)
{
	(void)line(at, "device/model", ret->model, sizeof(ret->model));
	if (!line(at, "serial", ret->serial, sizeof(ret->serial)) &&
	    !line(at, "device/serial", ret->serial, sizeof(ret->serial)))
		scsi_serial(at, ret->serial, sizeof(ret->serial));
	(void)link_end(at, "device/subsystem", ret->bus, sizeof(ret->bus));
}

static void read_common(const struct at *at, const char *name, struct disk *ret)
{
	text_copy(text_of(name), ret->name, sizeof(ret->name));
	name_of(ret->name);
	ret->size = bytes_of(number(at, "size", 0));
	ret->read_only = number(at, "ro", 0) != 0;
}

struct list {
	struct disk *disks;
	size_t n;
};

static void add_partition(struct list *l, const struct at *disk,
			  const char *name)
{
	const struct disk *parent = &l->disks[l->n - 1];
	struct at at;
	struct disk *d;

	/* The parent is the last one that is none itself. */
	while (parent->parent[0] != '\0')
		parent--;
	if (l->n >= DISKS_MAX ||
	    !go(&at, disk->root, "%s/%s", disk->dir, name) ||
	    number(&at, "partition", 0) == 0)
		return;
	d = &l->disks[l->n++];
	*d = (struct disk){
		.sector = parent->sector,
		.removable = parent->removable,
		.rotational = parent->rotational,
	};
	memcpy(d->parent, parent->name, sizeof(d->parent));
	memcpy(d->bus, parent->bus, sizeof(d->bus));
	read_common(&at, name, d);
}

typedef void entry_fn(struct list *l, const struct at *at, const char *name);

/* In alphabetical order, so that two calls give the same list. */
static bool each_entry(struct list *l, const struct at *at, entry_fn *fn)
{
	char path[PATH_MAX];
	struct dirent **names;
	int n;

	if (snprintf(path, sizeof(path), "%s%s", at->root, at->dir) >=
	    (int)sizeof(path))
		return false;
	n = scandir(path, &names, NULL, alphasort);
	if (n < 0)
		return false;
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			fn(l, at, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return true;
}

static void add_disk(struct list *l, const struct at *block, const char *name)
{
	struct at at;
	struct disk *d;

	if (l->n >= DISKS_MAX || strncmp(name, "ram", 3) == 0 ||
	    !go(&at, block->root, "%s/%s", block->dir, name) ||
	    number(&at, "size", 0) == 0)
		return;
	d = &l->disks[l->n++];
	*d = (struct disk){
		.sector = number(&at, "queue/logical_block_size", SECTOR),
		.removable = number(&at, "removable", 0) != 0,
		.rotational = number(&at, "queue/rotational", 0) != 0,
	};
	read_common(&at, name, d);
	read_identity(&at, d);
	(void)each_entry(l, &at, add_partition);
}

struct disk *disks_read(const char *root, size_t *ret_n)
{
	struct list l = {.disks = calloc(DISKS_MAX, sizeof(struct disk))};
	struct at at;

	if (!l.disks || !go(&at, root, "/sys/block") ||
	    !each_entry(&l, &at, add_disk)) {
		free(l.disks);
		return NULL;
	}
	*ret_n = l.n;
	return l.disks;
}

/* ---- /proc/diskstats ----------------------------------------------------- */

/* Columns behind the name. */
enum {
	READS,
	READS_MERGED,
	SECTORS_READ,
	MS_READING,
	WRITES,
	WRITES_MERGED,
	SECTORS_WRITTEN,
	MS_WRITING,
	IN_FLIGHT,
	N_COLUMNS
};

static uint64_t us_of(uint64_t ms)
{
	return ms > INT64_MAX / 1000 ? INT64_MAX : ms * 1000;
}

static bool parse_stats(struct text t, struct disk_stats *ret)
{
	uint64_t c[N_COLUMNS], any = 0;
	struct text w, name;

	for (int i = 0; i < 3; i++)
		if (!text_word(&t, &name)) /* major, minor, name */
			return false;
	for (int i = 0; i < N_COLUMNS; i++) {
		if (!text_word(&t, &w) || !text_number(w, &c[i]))
			return false;
		any |= c[i];
	}
	*ret = (struct disk_stats){
		.reads = c[READS],
		.read_bytes = bytes_of(c[SECTORS_READ]),
		.read_us = us_of(c[MS_READING]),
		.writes = c[WRITES],
		.written_bytes = bytes_of(c[SECTORS_WRITTEN]),
		.write_us = us_of(c[MS_WRITING]),
		.in_flight = c[IN_FLIGHT],
	};
	text_copy(name, ret->name, sizeof(ret->name));
	return any != 0;
}

struct disk_stats *disks_stats_read(const char *root, size_t *ret_n)
{
	struct disk_stats *list = calloc(DISKS_MAX, sizeof(*list));
	char *buf = NULL;
	long len =
		list ? text_read(root, "/proc/diskstats", STATS_FILE_MAX, &buf)
		     : -1;
	struct text t, l;
	size_t n = 0;

	if (len < 0) {
		free(list);
		return NULL;
	}
	t = (struct text){.p = buf, .left = (size_t)len};
	while (n < DISKS_MAX && text_line(&t, &l))
		if (parse_stats(l, &list[n]))
			n++;
	free(buf);
	*ret_n = n;
	return list;
}

/* ---- what is below what -------------------------------------------------- */

struct below {
	char (*ret)[DISK_NAME_MAX];
	size_t n, max;
};

static void add_below(struct below *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (strcmp(b->ret[i], name) == 0)
			return;
	if (b->n < b->max)
		text_copy(text_of(name), b->ret[b->n++], DISK_NAME_MAX);
}

static void walk(const struct at *at, struct below *b, unsigned int depth);

/* Return: has it any? */
static bool walk_slaves(const struct at *at, struct below *b,
			unsigned int depth)
{
	char path[PATH_MAX];
	struct dirent *e;
	bool any = false;
	struct at slave;
	DIR *d;

	if (snprintf(path, sizeof(path), "%s%s/slaves", at->root, at->dir) >=
	    (int)sizeof(path))
		return false;
	d = opendir(path);
	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' ||
		    !go(&slave, at->root, "%s/slaves/%s", at->dir, e->d_name))
			continue;
		any = true;
		walk(&slave, b, depth + 1);
	}
	if (d)
		(void)closedir(d);
	return any;
}

/* The folder's own name is behind all links: it is asked for by "..", too. */
static bool own_name(const struct at *at, char *ret, size_t size)
{
	char path[PATH_MAX], *real;
	const char *slash;

	if (snprintf(path, sizeof(path), "%s%s", at->root, at->dir) >=
	    (int)sizeof(path))
		return false;
	real = realpath(path, NULL);
	if (!real)
		return false;
	slash = strrchr(real, '/');
	text_copy(text_of(slash ? slash + 1 : real), ret, size);
	free(real);
	name_of(ret);
	return ret[0] != '\0';
}

static void walk(const struct at *at, struct below *b, unsigned int depth)
{
	char name[DISK_NAME_MAX];
	struct at disk;

	if (depth > DEPTH_MAX)
		return;
	if (number(at, "partition", 0) != 0) {
		if (go(&disk, at->root, "%s/..", at->dir))
			walk(&disk, b, depth + 1);
	} else if (!walk_slaves(at, b, depth) &&
		   own_name(at, name, sizeof(name))) {
		add_below(b, name);
	}
}

size_t disks_below(const char *root, unsigned int major, unsigned int minor,
		   char ret[][DISK_NAME_MAX], size_t max)
{
	struct below b = {.ret = ret, .max = max};
	struct at at;

	if (go(&at, root, "/sys/dev/block/%u:%u", major, minor))
		walk(&at, &b, 0);
	return b.n;
}

bool disks_loop_file(const char *root, const char *name, char *ret)
{
	struct at at;

	return go(&at, root, "/sys/block/%s/loop", name) &&
	       line(&at, "backing_file", ret, PATH_MAX);
}
