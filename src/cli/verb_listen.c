/* SPDX-License-Identifier: MIT */
/* verb_listen.c - vmchannel listen */
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

/* Processes at once; further streams wait in the broker's backlog. */
#define MAX_DEFAULT 64
#define MAX_MAX     4096
/* How often to try to announce the channel again while the broker is away. */
#define RETRY_MS 1000

static bool messages, once;
static unsigned int max_children = MAX_DEFAULT;

struct server {
	const char *vm, *channel;
	char *const *argv;
	struct vmc_listener *listener; /* NULL while the broker is away */
	int signals;                   /* signalfd: SIGCHLD */
	pid_t *pids; /* of the commands; max_children have room */
	unsigned int children;
	bool taken; /* --once: its stream came */
	bool full;  /* a stream waits in the listener for a descriptor */
	int status; /* of the last child */
};

static int announce(struct server *s)
{
	int r = vmc_listen(&s->listener, s->vm, s->channel,
			   messages ? VMC_MESSAGES : 0);

	if (r == 0)
		cli_note("%s: listening on %s", s->vm, s->channel);
	return r;
}

static int open_signals(struct server *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return cli_error(CLI_FAILED, "signalfd: %s", strerror(errno));
	return CLI_OK;
}

/* Who became this command by exec may have left us other children. */
static bool forget(struct server *s, pid_t pid)
{
	for (unsigned int i = 0; i < s->children; i++) {
		if (s->pids[i] != pid)
			continue;
		s->pids[i] = s->pids[--s->children];
		return true;
	}
	return false;
}

static void reap(struct server *s)
{
	struct signalfd_siginfo info;
	int wait_status;
	pid_t pid;

	while (read(s->signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		if (!forget(s, pid))
			continue;
		s->status = child_status(wait_status);
		if (s->status != 0 && !once)
			cli_note("%s: process %d of %s ended with status %d",
				 s->vm, (int)pid, s->channel, s->status);
	}
}

/* Return: CLI_OK to go on, or the exit status. */
static int start(struct server *s, int fd, const struct vmc_caller *who)
{
	pid_t pid;
	int e = child_start(&pid, s->argv, fd, s->channel, who);

	if (e == 0) {
		s->pids[s->children++] = pid;
		s->taken = true;
		return CLI_OK;
	}
	cli_error(CLI_FAILED, "cannot start %s: %s", cli_safe(s->argv[0]),
		  strerror(e));
	/* For want of memory or processes, the next one may fare better. */
	return e == EAGAIN || e == ENOMEM ? CLI_OK : CLI_FAILED;
}

/* One stream that could not be taken is that stream's end; a broker that is
 * gone takes the channel with it. */
static void accept_failed(struct server *s, int error)
{
	cli_note("%s", vmc_strerror());
	s->full = error == -EMFILE || error == -ENFILE || error == -ENOMEM;
	if (error != -ECONNRESET && error != -EPROTO && error != -EMSGSIZE)
		return;
	vmc_listener_free(s->listener);
	s->listener = NULL;
	cli_note("%s: waiting for the broker to come back", s->vm);
}

static int take_stream(struct server *s)
{
	struct vmc_caller who;
	int fd = vmc_accept(s->listener, &who, 0);

	s->full = false;

	if (fd >= 0)
		return start(s, fd, &who);
	if (fd != -ETIMEDOUT)
		accept_failed(s, fd);
	return CLI_OK;
}

/* The broker was away: what would never work ends the command. */
static int announce_again(struct server *s)
{
	int r = announce(s);

	if (r == -EACCES || r == -EINVAL)
		return cli_vmc_error(r);
	return CLI_OK;
}

/* The first stream on stdin and stdout. */
static int serve_here(struct server *s)
{
	struct relay_sum sum;
	struct vmc_caller who;
	int fd = -ETIMEDOUT, status = CLI_OK;

	while (fd < 0 && status == CLI_OK) {
		if (!s->listener)
			status = announce_again(s);
		if (!s->listener) {
			poll(NULL, 0, RETRY_MS);
			continue;
		}
		fd = vmc_accept(s->listener, &who, VMC_NO_TIMEOUT);
		if (fd < 0) {
			accept_failed(s, fd);
			poll(NULL, 0, RETRY_MS);
		}
	}
	if (fd < 0)
		return status;
	vmc_listener_free(s->listener);
	s->listener = NULL;
	status = relay_run(fd, messages, &sum);
	return status ? status : relay_result(s->vm, who.id, &sum);
}

static bool may_take(const struct server *s)
{
	return s->listener && s->children < max_children && !(once && s->taken);
}

static int serve_commands(struct server *s)
{
	int status = open_signals(s);

	while (status == CLI_OK && !(once && s->taken && s->children == 0)) {
		struct pollfd p[2] = {
			{s->signals, POLLIN, 0},
			{may_take(s) ? vmc_listener_fd(s->listener) : -1,
			 POLLIN, 0},
		};
		bool away = !s->listener && !(once && s->taken);
		bool full = s->full && may_take(s);
		int n = poll(p, 2, away || full ? RETRY_MS : -1);

		if (n < 0 && errno != EINTR)
			return cli_error(CLI_FAILED, "poll: %s",
					 strerror(errno));
		if (p[0].revents)
			reap(s);
		if (p[1].revents || (n == 0 && full))
			status = take_stream(s);
		if (n == 0 && away)
			status = announce_again(s);
	}
	return status ? status : s->status;
}

static int run(const struct cli_args *a)
{
	struct server s = {.vm = a->v[0],
			   .channel = a->v[1],
			   .argv = a->rest,
			   .signals = -1};
	int r;

	if (max_children < 1 || max_children > MAX_MAX)
		return cli_error(CLI_FAILED, "--max: give 1 to %d", MAX_MAX);
	s.pids = calloc(max_children, sizeof(*s.pids));
	if (!s.pids)
		return cli_error(CLI_FAILED, "out of memory");
	r = announce(&s);
	if (r)
		r = cli_vmc_error(r);
	else
		r = a->n_rest ? serve_commands(&s) : serve_here(&s);
	vmc_listener_free(s.listener);
	free(s.pids);
	if (s.signals >= 0)
		close(s.signals);
	return r;
}

static const struct cli_option options[] = {
	{.name = "once",
	 .help = "take one stream, end with its command's exit status",
	 .flag = &once},
	{.name = "max",
	 .value = "N",
	 .help = "commands at once; more streams wait (default 64)",
	 .number = &max_children},
	{.name = "messages",
	 .help = "keep message boundaries; without a command, lines",
	 .flag = &messages},
	{0},
};

const struct cli_verb verb_listen = {
	.name = "listen",
	.args = "VM CHANNEL [-- COMMAND [ARGUMENTS]]",
	.summary = "announce a channel to the other side and serve it",
	.help = "With COMMAND, each stream gets a process of its own with the "
		"stream as stdin\nand stdout, and with VMCHANNEL_CHANNEL, "
		"VMCHANNEL_CALLER (such as guest:1000)\nand VMCHANNEL_STREAM in "
		"its environment. The channel is announced again when\nthe "
		"broker was restarted. Without COMMAND, the first stream is "
		"joined with stdin\nand stdout, as 'vmchannel connect' does.\n\n"
		"example: vmchannel listen host org.example.echo -- cat\n",
	.options = options,
	.min_args = 2,
	.max_args = 2,
	.takes_rest = true,
	.run = run,
};
