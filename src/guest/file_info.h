/* SPDX-License-Identifier: MIT */
/* file_info.h - what Info of org.vmchannel.File says */
#ifndef GUEST_FILE_INFO_H
#define GUEST_FILE_INFO_H

#include <jansson.h>
#include <sys/stat.h>

/* file_info() - @target: of a link, or NULL */
json_t *file_info(const struct stat *st, const char *target);

#endif /* GUEST_FILE_INFO_H */
