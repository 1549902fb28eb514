/* SPDX-License-Identifier: MIT */
/* exec_tree.c - all processes that a command has become */
#include "guest/exec_tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct proc {
	pid_t pid, parent;
	bool ours;
};

struct procs {
	struct proc *all;
	size_t n, room;
};

/* The parent stands behind the name, which may have anything in it. */
static bool read_parent(const char *pid, pid_t *ret)
{
	char path[32], text[512];
	char *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* ") S PARENT " */
	end = strrchr(text, ')');
	if (!end || strlen(end) < 5)
		return false;
	*ret = (pid_t)strtol(end + 4, &end, 10);
	return *end == ' ';
}

static bool add(struct procs *p, pid_t pid, pid_t parent)
{
	struct proc *grown;

	if (p->n == p->room) {
		p->room = p->room ? p->room * 2 : 256;
		grown = reallocarray(p->all, p->room, sizeof(*p->all));
		if (!grown)
			return false;
		p->all = grown;
	}
	p->all[p->n++] = (struct proc){.pid = pid, .parent = parent};
	return true;
}

static void list(struct procs *p)
{
	DIR *dir = opendir("/proc");
	const struct dirent *d;
	pid_t parent;

	while (dir && (d = readdir(dir)) != NULL)
		if (isdigit((unsigned char)d->d_name[0]) &&
		    read_parent(d->d_name, &parent) &&
		    !add(p, (pid_t)strtol(d->d_name, NULL, 10), parent))
			break;
	if (dir)
		closedir(dir);
}

static bool is_ours(const struct procs *p, pid_t pid)
{
	if (pid == getpid())
		return true;
	for (size_t i = 0; i < p->n; i++)
		if (p->all[i].pid == pid)
			return p->all[i].ours;
	return false;
}

/* A parent may have a higher number than its child: until nothing changes. */
static void mark(struct procs *p)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < p->n; i++) {
			struct proc *one = &p->all[i];

			if (one->ours || !is_ours(p, one->parent))
				continue;
			one->ours = more = true;
		}
	}
}

void exec_tree_signal(int number)
{
	struct procs p = {0};

	list(&p);
	mark(&p);
	for (size_t i = 0; i < p.n; i++)
		if (p.all[i].ours)
			kill(p.all[i].pid, number);
	free(p.all);
}

bool exec_tree_empty(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}
