/* SPDX-License-Identifier: MIT */
/*
 * config.c - finding and reading the folders
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/conf_dir.h"
#include "broker/users.h"
#include "host/config.h"

#define SYSTEM_DIR "/etc/vmchannel"

/* NSS, because an administrator's groups may be in a directory service. */
static bool find_group(const char *name, gid_t *ret)
{
	const struct group *g = getgrnam(name);

	if (!g)
		return false;
	*ret = g->gr_gid;
	return true;
}

static int base_dir(char *ret, size_t size, const char *dir, char *err,
		    size_t err_size)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int n;

	if (dir)
		n = snprintf(ret, size, "%s", dir);
	else if (geteuid() == 0)
		n = snprintf(ret, size, SYSTEM_DIR);
	else if (xdg && xdg[0] == '/')
		n = snprintf(ret, size, "%s/vmchannel", xdg);
	else if (home && home[0] == '/')
		n = snprintf(ret, size, "%s/.config/vmchannel", home);
	else
		/* Nothing of this user's can be there. */
		n = snprintf(ret, size, "/nonexistent");
	if (n >= 0 && (size_t)n < size)
		return 0;
	snprintf(err, err_size, "the configuration folder's path is too long");
	return -ENAMETOOLONG;
}

struct folders {
	char all[PATH_MAX]; /* of every VM */
	char one[PATH_MAX]; /* of this VM */
};

static int make_folders(struct folders *f, const char *base, const char *vm,
			const char *kind)
{
	int a = snprintf(f->all, sizeof(f->all), "%s/%s", base, kind);
	int b = snprintf(f->one, sizeof(f->one), "%s/%s/%s", base, vm, kind);

	return a < 0 || b < 0 || (size_t)a >= sizeof(f->all) ||
			       (size_t)b >= sizeof(f->one)
		       ? -ENAMETOOLONG
		       : 0;
}

static int load_policy(struct policy **ret, const char *base, const char *vm,
		       char *err, size_t err_size)
{
	struct folders f;
	const char *dirs[] = {f.all, f.one, NULL};
	int r = make_folders(&f, base, vm, "policy.d");

	return r < 0 ? r
		     : policy_load(ret, VMC_PRINCIPAL_HOST, dirs, find_group,
				   err, err_size);
}

static int load_services(struct services *ret, const char *base, const char *vm,
			 char *err, size_t err_size)
{
	struct folders f;
	/* The VM's own service of a name replaces the general one. */
	const char *dirs[] = {f.one, f.all, NULL};
	int r = make_folders(&f, base, vm, "services.d");

	return r < 0 ? r : services_load(ret, dirs, err, err_size);
}

static int write_all(int fd, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Sealed: the worker's view cannot change any more, from neither side. */
static int make_memfd(const uint8_t *blob, size_t len)
{
	int fd = memfd_create("config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, blob, len);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static int pack(const struct services *s, const struct policy *p,
		size_t *ret_len)
{
	size_t len;
	uint8_t *blob = config_blob(s, p, &len);
	int fd;

	if (!blob)
		return -ENOMEM;
	fd = len <= CONFIG_BLOB_MAX ? make_memfd(blob, len) : -EFBIG;
	free(blob);
	if (fd >= 0)
		*ret_len = len;
	return fd;
}

int config_load(const char *dir, const char *vm, struct services *ret,
		int *ret_fd, size_t *ret_len, char *err, size_t err_size)
{
	struct services s = {0};
	struct policy *p = NULL;
	char base[PATH_MAX];
	int r = base_dir(base, sizeof(base), dir, err, err_size);

	if (r == 0)
		r = load_policy(&p, base, vm, err, err_size);
	if (r == 0)
		r = load_services(&s, base, vm, err, err_size);
	if (r == 0) {
		r = pack(&s, p, ret_len);
		if (r < 0)
			snprintf(err, err_size, "configuration: %s",
				 strerror(-r));
	}
	policy_free(p);
	malloc_trim(0); /* a large policy was only passing through */
	if (r < 0) {
		services_done(&s);
		return r;
	}
	*ret_fd = r;
	*ret = s;
	return 0;
}
