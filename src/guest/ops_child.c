/* SPDX-License-Identifier: MIT */
/*
 * ops_child.c - blocking calls, each in a child of its own; children's ends
 *
 * The child is a copy of this process that keeps one pipe: what the row replies
 * goes there as varlink messages and from here to the caller. Nothing of it can
 * hold up the loop; one that hangs in the kernel is left to its signal.
 *
 * One that serves a stream is given it back through the same socket, once the
 * reply is on its way.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_internal.h"

/* stdin, stdout and stderr stay; the pipe is the next one. */
#define CHILD_PIPE 3

static const struct {
	const char *limit;
	unsigned int max;
	int give_up; /* the signal that ends it */
} kinds[OPS_CHILD_KINDS] = {
	[OPS_CHILD_BLOCKING] = {"blocking-calls", OPS_BLOCKING_MAX, SIGKILL},
	[OPS_CHILD_COMMAND] = {"commands", OPS_COMMANDS_MAX, SIGTERM},
	[OPS_CHILD_TRANSFER] = {"transfers", OPS_TRANSFERS_MAX, SIGTERM},
};

struct ops_watched {
	LIST_ENTRY(ops_watched) link;
	pid_t pid;
	ops_child_fn *fn;
	void *data;
};

struct op_child {
	struct ops *o;
	struct op_call *call; /* NULL: given up, or over */
	const struct op_row *row;
	enum ops_child_kind kind;
	pid_t pid;
	int fd;
	uv_poll_t poll;
	struct varlink_buf in;
	unsigned int uses; /* its handle; the process itself */
};

/* ---- any child ----------------------------------------------------------- */

int ops_watch_child(struct ops *o, pid_t pid, ops_child_fn *fn, void *data)
{
	struct ops_watched *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->pid = pid;
	w->fn = fn;
	w->data = data;
	LIST_INSERT_HEAD(&o->watched, w, link);
	return 0;
}

/* Return: one that has ended; it is off the list. */
static struct ops_watched *reap_one(struct ops *o, int *ret_status)
{
	struct ops_watched *w;

	LIST_FOREACH(w, &o->watched, link)
	{
		if (waitpid(w->pid, ret_status, WNOHANG) != w->pid)
			continue;
		LIST_REMOVE(w, link);
		return w;
	}
	return NULL;
}

/* One signal may stand for several; what is told may start new ones. */
void ops_children_reap(struct ops *o)
{
	struct ops_watched *w;
	int status;

	while ((w = reap_one(o, &status)) != NULL) {
		w->fn(o, w->pid, status, w->data);
		free(w);
	}
}

/* ---- in the child -------------------------------------------------------- */

/* For a kernel without close_range(): as many as this process may have. */
static void close_others(void)
{
	long max = sysconf(_SC_OPEN_MAX);

	if (syscall(SYS_close_range, CHILD_PIPE + 1u, ~0u, 0u) == 0)
		return;
	for (int fd = CHILD_PIPE + 1; fd < max; fd++)
		close(fd);
}

static void become_child(int fd, pid_t parent)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	dup2(fd, CHILD_PIPE);
	close_others();
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void child_main(const struct op_call *parents,
						 int fd, pid_t parent)
{
	struct op_call call = *parents;

	become_child(fd, parent);
	call.conn = NULL;
	call.child = NULL;
	call.pipe = CHILD_PIPE;
	call.row->run(&call, call.parameters);
	_exit(EXIT_FAILURE); /* it gave no last reply */
}

static bool write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return true;
}

void ops_child_say(struct op_call *call, char *text, size_t len, bool last)
{
	if (!text || !write_all(call->pipe, text, len))
		_exit(EXIT_FAILURE);
	free(text);
	if (last)
		_exit(EXIT_SUCCESS);
}

/* The stream, with the number of bytes that came behind the call. Return: -1:
 * there is none. */
static int receive_stream(int sock, size_t *ret_len)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	size_t len = 0;
	struct iovec iov = {.iov_base = &len, .iov_len = sizeof(len)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;
	int fd;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(len) ||
	    control.head.cmsg_len < CMSG_LEN(sizeof(fd)) ||
	    control.head.cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	*ret_len = len;
	return fd;
}

static bool read_all(int fd, char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return true;
}

int ops_child_upgrade(struct op_call *call, char *text, size_t len,
		      char **ret_rest, size_t *ret_len)
{
	char *rest = NULL;
	size_t n = 0;
	int fd = -1;

	if (write_all(call->pipe, text, len))
		fd = receive_stream(call->pipe, &n);
	free(text);
	if (fd >= 0)
		rest = malloc(n + 1);
	if (!rest || !read_all(call->pipe, rest, n)) {
		free(rest);
		return -1; /* and the child ends, with what it has */
	}
	close(call->pipe);
	*ret_rest = rest;
	*ret_len = n;
	return fd;
}

/* ---- in the parent ------------------------------------------------------- */

static void unuse(struct op_child *child)
{
	if (--child->uses > 0)
		return;
	child->o->n_children[child->kind]--;
	varlink_buf_done(&child->in);
	free(child);
}

static void on_closed(uv_handle_t *h)
{
	unuse(h->data);
}

static void close_pipe(struct op_child *child)
{
	if (child->fd < 0)
		return;
	uv_poll_stop(&child->poll);
	close(child->fd);
	child->fd = -1;
	uv_close((uv_handle_t *)&child->poll, on_closed);
}

void ops_child_give_up(struct op_child *child)
{
	child->call->child = NULL;
	child->call = NULL;
	if (child->pid > 0)
		kill(child->pid, kinds[child->kind].give_up);
	close_pipe(child);
}

static void on_ended(struct ops *o, pid_t pid, int status, void *data)
{
	struct op_child *child = data;

	(void)o;
	(void)pid;
	(void)status;
	child->pid = 0;
	if (child->row->ended)
		child->row->ended();
	unuse(child);
}

/* What does not fit a socket that is empty leaves the child without a stream;
 * nothing came behind a call that would not. */
static void send_stream(int sock, int fd, char *rest, size_t len)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = &len, .iov_len = sizeof(len)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
	    (len > 0 && send(sock, rest, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0))
		log_warning("ev=stream-not-given error=\"%s\"",
			    strerror(errno));
}

/* The call is over; what serves its stream is not. */
static void hand_over(struct op_child *child, json_t *parameters)
{
	struct op_call *call = child->call;
	char *rest = NULL;
	size_t len = 0;
	int fd;

	call->child = NULL;
	child->call = NULL;
	fd = op_upgrade(call, parameters, &rest, &len);
	if (fd >= 0) {
		send_stream(child->fd, fd, rest, len);
		close(fd);
	}
	free(rest);
	close_pipe(child);
}

/* Its replies are checked here again: it may have been made to say anything. */
static void pass_on(struct op_child *child, const struct varlink_msg *m)
{
	struct op_call *call = child->call;

	json_incref(m->parameters);
	if (m->error[0] != '\0')
		op_error(call, m->error, m->parameters);
	else if (m->continues)
		op_reply_part(call, m->parameters);
	else if (call->method->upgrade)
		hand_over(child, m->parameters);
	else
		op_reply(call, m->parameters);
}

/* Return: false if there is nothing more to come from it. */
static bool take(struct op_child *child)
{
	char *room;
	long size = varlink_buf_room(&child->in, &room);
	ssize_t n = size > 0 ? read(child->fd, room, (size_t)size) : 0;
	struct varlink_msg m;
	int r = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	varlink_buf_add(&child->in, (size_t)n);
	while (child->call && (r = varlink_buf_next(&child->in, &m)) > 0) {
		pass_on(child, &m);
		varlink_msg_done(&m);
	}
	return child->call && r == 0;
}

static void on_pipe(uv_poll_t *h, int status, int events)
{
	struct op_child *child = h->data;
	struct op_call *call;

	(void)events;
	if (status >= 0 && take(child))
		return;
	call = child->call; /* none: its last reply ended it */
	if (!call)
		return;
	ops_child_give_up(child);
	op_failed(call, ECHILD, "the process that does it has ended");
}

static int start(struct op_child *child, struct op_call *call)
{
	pid_t self = getpid();
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	/* Without the handlers of the loop, which would make itself new
	 * descriptors in the place of ours. */
	child->pid = _Fork();
	if (child->pid == 0)
		child_main(call, fds[1], self);
	close(fds[1]);
	if (child->pid < 0) {
		close(fds[0]);
		return -errno;
	}
	child->fd = fds[0];
	return 0;
}

static int watch(struct op_child *child)
{
	int r = ops_watch_child(child->o, child->pid, on_ended, child);

	if (r < 0)
		return r;
	uv_poll_init(&child->o->loop, &child->poll, child->fd);
	child->poll.data = child;
	uv_poll_start(&child->poll, UV_READABLE, on_pipe);
	return 0;
}

static enum ops_child_kind kind_of(const struct op_row *row)
{
	if (row->flags & OP_COMMAND)
		return OPS_CHILD_COMMAND;
	return row->flags & OP_TRANSFER ? OPS_CHILD_TRANSFER
					: OPS_CHILD_BLOCKING;
}

void ops_child_run(struct op_call *call)
{
	enum ops_child_kind kind = kind_of(call->row);
	struct ops *o = call->o;
	struct op_child *child;
	int r;

	if (o->n_children[kind] >= kinds[kind].max) {
		op_error(call, OP_COMMON "LimitReached",
			 json_pack("{s:s,s:I}", "limit", kinds[kind].limit,
				   "value", (json_int_t)kinds[kind].max));
		return;
	}
	child = calloc(1, sizeof(*child));
	r = child ? 0 : -ENOMEM;
	if (r == 0) {
		*child = (struct op_child){.o = o,
					   .call = call,
					   .row = call->row,
					   .kind = kind,
					   .fd = -1};
		varlink_buf_init(&child->in);
		r = start(child, call);
	}
	if (r == 0 && watch(child) < 0) {
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
		close(child->fd);
		r = -ENOMEM;
	}
	if (r < 0) {
		free(child);
		op_failed(call, r, "cannot start a process for it");
		return;
	}
	child->uses = 2;
	o->n_children[kind]++;
	call->child = child;
}
