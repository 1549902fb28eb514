/* SPDX-License-Identifier: MIT */
/* follow.c - a stream that goes along when its VM moves to another host */
#include "client/follow.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/error.h"

/* JSON and paths; the buffers are not on it. */
#define STACK_SIZE (256u * 1024u)
/* While only the socket has to empty. */
#define EMPTY_STEP_MS 10

static int quietly(int how)
{
	return MSG_DONTWAIT | how;
}

static bool is_again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void set_busy(const struct follow *f)
{
	bool more = f->up.sent < f->up.end || (f->app_end && !f->out_end);

	atomic_store(&f->rec->busy, more && !f->out_broken);
}

/* The stream is over, and no broker need be asked why. */
static void fail(struct follow *f, unsigned int reason)
{
	f->last.state = VMC_STREAM_ENDED;
	f->last.reason = reason;
	f->last.bytes_in = f->received;
	/* In order: so all of it was taken. */
	if (reason == VMC_REASON_OK)
		f->last.bytes_out = f->up.sent;
	f->over = f->failed = true;
}

/* ---- the end of the connection ------------------------------------------- */

enum verdict {
	GOES_ON,
	HAS_ENDED,
	HAS_MOVED,
};

static void on_word(struct follow *f);

static int ask_status(struct follow *f)
{
	uint64_t deadline =
		client_deadline(f->at.via ? FOLLOW_ASK_VIA_MS : FOLLOW_ASK_MS);
	struct client_conn c;
	struct varlink_msg m;
	pid_t child;
	int r = place_dial(&c, &f->at, f->vm, NULL, deadline, &child);

	if (r)
		return r;
	r = client_send_call(&c, BROKER "StreamStatus",
			     json_pack("{s:s}", "id", f->id), CLIENT_PLAIN,
			     deadline);
	if (!r)
		r = client_recv_ok(&c, &m, deadline);
	if (!r) {
		r = reply_status(m.parameters, &f->last) ? 0 : -EPROTO;
		varlink_msg_done(&m);
	}
	place_end(&c, child, false);
	return r;
}

/* The end of file is of both ways: our program's bytes go nowhere, either. A
 * command's two sockets end one by one. */
static bool is_gone(const struct follow *f)
{
	struct pollfd p = {.fd = f->conn.out};

	if (f->conn.out == f->conn.fd)
		return f->hup;
	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

/* What the broker says of the end, on the connection that it was asked on
 * before: it is that broker, wherever its name leads by now. */
static void await_end(struct follow *f, int ms)
{
	uint64_t deadline = client_deadline(ms);

	while (watch_is_open(&f->watch) && watch_read(f, deadline))
		on_word(f);
}

/* Does the broker tell by itself when the stream ends? */
static bool is_watched(const struct follow *f)
{
	return watch_is_open(&f->watch) && f->watch.said != WATCH_NOTHING;
}

/* Our way is closed. When theirs is, too, that looks like a broker that is
 * gone, and need not be more than two ends in order. */
static bool is_told_of_end(const struct follow *f)
{
	return (f->out_end || f->out_broken) && is_watched(f);
}

/* A broker that is gone, or knows nothing of the stream, may have gone with
 * the VM. One that says that it is open, while our connection has ended, is
 * not the one that we had. But a connection of which both ways were closed in
 * order looks the same, and is not the end yet. */
static enum verdict judge(struct follow *f)
{
	bool gone = is_gone(f);

	if (gone)
		await_end(f, is_told_of_end(f) ? 0 : FOLLOW_ASK_MS);
	if (f->watch.said == WATCH_ENDED) {
		f->last.state = VMC_STREAM_ENDED;
		f->last.reason = f->watch.reason;
	} else if (gone && is_told_of_end(f)) {
		return GOES_ON;
	} else if (ask_status(f)) {
		return HAS_MOVED;
	}
	if (f->last.state != VMC_STREAM_ENDED)
		return gone && !f->out_end ? HAS_MOVED : GOES_ON;
	return f->last.reason == VMC_REASON_MIGRATED ? HAS_MOVED : HAS_ENDED;
}

/* ---- moving --------------------------------------------------------------
 */

/* Nothing moves between us and the broker. */
static bool is_still(const struct follow *f)
{
	return f->fenced || f->cut;
}

/* All that the fenced broker delivered is here. */
static bool all_here(const struct follow *f)
{
	return f->fenced && f->received >= f->watch.delivered;
}

/* What its connection says is its end, and not what it says in any case. */
static bool is_left(const struct follow *f)
{
	return is_gone(f) && !is_told_of_end(f);
}

static void stop_search(struct follow *f)
{
	search_free(f->search);
	f->search = NULL;
}

/* It ended where it was: the state that left is of no use to anybody. */
static bool ended_here(const struct follow *f)
{
	return f->watch.said == WATCH_ENDED &&
	       f->watch.reason != VMC_REASON_MIGRATED &&
	       f->watch.reason != VMC_REASON_DAEMON_LOST;
}

static void on_word(struct follow *f)
{
	if (f->cut || (f->watch.said == WATCH_ENDED && !ended_here(f)))
		return;
	/* Again fenced is another state that left. */
	stop_search(f);
	f->refused = false;
	f->fenced = f->watch.said == WATCH_FENCED;
}

/* Leave the broker behind: there is no other way than to where the VM is. */
static void cut(struct follow *f)
{
	atomic_store(&f->rec->busy, true);
	followed_leave(f->rec);
	watch_end(f);
	place_end(&f->conn, f->child, true);
	f->child = 0;
	f->cut = true;
	f->cut_until_us = client_deadline(FOLLOW_MS);
}

/* Do both sides' numbers tell the same story? What the destination says of
 * its count of R, it has compared itself. */
static bool fits(struct follow *f, const struct follow_answer *a)
{
	bool ended = f->app_end && f->out_end && a->consumed == f->up.end;

	if (f->in_end && !a->received_end)
		return false;
	if (a->consumed_end && !ended && !f->out_broken)
		return false;
	return keep_rewind(&f->up, a->consumed);
}

static void go_on(struct follow *f, const struct follow_answer *a)
{
	const int size = KEEP_SNDBUF;

	memcpy(f->id, a->id, sizeof(f->id));
	if (f->conn.out == f->conn.fd)
		setsockopt(f->conn.out, SOL_SOCKET, SO_SNDBUF, &size,
			   sizeof(size));
	followed_at(f->rec, &f->at, &f->conn);
	f->out_end = a->consumed_end;
	f->in_end = f->in_eof = a->received_end;
	f->out_broken = f->hup = false;
	if (f->out_end)
		shutdown(f->conn.out, SHUT_WR);
	if (f->app_deaf && f->conn.out == f->conn.fd)
		shutdown(f->conn.fd, SHUT_RD);
}

/* The search has the connection to the new place in f->conn by now. */
static void arrive(struct follow *f, const struct follow_answer *a)
{
	unsigned int reason = 0;

	stop_search(f);
	watch_init(&f->watch);
	f->fenced = f->cut = false;
	if (f->at.via && !keep_grow(&f->up, KEEP_BYTES_VIA))
		reason = VMC_REASON_LIMIT;
	if (reason == 0 && !fits(f, a))
		reason = VMC_REASON_SESSION_LOST;
	if (reason)
		fail(f, reason);
	else
		go_on(f, a);
	set_busy(f);
}

/* As long as the broker may go on, its refusal is what counts last. */
static void look(struct follow *f, const struct pollfd *p)
{
	struct client_conn old = f->conn;
	struct follow_answer a;
	enum search_result r;
	pid_t child = f->child;

	if (!f->search && !f->refused && (f->cut || all_here(f)))
		f->search = search_new();
	else if (!f->search)
		p = NULL;
	if (!f->search) {
		if (f->cut)
			fail(f, f->refused ? f->refusal : VMC_REASON_LIMIT);
		return;
	}
	r = search_step(f->search, f, p, &a);
	if (r == SEARCH_REFUSED)
		stop_search(f);
	if (r == SEARCH_FOUND && !f->cut) {
		followed_leave(f->rec);
		watch_end(f);
		place_end(&old, child, true);
	}
	if (r == SEARCH_FOUND)
		arrive(f, &a);
	else if (f->cut &&
		 (f->refused || client_deadline(0) >= f->cut_until_us))
		fail(f, f->refused ? f->refusal : VMC_REASON_TIMEOUT);
}

static void on_verdict(struct follow *f, enum verdict v)
{
	if (v == HAS_MOVED)
		cut(f);
	else if (v == HAS_ENDED || (is_gone(f) && !is_watched(f)))
		f->over = true;
	else
		f->in_end = true;
	/* An end in order, but the broker's bytes are all here. */
	if (v == HAS_ENDED && f->last.reason == VMC_REASON_OK)
		f->in_end = true;
}

/* ---- from the broker ------------------------------------------------------
 */

static bool make_room(struct follow *f)
{
	size_t cap = f->down_cap * 2;
	uint8_t *p;

	if (f->down_start > 0) {
		memmove(f->down, f->down + f->down_start, f->down_len);
		f->down_start = 0;
	}
	if (f->down_len < f->down_cap)
		return true;
	/* Only what a broker leaves behind may need more. */
	if (!(f->hup || f->fenced) || cap < FOLLOW_DOWN ||
	    cap > FOLLOW_DOWN_MAX)
		return false;
	p = realloc(f->down, cap);
	if (!p)
		return false;
	f->down = p;
	f->down_cap = cap;
	return true;
}

static void take(struct follow *f, size_t n)
{
	f->received += n;
	if (!f->app_deaf)
		f->down_len += n;
}

/* How much may be read: what comes behind a fence is not for us, unless the
 * VM stays. */
static size_t room(const struct follow *f)
{
	size_t n = f->down_cap - f->down_start - f->down_len;
	uint64_t left = f->watch.delivered - f->received;

	return f->fenced && left < n ? (size_t)left : n;
}

/* Both ways are closed. */
static void check_hup(struct follow *f)
{
	struct pollfd p = {.fd = f->conn.fd};

	if (poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR))
		f->hup = true;
}

/* Nothing more comes, or nothing more that is for us. A broker that ends
 * while its state has left leaves the stream to whoever has that. */
static void at_end(struct follow *f)
{
	if (f->fenced && is_left(f)) {
		await_end(f, FOLLOW_ASK_MS);
		if (f->fenced) {
			cut(f);
			return;
		}
	}
	if (f->in_eof)
		check_hup(f);
	/* Or we closed that way ourselves. */
	if (f->in_eof && (f->hup || !f->app_deaf))
		on_verdict(f, judge(f));
}

static void read_broker(struct follow *f)
{
	while (!f->in_eof && !all_here(f) && make_room(f)) {
		uint8_t *to = f->down + f->down_start + f->down_len;
		ssize_t n = recv(f->conn.fd, to, room(f), quietly(0));

		if (n > 0) {
			take(f, (size_t)n);
			if (!f->hup)
				return;
			continue;
		}
		if (n < 0 && is_again())
			return;
		f->in_eof = true;
		at_end(f);
		return;
	}
	if (f->hup && all_here(f))
		at_end(f);
}

/* ---- to the program -------------------------------------------------------
 */

/* It reads no more: so does the broker learn, as if it had been the program's
 * own socket. A command would take that for its end. */
static void become_deaf(struct follow *f)
{
	f->app_deaf = true;
	f->down_start = f->down_len = 0;
	if (!f->over && !f->cut && f->conn.out == f->conn.fd)
		shutdown(f->conn.fd, SHUT_RD);
}

static void write_app(struct follow *f)
{
	ssize_t n;

	if (f->down_len > 0) {
		n = send(f->app, f->down + f->down_start, f->down_len,
			 quietly(MSG_NOSIGNAL));
		if (n < 0 && !is_again())
			become_deaf(f);
		if (n > 0) {
			f->down_start += (size_t)n;
			f->down_len -= (size_t)n;
		}
	}
	if (f->in_end && f->down_len == 0 && !f->passed) {
		shutdown(f->app, SHUT_WR);
		f->passed = true;
	}
}

/* ---- from the program to the broker ----------------------------------------
 */

static void read_app(struct follow *f)
{
	uint8_t *to;
	size_t room = keep_room(&f->up, &to);
	ssize_t n;

	if (f->app_end || room == 0)
		return;
	atomic_store(&f->rec->busy, true);
	n = recv(f->app, to, room, quietly(0));
	if (n > 0)
		keep_add(&f->up, (size_t)n);
	else if (n == 0 || !is_again())
		f->app_end = true;
}

/* Is it that the other side wants no more, or that the connection is gone? The
 * latter is seen at its reading end. */
static void on_broken(struct follow *f)
{
	struct pollfd p = {.fd = f->conn.fd};

	f->out_broken = true;
	if (f->in_eof) {
		f->hup = true;
		on_verdict(f, judge(f));
		return;
	}
	if (f->conn.out != f->conn.fd ||
	    (poll(&p, 1, 0) == 1 && p.revents & POLLHUP))
		return;
	shutdown(f->app, SHUT_RD);
	f->app_end = true;
}

static void write_broker(struct follow *f)
{
	const uint8_t *from;
	size_t len = keep_next(&f->up, &from);
	ssize_t n = 0;

	if (f->out_broken || f->out_end || is_still(f))
		return;
	if (len > 0)
		n = send(f->conn.out, from, len, quietly(MSG_NOSIGNAL));
	if (n > 0)
		keep_sent(&f->up, (size_t)n);
	if (n < 0 && !is_again())
		on_broken(f);
	if (f->app_end && !f->out_broken && f->up.sent == f->up.end) {
		shutdown(f->conn.out, SHUT_WR);
		f->out_end = true;
	}
}

/* ---- the loop -------------------------------------------------------------
 */

enum {
	APP,
	IN,
	OUT,
	WATCH,
	SEARCH,
	N_POLL = SEARCH + FOLLOW_TRIES
};

static short flag(bool want, short events)
{
	return (short)(want ? events : 0);
}

/* Is an end of both ways a sign? Two that we closed ourselves are none. */
static bool tells_by_hup(const struct follow *f)
{
	return f->in_eof && !(f->app_deaf && f->out_end) &&
	       !(f->in_end && is_told_of_end(f));
}

/* Its end is there, and not to be read before it is known whether that is for
 * us: poll() would say it for ever. */
static bool is_idle(const struct follow *f)
{
	return all_here(f) && f->hup && !is_left(f);
}

/* From and to the broker. */
static void fill_broker(const struct follow *f, struct pollfd p[N_POLL])
{
	bool room = f->down_len < f->down_cap ||
		    (f->fenced && f->down_cap < FOLLOW_DOWN_MAX);
	bool unsent = f->up.sent < f->up.end && !f->out_broken && !f->out_end &&
		      !f->fenced;
	bool idle = is_idle(f);
	bool watch = tells_by_hup(f) || (idle && !is_told_of_end(f));

	if (f->cut)
		return;
	if (!f->in_eof && !idle)
		p[IN] = (struct pollfd){f->conn.fd,
					flag(room && !all_here(f), POLLIN), 0};
	if (watch || unsent)
		p[OUT] = (struct pollfd){f->conn.out, flag(unsent, POLLOUT), 0};
	p[WATCH].fd = f->watch.conn.fd;
}

static void fill(const struct follow *f, struct pollfd p[N_POLL])
{
	uint8_t *to;
	bool from_app = !f->app_end && keep_room(&f->up, &to) > 0;
	short app = (short)(flag(from_app, POLLIN) |
			    flag(f->down_len > 0, POLLOUT));

	for (unsigned int i = 0; i < N_POLL; i++)
		p[i] = (struct pollfd){-1, POLLIN, 0};
	p[APP] = (struct pollfd){app || !f->app_hup ? f->app : -1, app, 0};
	fill_broker(f, p);
	if (f->search)
		search_fill(f->search, p + SEARCH);
}

static bool program_is_gone(const struct follow *f)
{
	return f->app_hup && f->app_end && (f->out_end || f->out_broken) &&
	       !is_still(f);
}

/* Is it only what was sent that still has to be taken? A broker that has
 * closed as well says how it ended: what it never took is not in the socket any
 * more, either. An end that is there is read and asked about first. */
static bool waits_to_empty(const struct follow *f)
{
	if (!program_is_gone(f) || (f->in_eof && !f->app_deaf))
		return false;
	return !(f->out_broken && !f->in_eof && f->hup);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int wait_ms(const struct follow *f)
{
	uint64_t now = client_deadline(0), due = CLIENT_NEVER;

	if (!f->cut)
		due = watch_due(&f->watch);
	if (f->search)
		due = earlier(due, search_due(f->search));
	if (f->cut)
		due = earlier(due, f->cut_until_us);
	if (waits_to_empty(f))
		due = earlier(due, f->conn.out == f->conn.fd
					   ? client_deadline(EMPTY_STEP_MS)
					   : f->give_up_us);
	if (due == CLIENT_NEVER)
		return -1;
	return due <= now ? 0 : (int)((due - now + 999u) / 1000u);
}

/* Nothing is in the socket: taken, or lost with a broker that has closed. The
 * kernel marks that before it drops the bytes. */
static void on_taken(struct follow *f)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(f->conn.fd, SOL_SOCKET, SO_ERROR, &error, &len) ||
	    error == 0) {
		f->over = true;
		return;
	}
	f->hup = f->in_eof = true;
	on_verdict(f, judge(f));
}

/* The program is gone and all that it sent is out: the connection can be
 * closed when the broker has taken it. A command has buffers of its own. */
static void check_gone(struct follow *f)
{
	int left = 0;

	if (program_is_gone(f) && f->out_broken && !f->in_eof)
		check_hup(f);
	if (!waits_to_empty(f))
		return;
	if (f->conn.out == f->conn.fd) {
		if (ioctl(f->conn.out, SIOCOUTQ, &left) || left == 0)
			on_taken(f);
		return;
	}
	if (f->give_up_us == CLIENT_NEVER)
		f->give_up_us = client_deadline(FOLLOW_MS);
	f->over |= client_deadline(0) >= f->give_up_us;
}

/* Before anything is read or believed of a destination. */
static void hear_watch(struct follow *f, const struct pollfd *p)
{
	if (p->fd >= 0 && p->revents) {
		/* All of it: what was told before an end is heard before. */
		await_end(f, 0);
		/* There was no other sign to wait for. */
		if (f->watch.said == WATCH_ENDED && f->in_eof && !f->cut)
			at_end(f);
	} else if (!f->cut && client_deadline(0) >= watch_due(&f->watch)) {
		watch_begin(f);
	}
}

static void hear_broker(struct follow *f, const struct pollfd p[N_POLL])
{
	if (f->cut)
		return;
	if (p[IN].revents & (POLLHUP | POLLERR))
		f->hup = true;
	if (p[IN].revents)
		read_broker(f);
	else if (tells_by_hup(f) && p[OUT].revents & (POLLHUP | POLLERR)) {
		f->hup = true;
		at_end(f);
	}
}

static void step(struct follow *f)
{
	struct pollfd p[N_POLL];

	fill(f, p);
	if (poll(p, N_POLL, wait_ms(f)) < 0)
		return;
	if (p[APP].revents & (POLLHUP | POLLERR))
		f->app_hup = true;
	if (f->app_hup && !f->app_deaf && !f->passed)
		become_deaf(f);
	hear_watch(f, &p[WATCH]);
	hear_broker(f, p);
	if (!f->over && is_still(f))
		look(f, f->search ? p + SEARCH : NULL);
	if (f->over)
		return;
	write_app(f);
	read_app(f);
	write_broker(f);
	set_busy(f);
	check_gone(f);
}

/* What was delivered to us is the program's, however the stream ended. */
static void flush_app(struct follow *f)
{
	while (f->down_len > 0 && !f->app_deaf) {
		if (client_wait(f->app, POLLOUT, CLIENT_NEVER))
			return;
		write_app(f);
	}
	write_app(f);
}

static void free_follow(struct follow *f)
{
	keep_done(&f->up);
	free(f->down);
	free(f);
}

static void *run(void *data)
{
	struct follow *f = data;

	while (!f->over)
		step(f);
	atomic_store(&f->rec->busy, false);
	followed_leave(f->rec);
	/* A broker that has said how it ended knows it from now on. */
	stop_search(f);
	watch_end(f);
	place_end(&f->conn, f->child, false);
	flush_app(f);
	followed_end(f->rec, f->failed ? &f->last : NULL);
	close(f->app);
	free_follow(f);
	return NULL;
}

/* ---- the start ------------------------------------------------------------
 */

/* No signal of the program's is handled in a thread that it knows nothing
 * of. */
static int start_thread(struct follow *f)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, run, f);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int prepare(struct follow *f)
{
	const int size = KEEP_SNDBUF;

	f->give_up_us = CLIENT_NEVER;
	watch_init(&f->watch);
	place_init(&f->at, f->vm, false);
	f->down_cap = FOLLOW_DOWN;
	f->down = malloc(f->down_cap);
	if (!f->down || !keep_init(&f->up, KEEP_BYTES))
		return ENOMEM;
	setsockopt(f->conn.out, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	f->rec = followed_new(f->vm, f->id, f->app, &f->conn);
	return f->rec ? start_thread(f) : ENOMEM;
}

int follow_start(struct follow *f)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		r = errno;
		pair[0] = pair[1] = -1;
	} else {
		f->app = pair[1];
		r = prepare(f);
	}
	if (r == 0)
		return pair[0];
	if (f->rec) {
		followed_leave(f->rec);
		followed_end(f->rec, NULL);
	}
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
	client_done(&f->conn);
	r = client_fail(r, "%s: cannot follow the stream on '%s': %s", f->vm,
			f->channel, strerror(r));
	free_follow(f);
	return r;
}
