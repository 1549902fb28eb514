/* SPDX-License-Identifier: MIT */
/*
 * conf_dir.h - the *.conf files of a drop-in folder, in the order of names
 */
#ifndef BROKER_CONF_DIR_H
#define BROKER_CONF_DIR_H

#include <stddef.h>

#include "broker/policy.h"

#define CONF_FILES_MAX 1024 /* of one folder */
#define CONF_NAME_MAX  255  /* NAME_MAX of Linux */
#define POLICY_FILE_MAX                                           \
	(256 * 1024) /* POLICY_RULES_MAX lines with long comments \
		      */

struct conf_file {
	const char *path; /* folder and name, for messages */
	const char *name;
	size_t stem_len; /* of the name without ".conf" */
	const char *text;
	size_t len;
};

/* Return: 0 to go on; a negative errno ends the walk and is passed on. */
typedef int conf_file_fn(const struct conf_file *f, void *data);

/**
 * conf_dir_read() - give each *.conf file of @dir to @fn, sorted by name
 * @max:     bytes that a file may have
 * @ret_err: one line "FILE:LINE: what and what to do" if reading failed;
 *           @fn writes its own
 *
 * A folder that does not exist holds no files. Hidden files and other endings
 * are left alone.
 *
 * Return: 0 or a negative errno.
 */
int conf_dir_read(const char *dir, size_t max, conf_file_fn *fn, void *data,
		  char *ret_err, size_t err_size);

/**
 * policy_load() - a whole policy: every folder's files, then the built-in
 *                 rules
 * @dirs:    NULL-terminated, in the order of docs/architecture.md
 * @ret_err: one line on failure
 *
 * Return: 0 or a negative errno.
 */
int policy_load(struct policy **ret, enum vmc_principal_kind this_side,
		const char *const *dirs, policy_group_fn *group, char *ret_err,
		size_t err_size);

#endif /* BROKER_CONF_DIR_H */
