/* SPDX-License-Identifier: MIT */
/* qmp.c - a QMP client: one command at a time, every wait has an end */
#include "cli/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "qmp/command.h"
#include "qmp/lines.h"

struct qmp {
	int fd;
	int timeout_ms;
	bool broken; /* out of step with QEMU: no more commands */
	json_int_t last_id;
	struct qmp_lines in;
	const char *watched; /* device whose end is waited for */
	bool deleted;
	char error[512];
	char error_class[64];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static int fail(struct qmp *q, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct qmp *q, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(q->error, sizeof(q->error), fmt, ap);
	va_end(ap);
	q->error_class[0] = '\0';
	q->broken = true;
	return -err;
}

const char *qmp_error(const struct qmp *q)
{
	return q->error;
}

const char *qmp_error_class(const struct qmp *q)
{
	return q->error_class;
}

/* ---- lines ------------------------------------------------------------- */

static int wait_fd(struct qmp *q, short events, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = q->fd, .events = events};
	uint64_t now = now_ms();
	int r;

	if (now >= deadline_ms)
		return fail(q, ETIMEDOUT, "QEMU did not answer in time");
	r = poll(&p, 1, (int)(deadline_ms - now));
	if (r < 0 && errno != EINTR)
		return fail(q, errno, "poll: %s", strerror(errno));
	return 0;
}

/* Read once, or wait. Return: 0 or a negative errno. */
static int receive(struct qmp *q, uint64_t deadline_ms)
{
	char *room = qmp_lines_room(&q->in);
	ssize_t n;

	if (!room)
		return fail(q, ENOMEM, "out of memory");
	n = recv(q->fd, room, QMP_READ_STEP, 0);
	if (n > 0) {
		qmp_lines_add(&q->in, (size_t)n);
		/* A flood of events must not hide the deadline. */
		return now_ms() < deadline_ms ? 0
					      : wait_fd(q, POLLIN, deadline_ms);
	}
	if (n == 0)
		return fail(q, ECONNRESET, "QEMU closed the QMP connection");
	if (errno == EAGAIN || errno == EINTR)
		return wait_fd(q, POLLIN, deadline_ms);
	return fail(q, ECONNRESET, "QMP: %s", strerror(errno));
}

/* The next message that is in the buffer. Return: 1, 0 (none is complete), or
 * a negative errno. */
static int take_message(struct qmp *q, struct qmp_message *ret)
{
	int r = qmp_lines_take(&q->in, ret);

	if (r == -EMSGSIZE)
		return fail(q, EPROTO, "QEMU sent a line of more than %d bytes",
			    QMP_LINE_MAX);
	if (r < 0)
		return fail(q, EPROTO, "what QEMU sent is not QMP");
	return r;
}

static int next_message(struct qmp *q, uint64_t deadline_ms,
			struct qmp_message *ret)
{
	int r;

	while ((r = take_message(q, ret)) == 0) {
		r = receive(q, deadline_ms);
		if (r)
			return r;
	}
	return r < 0 ? r : 0;
}

static void note_event(struct qmp *q, const struct qmp_message *m)
{
	const char *device =
		json_string_value(json_object_get(m->body, "device"));

	if (q->watched && device && strcmp(m->name, "DEVICE_DELETED") == 0 &&
	    strcmp(device, q->watched) == 0)
		q->deleted = true;
}

/* ---- commands ---------------------------------------------------------- */

/* The first bytes carry the descriptor, if there is one. */
static ssize_t send_some(struct qmp *q, char *data, size_t len, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd < 0)
		return send(q->fd, data, len, MSG_NOSIGNAL);
	msg.msg_control = control.space;
	msg.msg_controllen = sizeof(control.space);
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(q->fd, &msg, MSG_NOSIGNAL);
}

static int send_all(struct qmp *q, char *data, size_t len, int fd,
		    uint64_t deadline_ms)
{
	int r = 0;

	while (len > 0 && r == 0) {
		ssize_t n = send_some(q, data, len, fd);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
			fd = -1;
		} else if (errno == EAGAIN || errno == EINTR) {
			r = wait_fd(q, POLLOUT, deadline_ms);
		} else {
			r = fail(q, ECONNRESET, "QMP: %s", strerror(errno));
		}
	}
	return r;
}

static int send_command(struct qmp *q, const char *name, json_t *arguments,
			int fd, uint64_t deadline_ms)
{
	char *text = qmp_command_text(name, ++q->last_id, arguments);
	int r;

	if (!text)
		return fail(q, ENOMEM, "out of memory");
	r = send_all(q, text, strlen(text), fd, deadline_ms);
	free(text);
	return r;
}

static int take_error(struct qmp *q, const struct qmp_message *m)
{
	snprintf(q->error, sizeof(q->error), "%s", m->text);
	snprintf(q->error_class, sizeof(q->error_class), "%s", m->name);
	/* It goes to a terminal as one line. */
	for (char *c = q->error; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	return -EREMOTEIO;
}

/* Return: 1 when the answer was taken, 0 to go on, or a negative errno. */
static int take_answer(struct qmp *q, const struct qmp_message *m, json_t **ret)
{
	if (m->kind == QMP_EVENT) {
		note_event(q, m);
		return 0;
	}
	/* QEMU leaves out the id if it could not read the command. */
	if (m->kind == QMP_GREETING || (m->has_id && m->id != q->last_id) ||
	    (m->kind == QMP_RETURN && !m->has_id))
		return fail(q, EPROTO, "QEMU answered what was not asked");
	if (m->kind == QMP_ERROR)
		return take_error(q, m);
	if (ret)
		*ret = json_incref(m->body);
	return 1;
}

static int read_answer(struct qmp *q, uint64_t deadline_ms, json_t **ret)
{
	struct qmp_message m = {0};
	int r;

	do {
		r = next_message(q, deadline_ms, &m);
		if (r)
			return r;
		r = take_answer(q, &m, ret);
		qmp_message_done(&m);
	} while (r == 0);
	return r < 0 ? r : 0;
}

int qmp_command_fd(struct qmp *q, const char *name, json_t *arguments, int fd,
		   json_t **ret)
{
	uint64_t deadline_ms = now_ms() + (uint64_t)q->timeout_ms;
	int r;

	if (q->broken) {
		json_decref(arguments);
		return -ECONNRESET;
	}
	r = send_command(q, name, arguments, fd, deadline_ms);
	json_decref(arguments);
	if (r)
		return r;
	return read_answer(q, deadline_ms, ret);
}

int qmp_command(struct qmp *q, const char *name, json_t *arguments,
		json_t **ret)
{
	return qmp_command_fd(q, name, arguments, -1, ret);
}

/* ---- events ------------------------------------------------------------ */

void qmp_watch_deleted(struct qmp *q, const char *device)
{
	q->watched = device;
	q->deleted = false;
}

int qmp_wait_deleted(struct qmp *q, int timeout_ms)
{
	uint64_t deadline_ms = now_ms() + (uint64_t)timeout_ms;
	struct qmp_message m = {0};
	int r = 0;

	while (!q->deleted && r == 0) {
		r = next_message(q, deadline_ms, &m);
		if (r)
			break;
		if (m.kind == QMP_EVENT)
			note_event(q, &m);
		else
			r = fail(q, EPROTO, "QEMU answered what was not asked");
		qmp_message_done(&m);
	}
	/* Nothing was asked, so nothing is out of step. */
	if (r == -ETIMEDOUT)
		q->broken = false;
	return r;
}

/* ---- connecting -------------------------------------------------------- */

static int connect_path(struct qmp *q, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		return fail(q, ENAMETOOLONG,
			    "the path is longer than a socket's may be (%zu)",
			    sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->fd < 0)
		return fail(q, errno, "socket: %s", strerror(errno));
	if (connect(q->fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	/* EAGAIN: the backlog is full. Somebody is before us, and waits. */
	if (errno == EAGAIN)
		return fail(q, ETIMEDOUT, "other clients wait for it already");
	return fail(q, errno, "%s", strerror(errno));
}

static int greet(struct qmp *q)
{
	struct qmp_message m = {0};
	int r = next_message(q, now_ms() + (uint64_t)q->timeout_ms, &m);

	if (r == -ETIMEDOUT)
		return fail(q, ETIMEDOUT,
			    "QEMU does not greet: is another client connected "
			    "to this socket? It takes one at a time");
	if (r)
		return r;
	r = m.kind == QMP_GREETING
		    ? 0
		    : fail(q, EPROTO, "what answers there is not QMP");
	qmp_message_done(&m);
	return r;
}

int qmp_open(struct qmp **ret, const char *path, int timeout_ms)
{
	struct qmp *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	q->fd = -1;
	qmp_lines_init(&q->in, QMP_LINE_MAX);
	q->timeout_ms = timeout_ms;
	*ret = q;
	r = connect_path(q, path);
	if (r == 0)
		r = greet(q);
	if (r == 0)
		r = qmp_command(q, "qmp_capabilities", NULL, NULL);
	return r;
}

/* qmp_close() - disconnect and free; NULL is allowed */
void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	if (q->fd >= 0)
		close(q->fd);
	qmp_lines_done(&q->in);
	free(q);
}
