/* SPDX-License-Identifier: MIT */
/*
 * storage_sizes.c - how full file systems are, those that answer
 *
 * A process asks for one after the other and writes down the answers. When it
 * hangs it is left behind, and another one goes on with the next.
 */
#include "guest/storage_sizes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What does not fit is the file system's mistake. */
static bool times(uint64_t a, uint64_t b, uint64_t *ret)
{
	return !__builtin_mul_overflow(a, b, ret) && *ret <= INT64_MAX;
}

static void ask(const char *path, struct storage_size *ret)
{
	struct statvfs v;

	*ret = (struct storage_size){.known = false};
	if (statvfs(path, &v) < 0 || v.f_bfree > v.f_blocks ||
	    v.f_files > INT64_MAX || v.f_ffree > INT64_MAX)
		return;
	ret->known = times(v.f_blocks, v.f_frsize, &ret->total) &&
		     times(v.f_blocks - v.f_bfree, v.f_frsize, &ret->used) &&
		     times(v.f_bavail, v.f_frsize, &ret->available);
	ret->files = v.f_files;
	ret->files_free = v.f_ffree;
}

__attribute__((noreturn)) static void asker_main(const char *const *paths,
						 size_t n, int fd)
{
	struct storage_size size;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < n; i++) {
		ask(paths[i], &size);
		/* Smaller than PIPE_BUF: whole or not at all. */
		if (write(fd, &size, sizeof(size)) != sizeof(size))
			_exit(EXIT_FAILURE);
	}
	_exit(EXIT_SUCCESS);
}

/* Return: how many answered before one did not. */
static size_t take(int fd, size_t n, struct storage_size *ret, int64_t end)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t i = 0;

	while (i < n) {
		int64_t left = end - now_ms();

		if (left > STORAGE_ANSWER_MS)
			left = STORAGE_ANSWER_MS;
		if (left <= 0 || poll(&p, 1, (int)left) <= 0 ||
		    read(fd, &ret[i], sizeof(ret[i])) != sizeof(ret[i]))
			break;
		i++;
	}
	return i;
}

/* Return: how many are done, with those that did not answer. */
static size_t some(const char *const *paths, size_t n, struct storage_size *ret,
		   int64_t end)
{
	int fds[2];
	pid_t pid;
	size_t i;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return n;
	/* Without the handlers of the loop, which would make itself new
	 * descriptors in the place of ours. */
	pid = _Fork();
	if (pid == 0)
		asker_main(paths, n, fds[1]);
	close(fds[1]);
	i = pid < 0 ? n : take(fds[0], n, ret, end);
	close(fds[0]);
	/* Not waited for: it may hang, and ends with us. */
	if (pid > 0)
		kill(pid, SIGKILL);
	if (i < n)
		ret[i++].known = false;
	return i;
}

void storage_sizes(const char *const *paths, size_t n, struct storage_size *ret)
{
	int64_t end = now_ms() + STORAGE_TOTAL_MS;
	size_t i = 0;

	for (size_t k = 0; k < n; k++)
		ret[k].known = false;
	while (i < n && now_ms() < end)
		i += some(paths + i, n - i, ret + i, end);
}
