/* SPDX-License-Identifier: MIT */
/*
 * op_freeze.c - freeze and thaw of org.vmchannel.Storage
 *
 * This process only starts the keeper, which holds the lease, and tells what
 * the record says. It must write to no disk while something is frozen.
 */
#include "guest/op_freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "guest/freeze_keeper.h"
#include "guest/ops_internal.h"
#include "guest/ops_text.h"

#define STORAGE "org.vmchannel.Storage"

/* One that waits for the thaw. */
struct waiting {
	LIST_ENTRY(waiting) link;
	struct op_call *call;
};

/* The pipe from the keeper; its handle outlives it for a turn of the loop. */
struct notice {
	uv_poll_t poll;
	int fd;
};

static struct {
	char path[PATH_MAX];
	struct freeze_record *rec; /* NULL: there is no freeze */
	struct notice *notice;
	struct op_call *call; /* of Freeze, until it is answered */
	LIST_HEAD(, waiting) waiting;
	bool rescued; /* a rescuer has been started for it */
} f;

static void rescue(struct ops *o, enum freeze_cause cause);

/* ---- what the record says ------------------------------------------------ */

static bool is_frozen(void)
{
	return f.rec && atomic_load(&f.rec->phase) == FREEZE_FROZEN &&
	       atomic_load(&f.rec->until_us) != 0;
}

bool op_freeze_has(unsigned int major, unsigned int minor)
{
	if (!f.rec)
		return false;
	for (size_t i = 0; i < f.rec->n && i < FREEZE_MAX; i++)
		if (f.rec->fs[i].major == major &&
		    f.rec->fs[i].minor == minor &&
		    atomic_load(&f.rec->fs[i].state) == FREEZE_FS_FROZEN)
			return true;
	return false;
}

/* The end of the lease by CLOCK_REALTIME. */
static json_int_t until_us(void)
{
	int64_t left =
		(int64_t)(atomic_load(&f.rec->until_us) - freeze_now_us());
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	/* It may have ended meanwhile: that was now, then. */
	if (atomic_load(&f.rec->until_us) == 0 || left < 0)
		left = 0;
	return (json_int_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + left;
}

static void refuse_second(struct op_call *call)
{
	op_error(call, "AlreadyFrozen",
		 json_pack("{s:s}", "lease", f.rec->lease));
}

/* ---- telling ------------------------------------------------------------- */

static void tell_failure(struct op_call *call)
{
	const struct freeze_record *rec = f.rec;
	json_t *where = op_text(rec->where, FREEZE_PATH_MAX);
	const char *error = strerrorname_np(rec->error);

	switch (rec->failure) {
	case FREEZE_FAIL_NO_MOUNT:
		op_error(call, "NoSuchMount",
			 json_pack("{s:o}", "mount", where));
		return;
	case FREEZE_FAIL_MOUNT:
		op_error(call, "FreezeFailed",
			 json_pack("{s:o,s:s}", "mount", where, "error",
				   error ? error : ""));
		return;
	case FREEZE_FAIL_HOOK:
		op_error(call, "HookFailed",
			 json_pack("{s:o,s:i}", "hook", where, "status",
				   rec->error));
		return;
	case FREEZE_FAIL_OTHER:
	default:
		json_decref(where);
		op_failed(call, rec->error, "nothing is frozen");
		return;
	}
}

static struct op_call *take_call(void)
{
	struct op_call *call = f.call;

	f.call = NULL;
	if (call)
		op_on_cancel(call, NULL, NULL);
	return call;
}

static void tell_frozen(struct ops *o)
{
	json_int_t frozen = atomic_load(&f.rec->frozen);
	struct op_call *call = take_call();

	if (!atomic_exchange(&f.rec->told_frozen, true))
		ops_emit(o, STORAGE ".Frozen",
			 json_pack("{s:s,s:I,s:I}", "lease", f.rec->lease,
				   "mounts", frozen, "until_us", until_us()));
	if (call)
		op_reply(call,
			 json_pack("{s:s,s:I,s:I}", "lease", f.rec->lease,
				   "frozen", frozen, "until_us", until_us()));
}

static void answer_waiting(json_int_t thawed)
{
	struct waiting *w = LIST_FIRST(&f.waiting), *next;

	LIST_INIT(&f.waiting);
	for (next = w; next; next = LIST_NEXT(next, link))
		op_on_cancel(next->call, NULL, NULL);
	for (; w; w = next) {
		next = LIST_NEXT(w, link);
		op_reply(w->call, json_pack("{s:I}", "thawed", thawed));
		free(w);
	}
}

static void tell_thawed(struct ops *o)
{
	static const char *const causes[] = {
		[FREEZE_NO_CAUSE] = "guest",
		[FREEZE_BY_HOST] = "host",
		[FREEZE_BY_LEASE] = "lease_expired",
		[FREEZE_BY_RESTART] = "restart",
		[FREEZE_BY_GUEST] = "guest",
	};
	uint32_t cause = atomic_load(&f.rec->cause);
	json_int_t thawed = atomic_load(&f.rec->thawed);

	if (!atomic_exchange(&f.rec->told_thawed, true))
		ops_emit(o, STORAGE ".Thawed",
			 json_pack(
				 "{s:s,s:I,s:s}", "lease", f.rec->lease,
				 "mounts", thawed, "cause",
				 causes[cause <= FREEZE_BY_GUEST ? cause : 0]));
	answer_waiting(thawed);
}

/* Says whatever has not been said yet. */
static void tell(struct ops *o)
{
	switch (atomic_load(&f.rec->phase)) {
	case FREEZE_FROZEN:
		tell_frozen(o);
		break;
	case FREEZE_THAWED:
		tell_frozen(o);
		tell_thawed(o);
		break;
	case FREEZE_FAILED: {
		struct op_call *call = take_call();

		if (call)
			tell_failure(call);
		answer_waiting(0);
		break;
	}
	case FREEZE_PREPARING:
	default:
		break;
	}
}

/* ---- the keeper's end ---------------------------------------------------- */

static void on_notice_closed(uv_handle_t *h)
{
	free(h->data);
}

static void end_notice(void)
{
	struct notice *n = f.notice;

	f.notice = NULL;
	if (!n)
		return;
	uv_poll_stop(&n->poll);
	close(n->fd);
	n->poll.data = n;
	uv_close((uv_handle_t *)&n->poll, on_notice_closed);
}

static void forget(void)
{
	end_notice();
	unlink(f.path);
	freeze_record_close(f.rec);
	f.rec = NULL;
	f.rescued = false;
}

/* ops_child_fn: the keeper, or the rescuer. */
static void on_ended(struct ops *o, pid_t pid, int status, void *data)
{
	uint32_t phase;

	(void)pid;
	(void)data;
	if (!f.rec)
		return;
	phase = atomic_load(&f.rec->phase);
	if ((phase == FREEZE_THAWED || phase == FREEZE_FAILED) || f.rescued) {
		tell(o);
		answer_waiting(0);
		forget();
		return;
	}
	log_error("ev=freeze-keeper-ended status=%d", status);
	rescue(o, FREEZE_BY_GUEST);
}

/* ---- the rescue ---------------------------------------------------------- */

/* Return: 0, or a negative errno: there will be no rescuer. */
static int start_rescuer(struct ops *o, int lock_fd)
{
	pid_t pid = fork();

	if (pid == 0)
		freeze_rescuer_main(f.rec, lock_fd);
	return pid < 0 ? -errno : ops_watch_child(o, pid, on_ended, NULL);
}

static void rescue_with(struct ops *o, enum freeze_cause cause, int lock_fd)
{
	f.rescued = true;
	freeze_ask(f.rec, cause);
	if (start_rescuer(o, lock_fd) == 0)
		return;
	/* Without a process for it: thawing seldom has to wait. */
	log_warning("ev=thaw-in-place");
	freeze_thaw_left(f.rec);
	answer_waiting(atomic_load(&f.rec->thawed));
	forget();
}

static void rescue(struct ops *o, enum freeze_cause cause)
{
	struct freeze_record *rec;
	int fd = -1;
	int r = freeze_record_open(f.path, false, &rec, &fd);

	/* The file may be gone, what is mapped is not. */
	if (r == 0 || r == -EWOULDBLOCK)
		freeze_record_close(rec);
	rescue_with(o, cause, fd);
	if (fd >= 0)
		close(fd);
}

/* ---- Freeze -------------------------------------------------------------- */

/* Nobody waits for it any more, so nobody would hold the lease. */
static void on_cancel(struct op_call *call, void *data)
{
	(void)call;
	(void)data;
	f.call = NULL;
	freeze_ask(f.rec, FREEZE_BY_HOST);
}

static void on_notice(uv_poll_t *h, int status, int events)
{
	char bytes[16];
	ssize_t n = status < 0 ? 0 : read(f.notice->fd, bytes, sizeof(bytes));

	(void)events;
	if (n < 0)
		return;
	if (n == 0) /* what became of it is told when it is reaped */
		end_notice();
	else
		tell(h->data);
}

static int watch_notice(struct ops *o, int fd)
{
	struct notice *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->fd = fd;
	uv_poll_init(ops_loop(o), &n->poll, fd);
	n->poll.data = o;
	uv_poll_start(&n->poll, UV_READABLE, on_notice);
	f.notice = n;
	return 0;
}

static int start_keeper(struct ops *o, struct freeze_job *job)
{
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	job->notify_fd = fds[1];
	pid = fork();
	if (pid == 0)
		freeze_keeper_main(job);
	close(fds[1]);
	r = pid < 0 ? -errno : ops_watch_child(o, pid, on_ended, NULL);
	if (r == 0)
		r = watch_notice(o, fds[0]);
	if (r < 0) {
		close(fds[0]);
		/* If there is one, it thaws, and is found next time. */
		freeze_ask(f.rec, FREEZE_BY_GUEST);
	}
	return r;
}

static void name_lease(char ret[FREEZE_LEASE_MAX + 1])
{
	uint64_t n[2] = {0, 0};

	if (getrandom(n, sizeof(n), GRND_NONBLOCK) < 0)
		n[0] = freeze_now_us(); /* before there are random numbers */
	snprintf(ret, FREEZE_LEASE_MAX + 1, "%016" PRIx64 "%016" PRIx64, n[0],
		 n[1]);
}

static void begin(struct op_call *call, json_t *p, int lock_fd)
{
	static const char *names[FREEZE_MAX];
	const json_t *mounts = json_object_get(p, "mounts");
	struct freeze_job job = {
		.rec = f.rec,
		.lock_fd = lock_fd,
		.lease_us = 1000 * (uint64_t)json_integer_value(
					   json_object_get(p, "lease_ms")),
		.names = json_is_array(mounts) ? names : NULL,
		.n_names = json_array_size(mounts),
	};
	json_t *v;
	size_t i;
	int r;

	json_array_foreach(mounts, i, v)
	{
		names[i] = json_string_value(v);
	}
	name_lease(f.rec->lease);
	snprintf(f.rec->boot, sizeof(f.rec->boot), "%s",
		 ops_boot(op_ops(call)));
	f.rec->hooks = !json_is_false(json_object_get(p, "hooks"));
	r = start_keeper(op_ops(call), &job);
	if (r < 0) {
		forget();
		op_failed(call, r, "cannot start a process for it");
		return;
	}
	f.call = call;
	op_on_cancel(call, on_cancel, NULL);
}

void op_freeze_freeze(struct op_call *call, json_t *p)
{
	struct freeze_record *rec;
	int fd, r;

	if (f.rec) {
		refuse_second(call);
		return;
	}
	r = freeze_record_open(f.path, true, &rec, &fd);
	if (r == 0) {
		f.rec = rec;
		begin(call, p, fd);
		close(fd); /* the lock is the keeper's */
	} else if (r == -EWOULDBLOCK) {
		f.rec = rec;
		refuse_second(call);
		rescue_with(op_ops(call), FREEZE_BY_RESTART, fd);
		close(fd);
	} else {
		op_failed(call, r, f.path);
	}
}

/* ---- the others ---------------------------------------------------------- */

/* Is it that one's lease, and does it go on? */
static bool holds(const char *lease)
{
	return is_frozen() && strcmp(lease, f.rec->lease) == 0;
}

void op_freeze_renew(struct op_call *call, json_t *p)
{
	const char *lease = json_string_value(json_object_get(p, "lease"));
	uint64_t us = 1000 * (uint64_t)json_integer_value(
				     json_object_get(p, "lease_ms"));

	if (holds(lease) && freeze_renew(f.rec, freeze_now_us() + us))
		op_reply(call, json_pack("{s:I}", "until_us", until_us()));
	else
		op_error(call, "NoSuchLease", NULL);
}

static void on_thaw_cancel(struct op_call *call, void *data)
{
	struct waiting *w = data;

	(void)call; /* it thaws all the same */
	LIST_REMOVE(w, link);
	free(w);
}

void op_freeze_thaw(struct op_call *call, json_t *p)
{
	const char *lease = json_string_value(json_object_get(p, "lease"));
	struct waiting *w;

	if (lease && !holds(lease)) {
		op_error(call, "NoSuchLease", NULL);
		return;
	}
	if (!f.rec || atomic_load(&f.rec->told_thawed)) {
		op_reply(call, json_pack("{s:i}", "thawed", 0));
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		freeze_ask(f.rec, FREEZE_BY_HOST);
		op_failed(call, ENOMEM, "it thaws, but cannot be waited for");
		return;
	}
	w->call = call;
	LIST_INSERT_HEAD(&f.waiting, w, link);
	op_on_cancel(call, on_thaw_cancel, w);
	freeze_ask(f.rec, FREEZE_BY_HOST);
}

static json_t *frozen_mounts(void)
{
	json_t *list = json_array();
	struct mounts m;

	if (mounts_read("", &m) < 0)
		return list;
	for (size_t i = 0; i < m.n; i++)
		if (mounts_once(&m, i) &&
		    op_freeze_has(m.list[i].major, m.list[i].minor))
			json_array_append_new(
				list, op_text(m.list[i].path, FREEZE_PATH_MAX));
	mounts_done(&m);
	return list;
}

void op_freeze_status(struct op_call *call, json_t *p)
{
	(void)p;
	if (!is_frozen())
		op_reply(call,
			 json_pack("{s:b,s:[]}", "frozen", false, "mounts"));
	else
		op_reply(call,
			 json_pack("{s:b,s:s,s:I,s:o}", "frozen", true, "lease",
				   f.rec->lease, "until_us", until_us(),
				   "mounts", frozen_mounts()));
}

/* ---- beginning and end --------------------------------------------------- */

/* What a predecessor left: of this boot, and not told to its end. */
static bool is_left(struct ops *o, struct freeze_record *rec, bool held)
{
	uint32_t phase = atomic_load(&rec->phase);

	rec->boot[FREEZE_BOOT_MAX] = rec->lease[FREEZE_LEASE_MAX] = '\0';
	if (strcmp(rec->boot, ops_boot(o)) != 0)
		return false;
	return held ||
	       (phase != FREEZE_FAILED && !atomic_load(&rec->told_thawed));
}

int op_freeze_start(struct ops *o)
{
	char dir[PATH_MAX - 16];
	struct freeze_record *rec;
	int fd, r = vmdir_path(dir, sizeof(dir), o->opt->dir, "host");

	LIST_INIT(&f.waiting);
	if (r < 0)
		return r;
	snprintf(f.path, sizeof(f.path), "%s.freeze", dir);
	r = freeze_record_open(f.path, false, &rec, &fd);
	if (r < 0 && r != -EWOULDBLOCK) {
		if (r != -ENOENT)
			unlink(f.path);
		return 0;
	}
	if (is_left(o, rec, r == -EWOULDBLOCK)) {
		log_info("ev=thaw-predecessors lease=%s", rec->lease);
		f.rec = rec;
		rescue_with(o, FREEZE_BY_RESTART, fd);
	} else {
		unlink(f.path);
		freeze_record_close(rec);
	}
	close(fd);
	return 0;
}

void op_freeze_stop(struct ops *o)
{
	(void)o;
	if (f.rec)
		freeze_ask(f.rec, FREEZE_BY_RESTART);
	end_notice();
}
