/* SPDX-License-Identifier: MIT */
/* find.c - find a VM's socket, or say where it was looked for */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "client/error.h"
#include "client/vmpath.h"

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
		if (stat(ret->sun_path, &st) == 0) {
			if (S_ISSOCK(st.st_mode))
				return 0;
		} else if (errno == EACCES) {
			return client_fail(EACCES,
					   "%s: %s/%s may not be entered by "
					   "this user; become the user who "
					   "runs the VM",
					   vm, roots.path[i], vm);
		}
	}
	return not_found(vm, &roots);
}
