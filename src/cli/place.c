/* SPDX-License-Identifier: MIT */
/* place.c - a VM's directory, before there is one */
#include "cli/place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

/* Others that connect wait, QEMU serves one. */
#define LISTEN_BACKLOG 1

static int find_root(char *ret)
{
	struct vmpath_roots roots;
	const char *dir = getenv("VMCHANNEL_DIR");
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	bool own = dir && dir[0] != '\0';

	if (!own && geteuid() != 0 && (!xdg || xdg[0] != '/'))
		return cli_error(CLI_FAILED,
				 "XDG_RUNTIME_DIR is not set, so there is no "
				 "place for the VM's sockets; give --dir");
	vmpath_roots(&roots);
	if (roots.n == 0 || (own && roots.path[0][0] != '/'))
		return cli_error(CLI_FAILED,
				 "VMCHANNEL_DIR '%s' must be an absolute path "
				 "that leaves room for a socket's name",
				 own ? cli_safe(dir) : "");
	memcpy(ret, roots.path[0], VMPATH_MAX);
	return CLI_OK;
}

int place_find(struct place *ret, const char *vm)
{
	const struct {
		char *to;
		const char *file;
	} files[] = {
		{ret->dir, NULL},
		{ret->link, "link"},
		{ret->qmp, "qmp"},
		{ret->log, "log"},
		{ret->config, "qemu.conf"},
		{ret->state, "vmstate.sock"},
		{ret->events, "qmp-events"},
	};
	int r;

	if (!vmpath_vm_valid(vm))
		return cli_error(CLI_FAILED,
				 "'%s' cannot be a VM's name: use letters, "
				 "digits, '.', '_' and '-', at most %d of them",
				 cli_safe(vm), VMC_NAME_MAX);
	r = find_root(ret->root);
	if (r != CLI_OK)
		return r;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!vmpath_join(files[i].to, VMPATH_MAX, ret->root, vm,
				 files[i].file))
			return cli_error(CLI_FAILED,
					 "%s/%s: too long for a socket's path; "
					 "give a shorter --dir",
					 cli_safe(ret->root), vm);
	return CLI_OK;
}

/* Return: 0, ENOENT or EACCES. */
static int is_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return ENOENT;
	return access(path, X_OK) ? EACCES : 0;
}

static int try_program(char *ret, const char *dir, size_t dir_len,
		       const char *name)
{
	size_t len = strlen(name);

	if (dir_len >= PATH_MAX || len >= PATH_MAX - dir_len - 1)
		return ENOENT;
	memcpy(ret, dir, dir_len);
	ret[dir_len] = '/';
	memcpy(ret + dir_len + 1, name, len + 1);
	return is_program(ret);
}

int place_program(char *ret, const char *name)
{
	const char *path = getenv("PATH");
	int r = ENOENT;

	if (strchr(name, '/')) {
		if (strlen(name) >= PATH_MAX)
			return ENOENT;
		strcpy(ret, name);
		return is_program(ret);
	}
	for (const char *next = NULL; path != NULL; path = next) {
		size_t len = strcspn(path, ":");
		int this = len ? try_program(ret, path, len, name)
			       : try_program(ret, ".", 1, name);

		if (this == 0)
			return 0;
		if (this == EACCES)
			r = EACCES;
		next = path[len] == ':' ? path + len + 1 : NULL;
	}
	return r;
}

int place_daemon(char *ret)
{
	/* Beside bin/vmchannel; and in the build tree. */
	static const char *const near[] = {
		"vmchanneld", "../libexec/vmchannel/vmchanneld",
		"../sbin/vmchanneld", "../host/vmchanneld"};
	const char *given = getenv("VMCHANNELD");
	char self[PATH_MAX];
	ssize_t n;

	if (given && given[0] != '\0') {
		if (place_program(ret, given) == 0)
			return CLI_OK;
		return cli_error(CLI_FAILED, "VMCHANNELD=%s: no such program",
				 cli_safe(given));
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		*strrchr(self, '/') = '\0';
		for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++)
			if (try_program(ret, self, strlen(self), near[i]) == 0)
				return CLI_OK;
	}
	if (place_program(ret, "vmchanneld") == 0)
		return CLI_OK;
	return cli_error(CLI_FAILED,
			 "vmchanneld is not installed beside vmchannel nor in "
			 "PATH; install it, or name it in VMCHANNELD");
}

bool place_is_listened_on(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	/* A full backlog must not make it wait. */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool refused;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	refused = fd >= 0 &&
		  connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) &&
		  (errno == ECONNREFUSED || errno == ENOENT);
	if (fd >= 0)
		close(fd);
	return !refused;
}

static int bind_to(int fd, const struct sockaddr_un *addr)
{
	const struct sockaddr *a = (const struct sockaddr *)addr;

	if (bind(fd, a, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	/* Only a socket that nobody listens on is in the way. */
	if (place_is_listened_on(addr->sun_path))
		return -EADDRINUSE;
	if (unlink(addr->sun_path) || bind(fd, a, sizeof(*addr)))
		return -errno;
	return 0;
}

int place_listen(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = bind_to(fd, &addr);
	if (r == 0 && listen(fd, LISTEN_BACKLOG))
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}
