/* SPDX-License-Identifier: MIT */
/* vmpath.c - where the directories of virtual machines are */
#include "client/vmpath.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_ROOT "/run/vmchannel"

static void add_root(struct vmpath_roots *r, const char *dir, const char *sub)
{
	char *to = r->path[r->n];
	int n = snprintf(to, VMPATH_MAX, "%s%s", dir, sub);

	if (n > 0 && (size_t)n < VMPATH_MAX)
		r->n++;
}

void vmpath_roots(struct vmpath_roots *ret)
{
	/* Not from the environment of a set-user-id program. */
	const char *dir = secure_getenv("VMCHANNEL_DIR");
	const char *xdg = secure_getenv("XDG_RUNTIME_DIR");

	ret->n = 0;
	if (dir && dir[0] != '\0') {
		add_root(ret, dir, "");
		return;
	}
	if (geteuid() != 0 && xdg && xdg[0] == '/')
		add_root(ret, xdg, "/vmchannel");
	add_root(ret, SYSTEM_ROOT, "");
}

bool vmpath_vm_valid(const char *vm)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(vm);

	return len >= 1 && len <= VMC_NAME_MAX && vm[0] != '.' &&
	       strspn(vm, allowed) == len;
}

bool vmpath_join(char *ret, size_t size, const char *root, const char *vm,
		 const char *file)
{
	int n = snprintf(ret, size, "%s/%s%s%s", root, vm, file ? "/" : "",
			 file ? file : "");

	return n > 0 && (size_t)n < size;
}
