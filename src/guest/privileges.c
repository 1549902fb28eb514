/* SPDX-License-Identifier: MIT */
/*
 * privileges.c - what the agent gives up
 *
 * By the system call itself: the static agent has no capability library.
 */
#include "guest/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SWITCH_USER ((1u << CAP_SETUID) | (1u << CAP_SETGID))

static int get_caps(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};

	return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

bool privileges_can_switch(void)
{
	struct __user_cap_data_struct data[2];

	return get_caps(data) == 0 &&
	       (data[0].effective & SWITCH_USER) == SWITCH_USER;
}

int privileges_drop(bool switch_user)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	uint32_t keep = switch_user ? SWITCH_USER : 0;
	int r;

	r = get_caps(data);
	if (r < 0)
		return r;
	data[0].effective = data[0].permitted &= keep;
	data[1].effective = data[1].permitted = 0;
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}
