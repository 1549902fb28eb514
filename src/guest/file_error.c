/* SPDX-License-Identifier: MIT */
/* file_error.c - errors of org.vmchannel.File */
#include "guest/file_error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *error_name(int error)
{
	return error == -ESTALE ? "Changed" : "CannotOpen";
}

static json_t *error_parameters(const char *path, int error)
{
	const char *name = strerrorname_np(abs(error));

	if (error == -ESTALE)
		return json_pack("{s:s}", "path", path);
	return json_pack("{s:s,s:s}", "path", path, "error",
			 name ? name : "EIO");
}

void file_refuse(struct op_call *call, const char *path, int error)
{
	op_error(call, error_name(error), error_parameters(path, error));
}

void file_give_up(struct file_stream *s, const char *path, int error)
{
	file_stream_fail(s, error_name(error), error_parameters(path, error));
}
