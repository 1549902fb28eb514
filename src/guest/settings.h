/* SPDX-License-Identifier: MIT */
/*
 * settings.h - the agent's policy.d and services.d
 */
#ifndef GUEST_SETTINGS_H
#define GUEST_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "broker/policy.h"
#include "broker/services.h"

#define SETTINGS_ERROR_MAX 512

struct settings {
	struct policy *policy;
	struct services *services;
	bool switch_user; /* a service has User= */
};

/**
 * settings_load() - read all files
 * @dir:     --config, or NULL: /etc/vmchannel and /etc/vmchannel/host
 * @ret_err: one line on failure
 *
 * Return: 0 or a negative errno; @ret is untouched on failure. The caller
 * hands both parts to the broker, or calls settings_done().
 */
int settings_load(struct settings *ret, const char *dir, char *ret_err,
		  size_t err_size);
void settings_done(struct settings *s);

/* settings_load_policy() - the same of policy.d alone */
int settings_load_policy(struct policy **ret, const char *dir, char *ret_err,
			 size_t err_size);

#endif /* GUEST_SETTINGS_H */
