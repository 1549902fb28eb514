/* SPDX-License-Identifier: MIT */
/*
 * config.h - policy.d and services.d of one VM, and their way to the worker
 *
 * The supervisor reads files; the sandboxed worker cannot. What it needs goes
 * to it as one blob: the services (names and limits, not the commands) and
 * the policy's canonical text.
 */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "broker/policy.h"
#include "broker/services.h"

/* All rules and all services, each as long as can be, fit. */
#define CONFIG_BLOB_MAX (512u * 1024u)

/**
 * config_load() - read the folders of @vm
 * @dir:     --config, or NULL: /etc/vmchannel, or the user's own
 * @ret:     services, for the supervisor; services_done() by the caller
 * @ret_fd:  a memfd with the blob for the worker, close-on-exec
 * @ret_len: its length
 * @err:     one line on failure
 *
 * Return: 0 or a negative errno; nothing is written on failure but @err.
 */
int config_load(const char *dir, const char *vm, struct services *ret,
		int *ret_fd, size_t *ret_len, char *err, size_t err_size);

/* config_blob() - malloc()ed, or NULL if there is no memory */
uint8_t *config_blob(const struct services *s, const struct policy *p,
		     size_t *ret_len);

/**
 * config_parse() - the blob back to what a broker takes
 * @buf: @len bytes, checked
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
int config_parse(const uint8_t *buf, size_t len, struct services *ret_services,
		 struct policy **ret_policy);

#endif /* HOST_CONFIG_H */
