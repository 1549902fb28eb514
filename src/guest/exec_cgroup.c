/* SPDX-License-Identifier: MIT */
/* exec_cgroup.c - a command's cgroup */
#include "guest/exec_cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PREFIX "exec-"
/* Where it is mounted: alone, or beside version 1. */
static const char *const mounts[] = {"/sys/fs/cgroup",
				     "/sys/fs/cgroup/unified"};

/* ---- the agent's own ----------------------------------------------------- */

static bool is_cgroup2(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Of the line "0::PATH". */
static bool own_path(char *ret, size_t size)
{
	char line[PATH_MAX];
	const char *path = NULL;
	FILE *f = fopen("/proc/self/cgroup", "re");

	if (!f)
		return false;
	while (!path && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) == 0)
			path = line + strlen("0::");
	}
	(void)fclose(f); /* only read */
	if (!path)
		return false;
	/* The root's is the mount itself. */
	snprintf(ret, size, "%s", strcmp(path, "/") == 0 ? "" : path);
	return true;
}

/* systemd marks what it does not look after itself. */
static bool is_delegated(const char *path)
{
	static const char *const marks[] = {"trusted.delegate",
					    "user.delegate"};
	char value[2] = "";

	if (access("/run/systemd/system", F_OK) < 0)
		return true;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (getxattr(path, marks[i], value, 1) == 1 && value[0] == '1')
			return true;
	return false;
}

/* Return: is there one below which others may be made? */
static bool find_parent(char *ret, size_t size)
{
	char own[PATH_MAX];

	if (!own_path(own, sizeof(own)))
		return false;
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		int n = snprintf(ret, size, "%s%s", mounts[i], own);

		if (n > 0 && (size_t)n < size && is_cgroup2(mounts[i]) &&
		    access(ret, W_OK) == 0)
			return is_delegated(ret);
	}
	return false;
}

/* ---- one ----------------------------------------------------------------- */

static bool name_file(char *ret, size_t size, const struct exec_cgroup *g,
		      const char *file)
{
	int n = snprintf(ret, size, "%s/%s", g->path, file);

	return g->path[0] != '\0' && n > 0 && (size_t)n < size;
}

/* Return: was it written? */
static bool put(const struct exec_cgroup *g, const char *file, const char *text)
{
	char path[PATH_MAX];
	bool ok;
	int fd;

	if (!name_file(path, sizeof(path), g, file))
		return false;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) > 0;
	close(fd);
	return ok;
}

static void kill_each(const struct exec_cgroup *g)
{
	char path[PATH_MAX], line[32];
	FILE *f;

	if (!name_file(path, sizeof(path), g, "cgroup.procs"))
		return;
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);

		/* 0: of another namespace; not a group of ours */
		if (pid > 1)
			kill(pid, SIGKILL);
	}
	if (f)
		(void)fclose(f); /* only read */
}

void exec_cgroup_make(struct exec_cgroup *ret)
{
	char parent[PATH_MAX - 32];

	ret->path[0] = '\0';
	if (!find_parent(parent, sizeof(parent)))
		return;
	snprintf(ret->path, sizeof(ret->path), "%s/" PREFIX "%d", parent,
		 (int)getpid());
	/* One of that name was left over by a process of the same number. */
	exec_cgroup_kill(ret);
	if (mkdir(ret->path, 0755) < 0 && errno != EEXIST)
		ret->path[0] = '\0';
}

void exec_cgroup_enter(const struct exec_cgroup *g)
{
	(void)put(g, "cgroup.procs", "0");
}

void exec_cgroup_kill(const struct exec_cgroup *g)
{
	/* Since Linux 5.14; before, nothing keeps them from multiplying
	 * meanwhile but being stopped. */
	if (g->path[0] == '\0' || put(g, "cgroup.kill", "1"))
		return;
	(void)put(g, "cgroup.freeze", "1");
	kill_each(g);
	(void)put(g, "cgroup.freeze", "0");
}

void exec_cgroup_remove(const struct exec_cgroup *g)
{
	if (g->path[0] != '\0')
		rmdir(g->path);
}

/* ---- what is left over --------------------------------------------------- */

static bool is_served(const char *pid)
{
	char path[64], name[sizeof(EXEC_PROCESS) + 1] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	close(fd);
	return strcmp(name, EXEC_PROCESS "\n") == 0;
}

void exec_cgroup_sweep(void)
{
	struct exec_cgroup g;
	char parent[PATH_MAX - 300];
	const struct dirent *d;
	DIR *dir;

	if (!find_parent(parent, sizeof(parent)))
		return;
	dir = opendir(parent);
	while (dir && (d = readdir(dir)) != NULL) {
		if (strncmp(d->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    is_served(d->d_name + strlen(PREFIX)))
			continue;
		snprintf(g.path, sizeof(g.path), "%s/%s", parent, d->d_name);
		exec_cgroup_kill(&g);
		exec_cgroup_remove(&g);
	}
	if (dir)
		closedir(dir);
}
