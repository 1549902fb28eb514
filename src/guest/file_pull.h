/* SPDX-License-Identifier: MIT */
/* file_pull.h - a file of the guest */
#ifndef GUEST_FILE_PULL_H
#define GUEST_FILE_PULL_H

#include "guest/ops.h"

/* file_pull() - as the user that this process is */
op_fn file_pull;

#endif /* GUEST_FILE_PULL_H */
