/* SPDX-License-Identifier: MIT */
/* file_info.c - what Info of org.vmchannel.File says */
#include "guest/file_info.h"

#include "guest/ops_text.h"

#define MODE_BITS 07777u

static const char *type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "link";
	case S_IFIFO:
		return "pipe";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

/* Before 1970 is not a time that the interface has. */
static json_int_t modified_us(const struct timespec *t)
{
	if (t->tv_sec < 0)
		return 0;
	return (json_int_t)t->tv_sec * 1000000 + t->tv_nsec / 1000;
}

json_t *file_info(const struct stat *st, const char *target)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:o*}", "type",
			 type_of(st->st_mode), "size", (json_int_t)st->st_size,
			 "mode", (json_int_t)(st->st_mode & MODE_BITS), "uid",
			 (json_int_t)st->st_uid, "gid", (json_int_t)st->st_gid,
			 "modified_us", modified_us(&st->st_mtim), "target",
			 op_text_or_null(target, OP_TEXT_MAX));
}
