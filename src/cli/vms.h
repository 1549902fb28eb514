/* SPDX-License-Identifier: MIT */
/* vms.h - the virtual machines that have a directory here */
#ifndef CLI_VMS_H
#define CLI_VMS_H

#include <stddef.h>

#include <vmchannel/types.h>

/* More than one host runs; more directories are not looked at. */
#define VMS_MAX 4096

struct vms {
	char (*names)[VMC_NAME_MAX + 1]; /* sorted, each once */
	size_t n;
};

/* vms_find() - names of the directories that have a control socket, or could
 * have one but may not be looked into. Return: 0 or -ENOMEM. */
int vms_find(struct vms *ret);
void vms_done(struct vms *v);

#endif /* CLI_VMS_H */
