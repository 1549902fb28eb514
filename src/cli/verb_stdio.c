/* SPDX-License-Identifier: MIT */
/* verb_stdio.c - vmchannel stdio: a broker's control socket on stdin, stdout */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/relay.h"
#include "client/vmpath.h"

static int connect_to(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int e;

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	e = errno;
	close(fd);
	return -e;
}

/* The first root that has it. Return: a descriptor, or the last -errno. */
static int find(const char *vm, char path[VMPATH_MAX])
{
	struct vmpath_roots roots;
	int r = -ENOENT;

	vmpath_roots(&roots);
	for (unsigned int i = 0; i < roots.n && r == -ENOENT; i++)
		if (vmpath_join(path, VMPATH_MAX, roots.path[i], vm, "control"))
			r = connect_to(path);
	return r;
}

static int run(const struct cli_args *a)
{
	const char *vm = a->v[0];
	char path[VMPATH_MAX] = "";
	struct relay_sum sum;
	int fd;

	if (!vmpath_vm_valid(vm))
		return cli_error(CLI_FAILED, "'%s' cannot be a VM's name",
				 cli_safe(vm));
	fd = find(vm, path);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return cli_error(CLI_MISSING,
				 "%s: nobody answers at %s; start its "
				 "vmchanneld, or give --dir",
				 vm, path);
	if (fd == -EACCES || fd == -EPERM)
		return cli_error(CLI_REFUSED,
				 "%s: %s is not open to this user; become the "
				 "user who runs the VM",
				 vm, path);
	if (fd < 0)
		return cli_error(CLI_FAILED, "%s: cannot connect to %s: %s", vm,
				 path, strerror(-fd));
	return relay_run(fd, false, &sum);
}

const struct cli_verb verb_stdio = {
	.name = "stdio",
	.args = "VM",
	.summary = "join stdin and stdout with the broker's control socket",
	.help = "For programs on another machine that follow a VM which moves "
		"here: it speaks\nvarlink, and carries a stream after that. "
		"Whoever runs it is the caller.\n\n"
		"example: vmchannel connect web1 org.example.log --follow "
		"--via 'ssh host2 vmchannel stdio web1'\n",
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
