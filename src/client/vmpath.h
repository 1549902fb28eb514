/* SPDX-License-Identifier: MIT */
/*
 * vmpath.h - where the directories of virtual machines are
 *
 * Shared with the command, which lists and examines them.
 */
#ifndef CLIENT_VMPATH_H
#define CLIENT_VMPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include <vmchannel/types.h>

#define VMPATH_ROOTS_MAX 2
/* A socket's path must fit sun_path; a folder's is shorter than that. */
#define VMPATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

struct vmpath_roots {
	unsigned int n;
	char path[VMPATH_ROOTS_MAX][VMPATH_MAX];
};

/**
 * vmpath_roots() - the folders that hold VMs' directories, in search order
 *
 * VMCHANNEL_DIR alone, if it is set; else the user's own folder below
 * XDG_RUNTIME_DIR (not for root), then /run/vmchannel. A path that is too
 * long is left out: no socket can be in it.
 */
void vmpath_roots(struct vmpath_roots *ret);

/* vmpath_vm_valid() - [A-Za-z0-9._-]{1,64}, no leading dot */
bool vmpath_vm_valid(const char *vm);

/* vmpath_join() - "ROOT/VM" or, with @file, "ROOT/VM/FILE"; false: too long */
bool vmpath_join(char *ret, size_t size, const char *root, const char *vm,
		 const char *file);

/**
 * vmpath_find_socket() - address of one of a VM's sockets (library only)
 *
 * Return: 0, or a negative errno with vmc_strerror() set: -EINVAL (bad name),
 * -ENOENT (no broker in any root), -EACCES (it may not be entered).
 */
int vmpath_find_socket(const char *vm, const char *file,
		       struct sockaddr_un *ret);

#endif /* CLIENT_VMPATH_H */
