/* SPDX-License-Identifier: MIT */
/* exec_spawn.c - the process of a command */
#include "guest/exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/become.h"

/* As much as one user may have without more rights: fewer turns for more
 * bytes, on both sides. */
#define PIPE_BYTES (1 << 20)
#define UMASK      022

/* The ends that the command gets, and the report's. */
struct ends {
	int in, out, err;
	int report[2];
};

/* ---- in the command's process -------------------------------------------- */

__attribute__((noreturn)) static void fail(const struct ends *e,
					   enum exec_step step)
{
	struct exec_failure f = {.step = step, .error = errno};

	if (write(e->report[1], &f, sizeof(f)) < 0)
		_exit(126);
	_exit(127);
}

/* As a process is that nothing was done to. */
static void reset(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	struct sched_param none = {0};
	sigset_t empty;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	sched_setscheduler(0, SCHED_OTHER, &none);
	umask(UMASK);
}

static bool place(const struct ends *e)
{
	return dup2(e->in, STDIN_FILENO) >= 0 &&
	       dup2(e->out, STDOUT_FILENO) >= 0 &&
	       dup2(e->err, STDERR_FILENO) >= 0;
}

/* The report and what others left open end with exec. */
static void close_later(void)
{
	long max = sysconf(_SC_OPEN_MAX);

	if (syscall(SYS_close_range, STDERR_FILENO + 1u, ~0u,
		    4u /* CLOSE_RANGE_CLOEXEC */) == 0)
		return;
	for (int fd = STDERR_FILENO + 1; fd < max; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool enter(const struct exec_plan *plan)
{
	if (plan->directory)
		return chdir(plan->directory) == 0;
	return chdir(plan->user.home) == 0 || chdir("/") == 0;
}

__attribute__((noreturn)) static void
command_main(const struct exec_plan *plan, const struct exec_cgroup *group,
	     const struct ends *e)
{
	/* It changes none of them, but its type does not say so. */
	char *const *argv = (char *const *)(const void *)plan->argv;

	/* With the server killed, and no cgroup, at least this one. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	exec_cgroup_enter(group);
	setsid();
	if (!place(e) || (plan->pty && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0))
		fail(e, EXEC_STEP_PREPARE);
	close_later();
	reset();
	if (!become(&plan->user))
		fail(e, EXEC_STEP_USER);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* another user's is cleared */
	if (!enter(plan))
		fail(e, EXEC_STEP_DIRECTORY);
	environ = plan->env; /* it is looked for in that PATH */
	execvp(plan->file, argv);
	fail(e, EXEC_STEP_PROGRAM);
}

/* ---- what it is connected by --------------------------------------------- */

/* It opens what is its own by way of /dev/stdout, too. */
static bool give(int fd, const struct exec_plan *plan)
{
	return fchown(fd, plan->user.uid, plan->user.gid) == 0;
}

/* Return: was it made? @mine does not block. */
static bool make_pipe(int *mine, int *its, bool to_it,
		      const struct exec_plan *plan)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	*mine = fds[to_it ? 1 : 0];
	*its = fds[to_it ? 0 : 1];
	/* A smaller one does as well. */
	(void)fcntl(*mine, F_SETPIPE_SZ, PIPE_BYTES);
	return fcntl(*mine, F_SETFL, O_NONBLOCK) == 0 && give(*its, plan);
}

static int open_peer(int master)
{
	int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[64];

	if (fd >= 0 || ptsname_r(master, name, sizeof(name)) != 0)
		return fd;
	return open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* The user's own, with write(1) and such through the group, if it is there. */
static bool give_terminal(int fd, const struct exec_plan *plan)
{
	gid_t tty;
	bool there = group_resolve_files("tty", &tty);

	return fchown(fd, plan->user.uid, there ? tty : plan->user.gid) == 0 &&
	       fchmod(fd, there ? 0620 : 0600) == 0;
}

static bool make_terminal(struct exec_command *c, struct ends *e,
			  const struct exec_plan *plan)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0)
		return false;
	c->in = c->out = master;
	if (unlockpt(master) < 0)
		return false;
	e->in = e->out = e->err = open_peer(master);
	return e->in >= 0 && give_terminal(e->in, plan) &&
	       ioctl(master, TIOCSWINSZ, &plan->size) == 0 &&
	       fcntl(master, F_SETFL, O_NONBLOCK) == 0;
}

static bool make_ends(struct exec_command *c, struct ends *e,
		      const struct exec_plan *plan)
{
	if (pipe2(e->report, O_CLOEXEC) < 0)
		return false;
	if (plan->pty)
		return make_terminal(c, e, plan);
	return make_pipe(&c->in, &e->in, true, plan) &&
	       make_pipe(&c->out, &e->out, false, plan) &&
	       make_pipe(&c->err, &e->err, false, plan);
}

static void close_one(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void close_its(const struct ends *e)
{
	close_one(e->in);
	if (e->out != e->in)
		close_one(e->out);
	if (e->err != e->out)
		close_one(e->err);
	close_one(e->report[1]);
}

static void close_mine(struct exec_command *c)
{
	close_one(c->in);
	if (c->out != c->in)
		close_one(c->out);
	close_one(c->err);
	c->in = c->out = c->err = -1;
}

/* ---- in the server ------------------------------------------------------- */

/* Until exec has closed the report. Return: what it says. */
static struct exec_failure hear(int report, int end_fd)
{
	struct pollfd p[] = {{.fd = report, .events = POLLIN},
			     {.fd = end_fd, .events = POLLIN}};
	struct exec_failure f = {.error = 0};

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (p[0].revents == 0)
		return (struct exec_failure){.error = ECANCELED};
	if (read(report, &f, sizeof(f)) < 0)
		f.error = errno;
	return f;
}

bool exec_spawn(struct exec_command *ret, const struct exec_plan *plan,
		const struct exec_cgroup *group, int end_fd,
		struct exec_failure *ret_failure)
{
	struct exec_command c = {
		.in = -1, .out = -1, .err = -1, .pty = plan->pty};
	struct ends e = {.in = -1, .out = -1, .err = -1, .report = {-1, -1}};
	struct exec_failure f = {.step = EXEC_STEP_PREPARE};

	if (!make_ends(&c, &e, plan) || (c.pid = _Fork()) < 0)
		f.error = errno;
	else if (c.pid == 0)
		command_main(plan, group, &e);
	close_its(&e);
	if (f.error == 0)
		f = hear(e.report[0], end_fd);
	close_one(e.report[0]);
	*ret_failure = f;
	if (f.error != 0)
		close_mine(&c);
	*ret = c;
	return f.error == 0;
}
