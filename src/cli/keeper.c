/* SPDX-License-Identifier: MIT */
/* keeper.c - start a keeper and hear from it */
#include "cli/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Forked twice: it is nobody's child, so that QEMU never hears of it. */
static int fork_keeper(const struct keeper_wish *wish, const char *program,
		       const int status[2], const int lifeline[2])
{
	pid_t pid = fork();

	if (pid < 0)
		return cli_error(CLI_FAILED, "cannot fork: %s",
				 strerror(errno));
	if (pid > 0) {
		waitpid(pid, NULL, 0);
		return CLI_OK;
	}
	setsid();
	pid = fork();
	if (pid > 0)
		_exit(0);
	if (pid < 0)
		_exit(1);
	close(status[0]);
	/* Or it would wait for itself. */
	if (wish->lifeline)
		close(lifeline[1]);
	_exit(keeper_main(wish, program, status[1], lifeline[0]));
}

/* Its pid when vmchanneld serves; end of file when it does not. */
static int wait_ready(struct keeper *k)
{
	struct pollfd p = {.fd = k->status, .events = POLLIN};
	ssize_t n;

	cli_progress_begin("starting vmchanneld");
	/* The keeper has a time-out of its own. */
	while (poll(&p, 1, CLI_PROGRESS_MS) <= 0)
		cli_progress_tick();
	cli_progress_end();
	n = read(k->status, &k->pid, sizeof(k->pid));
	return n == (ssize_t)sizeof(k->pid) ? CLI_OK : CLI_FAILED;
}

int keeper_start(struct keeper *ret, const struct keeper_wish *wish)
{
	int status[2] = {-1, -1}, lifeline[2] = {-1, -1};
	char program[PATH_MAX];
	int r = place_daemon(program);

	if (r != CLI_OK)
		return r;
	if (pipe2(status, O_CLOEXEC) ||
	    (wish->lifeline && pipe2(lifeline, O_CLOEXEC)))
		r = cli_error(CLI_FAILED, "cannot make a pipe: %s",
			      strerror(errno));
	else
		r = fork_keeper(wish, program, status, lifeline);
	close_fd(&status[1]);
	close_fd(&lifeline[0]);
	*ret = (struct keeper){.lifeline = lifeline[1], .status = status[0]};
	if (r == CLI_OK)
		r = wait_ready(ret);
	if (r != CLI_OK)
		keeper_forget(ret);
	return r;
}

void keeper_forget(struct keeper *k)
{
	close_fd(&k->lifeline);
	close_fd(&k->status);
}

void keeper_stop(struct keeper *k)
{
	char end;

	close_fd(&k->lifeline);
	kill(k->pid, SIGTERM);
	while (read(k->status, &end, 1) < 0 && errno == EINTR)
		;
	close_fd(&k->status);
}
