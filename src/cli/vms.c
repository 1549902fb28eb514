/* SPDX-License-Identifier: MIT */
/* vms.c - the virtual machines that have a directory here */
#include "cli/vms.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/vmpath.h"

static bool is_vm(const char *root, const char *name)
{
	char path[VMPATH_MAX];
	struct stat st;

	if (!vmpath_vm_valid(name) ||
	    !vmpath_join(path, sizeof(path), root, name, "control"))
		return false;
	if (stat(path, &st) == 0)
		return S_ISSOCK(st.st_mode);
	return errno == EACCES;
}

/* @name is valid, so it fits. */
static int add(struct vms *v, const char *name)
{
	void *names;

	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->names[i], name) == 0)
			return 0;
	names = realloc(v->names, (v->n + 1) * sizeof(v->names[0]));
	if (!names)
		return -ENOMEM;
	v->names = names;
	memcpy(v->names[v->n++], name, strlen(name) + 1);
	return 0;
}

static int add_root(struct vms *v, const char *root)
{
	DIR *d = opendir(root);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return 0;
	while (r == 0 && v->n < VMS_MAX && (e = readdir(d)))
		if (is_vm(root, e->d_name))
			r = add(v, e->d_name);
	closedir(d);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

int vms_find(struct vms *ret)
{
	struct vmpath_roots roots;
	int r = 0;

	*ret = (struct vms){0};
	vmpath_roots(&roots);
	for (unsigned int i = 0; r == 0 && i < roots.n; i++)
		r = add_root(ret, roots.path[i]);
	if (r)
		vms_done(ret);
	else if (ret->n > 1)
		qsort(ret->names, ret->n, sizeof(ret->names[0]), by_name);
	return r;
}

void vms_done(struct vms *v)
{
	free(v->names);
	*v = (struct vms){0};
}
