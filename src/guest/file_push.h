/* SPDX-License-Identifier: MIT */
/* file_push.h - a file to the guest */
#ifndef GUEST_FILE_PUSH_H
#define GUEST_FILE_PUSH_H

#include "guest/ops.h"

/* file_push() - as the user that this process is */
op_fn file_push;

#endif /* GUEST_FILE_PUSH_H */
