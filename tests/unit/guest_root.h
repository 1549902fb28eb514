/* SPDX-License-Identifier: MIT */
/* guest_root.h - a folder that stands for a guest's root, with files of the
 * test's own making */
#ifndef TESTS_GUEST_ROOT_H
#define TESTS_GUEST_ROOT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char guest_root[64];

static inline int guest_root_make(void **state)
{
	(void)state;
	snprintf(guest_root, sizeof(guest_root), "/tmp/vmch-root-XXXXXX");
	return mkdtemp(guest_root) ? 0 : -1;
}

static inline int guest_root_remove_one(const char *path, const struct stat *st,
					int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline int guest_root_remove(void **state)
{
	(void)state;
	return nftw(guest_root, guest_root_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* guest_root_path() - of a file there; the folders above it are made */
static inline const char *guest_root_path(const char *path)
{
	static char full[512];

	snprintf(full, sizeof(full), "%s%s", guest_root, path);
	for (char *p = full + strlen(guest_root) + 1; (p = strchr(p, '/')) != 0;
	     p++) {
		*p = '\0';
		assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
		*p = '/';
	}
	return full;
}

static inline void guest_root_write(const char *path, const char *data,
				    size_t len)
{
	FILE *f = fopen(guest_root_path(path), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline void guest_root_text(const char *path, const char *text)
{
	guest_root_write(path, text, strlen(text));
}

static inline void guest_root_link(const char *path, const char *to)
{
	assert_int_equal(symlink(to, guest_root_path(path)), 0);
}

#endif /* TESTS_GUEST_ROOT_H */
