/* SPDX-License-Identifier: MIT */
/*
 * session_kernel.c - sessions of a guest without logind: those of utmp
 *
 * What cannot be known is left out; what cannot be done says what is missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/ops_text.h"
#include "guest/session.h"
#include "guest/tty_message.h"
#include "guest/utmp_list.h"

#define ID_PREFIX "utmp-"
#define ID_SIZE   (sizeof(ID_PREFIX) + UT_LINESIZE)
/* A leader that has not gone by a hang-up is killed. */
#define PATIENCE_MS 2000u

static struct minimal {
	int fd; /* inotify, -1: none */
	uv_poll_t poll;
	bool seen; /* the file is there: it is watched, not its folder */
	struct utmp_session *list; /* what was told */
	size_t n;
} ms = {.fd = -1};

struct ending {
	uv_timer_t timer;
	struct utmp_session s;
	int pidfd;
};

static const char *id_of(const struct utmp_session *s, char buf[ID_SIZE])
{
	snprintf(buf, ID_SIZE, ID_PREFIX "%s", s->line);
	return buf;
}

/* Whose user has no number here (no line in /etc/passwd) is nobody's. */
#define NOBODY 65534

static json_int_t uid_of(const struct utmp_session *s)
{
	return s->uid == (uid_t)-1 ? NOBODY : (json_int_t)s->uid;
}

static bool is_display(const struct utmp_session *s)
{
	return s->line[0] == ':';
}

/* A host that begins so is a display of this one. */
static bool is_remote(const struct utmp_session *s)
{
	return s->host[0] != '\0' && s->host[0] != ':';
}

static json_t *session_json(const struct utmp_session *s)
{
	char id[ID_SIZE];
	bool on_vt = strncmp(s->line, "tty", 3) == 0 && s->line[3] >= '1' &&
		     s->line[3] <= '9';

	return json_pack(
		"{s:o,s:I,s:o,s:s,s:s,s:s,s:b,s:b,s:s*,s:o*,s:o*,s:o*,s:I,s:o*}",
		"id", op_text(id_of(s, id), SESSION_ID_MAX), "uid", uid_of(s),
		"user", op_text(s->user, SESSION_USER_MAX), "type",
		is_display(s) ? "x11" : "tty", "class", "user", "state",
		s->active ? "active" : "online", "active", s->active, "remote",
		is_remote(s), "seat", on_vt ? "seat0" : NULL, "tty",
		is_display(s) ? NULL : op_text(s->line, SESSION_WORD_MAX),
		"display",
		is_display(s) ? op_text(s->line, SESSION_WORD_MAX) : NULL,
		"remote_host",
		is_remote(s) ? op_text(s->host, SESSION_HOST_MAX) : NULL,
		"leader", (json_int_t)s->leader, "since_us",
		s->since_us ? json_integer((json_int_t)s->since_us) : NULL);
}

/* ---- lists --------------------------------------------------------------- */

/* Return: the list, to be freed, or NULL: the call was answered. */
static struct utmp_session *read_list(struct op_call *call, size_t *ret_n)
{
	struct utmp_session *list = calloc(UTMP_MAX, sizeof(*list));

	if (list)
		*ret_n = utmp_list(list);
	else
		op_failed(call, ENOMEM, "");
	return list;
}

static void list_sessions(struct op_call *call)
{
	json_t *array = json_array();
	size_t n;
	struct utmp_session *list = read_list(call, &n);

	if (!list) {
		json_decref(array);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, session_json(&list[i]));
	free(list);
	op_reply_list(call, "sessions", array);
}

static bool is_first_of_user(const struct utmp_session *list, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(list[k].user, list[i].user) == 0)
			return false;
	return true;
}

static json_t *user_json(const struct utmp_session *list, size_t n, size_t of)
{
	json_t *ids = json_array();
	uint64_t since = list[of].since_us;
	char id[ID_SIZE];
	bool active = false;

	for (size_t i = of; i < n; i++) {
		if (strcmp(list[i].user, list[of].user) != 0)
			continue;
		active |= list[i].active;
		since = list[i].since_us < since ? list[i].since_us : since;
		if (json_array_size(ids) < SESSION_USER_IDS_MAX)
			json_array_append_new(ids, op_text(id_of(&list[i], id),
							   SESSION_ID_MAX));
	}
	return json_pack("{s:I,s:o,s:s,s:b,s:o*,s:o}", "uid", uid_of(&list[of]),
			 "user", op_text(list[of].user, SESSION_USER_MAX),
			 "state", active ? "active" : "online", "linger", 0,
			 "since_us",
			 since ? json_integer((json_int_t)since) : NULL,
			 "sessions", ids);
}

static void list_users(struct op_call *call)
{
	json_t *array = json_array();
	size_t n;
	struct utmp_session *list = read_list(call, &n);

	if (!list) {
		json_decref(array);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (is_first_of_user(list, i))
			json_array_append_new(array, user_json(list, n, i));
	free(list);
	op_reply_list(call, "users", array);
}

/* Return: false, and it was answered. */
static bool find(struct op_call *call, const char *id, struct utmp_session *ret)
{
	char own[ID_SIZE];
	bool found = false;
	size_t n;
	struct utmp_session *list = read_list(call, &n);

	if (!list)
		return false;
	for (size_t i = 0; i < n && !found; i++) {
		*ret = list[i];
		found = strcmp(id_of(ret, own), id) == 0;
	}
	free(list);
	if (!found)
		session_none(call, id);
	return found;
}

static void get(struct op_call *call, const char *id)
{
	struct utmp_session s;

	if (find(call, id, &s))
		op_reply(call, json_pack("{s:o}", "session", session_json(&s)));
}

/* ---- to end one ---------------------------------------------------------- */

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* By the descriptor, which no later process can have; before Linux 5.3 by the
 * number. */
static int send_to(const struct ending *e, int number)
{
	if (e->pidfd >= 0)
		return (int)syscall(SYS_pidfd_send_signal, e->pidfd, number,
				    NULL, 0);
	return kill(e->s.leader, number);
}

static void on_ending_closed(uv_handle_t *h)
{
	struct ending *e = h->data;

	if (e->pidfd >= 0)
		close(e->pidfd);
	free(e);
}

static void on_patience(uv_timer_t *h)
{
	const struct ending *e = h->data;

	if (send_to(e, 0) == 0)
		(void)send_to(e, SIGKILL);
	uv_close((uv_handle_t *)h, on_ending_closed);
}

/* The shell hangs up, and the kernel does the same to what runs in front of
 * it. Return: 0 or a negative errno. */
static int end_session(struct ops *o, const struct utmp_session *s)
{
	struct ending *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->s = *s;
	e->pidfd = pidfd_of(s->leader);
	r = send_to(e, SIGHUP) < 0 ? -errno : 0;
	uv_timer_init(ops_loop(o), &e->timer);
	e->timer.data = e;
	/* A stopped one must wake up to see it. */
	if (r == 0)
		(void)send_to(e, SIGCONT);
	uv_update_time(ops_loop(o));
	uv_timer_start(&e->timer, on_patience, r == 0 ? PATIENCE_MS : 0, 0);
	/* Nothing waits for it at the process's end. */
	uv_unref((uv_handle_t *)&e->timer);
	return r;
}

static void terminate(struct op_call *call, const struct utmp_session *s)
{
	int r = end_session(op_ops(call), s);

	if (r < 0 && r != -ESRCH)
		op_failed(call, r, "its leader cannot be signalled");
	else
		op_reply(call, json_object());
}

static void activate(struct op_call *call, const struct utmp_session *s)
{
	char *end;
	unsigned long vt = strncmp(s->line, "tty", 3) == 0
				   ? strtoul(s->line + 3, &end, 10)
				   : 0;
	int fd;

	if (vt == 0 || vt > MAX_NR_CONSOLES || *end != '\0') {
		op_not_supported(call, "a virtual terminal of that session");
		return;
	}
	fd = open("/dev/tty0", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, VT_ACTIVATE, vt) < 0)
		op_failed(call, errno, "/dev/tty0");
	else
		op_reply(call, json_object());
	if (fd >= 0)
		close(fd);
}

static void act(struct op_call *call, enum session_verb verb, const char *id)
{
	struct utmp_session s;

	if (!find(call, id, &s))
		return;
	if (verb == SESSION_TERMINATE)
		terminate(call, &s);
	else if (verb == SESSION_ACTIVATE)
		activate(call, &s);
	else
		op_not_supported(call, SESSION_NO_LOCK);
}

static void lock_all(struct op_call *call)
{
	op_not_supported(call, SESSION_NO_LOCK);
}

static void terminate_user(struct op_call *call, uid_t uid)
{
	json_int_t ended = 0;
	size_t n, seen = 0;
	struct utmp_session *list = read_list(call, &n);

	if (!list)
		return;
	for (size_t i = 0; i < n; i++) {
		if (list[i].uid != uid)
			continue;
		seen++;
		ended += end_session(op_ops(call), &list[i]) == 0;
	}
	free(list);
	if (seen == 0)
		session_no_user(call, uid);
	else
		op_reply(call, json_pack("{s:I}", "sessions", ended));
}

static void message(struct op_call *call, const char *text, const char *id,
		    uid_t uid)
{
	size_t n, meant = 0;
	json_int_t shown = 0;
	char own[ID_SIZE];
	struct utmp_session *list = read_list(call, &n);

	if (!list)
		return;
	for (size_t i = 0; i < n; i++) {
		if ((id && strcmp(id, id_of(&list[i], own)) != 0) ||
		    (uid != SESSION_NO_UID && list[i].uid != uid))
			continue;
		meant++;
		shown += tty_message(list[i].line, text);
	}
	free(list);
	if (meant == 0 && id)
		session_none(call, id);
	else if (meant == 0 && uid != SESSION_NO_UID)
		session_no_user(call, uid);
	else
		op_reply(call, json_pack("{s:I}", "shown", shown));
}

static const char *lock_missing(struct ops *o)
{
	(void)o;
	return SESSION_NO_LOCK;
}

static const char *activate_missing(struct ops *o)
{
	(void)o;
	return access("/dev/tty0", F_OK) == 0 ? NULL : "virtual terminals";
}

/* ---- what changes -------------------------------------------------------- */

static bool same(const struct utmp_session *a, const struct utmp_session *b)
{
	return a->leader == b->leader && strcmp(a->line, b->line) == 0 &&
	       strcmp(a->user, b->user) == 0;
}

static bool has_session(const struct utmp_session *list, size_t n,
			const struct utmp_session *s)
{
	for (size_t i = 0; i < n; i++)
		if (same(&list[i], s))
			return true;
	return false;
}

static bool has_user(const struct utmp_session *list, size_t n,
		     const struct utmp_session *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].user, s->user) == 0)
			return true;
	return false;
}

static void tell_gone(struct ops *o, const struct utmp_session *list, size_t n)
{
	char id[ID_SIZE];

	for (size_t i = 0; i < ms.n; i++) {
		const struct utmp_session *s = &ms.list[i];
		uid_t uid = (uid_t)uid_of(s);

		if (!has_session(list, n, s))
			session_removed(o, id_of(s, id), uid, s->user);
		if (!has_user(list, n, s) && is_first_of_user(ms.list, i))
			session_user(o, false, uid, s->user);
	}
}

static void tell_new(struct ops *o, const struct utmp_session *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct utmp_session *s = &list[i];

		if (!has_user(ms.list, ms.n, s) && is_first_of_user(list, i))
			session_user(o, true, (uid_t)uid_of(s), s->user);
		if (!has_session(ms.list, ms.n, s))
			session_new(o, session_json(s));
	}
}

/* Who is there at the start is no news. */
static void look(struct ops *o, bool tell)
{
	struct utmp_session *list = calloc(UTMP_MAX, sizeof(*list));
	size_t n;

	if (!list)
		return;
	n = utmp_list(list);
	if (tell) {
		tell_gone(o, list, n);
		tell_new(o, list, n);
	}
	free(ms.list);
	ms.list = list;
	ms.n = n;
}

/* The file, or its folder until it comes into being. Return: is it there? */
static bool watch(void)
{
	if (!ms.seen)
		ms.seen = inotify_add_watch(ms.fd, UTMP_PATH,
					    IN_MODIFY | IN_DELETE_SELF |
						    IN_MOVE_SELF) >= 0;
	if (!ms.seen &&
	    inotify_add_watch(ms.fd, "/run", IN_CREATE | IN_MOVED_TO) < 0)
		log_info("ev=inotify path=/run error=\"%s\"", strerror(errno));
	return ms.seen;
}

static void on_inotify(uv_poll_t *h, int status, int events)
{
	struct ops *o = h->data;
	char buf[4096]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	(void)status;
	(void)events;
	while ((n = read(ms.fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (void *)(buf + at);

			if (e->mask &
			    (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
				ms.seen = false;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	if (watch())
		look(o, true);
}

static int start(struct ops *o)
{
	look(o, false);
	ms.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (ms.fd < 0 || uv_poll_init(ops_loop(o), &ms.poll, ms.fd) < 0) {
		log_warning("ev=inotify error=\"%s\": log-ins are not told",
			    strerror(errno));
		if (ms.fd >= 0)
			close(ms.fd);
		ms.fd = -1;
		return 0;
	}
	ms.poll.data = o;
	(void)watch();
	uv_poll_start(&ms.poll, UV_READABLE, on_inotify);
	return 0;
}

static void stop(struct ops *o)
{
	(void)o;
	free(ms.list);
	ms.list = NULL;
	if (ms.fd < 0)
		return;
	uv_poll_stop(&ms.poll);
	uv_close((uv_handle_t *)&ms.poll, NULL);
	close(ms.fd);
	ms.fd = -1;
}

const struct session_back_end session_kernel = {
	.start = start,
	.stop = stop,
	.lock_missing = lock_missing,
	.activate_missing = activate_missing,
	.list = list_sessions,
	.list_users = list_users,
	.get = get,
	.act = act,
	.lock_all = lock_all,
	.terminate_user = terminate_user,
	.message = message,
};
