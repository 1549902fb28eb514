/* SPDX-License-Identifier: MIT */
/*
 * conf_dir.c - reading drop-in folders
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/conf_dir.h"

#define SUFFIX     ".conf"
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)

struct walk {
	const char *dir;
	int fd;
	size_t max;
	conf_file_fn *fn;
	void *data;
	char *err;
	size_t err_size;
};

static int fail(const struct walk *w, const char *name, const char *why, int r)
{
	snprintf(w->err, w->err_size, "%s%s%s:1: %s", w->dir, *name ? "/" : "",
		 name, why);
	return r;
}

static int is_conf(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > SUFFIX_LEN &&
	       !strcmp(d->d_name + len - SUFFIX_LEN, SUFFIX);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t r = read(fd, buf + n, size - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	return (ssize_t)n;
}

static int give(const struct walk *w, const char *name, const char *text,
		size_t len)
{
	char path[PATH_MAX];
	struct conf_file f = {
		.path = path,
		.name = name,
		.stem_len = strlen(name) - SUFFIX_LEN,
		.text = text,
		.len = len,
	};
	int n = snprintf(path, sizeof(path), "%s/%s", w->dir, name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return fail(w, name, "the path is too long", -ENAMETOOLONG);
	return w->fn(&f, w->data);
}

static int read_fd(const struct walk *w, const char *name, int fd)
{
	struct stat st;
	ssize_t n;
	char *text;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return fail(w, name, "not a regular file; remove it", -EINVAL);
	text = malloc(w->max + 1);
	if (!text)
		return fail(w, name, "out of memory", -ENOMEM);
	n = read_all(fd, text, w->max + 1);
	if (n < 0)
		r = fail(w, name, strerror((int)-n), (int)n);
	else if ((size_t)n > w->max)
		r = fail(w, name, "the file is too big; split it", -EFBIG);
	else
		r = give(w, name, text, (size_t)n);
	free(text);
	return r;
}

static int read_name(const struct walk *w, const char *name)
{
	/* Non-blocking: a FIFO of that name must not hang the daemon. */
	int fd = openat(w->fd, name,
			O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r;

	if (fd < 0)
		return fail(w, name, strerror(errno), -errno);
	r = read_fd(w, name, fd);
	close(fd);
	return r;
}

static int walk(struct walk *w)
{
	struct dirent **list = NULL;
	int n = scandirat(w->fd, ".", &list, is_conf, by_name);
	int r = 0;

	if (n < 0)
		return fail(w, "", strerror(errno), -errno);
	if (n > CONF_FILES_MAX)
		r = fail(w, "", "too many files", -E2BIG);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = read_name(w, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return r;
}

int conf_dir_read(const char *dir, size_t max, conf_file_fn *fn, void *data,
		  char *ret_err, size_t err_size)
{
	struct walk w = {
		.dir = dir,
		.max = max,
		.fn = fn,
		.data = data,
		.err_size = err_size,
	};
	int r;

	w.err = ret_err;
	w.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w.fd < 0 && errno == ENOENT)
		return 0;
	if (w.fd < 0)
		return fail(&w, "", strerror(errno), -errno);
	r = walk(&w);
	close(w.fd);
	return r;
}

/* ---- policy.d ------------------------------------------------------------ */

struct policy_walk {
	struct policy *p;
	policy_group_fn *group;
	char *err;
	size_t err_size;
};

static int add_policy_file(const struct conf_file *f, void *data)
{
	const struct policy_walk *w = data;

	return policy_add_text(w->p, f->path, f->text, f->len, w->group, w->err,
			       w->err_size);
}

int policy_load(struct policy **ret, enum vmc_principal_kind this_side,
		const char *const *dirs, policy_group_fn *group, char *ret_err,
		size_t err_size)
{
	struct policy_walk w = {
		.group = group, .err = ret_err, .err_size = err_size};
	int r = policy_new(&w.p, this_side);

	snprintf(ret_err, err_size, "out of memory");
	for (; *dirs && r == 0; dirs++)
		r = conf_dir_read(*dirs, POLICY_FILE_MAX, add_policy_file, &w,
				  ret_err, err_size);
	if (r == 0)
		r = policy_seal(w.p);
	if (r < 0) {
		policy_free(w.p);
		return r;
	}
	*ret = w.p;
	return 0;
}
