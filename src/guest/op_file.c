/* SPDX-License-Identifier: MIT */
/*
 * op_file.c - org.vmchannel.File
 *
 * A child for each: it becomes the user first, so that no right of root's is
 * there to be used for a path of somebody else's, and may wait for its disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "guest/become.h"
#include "guest/file_error.h"
#include "guest/file_info.h"
#include "guest/file_place.h"
#include "guest/file_pull.h"
#include "guest/file_push.h"
#include "guest/ops_table.h"

#define UMASK 022
/* A disk that has to be woken up, a server that does not answer at once. */
#define OPEN_MS 60000u

/* Return: false, and it was answered. */
static bool become_user(struct op_call *call, const json_t *p)
{
	const char *user = json_string_value(json_object_get(p, "user"));
	struct user_ids ids;
	int r = user_resolve(&ids, user ? user : "0");

	umask(UMASK);
	if (r == 0 && !become(&ids))
		r = -errno;
	if (r == -ENOENT && user)
		op_error(call, "NoSuchUser", json_pack("{s:s}", "user", user));
	else if (r < 0)
		op_failed(call, r, "becoming that user");
	/* Another user's is cleared. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return r == 0;
}

static void push(struct op_call *call, json_t *p)
{
	if (become_user(call, p))
		file_push(call, p);
}

static void pull(struct op_call *call, json_t *p)
{
	if (become_user(call, p))
		file_pull(call, p);
}

/* ---- Stat ---------------------------------------------------------------- */

/* Return: 0, or a negative errno; *ret NULL: there is none. */
static int look(const char *path, json_t **ret)
{
	char target[PATH_MAX + 1] = "";
	struct stat st;
	ssize_t n = 0;

	*ret = NULL;
	if (path[0] != '/')
		return -EINVAL;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISLNK(st.st_mode))
		n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	*ret = file_info(&st, target);
	return 0;
}

static json_t *partial_of(const char *path)
{
	struct file_place place;
	int64_t size = 0;

	if (file_place_open(&place, path) < 0)
		return NULL;
	if (file_place_partial(&place, &size) < 0)
		return NULL;
	return json_integer(size);
}

static void stat_path(struct op_call *call, json_t *p)
{
	const char *path = json_string_value(json_object_get(p, "path"));
	json_t *info;
	int r;

	if (!become_user(call, p))
		return;
	r = look(path, &info);
	if (r < 0)
		file_refuse(call, path, r);
	else
		op_reply(call, json_pack("{s:o*,s:o*}", "info", info, "partial",
					 partial_of(path)));
}

#define TRANSFER .flags = OP_BLOCKING | OP_TRANSFER, .deadline_ms = OPEN_MS

static const struct op_row rows[] = {
	{.method = "Push", .run = push, TRANSFER},
	{.method = "Pull", .run = pull, TRANSFER},
	{.method = "Stat",
	 .run = stat_path,
	 .flags = OP_BLOCKING,
	 .deadline_ms = OPEN_MS},
};

const struct op_interface op_file = {
	.name = "org.vmchannel.File",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
};
