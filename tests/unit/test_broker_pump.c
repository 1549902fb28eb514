/* SPDX-License-Identifier: MIT */
/*
 * test_broker_pump.c - one broker, its peer's engine in the test: nothing
 * that came stays unread, nothing that waits is put off for ever
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/control.h"
#include "broker/internal.h"

struct bench {
	char top[32], dir[64];
	uv_loop_t loop;
	struct broker *b;
	struct vmc_session *peer; /* in the guest's role */
	int fds[3], link[2], program[2];
};

static void link_ended(void *data, int fd, enum broker_link_end why, int error)
{
	(void)data;
	(void)fd;
	(void)why;
	(void)error;
}

static const struct broker_ops ops = {.link_ended = link_ended};

static void make_broker(struct bench *t, enum broker_link_kind kind)
{
	struct broker_config cfg = {
		.role = VMC_ROLE_HOST,
		.vm = "test",
		.owner = geteuid(),
		.ops = &ops,
		.data = t,
	};
	char err[VMDIR_ERROR_MAX];
	struct policy *p;

	strcpy(t->top, "/tmp/vmc-test-XXXXXX");
	assert_non_null(mkdtemp(t->top));
	snprintf(t->dir, sizeof(t->dir), "%s/vm", t->top);
	assert_int_equal(vmdir_claim(t->dir, 0600, t->fds, err, sizeof(err)),
			 0);
	cfg.control_fd = t->fds[1];
	cfg.connect_fd = t->fds[2];
	assert_int_equal(uv_loop_init(&t->loop), 0);
	assert_int_equal(broker_new(&t->b, &t->loop, &cfg), 0);
	assert_int_equal(policy_new(&p, VMC_PRINCIPAL_HOST), 0);
	assert_int_equal(policy_seal(p), 0);
	broker_set_policy(t->b, p);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, t->link),
		0);
	broker_link_attach(t->b, t->link[0], kind);
}

static void make_peer(struct bench *t)
{
	uint8_t entropy[VMC_ENTROPY_LEN];
	struct vmc_session_config cfg;
	size_t size;
	void *mem;

	vmc_session_config_default(&cfg, VMC_ROLE_GUEST);
	cfg.instance = 1;
	size = (vmc_session_size(&cfg) + 63) & ~(size_t)63;
	mem = aligned_alloc(64, size);
	assert_non_null(mem);
	assert_int_equal(vmc_session_init(&t->peer, mem, size, &cfg), 0);
	assert_int_equal(getrandom(entropy, sizeof(entropy), 0),
			 sizeof(entropy));
	vmc_session_attach(t->peer, entropy, broker_now_us());
}

static void peer_write(struct bench *t)
{
	const uint8_t *out;
	size_t n;

	while ((n = vmc_session_output(t->peer, &out, broker_now_us()))) {
		ssize_t sent = send(t->link[1], out, n, MSG_DONTWAIT);

		if (sent <= 0)
			return;
		vmc_session_output_done(t->peer, (size_t)sent, broker_now_us());
	}
}

static void peer_read(struct bench *t)
{
	struct vmc_event ev;
	uint8_t *in;
	size_t room = vmc_session_input(t->peer, &in);
	ssize_t n = recv(t->link[1], in, room, MSG_DONTWAIT);

	if (n > 0)
		vmc_session_input_done(t->peer, (size_t)n, broker_now_us());
	while (vmc_session_next_event(t->peer, &ev, broker_now_us()))
		;
}

/* As run.c: what epoll says, then the pump as long as it has work left. */
static void turn(struct bench *t)
{
	struct epoll_event ev[8];
	int n = epoll_wait(t->b->inner, ev, 8, 0);

	for (int i = 0; i < n; i++) {
		struct stream *st = stream_get(t->b, ev[i].data.u64);

		if (ev[i].data.u64 == REF_LINK)
			link_events(t->b, ev[i].events);
		else if (st)
			stream_events(t->b, st, ev[i].events);
	}
	if (n > 0 || t->b->again)
		pump_run(t->b, broker_now_us());
}

static bool peer_is_up(const struct bench *t)
{
	struct vmc_session_stats st;

	vmc_session_get_stats(t->peer, &st);
	return st.state == VMC_SESSION_UP;
}

static void move(struct bench *t, int rounds)
{
	while (rounds-- > 0) {
		turn(t);
		peer_read(t);
		peer_write(t);
	}
}

static int set_up(void **state)
{
	struct bench *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	make_broker(t, BROKER_LINK_SOCKET);
	make_peer(t);
	move(t, 100);
	assert_true(t->b->up && peer_is_up(t));
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *t = *state;

	broker_link_detach(t->b);
	broker_free(t->b);
	uv_run(&t->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&t->loop), 0);
	vmdir_release(t->dir, t->fds);
	rmdir(t->top);
	close(t->link[0]);
	close(t->link[1]);
	free(t->peer);
	free(t);
	return 0;
}

static unsigned int names_in(const struct vmc_session *s)
{
	const char *name;
	uint32_t pos = 0, flags;
	unsigned int n = 0;

	while (vmc_name_next(s, &pos, &name, &flags))
		n++;
	return n;
}

/*
 * The session takes no input while events wait, here the end of a call whose
 * program went away. The link's edge is gone by then.
 */
static void link_is_read_after_events(void **state)
{
	struct bench *t = *state;
	struct creds me = {
		.who = {.kind = VMC_PRINCIPAL_HOST, .uid = geteuid()},
	};
	struct outgoing o = {.channel = "org.test.x",
			     .answer = STREAM_ANSWER_LINE};
	struct refusal why;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, t->program),
		0);
	o.fd = t->program[0];
	assert_true(outgoing_open(t->b, &o, &me, &why));
	move(t, 10);
	for (int i = 0; i < 20 && t->b->again; i++)
		turn(t);
	assert_int_equal(names_in(t->b->session), 0);

	assert_int_equal(vmc_name_advertise(t->peer, "org.test.late", 0), 0);
	peer_write(t);
	close(t->program[1]);
	turn(t);
	for (int i = 0; i < 4 && t->b->again; i++)
		pump_run(t->b, broker_now_us());
	assert_int_equal(names_in(t->b->session), 1);
	assert_false(t->b->link.readable);
}

/* Other work must not put off the next look at a port that took nothing. */
static void port_is_retried_in_time(void **state)
{
	struct bench *t = *state;
	uint64_t now = broker_now_us();

	t->b->link.kind = BROKER_LINK_PORT;
	link_set_writable(t->b, false);
	pump_run(t->b, now);
	for (int i = 0; i < 9; i++) {
		now += LINK_RETRY_MS * 100u;
		pump_deadline(t->b, now);
		assert_false(t->b->link.writable);
		pump_run(t->b, now);
	}
	now += LINK_RETRY_MS * 100u;
	assert_true(now >= t->b->deadline_us);
	pump_deadline(t->b, now);
	assert_true(t->b->link.writable);
	assert_int_equal(t->b->count.link_retries, 1);
	/* Refused again: not before another LINK_RETRY_MS. */
	link_set_writable(t->b, false);
	pump_run(t->b, now);
	pump_deadline(t->b, now + LINK_RETRY_MS * 1000u - 1);
	assert_int_equal(t->b->count.link_retries, 1);
	pump_deadline(t->b, now + LINK_RETRY_MS * 1000u);
	assert_int_equal(t->b->count.link_retries, 2);
}

/* A socket says itself when there is room: a VM that is paused for hours with
 * a full socket wakes nobody. */
static void socket_is_not_retried(void **state)
{
	struct bench *t = *state;
	uint64_t now = broker_now_us();

	link_set_writable(t->b, false);
	pump_run(t->b, now);
	pump_deadline(t->b, now + LINK_RETRY_MS * 1000u);
	assert_int_equal(t->b->count.link_retries, 0);
}

/* ---- sends that fail for want of memory ---------------------------------- */

/* Sends of the broker to this program's socket fail that often. */
static int starved_fd = -1, starved_times;

ssize_t __real_send(int fd, const void *buf, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t n, int flags);

ssize_t __wrap_send(int fd, const void *buf, size_t n, int flags)
{
	if (fd != starved_fd || starved_times == 0)
		return __real_send(fd, buf, n, flags);
	starved_times--;
	errno = ENOMEM;
	return -1;
}

/* The peer's next OPEN, accepted. */
static vmc_stream peer_accepts(struct bench *t)
{
	struct vmc_event ev = {.type = VMC_EV_NONE};

	for (int i = 0; i < 20 && ev.type != VMC_EV_OPEN; i++) {
		uint8_t *in;
		size_t room = vmc_session_input(t->peer, &in);
		ssize_t n;

		turn(t);
		n = recv(t->link[1], in, room, MSG_DONTWAIT);
		if (n > 0)
			vmc_session_input_done(t->peer, (size_t)n,
					       broker_now_us());
		while (ev.type != VMC_EV_OPEN &&
		       vmc_session_next_event(t->peer, &ev, broker_now_us()))
			;
	}
	assert_int_equal(ev.type, VMC_EV_OPEN);
	assert_int_equal(vmc_stream_accept(t->peer, ev.stream, 1, 1), 0);
	return ev.stream;
}

static void peer_sends(struct bench *t, vmc_stream h, const char *text)
{
	struct vmc_pull pull;

	assert_int_equal(vmc_stream_ready(t->peer, h), 0);
	assert_true(vmc_session_pull(t->peer, &pull, broker_now_us()));
	memcpy(pull.buf, text, strlen(text));
	vmc_session_pull_done(t->peer, strlen(text), 0, broker_now_us());
	peer_write(t);
}

/* The program's socket is empty all the time, so no edge ever comes. */
static void want_of_memory_is_tried_again(void **state)
{
	struct bench *t = *state;
	struct creds me = {
		.who = {.kind = VMC_PRINCIPAL_HOST, .uid = geteuid()},
	};
	struct outgoing o = {.channel = "org.test.x",
			     .answer = STREAM_ANSWER_LINE};
	struct refusal why;
	char buf[64];
	vmc_stream h;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, t->program),
		0);
	o.fd = t->program[0];
	assert_true(outgoing_open(t->b, &o, &me, &why));
	pump_kick(t->b);
	h = peer_accepts(t);
	move(t, 10);
	assert_true(recv(t->program[1], buf, sizeof(buf), 0) > 3);

	starved_fd = t->program[0];
	starved_times = 3;
	peer_sends(t, h, "bytes");
	move(t, 10);
	assert_true(t->b->sweeping);
	for (int i = 0; i < 3; i++)
		streams_sweep(t->b, broker_now_us() / 1000u);
	assert_int_equal(starved_times, 0);
	assert_int_equal(recv(t->program[1], buf, sizeof(buf), 0), 5);
	assert_false(streams_sweep(t->b, broker_now_us() / 1000u));
	starved_fd = -1;
	close(t->program[1]);
	move(t, 10);
}

/* ---- a stream that ends before a program takes it ------------------------ */

static void what_ended_before_it_was_taken_is_recorded(void **state)
{
	struct bench *t = *state;
	struct vmc_principal who = {.kind = VMC_PRINCIPAL_GUEST};
	const struct stream_record *rec;
	struct vmc_event ev;
	struct stream *st;
	vmc_stream h;
	uint64_t number;
	uint8_t *in;
	ssize_t n;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, t->program),
		0);
	assert_int_equal(vmc_stream_open(t->peer, &h, "org.test.x", 0, &who, 1,
					 1, broker_now_us()),
			 0);
	peer_write(t);
	vmc_session_input(t->b->session, &in);
	n = recv(t->link[0], in, 4096, MSG_DONTWAIT);
	assert_true(n > 0);
	vmc_session_input_done(t->b->session, (size_t)n, broker_now_us());
	assert_true(
		vmc_session_next_event(t->b->session, &ev, broker_now_us()));
	assert_int_equal(ev.type, VMC_EV_OPEN);
	st = stream_new(t->b, STREAM_WAITING);
	assert_non_null(st);
	st->h = ev.stream;
	strcpy(st->name, ev.name);
	number = st->number;
	vmc_stream_set_cookie(t->b->session, st->h, stream_ref(t->b, st));
	assert_int_equal(
		vmc_stream_reset(t->b->session, st->h, VMC_REASON_APP_ABORT),
		0);
	incoming_take(t->b, st, t->program[0], geteuid());
	move(t, 10);
	rec = status_find(t->b->status, number);
	assert_non_null(rec);
	assert_int_equal(rec->reason, VMC_REASON_APP_ABORT);
	assert_int_equal(recv(t->program[1], &n, 1, 0), 0);
	close(t->program[1]);
}

/* ---- users of one side and of the other ------------------------------- */

#define UID 1000u

static const struct vmc_principal theirs = {
	.kind = VMC_PRINCIPAL_GUEST,
	.uid = UID,
};

static struct creds ours(void)
{
	return (struct creds){
		.who = {.kind = VMC_PRINCIPAL_HOST, .uid = UID},
	};
}

static void users_of_two_sides_are_two(void **state)
{
	struct creds us = ours(), them = {.peer = true, .who = theirs};
	struct creds other = us;

	(void)state;
	other.who.uid++;
	assert_true(creds_same_user(&us, &us));
	assert_false(creds_same_user(&us, &them));
	assert_false(creds_same_user(&us, &other));
	assert_true(principal_key(&us.who) != principal_key(&them.who));
	assert_true(principal_key(&us.who) != principal_key(&other.who));
}

/* Whatever a caller at the other side claims, it does not own this broker. */
static void only_ours_own_the_broker(void **state)
{
	const struct broker b = {.owner = UID};
	struct creds us = ours(), them = {.peer = true, .who = theirs};

	(void)state;
	assert_true(creds_is_owner(&b, &us));
	assert_false(creds_is_owner(&b, &them));
	us.who.uid = them.who.uid = 0;
	assert_true(creds_is_owner(&b, &us));
	assert_false(creds_is_owner(&b, &them));
	us.who.uid = UID + 1;
	assert_false(creds_is_owner(&b, &us));
}

/* Return: the reason of the refusal, or OK. */
static unsigned int call_out(struct bench *t)
{
	struct outgoing o = {.channel = "org.test.x",
			     .answer = STREAM_ANSWER_LINE};
	struct creds us = ours();
	struct refusal why;
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	o.fd = fds[0];
	if (outgoing_open(t->b, &o, &us, &why)) {
		close(fds[1]);
		return VMC_REASON_OK;
	}
	close(fds[0]);
	close(fds[1]);
	return why.reason;
}

/* The guest's user 1000 calls a listener of the host's user 1000. */
static void fill_listener(struct bench *t, uint32_t n)
{
	vmc_stream h;

	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(vmc_stream_open(t->peer, &h, "org.test.mine",
						 0, &theirs, UID, 1,
						 broker_now_us()),
				 0);
		move(t, 2);
	}
	move(t, 20);
}

/* Neither what a guest's user claims to be nor what the guest opens to a
 * listener of the host's user takes of the host user's own. */
static void the_peer_takes_no_quota_of_ours(void **state)
{
	static const char rule[] = "connect * * allow\n";
	struct bench *t = *state;
	uint32_t half = t->b->max_streams / 2;
	char err[256];
	struct channel *ch;
	unsigned int n = 0;
	struct policy *p;
	int fds[2];

	if (geteuid() == UID)
		skip();
	assert_int_equal(policy_new(&p, VMC_PRINCIPAL_HOST), 0);
	assert_int_equal(policy_add_text(p, "test", rule, strlen(rule), NULL,
					 err, sizeof(err)),
			 0);
	assert_int_equal(policy_seal(p), 0);
	broker_set_policy(t->b, p);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(control_serve_peer(t->b, fds[0], &theirs), 0);
	assert_int_equal(channel_add(t->b, &ch, CHANNEL_LISTENER,
				     "org.test.mine", false, UID),
			 0);
	ch->conn = t->b->control.list;
	fill_listener(t, half);
	assert_int_equal(ch->waiting, half);
	for (uint32_t i = 0; i < t->b->n_slots; i++) {
		const struct stream *st = &t->b->streams[i];

		n += st->state == STREAM_WAITING &&
		     st->owner == principal_key(&theirs);
	}
	assert_int_equal(n, half);
	assert_int_equal(streams_from_uid(t->b, UID), 0);
	n = 0;
	while (call_out(t) == VMC_REASON_OK)
		n++;
	assert_int_equal(n, half);
	close(fds[1]);
}

/* Return: how many channels of @uid were added before @ret_error. */
static unsigned int add_channels(struct bench *t, uid_t uid, int *ret_error)
{
	char name[VMC_NAME_MAX + 1];
	unsigned int n = 0;

	do {
		snprintf(name, sizeof(name), "org.test.u%u.n%u",
			 (unsigned int)uid, n);
		*ret_error = channel_add(t->b, NULL, CHANNEL_SERVICE, name,
					 false, uid);
	} while (*ret_error == 0 && ++n <= CHANNELS_MAX);
	return n;
}

static void channels_have_limits(void **state)
{
	struct bench *t = *state;
	int err;

	assert_int_equal(add_channels(t, UID, &err), CHANNELS_UID_MAX);
	assert_int_equal(err, -EDQUOT);
	assert_int_equal(t->b->count.limit_channels, 1);
	/* Another user has what is left to users, the owner all the rest; one
	 * is the broker's own. */
	assert_int_equal(add_channels(t, UID + 1, &err),
			 CHANNELS_MAX - CHANNELS_RESERVED - CHANNELS_UID_MAX);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(t->b->count.limit_channels, 2);
	assert_int_equal(add_channels(t, t->b->owner, &err),
			 CHANNELS_RESERVED - 1);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(t->b->count.limit_channels, 3);
	/* The peer learns all of them. */
	move(t, 100);
	assert_int_equal(names_in(t->peer), CHANNELS_MAX);
}

/* ---- what waits too long ---------------------------------------------- */

static void a_call_without_its_line_times_out(void **state)
{
	static const char answer[] = "ERR timeout no line came\n";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct bench *t = *state;
	char text[64] = "";
	uint64_t before;
	int fd;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/connect", t->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	before = broker_now_us() / 1000u;
	while (t->b->connect.n == 0)
		uv_run(&t->loop, UV_RUN_ONCE);
	assert_true(connect_server_sweep(t->b, before + CONNECT_LINE_MS - 1));
	assert_int_equal(t->b->count.limit_connect_time, 0);
	assert_false(connect_server_sweep(t->b, broker_now_us() / 1000u +
							CONNECT_LINE_MS));
	assert_int_equal(t->b->count.limit_connect_time, 1);
	assert_int_equal(recv(fd, text, sizeof(text) - 1, 0),
			 sizeof(answer) - 1);
	assert_string_equal(text, answer);
	close(fd);
}

static void a_stream_that_nobody_takes_times_out(void **state)
{
	struct bench *t = *state;
	struct stream *st = stream_new(t->b, STREAM_WAITING);
	uint64_t since = st->since_ms;

	assert_true(streams_sweep(t->b, since + ACCEPT_MS - 1));
	assert_int_equal(st->state, STREAM_WAITING);
	assert_int_equal(t->b->count.limit_accept_time, 0);
	assert_false(streams_sweep(t->b, since + ACCEPT_MS));
	assert_int_equal(st->state, STREAM_FREE);
	assert_int_equal(t->b->count.limit_accept_time, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(link_is_read_after_events,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(want_of_memory_is_tried_again,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_ended_before_it_was_taken_is_recorded, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(port_is_retried_in_time, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(socket_is_not_retried, set_up,
						tear_down),
		cmocka_unit_test(users_of_two_sides_are_two),
		cmocka_unit_test(only_ours_own_the_broker),
		cmocka_unit_test_setup_teardown(the_peer_takes_no_quota_of_ours,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(channels_have_limits, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_call_without_its_line_times_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_stream_that_nobody_takes_times_out, set_up,
			tear_down),
	};

	return cmocka_run_group_tests_name("broker pump", tests, NULL, NULL);
}
