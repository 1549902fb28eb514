/* SPDX-License-Identifier: MIT */
/* vmpath.c - where the directories of virtual machines are */
#include "client/vmpath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/error.h"

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

/* Nothing was found: say where it was looked for and what starts one. */
static int not_found(const char *vm, const struct vmpath_roots *r)
{
	bool guest = strcmp(vm, "host") == 0;

	return client_fail(
		ENOENT, "%s: no %s (looked in %s/%s%s%s%s%s); start it with %s",
		vm,
		guest ? "vmchannel-agent runs here"
		      : "vmchanneld runs for this VM",
		r->n ? r->path[0] : "nothing", vm, r->n > 1 ? " and " : "",
		r->n > 1 ? r->path[1] : "", r->n > 1 ? "/" : "",
		r->n > 1 ? vm : "",
		guest ? "'systemctl start vmchannel-agent' or vmchannel-agent"
		      : "'vmchannel run' or vmchanneld, or give --dir");
}

int vmpath_find_socket(const char *vm, const char *file,
		       struct sockaddr_un *ret)
{
	struct vmpath_roots roots;
	struct stat st;

	if (!vm || !vmpath_vm_valid(vm))
		return client_fail(
			EINVAL,
			"'%.80s' cannot be a VM's name: use letters, "
			"digits, '.', '_' and '-', at most %d of "
			"them",
			vm ? vm : "", VMC_NAME_MAX);
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	vmpath_roots(&roots);
	for (unsigned int i = 0; i < roots.n; i++) {
		if (!vmpath_join(ret->sun_path, sizeof(ret->sun_path),
				 roots.path[i], vm, file))
			continue;
		if (stat(ret->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
			return 0;
		if (errno == EACCES)
			return client_fail(EACCES,
					   "%s: %s/%s may not be entered by "
					   "this user; become the user who "
					   "runs the VM",
					   vm, roots.path[i], vm);
	}
	return not_found(vm, &roots);
}
