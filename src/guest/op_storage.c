/* SPDX-License-Identifier: MIT */
/*
 * op_storage.c - org.vmchannel.Storage: file systems, disks, trim
 *
 * All of it in children, as each of these may wait for a disk or a server.
 * Freezing is in op_freeze.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest/freeze_plan.h"
#include "guest/mount_disks.h"
#include "guest/op_freeze.h"
#include "guest/ops_table.h"
#include "guest/ops_text.h"
#include "guest/storage_sizes.h"

#define ROOT "" /* the guest's own */
/* The interface file's limit. */
#define FILESYSTEMS_MAX 1024
/* A large disk that was never trimmed takes minutes. */
#define TRIM_MS 600000u

/* ---- file systems -------------------------------------------------------- */

static json_t *disk_names(const struct mount *m)
{
	char names[DISK_BELOW_MAX][DISK_NAME_MAX];
	size_t n = mount_disks(ROOT, m, names, DISK_BELOW_MAX);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      op_text(names[i], DISK_NAME_MAX - 1));
	return list;
}

static json_t *size_or_none(bool known, uint64_t n)
{
	return known ? json_integer((json_int_t)n) : NULL;
}

static json_t *filesystem(const struct mount *m, const struct storage_size *s)
{
	/* Some have no number of files: made as they are wanted. */
	bool files = s->known && s->files > 0;

	return json_pack(
		"{s:o,s:o,s:o,s:b,s:b,s:o*,s:o*,s:o*,s:o*,s:o*,s:o}", "mount",
		op_text(m->path, 4096), "source", op_text(m->source, 4096),
		"type", op_text(m->type, 63), "read_only", m->read_only,
		"frozen", op_freeze_has(m->major, m->minor), "total",
		size_or_none(s->known, s->total), "used",
		size_or_none(s->known, s->used), "available",
		size_or_none(s->known, s->available), "files",
		size_or_none(files, s->files), "files_free",
		size_or_none(files, s->files_free), "disks", disk_names(m));
}

/* Those that hold something: a file system without blocks is a window of the
 * kernel's that we do not know by name. */
static size_t choose(const struct mounts *m, size_t *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n && n < FILESYSTEMS_MAX; i++)
		if (!mounts_is_pseudo(&m->list[i]) && mounts_once(m, i))
			ret[n++] = i;
	return n;
}

static void list_filesystems(struct op_call *call, json_t *p)
{
	static struct storage_size sizes[FILESYSTEMS_MAX];
	static const char *paths[FILESYSTEMS_MAX];
	static size_t chosen[FILESYSTEMS_MAX];
	json_t *list = json_array();
	struct mounts m;
	int r = mounts_read(ROOT, &m);
	size_t n;

	(void)p;
	if (r < 0) {
		op_failed(call, r, "cannot read /proc/self/mountinfo");
		return;
	}
	n = choose(&m, chosen);
	for (size_t i = 0; i < n; i++)
		paths[i] = m.list[chosen[i]].path;
	storage_sizes(paths, n, sizes);
	for (size_t i = 0; i < n; i++)
		if (!sizes[i].known || sizes[i].total > 0)
			json_array_append_new(
				list,
				filesystem(&m.list[chosen[i]], &sizes[i]));
	op_reply_list(call, "filesystems", list);
}

/* ---- disks --------------------------------------------------------------- */

static json_t *disk(const struct disk *d)
{
	return json_pack("{s:o,s:I,s:I,s:b,s:b,s:b,s:b,s:o*,s:o*,s:o*,s:o*}",
			 "name", op_text(d->name, 63), "size",
			 (json_int_t)d->size, "sector",
			 (json_int_t)(d->sector & INT64_MAX), "read_only",
			 d->read_only, "removable", d->removable, "rotational",
			 d->rotational, "partition", d->parent[0] != '\0',
			 "parent", op_text_or_null(d->parent, 63), "model",
			 op_text_or_null(d->model, 255), "serial",
			 op_text_or_null(d->serial, 255), "bus",
			 op_text_or_null(d->bus, 63));
}

static void list_disks(struct op_call *call, json_t *p)
{
	json_t *list = json_array();
	size_t n = 0;
	struct disk *d = disks_read(ROOT, &n);

	(void)p;
	if (!d) {
		op_failed(call, EIO, "cannot read /sys/block");
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, disk(&d[i]));
	op_reply_list(call, "disks", list);
}

static json_t *stats(const struct disk_stats *d)
{
	/* The kernel's counters begin anew before these could be too large. */
	return json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "name",
			 op_text(d->name, 63), "reads",
			 (json_int_t)(d->reads & INT64_MAX), "read_bytes",
			 (json_int_t)d->read_bytes, "read_us",
			 (json_int_t)d->read_us, "writes",
			 (json_int_t)(d->writes & INT64_MAX), "written_bytes",
			 (json_int_t)d->written_bytes, "write_us",
			 (json_int_t)d->write_us, "in_flight",
			 (json_int_t)(d->in_flight & INT64_MAX));
}

static void get_disk_stats(struct op_call *call, json_t *p)
{
	json_t *list = json_array();
	size_t n = 0;
	struct disk_stats *d = disks_stats_read(ROOT, &n);

	(void)p;
	if (!d) {
		op_failed(call, EIO, "/proc/diskstats cannot be read");
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, stats(&d[i]));
	op_reply_list(call, "disks", list);
}

/* ---- trim ---------------------------------------------------------------- */

/* Return: 0 or a negative errno. */
static int trim(const struct mount *m, uint64_t minimum, uint64_t *ret)
{
	struct fstrim_range range = {.len = UINT64_MAX, .minlen = minimum};
	int fd, r;

	if (op_freeze_has(m->major, m->minor))
		return -EBUSY; /* it would wait for the end of the lease */
	fd = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = ioctl(fd, FITRIM, &range) < 0 ? -errno : 0;
	close(fd);
	*ret = range.len;
	return r;
}

static json_t *trimmed(const struct mount *m, uint64_t minimum, bool named)
{
	uint64_t bytes = 0;
	int r = trim(m, minimum, &bytes);
	const char *name = r < 0 ? strerrorname_np(-r) : NULL;

	/* Not every disk can give back. */
	if (r == -EOPNOTSUPP && !named)
		return NULL;
	return json_pack("{s:o,s:o*,s:s*}", "mount", op_text(m->path, 4096),
			 "trimmed",
			 size_or_none(r == 0, bytes <= INT64_MAX ? bytes : 0),
			 "error", r < 0 && !name ? "" : name);
}

static void trim_mounts(struct op_call *call, json_t *p)
{
	const json_t *names = json_object_get(p, "mounts");
	bool named = json_is_array(names);
	static const char *list[FREEZE_MAX];
	struct freeze_plan plan = {.n = 0};
	json_t *out = json_array();
	const char *bad = "";
	struct mounts m;
	int r = mounts_read(ROOT, &m);
	size_t i;
	json_t *v;

	json_array_foreach(names, i, v)
	{
		list[i] = json_string_value(v);
	}
	if (r == 0)
		r = freeze_plan_make(&plan, ROOT, &m, named ? list : NULL,
				     json_array_size(names), &bad);
	if (r == -ENOENT) {
		op_error(call, "NoSuchMount",
			 json_pack("{s:o}", "mount", op_text(bad, 4096)));
		return;
	}
	if (r < 0) {
		op_failed(call, r, bad);
		return;
	}
	for (i = 0; i < plan.n; i++) {
		v = trimmed(&m.list[plan.mounts[i]],
			    (uint64_t)json_integer_value(
				    json_object_get(p, "minimum")),
			    named);
		if (v)
			json_array_append_new(out, v);
	}
	op_reply(call, json_pack("{s:o}", "trimmed", out));
}

static const struct op_row rows[] = {
	{.method = "ListFilesystems",
	 .run = list_filesystems,
	 .flags = OP_BLOCKING},
	{.method = "ListDisks", .run = list_disks, .flags = OP_BLOCKING},
	{.method = "GetDiskStats", .run = get_disk_stats, .flags = OP_BLOCKING},
	{.method = "Trim",
	 .run = trim_mounts,
	 .flags = OP_BLOCKING,
	 .deadline_ms = TRIM_MS},
	{.method = "Freeze",
	 .run = op_freeze_freeze,
	 .deadline_ms = OP_FREEZE_MS},
	{.method = "RenewFreeze", .run = op_freeze_renew},
	{.method = "Thaw", .run = op_freeze_thaw, .deadline_ms = OP_FREEZE_MS},
	{.method = "FreezeStatus",
	 .run = op_freeze_status,
	 .flags = OP_BLOCKING},
};

const struct op_interface op_storage = {
	.name = "org.vmchannel.Storage",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.start = op_freeze_start,
	.stop = op_freeze_stop,
};
