/* SPDX-License-Identifier: MIT */
/* keeper_main.c - the process that ends vmchanneld after its QEMU */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/cli.h"
#include "cli/keeper.h"
#include "cli/words.h"

/* vmchanneld(8): another one serves this VM. */
#define DAEMON_IN_USE 3

#define STEP_MS 20

enum {
	FD_SIGNAL,
	FD_SAID,
	FD_LIFELINE,
	FD_NUM,
};

struct keep {
	const struct keeper_wish *wish;
	const char *program;
	int lifeline; /* read end, or -1 */
	int signal;
	sigset_t old_mask;
	pid_t daemon;
	int daemon_status; /* once daemon is 0 */
	int ready;         /* read end, or -1 */
	int said;          /* vmchanneld's stderr, or -1 */
	int log;           /* where it goes, or -1: not yet, it is kept here: */
	char kept[KEEPER_SAID_MAX];
	size_t n_kept;
};

static void pause_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000,
			      .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- vmchanneld's process ---------------------------------------------- */

static void add_option(struct words *w, const char *option, const char *value)
{
	if (!value)
		return;
	words_add(w, option);
	words_add(w, value);
}

static void daemon_words(struct words *w, const struct keep *k, int ready)
{
	words_add(w, "vmchanneld");
	add_option(w, "--dir", k->wish->place->root);
	add_option(w, "--link", k->wish->link);
	add_option(w, "--qmp-events", k->wish->events);
	add_option(w, "--uuid", k->wish->uuid);
	add_option(w, "--config", k->wish->config);
	if (!k->wish->lifeline)
		words_add(w, "--exit-with-link");
	if (k->wish->incoming)
		words_add(w, "--incoming");
	words_addf(w, "--ready-fd=%d", ready);
	words_add(w, k->wish->vm);
}

/* In the child: never returns. */
static void become_daemon(const struct keep *k, pid_t keeper, int ready,
			  int said)
{
	struct words w = {0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != keeper)
		_exit(1); /* it was killed before the line above */
	sigprocmask(SIG_SETMASK, &k->old_mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	daemon_words(&w, k, ready);
	if (null < 0 || !words_ok(&w) || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0 ||
	    fcntl(ready, F_SETFD, 0) < 0)
		_exit(1);
	execv(k->program, w.v);
	dprintf(STDERR_FILENO, "vmchannel: cannot run %s: %s\n", k->program,
		strerror(errno));
	_exit(127);
}

static int start_daemon(struct keep *k)
{
	int ready[2] = {-1, -1}, said[2] = {-1, -1};
	pid_t self = getpid();

	k->n_kept = 0;
	k->daemon = -1;
	if (pipe2(ready, O_CLOEXEC) == 0 && pipe2(said, O_CLOEXEC) == 0)
		k->daemon = fork();
	if (k->daemon == 0)
		become_daemon(k, self, ready[1], said[1]);
	close_fd(&ready[1]);
	close_fd(&said[1]);
	k->ready = ready[0];
	k->said = said[0];
	return k->daemon > 0 ? 0 : -errno;
}

/* ---- what it says ------------------------------------------------------ */

static void keep_text(struct keep *k, const char *text, size_t n)
{
	/* The last words are the ones that matter. */
	if (n > sizeof(k->kept) - k->n_kept) {
		size_t drop = n - (sizeof(k->kept) - k->n_kept);

		k->n_kept -= drop;
		memmove(k->kept, k->kept + drop, k->n_kept);
	}
	memcpy(k->kept + k->n_kept, text, n);
	k->n_kept += n;
}

static void log_text(const struct keep *k, const char *text, size_t n)
{
	struct stat st;

	if (fstat(k->log, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size > KEEPER_LOG_MAX && ftruncate(k->log, 0))
		return;
	(void)!write(k->log, text, n);
}

/* Return: false at its end. */
static bool take_said(struct keep *k)
{
	char text[1024];
	ssize_t n = read(k->said, text, sizeof(text));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	keep_text(k, text, (size_t)n);
	if (k->log >= 0)
		log_text(k, text, (size_t)n);
	return true;
}

static void tell_user(const struct keep *k)
{
	(void)!write(STDERR_FILENO, k->kept, k->n_kept);
}

/* vmchanneld did not get ready; it says why, as a rule. */
static void tell_failure(const struct keep *k)
{
	tell_user(k);
	if (k->n_kept == 0)
		cli_error(CLI_FAILED,
			  "%s ended with status %d before it served VM %s",
			  k->program, k->daemon_status, k->wish->vm);
}

static void open_log(struct keep *k)
{
	k->log = k->wish->verbose ? STDERR_FILENO
				  : open(k->wish->place->log,
					 O_WRONLY | O_CREAT | O_APPEND |
						 O_CLOEXEC | O_NOFOLLOW,
					 0600);
	if (k->log >= 0)
		log_text(k, k->kept, k->n_kept);
}

/* ---- its end ----------------------------------------------------------- */

static bool reap(struct keep *k)
{
	int status;

	if (k->daemon > 0 &&
	    waitpid(k->daemon, &status, WNOHANG) == k->daemon) {
		k->daemon = 0;
		k->daemon_status = child_status(status);
	}
	return k->daemon <= 0;
}

static void end_daemon(struct keep *k)
{
	if (k->daemon <= 0)
		return;
	kill(k->daemon, SIGTERM);
	for (int t = 0; t < KEEPER_END_MS && !reap(k); t += STEP_MS)
		pause_ms(STEP_MS);
	if (k->daemon <= 0)
		return;
	kill(k->daemon, SIGKILL);
	waitpid(k->daemon, NULL, 0);
	k->daemon = 0;
}

/* Takes away a socket that nobody listens on any more. A QEMU that is killed
 * closes the lifeline some time before its sockets. */
static void remove_socket(const char *path)
{
	int t = 0;

	while (place_is_listened_on(path) && t < KEEPER_SOCKET_MS) {
		pause_ms(STEP_MS);
		t += STEP_MS;
	}
	if (t < KEEPER_SOCKET_MS)
		unlink(path);
}

/* Only if it is ours: the VM may have been started again already. */
static void remove_log(const struct keep *k)
{
	struct stat ours, there;

	if (k->log >= 0 && !k->wish->verbose && fstat(k->log, &ours) == 0 &&
	    stat(k->wish->place->log, &there) == 0 &&
	    ours.st_ino == there.st_ino)
		unlink(k->wish->place->log);
}

/* If vmchanneld still holds the directory, nobody else is in it, and it takes
 * away the rest. If it has ended by itself, the directory is only removed
 * when nobody has put anything there since. */
static void tidy(const struct keep *k)
{
	const struct place *p = k->wish->place;

	remove_socket(p->link);
	if (k->wish->lifeline) {
		remove_socket(p->qmp);
		remove_socket(p->events);
		unlink(p->config);
	}
	remove_log(k);
	if (k->daemon <= 0)
		rmdir(p->dir);
}

/* ---- the keeper -------------------------------------------------------- */

static bool is_ready(const struct keep *k)
{
	char line[16];

	return read(k->ready, line, sizeof(line)) > 0;
}

static bool wait_ready(struct keep *k)
{
	uint64_t deadline_us = cli_now_us() + KEEPER_READY_MS * 1000u;
	struct pollfd p[] = {{.fd = k->ready, .events = POLLIN},
			     {.fd = k->said, .events = POLLIN},
			     {.fd = k->lifeline, .events = 0}};

	while (cli_now_us() < deadline_us) {
		if (poll(p, 3, CLI_PROGRESS_MS) <= 0)
			continue;
		if (p[1].revents && !take_said(k))
			p[1].fd = -1;
		if (p[2].revents & POLLHUP)
			return false; /* the one who asked is gone */
		if (p[0].revents)
			return is_ready(k);
	}
	keep_text(k, "vmchannel: vmchanneld did not get ready in time\n", 48);
	return false;
}

static void close_daemon(struct keep *k)
{
	while (k->said >= 0 && take_said(k))
		;
	close_fd(&k->said);
	close_fd(&k->ready);
}

/* The same VM may have ended just now. */
static bool is_worth_a_try(const struct keep *k, uint64_t since_us)
{
	return k->daemon_status == DAEMON_IN_USE &&
	       cli_now_us() - since_us < KEEPER_IN_USE_MS * 1000u;
}

static bool get_ready(struct keep *k)
{
	uint64_t since_us = cli_now_us();

	while (true) {
		if (start_daemon(k))
			return false;
		if (wait_ready(k)) {
			close_fd(&k->ready);
			return true;
		}
		/* It closed its end: its status is there soon. */
		for (int t = 0; t < 1000 && !reap(k); t += STEP_MS)
			pause_ms(STEP_MS);
		end_daemon(k);
		close_daemon(k);
		if (!is_worth_a_try(k, since_us))
			return false;
		pause_ms(CLI_PROGRESS_MS);
	}
}

/* Return: false when it is time to end. */
static bool take_signal(struct keep *k)
{
	struct signalfd_siginfo si;

	if (read(k->signal, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return true;
	if (si.ssi_signo != SIGCHLD)
		return false;
	if (!reap(k))
		return true;
	while (k->said >= 0 && take_said(k))
		;
	close_fd(&k->said);
	if (k->daemon_status != 0) {
		tell_user(k);
		cli_error(CLI_FAILED,
			  "VM %s: vmchanneld ended with status %d; channels "
			  "are down",
			  k->wish->vm, k->daemon_status);
	}
	/* What QEMU made is cleaned up after QEMU. */
	return k->lifeline >= 0;
}

static void keep_on(struct keep *k)
{
	bool on = true;

	while (on) {
		struct pollfd p[FD_NUM] = {
			[FD_SIGNAL] = {.fd = k->signal, .events = POLLIN},
			[FD_SAID] = {.fd = k->said, .events = POLLIN},
			[FD_LIFELINE] = {.fd = k->lifeline, .events = 0},
		};

		if (poll(p, FD_NUM, -1) < 0)
			continue;
		if (p[FD_SAID].revents && !take_said(k))
			close_fd(&k->said);
		if (p[FD_SIGNAL].revents)
			on = take_signal(k);
		if (p[FD_LIFELINE].revents)
			on = false;
	}
}

/* It was forked, not executed: what the caller had open (QMP!) must not stay
 * open as long as a VM lives. */
static void close_others(int a, int b)
{
	unsigned int low = (unsigned int)(a < b ? a : b);
	unsigned int high = (unsigned int)(a < b ? b : a);

	if (a < 0 || b < 0)
		low = high;
	if (low > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
}

static int prepare(struct keep *k)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &k->old_mask);
	k->signal = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (null < 0 || k->signal < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	prctl(PR_SET_NAME, "vmchannel-keep");
	close(null);
	return 0;
}

int keeper_main(const struct keeper_wish *wish, const char *program, int status,
		int lifeline)
{
	struct keep k = {
		.wish = wish,
		.program = program,
		.lifeline = wish->lifeline ? lifeline : -1,
		.ready = -1,
		.said = -1,
		.log = -1,
		.daemon = -1,
	};
	pid_t self = getpid();

	close_others(status, k.lifeline);
	if (prepare(&k) || !get_ready(&k)) {
		tell_failure(&k);
		return 1;
	}
	open_log(&k);
	(void)!write(status, &self, sizeof(self));
	keep_on(&k);
	tidy(&k);
	end_daemon(&k);
	return 0;
}
