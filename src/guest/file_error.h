/* SPDX-License-Identifier: MIT */
/* file_error.h - errors of org.vmchannel.File, before and among the frames */
#ifndef GUEST_FILE_ERROR_H
#define GUEST_FILE_ERROR_H

#include "guest/file_stream.h"

/* file_refuse() - answer CannotOpen, or Changed for -ESTALE */
void file_refuse(struct op_call *call, const char *path, int error);
/* file_give_up() - the same as the last frame */
__attribute__((noreturn)) void file_give_up(struct file_stream *s,
					    const char *path, int error);

#endif /* GUEST_FILE_ERROR_H */
