/* SPDX-License-Identifier: MIT */
/*
 * runner.c - run commands in the test guest for the test on the host
 *
 * Owns the raw virtio port org.vmchannel.test, so that tests can look at and
 * break the guest without the system under test. Both directions carry
 * frames: u32 length of the payload, u32 job, u8 type, payload; all integers
 * little-endian. The host is trusted (it is the test).
 *
 *	R  host->guest  u32 uid, u32 timeout in ms (0: none), shell command
 *	I  host->guest  bytes for the job's stdin
 *	E  host->guest  end of the job's stdin
 *	K  host->guest  u8 signal for the job's process group
 *	H  guest->host  the runner is there (once per connection of the host)
 *	O  guest->host  the job's stdout
 *	S  guest->host  the job's stderr
 *	X  guest->host  u32 exit status: as a shell shows it, 124 on time-out
 *
 * A job ends with its shell: what it left in the background loses stdout.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "testport.h"

#define PORT_NAME      "org.vmchannel.test"
#define JOBS_MAX       64
#define HEADER_SIZE    9
#define PAYLOAD_MAX    65536 /* a command, or a piece of stdin */
#define GROUPS_MAX     16
#define HOST_CLOSED_MS 50
#define STATUS_TIMEOUT 124
#define STATUS_SIGNAL  128

enum {
	FD_IN,
	FD_OUT,
	FD_ERR,
	FD_NUM
};

struct job {
	bool used;
	uint32_t id;
	pid_t pid;
	int fd[FD_NUM];
	int64_t deadline_ms; /* 0: none */
	bool timed_out;
};

struct runner {
	int port;
	int signals;
	struct job jobs[JOBS_MAX];
	uint8_t in[HEADER_SIZE + PAYLOAD_MAX];
	size_t in_len;
	bool host_seen;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

/* Blocks while the host does not read; a host that left gets nothing. */
static void send_frame(struct runner *r, uint32_t id, uint8_t type,
		       const void *payload, size_t len)
{
	uint8_t buf[HEADER_SIZE + 4096];
	size_t done = 0;
	struct pollfd p = {.fd = r->port, .events = POLLOUT};

	put_u32(buf, (uint32_t)len);
	put_u32(buf + 4, id);
	buf[8] = type;
	memcpy(buf + HEADER_SIZE, payload, len);
	while (done < HEADER_SIZE + len) {
		ssize_t n =
			write(r->port, buf + done, HEADER_SIZE + len - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		poll(&p, 1, HOST_CLOSED_MS);
		if (p.revents & POLLHUP)
			return;
	}
}

static void send_u32(struct runner *r, uint32_t id, uint8_t type, uint32_t v)
{
	uint8_t b[4];

	put_u32(b, v);
	send_frame(r, id, type, b, sizeof(b));
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct job *job_find(struct runner *r, uint32_t id)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (r->jobs[i].used && r->jobs[i].id == id)
			return &r->jobs[i];
	return NULL;
}

static struct job *job_unused(struct runner *r)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (!r->jobs[i].used)
			return &r->jobs[i];
	return NULL;
}

/* ---- who the job runs as --------------------------------------------- */

/* Is @name one of the comma-separated words of @list? */
static bool in_list(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",\n") == len && strncmp(p, name, len) == 0)
			return true;
	return false;
}

/*
 * Looks up one line of /etc/passwd by uid. The static C library's own look-ups
 * want shared libraries at run time.
 */
static bool passwd_line(uid_t uid, char name[64], gid_t *gid, char home[128])
{
	FILE *f = fopen("/etc/passwd", "re");
	char line[256];
	unsigned int u, g;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%63[^:]:%*[^:]:%u:%u:%*[^:]:%127[^:\n]",
			       name, &u, &g, home) == 4 &&
			u == uid;
	if (f)
		fclose(f);
	if (found)
		*gid = g;
	return found;
}

static int group_list(const char *user, gid_t gid, gid_t ret[GROUPS_MAX])
{
	FILE *f = fopen("/etc/group", "re");
	char line[256], members[200];
	unsigned int g;
	int n = 0;

	ret[n++] = gid;
	while (f && n < GROUPS_MAX && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*[^:]:%*[^:]:%u:%199[^\n]", &g, members) ==
			    2 &&
		    in_list(members, user))
			ret[n++] = g;
	}
	if (f)
		fclose(f);
	return n;
}

/* In the child: become @uid for good, with the groups of /etc/group. */
static void become(uid_t uid)
{
	char name[64] = "unknown", home[128] = "/";
	gid_t gid = uid, groups[GROUPS_MAX];
	int n;

	passwd_line(uid, name, &gid, home);
	n = group_list(name, gid, groups);
	if (setgroups((size_t)n, groups) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		_exit(126);
	setenv("HOME", home, 1);
	setenv("USER", name, 1);
	if (chdir(home))
		_exit(126);
}

/* ---- jobs ------------------------------------------------------------ */

static void child(uid_t uid, const char *command, const int fd[FD_NUM])
{
	sigset_t none;

	for (int i = 0; i < FD_NUM; i++)
		dup2(fd[i], i);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	become(uid);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static void job_start(struct runner *r, uint32_t id, const uint8_t *payload,
		      size_t len)
{
	struct job *j = job_unused(r);
	char command[PAYLOAD_MAX];
	int pipes[FD_NUM][2], theirs[FD_NUM];
	uint32_t timeout_ms = get_u32(payload + 4);

	if (!j || len < 8) {
		send_u32(r, id, 'X', 126);
		return;
	}
	memcpy(command, payload + 8, len - 8);
	command[len - 8] = '\0';
	for (int i = 0; i < FD_NUM; i++) {
		if (pipe2(pipes[i], O_CLOEXEC))
			abort(); /* the guest is too broken to test with */
		theirs[i] = pipes[i][i == FD_IN ? 0 : 1];
		j->fd[i] = pipes[i][i == FD_IN ? 1 : 0];
		fcntl(j->fd[i], F_SETFL, O_NONBLOCK);
	}
	j->used = true;
	j->id = id;
	j->timed_out = false;
	j->deadline_ms = timeout_ms ? now_ms() + timeout_ms : 0;
	j->pid = fork();
	if (j->pid == 0)
		child(get_u32(payload), command, theirs);
	for (int i = 0; i < FD_NUM; i++)
		close(theirs[i]);
}

/* Passes on what is there. Return: false at the end of that pipe. */
static bool job_output(struct runner *r, struct job *j, int which)
{
	uint8_t buf[4096];
	ssize_t n = read(j->fd[which], buf, sizeof(buf));

	if (n > 0)
		send_frame(r, j->id, which == FD_OUT ? 'O' : 'S', buf,
			   (size_t)n);
	if (n == 0)
		close_fd(&j->fd[which]);
	return n > 0;
}

static void job_ended(struct runner *r, struct job *j, int status)
{
	uint32_t code = WIFSIGNALED(status)
				? STATUS_SIGNAL + (uint32_t)WTERMSIG(status)
				: (uint32_t)WEXITSTATUS(status);

	for (int i = FD_OUT; i < FD_NUM; i++)
		while (j->fd[i] >= 0 && job_output(r, j, i))
			;
	for (int i = 0; i < FD_NUM; i++)
		close_fd(&j->fd[i]);
	j->used = false;
	send_u32(r, j->id, 'X', j->timed_out ? STATUS_TIMEOUT : code);
}

static void reap(struct runner *r)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(r->signals, &info, sizeof(info)) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < JOBS_MAX; i++)
			if (r->jobs[i].used && r->jobs[i].pid == pid)
				job_ended(r, &r->jobs[i], status);
}

/* Waits for a full pipe: tests feed little, or to programs that read. */
static void job_feed(struct job *j, const uint8_t *p, size_t len)
{
	struct pollfd pfd = {.fd = j->fd[FD_IN], .events = POLLOUT};

	while (len > 0 && j->fd[FD_IN] >= 0) {
		ssize_t n = write(j->fd[FD_IN], p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&pfd, 1, -1);
		} else {
			close_fd(&j->fd[FD_IN]);
		}
	}
}

static void handle_frame(struct runner *r, uint32_t id, uint8_t type,
			 const uint8_t *payload, size_t len)
{
	struct job *j = job_find(r, id);

	if (type == 'R')
		job_start(r, id, payload, len);
	if (!j)
		return;
	if (type == 'I')
		job_feed(j, payload, len);
	if (type == 'E')
		close_fd(&j->fd[FD_IN]);
	if (type == 'K' && len == 1)
		kill(-j->pid, payload[0]);
}

static void port_readable(struct runner *r)
{
	ssize_t n = read(r->port, r->in + r->in_len, sizeof(r->in) - r->in_len);
	size_t len;

	if (n <= 0)
		return;
	r->in_len += (size_t)n;
	while (r->in_len >= HEADER_SIZE) {
		len = get_u32(r->in);
		if (len > PAYLOAD_MAX - 1)
			abort();
		if (r->in_len < HEADER_SIZE + len)
			return;
		handle_frame(r, get_u32(r->in + 4), r->in[8],
			     r->in + HEADER_SIZE, len);
		r->in_len -= HEADER_SIZE + len;
		memmove(r->in, r->in + HEADER_SIZE + len, r->in_len);
	}
}

/* Kills what is over its time. Return: ms until the next deadline, or -1. */
static int deadlines(struct runner *r)
{
	int64_t now = now_ms(), next = -1;

	for (size_t i = 0; i < JOBS_MAX; i++) {
		struct job *j = &r->jobs[i];

		if (!j->used || j->deadline_ms == 0)
			continue;
		if (j->deadline_ms <= now) {
			j->timed_out = true;
			j->deadline_ms = 0;
			kill(-j->pid, SIGKILL);
		} else if (next < 0 || j->deadline_ms - now < next) {
			next = j->deadline_ms - now;
		}
	}
	return (int)next;
}

static void turn(struct runner *r)
{
	struct pollfd p[2 + 2 * JOBS_MAX];
	struct job *owner[2 + 2 * JOBS_MAX];
	int timeout_ms = deadlines(r);
	nfds_t n = 2;

	/* Writable at once tells that the host is there. */
	p[0] = (struct pollfd){.fd = r->port,
			       .events = r->host_seen ? POLLIN
						      : POLLIN | POLLOUT};
	p[1] = (struct pollfd){.fd = r->signals, .events = POLLIN};
	for (size_t i = 0; i < JOBS_MAX; i++)
		for (int k = FD_OUT; r->jobs[i].used && k < FD_NUM; k++) {
			if (r->jobs[i].fd[k] < 0)
				continue;
			owner[n] = &r->jobs[i];
			p[n++] = (struct pollfd){.fd = r->jobs[i].fd[k],
						 .events = POLLIN};
		}
	if (poll(p, n, timeout_ms) < 0)
		return;
	for (nfds_t i = 2; i < n; i++)
		if (p[i].revents)
			job_output(r, owner[i],
				   p[i].fd == owner[i]->fd[FD_OUT] ? FD_OUT
								   : FD_ERR);
	if (p[1].revents)
		reap(r);
	if (p[0].revents & POLLHUP) { /* level-triggered: would spin */
		r->host_seen = false;
		r->in_len = 0;
		usleep(HOST_CLOSED_MS * 1000);
		return;
	}
	if (!r->host_seen) {
		r->host_seen = true;
		send_frame(r, 0, 'H', "", 0);
	}
	if (p[0].revents & POLLIN)
		port_readable(r);
}

int main(void)
{
	static struct runner r;
	sigset_t mask;

	/* The port's name comes a moment after the driver. */
	while ((r.port = testport_open(PORT_NAME)) < 0)
		usleep(10000);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	r.signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	for (;;)
		turn(&r);
}
