/* SPDX-License-Identifier: MIT */
/*
 * vmdir.c - the directory of one VM: its lock and its two sockets
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/broker.h"

#define VM_NAME_MAX 64
/* The longest file name that is a socket, with its slash. */
#define LONGEST_SOCKET "/control"
#define PARENT_MODE    0755
/* How often another daemon may remove the lock under our hands. */
#define LOCK_TRIES 8

static bool is_vm_name(const char *vm)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(vm);

	return len >= 1 && len <= VM_NAME_MAX && vm[0] != '.' &&
	       strspn(vm, allowed) == len;
}

int vmdir_path(char *ret, size_t size, const char *dir, const char *vm)
{
	const char *sub = "";
	int n;

	if (!vm || !is_vm_name(vm))
		return -EINVAL;
	if (!dir || !*dir)
		dir = getenv("VMCHANNEL_DIR");
	if (!dir || !*dir) {
		dir = "/run";
		sub = "/vmchannel";
		if (geteuid() != 0)
			dir = getenv("XDG_RUNTIME_DIR");
	}
	if (!dir || !*dir)
		return -ENOENT;
	n = snprintf(ret, size, "%s%s/%s", dir, sub, vm);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n >= size ||
	    (size_t)n + sizeof(LONGEST_SOCKET) >
		    sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

/* One that was there is used as it is or not at all: it may be a folder of
 * something else (/tmp), or be closed for a reason. Somebody else who may
 * write there could replace the sockets. */
static int check_dir(const char *path, mode_t mode, char *err, size_t size)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode)) {
		snprintf(err, size,
			 "%s is not a directory; remove it, or use another "
			 "--dir",
			 path);
		return -ENOTDIR;
	}
	if (st.st_uid != geteuid()) {
		snprintf(err, size,
			 "%s belongs to user %u; remove it, or use another "
			 "--dir",
			 path, (unsigned int)st.st_uid);
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		snprintf(err, size,
			 "%s may be written by other users; chmod go-w it, or "
			 "use another --dir",
			 path);
		return -EPERM;
	}
	if ((st.st_mode & mode) != mode) {
		snprintf(err, size,
			 "%s is closed to users who are to use its sockets; "
			 "chmod %o it, or use another --dir",
			 path, (unsigned int)mode);
		return -EPERM;
	}
	return 0;
}

static int make_dir(const char *path, mode_t mode, char *err, size_t size)
{
	/* Whatever the umask. */
	if (mkdir(path, mode) == 0)
		return chmod(path, mode) < 0 ? -errno : 0;
	return errno == EEXIST ? check_dir(path, mode, err, size) : -errno;
}

/* The folder of all VMs; anybody's if it exists already. */
static int make_parent(const char *path)
{
	char parent[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	if (strlen(path) >= sizeof(parent))
		return -ENAMETOOLONG;
	strcpy(parent, path);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return 0;
	*slash = '\0';
	/* Each VM's own directory says who may enter; the next one may be for
	 * everybody though this one is not, whatever the umask. */
	if (mkdir(parent, PARENT_MODE) == 0)
		return chmod(parent, PARENT_MODE) < 0 ? -errno : 0;
	return errno == EEXIST ? 0 : -errno;
}

static int make_name(char *ret, size_t size, const char *path, const char *file)
{
	int n = snprintf(ret, size, "%s/%s", path, file);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* One attempt; -EAGAIN: the file was removed before we had locked it. */
static int try_lock(const char *name)
{
	struct stat ours, there;
	int fd, r;

	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	r = -EBUSY;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			r = -errno;
		goto err_close;
	}
	r = -EAGAIN;
	if (fstat(fd, &ours) < 0 || stat(name, &there) < 0)
		goto err_close;
	if (ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
		goto err_close;
	return fd;
err_close:
	close(fd);
	return r;
}

static int take_lock(const char *path)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char pid[24];
	int r, len;

	r = make_name(name, sizeof(name), path, "lock");
	if (r < 0)
		return r;
	for (int i = 0; i < LOCK_TRIES; i++) {
		r = try_lock(name);
		if (r != -EAGAIN)
			break;
	}
	if (r < 0)
		return r;
	/* For people and for doctor; the lock itself is what counts. */
	len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(r, 0) < 0 || pwrite(r, pid, (size_t)len, 0) != len) {
		close(r);
		return -EIO;
	}
	return r;
}

int vmdir_socket(const char *path, const char *file, mode_t mode)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, r;

	r = make_name(addr.sun_path, sizeof(addr.sun_path), path, file);
	if (r < 0)
		return r;
	/* We hold the lock, so what lies here belongs to nobody. */
	if (unlink(addr.sun_path) < 0 && errno != ENOENT)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    chmod(addr.sun_path, mode) < 0 || listen(fd, SOMAXCONN) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static mode_t dir_mode(mode_t mode)
{
	return (mode_t)(0700 | ((mode & 0066) ? 0055 : 0));
}

int vmdir_claim(const char *path, mode_t mode, int ret_fds[3], char *err,
		size_t size)
{
	int fds[3] = {-1, -1, -1};
	int r;

	err[0] = '\0';
	r = make_parent(path);
	if (r < 0)
		return r;
	r = make_dir(path, dir_mode(mode), err, size);
	if (r < 0)
		return r;
	r = fds[0] = take_lock(path);
	if (r < 0)
		return r;
	r = fds[1] = vmdir_socket(path, "control", mode);
	if (r < 0)
		goto err_close;
	r = fds[2] = vmdir_socket(path, "connect", mode);
	if (r < 0)
		goto err_close;
	memcpy(ret_fds, fds, sizeof(fds));
	return 0;
err_close:
	if (fds[1] >= 0)
		close(fds[1]);
	close(fds[0]);
	return r;
}

void vmdir_release(const char *path, const int fds[3])
{
	static const char *const files[] = {"control", "connect", "lock"};
	char name[sizeof(((struct sockaddr_un *)0)->sun_path)];

	/* The lock goes last, so that no successor binds before. */
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (make_name(name, sizeof(name), path, files[i]) == 0)
			unlink(name);
	}
	rmdir(path);
	for (int i = 2; i >= 0; i--) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}
