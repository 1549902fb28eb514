/* SPDX-License-Identifier: MIT */
/*
 * service_spawn.c - one process, or one connection, per stream
 *
 * Everything that can be prepared is prepared before fork(), so that the
 * child makes system calls only. The child tells of a failure through a pipe
 * that closes by itself when exec succeeds.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/service_spawn.h"

/* Passed on from the broker's own environment; the rest is its own business
 * (NOTIFY_SOCKET above all). */
static const char *const passed_on[] = {
	"LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR", "VMCHANNEL_DIR",
};

/* Set only when User= changes who the process is. */
static const char *const of_user[] = {"HOME", "USER", "LOGNAME"};

#define N_PASSED   (sizeof(passed_on) / sizeof(passed_on[0]))
#define N_OF_USER  (sizeof(of_user) / sizeof(of_user[0]))
#define ENV_FIXED  4 /* PATH and the three VMCHANNEL_ ones */
#define ENV_MAX    (ENV_FIXED + N_PASSED + N_OF_USER)
#define CLOSE_FROM 3

#define SERVICE_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct spawn {
	const struct service *svc;
	bool change_user;
	struct user_ids ids;
	char *env[ENV_MAX + 1];
	size_t n_env;
	int stream; /* the child's end */
	int report; /* write end of the pipe for errno */
};

static int add_env(struct spawn *sp, const char *key, const char *value)
{
	if (asprintf(&sp->env[sp->n_env], "%s=%s", key, value) < 0) {
		sp->env[sp->n_env] = NULL;
		return -ENOMEM;
	}
	sp->n_env++;
	return 0;
}

static int add_own_env(struct spawn *sp, const char *key)
{
	const char *v = getenv(key);

	return v ? add_env(sp, key, v) : 0;
}

static int make_user_env(struct spawn *sp)
{
	int r = 0;

	if (sp->change_user) {
		r = add_env(sp, "HOME", sp->ids.home);
		if (r == 0 && sp->ids.name[0])
			r = add_env(sp, "USER", sp->ids.name);
		if (r == 0 && sp->ids.name[0])
			r = add_env(sp, "LOGNAME", sp->ids.name);
		return r;
	}
	for (size_t i = 0; i < N_OF_USER && r == 0; i++)
		r = add_own_env(sp, of_user[i]);
	return r;
}

static int make_env(struct spawn *sp, const char *caller, const char *stream_id)
{
	int r = add_env(sp, "PATH", SERVICE_PATH);

	if (r == 0)
		r = add_env(sp, "VMCHANNEL_CHANNEL", sp->svc->name);
	if (r == 0)
		r = add_env(sp, "VMCHANNEL_CALLER", caller);
	if (r == 0)
		r = add_env(sp, "VMCHANNEL_STREAM", stream_id);
	for (size_t i = 0; i < N_PASSED && r == 0; i++) {
		/* The runtime folder is the broker's user's. */
		if (sp->change_user && !strcmp(passed_on[i], "XDG_RUNTIME_DIR"))
			continue;
		r = add_own_env(sp, passed_on[i]);
	}
	return r < 0 ? r : make_user_env(sp);
}

static void free_env(struct spawn *sp)
{
	for (size_t i = 0; i < sp->n_env; i++)
		free(sp->env[i]);
}

/* ---- in the child ---------------------------------------------------------
 */

static void reset_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int become(const struct user_ids *ids)
{
	if (setgroups(ids->n_groups, ids->groups) < 0 ||
	    setresgid(ids->gid, ids->gid, ids->gid) < 0 ||
	    setresuid(ids->uid, ids->uid, ids->uid) < 0)
		return -errno;
	return 0;
}

static int place_fds(const struct spawn *sp)
{
	if (dup2(sp->stream, STDIN_FILENO) < 0 ||
	    dup2(sp->stream, STDOUT_FILENO) < 0)
		return -errno;
	/* All ours are close-on-exec; this is for what others left open. */
	syscall(SYS_close_range, (unsigned int)CLOSE_FROM, ~0u,
		4u /* CLOSE_RANGE_CLOEXEC */);
	return 0;
}

__attribute__((noreturn)) static void child(const struct spawn *sp)
{
	int r;

	setsid(); /* signals to the broker's terminal are not for it */
	reset_signals();
	r = place_fds(sp);
	if (r == 0 && sp->change_user)
		r = become(&sp->ids);
	if (r == 0 && chdir("/") < 0)
		r = -errno;
	if (r == 0) {
		execve(sp->svc->argv[0], sp->svc->argv, sp->env);
		r = -errno;
	}
	if (write(sp->report, &r, sizeof(r)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- in the parent ---------------------------------------------------------
 */

/* Return: 0 if exec succeeded, else the child's negative errno. */
static int wait_for_exec(int fd)
{
	int code = 0;
	ssize_t n;

	do
		n = read(fd, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(code) && code < 0 ? code : 0;
}

static int fork_exec(struct spawn *sp, int *ret_pid)
{
	int pipe_fds[2];
	pid_t pid;
	int r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	sp->report = pipe_fds[1];
	pid = fork();
	if (pid == 0)
		child(sp);
	r = pid < 0 ? -errno : 0;
	close(pipe_fds[1]);
	if (r == 0) {
		r = wait_for_exec(pipe_fds[0]);
		if (r < 0)
			waitpid(pid, NULL, 0);
	}
	close(pipe_fds[0]);
	if (r == 0)
		*ret_pid = (int)pid;
	return r;
}

static int spawn_command(struct spawn *sp, int *ret_pid)
{
	int sv[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	sp->stream = sv[1]; /* blocking, as programs expect of stdin */
	r = fcntl(sv[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (r == 0)
		r = fork_exec(sp, ret_pid);
	close(sv[1]);
	if (r == 0)
		return sv[0];
	close(sv[0]);
	return r;
}

static int connect_socket(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* A unix socket connects at once, or not (EAGAIN: backlog full). */
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int service_spawn_as(const struct service *svc, const char *caller,
		     const char *stream_id, user_resolve_fn *resolve,
		     int *ret_pid)
{
	struct spawn sp = {.svc = svc};
	int r = 0;

	if (svc->socket) {
		r = connect_socket(svc->socket);
		if (r >= 0)
			*ret_pid = 0;
		return r;
	}
	if (!svc->argv[0])
		return -EINVAL;
	if (svc->user) {
		r = resolve(&sp.ids, svc->user);
		if (r < 0)
			return r;
		/* Naming the user that one is already needs no right. */
		sp.change_user = geteuid() == 0 || sp.ids.uid != geteuid();
	}
	r = make_env(&sp, caller, stream_id);
	if (r == 0)
		r = spawn_command(&sp, ret_pid);
	free_env(&sp);
	return r;
}

int service_spawn(const struct service *svc, const char *caller,
		  const char *stream_id, int *ret_pid)
{
	return service_spawn_as(svc, caller, stream_id, user_resolve_files,
				ret_pid);
}
