/* SPDX-License-Identifier: MIT */
/*
 * broker_bench.h - brokers on a bench: a guest's engine, whose link can be
 * put to another broker, as in a migration
 *
 * Include after cmocka.h. Nothing here waits: a turn is what epoll says now.
 */
#ifndef TESTS_UNIT_BROKER_BENCH_H
#define TESTS_UNIT_BROKER_BENCH_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/control.h"
#include "broker/internal.h"
#include "broker/state.h"

#define BENCH_CHANNEL "org.test.x"

struct node {
	char top[32], dir[64];
	uv_loop_t loop;
	struct broker *b;
	int fds[3];
	int link[2]; /* ours, QEMU's */
	unsigned int ups, ends;
	enum broker_link_end why;
	char destination[DESTINATION_MAX + 1];
	unsigned int upgrades;
};

struct guest {
	struct vmc_session *s;
	int link; /* -1: it stands still */
	struct vmc_event last[VMC_EV_NUM];
	unsigned int seen[VMC_EV_NUM];
};

static inline void node_link_ended(void *data, int fd, enum broker_link_end why,
				   int error)
{
	struct node *n = data;

	(void)fd;
	(void)error;
	n->ends++;
	n->why = why;
}

static inline void node_peer_up(void *data, bool resumed)
{
	struct node *n = data;

	(void)resumed;
	n->ups++;
}

static inline void node_moved(void *data, const char *destination)
{
	struct node *n = data;

	snprintf(n->destination, sizeof(n->destination), "%s", destination);
}

static inline void node_upgrade(void *data)
{
	struct node *n = data;

	n->upgrades++;
}

static const struct broker_ops node_ops = {
	.link_ended = node_link_ended,
	.peer_up = node_peer_up,
	.moved = node_moved,
	.upgrade = node_upgrade,
};

static inline void node_set_rules(struct node *n, const char *rules)
{
	struct policy *p;
	char err[256];

	assert_int_equal(policy_new(&p, VMC_PRINCIPAL_HOST), 0);
	assert_int_equal(policy_add_text(p, "test", rules, strlen(rules), NULL,
					 err, sizeof(err)),
			 0);
	assert_int_equal(policy_seal(p), 0);
	broker_set_policy(n->b, p);
}

/* Of the block that a worker leaves to the next one. */
#define NODE_MEMORY (8u * 1024u * 1024u)

/* @mem: NODE_MEMORY bytes, or NULL; @left: a broker that died has left it */
static inline struct node *node_in(void *mem, bool left, const char *uuid,
				   bool incoming)
{
	struct node *n = calloc(1, sizeof(*n));
	struct broker_config cfg = {
		.role = VMC_ROLE_HOST,
		.vm = "test",
		.uuid = uuid,
		.owner = geteuid(),
		.incoming = incoming,
		.session_mem = mem,
		.session_size = mem ? NODE_MEMORY : 0,
		.session_left = left,
		.ops = &node_ops,
		.data = n,
	};
	char err[VMDIR_ERROR_MAX];

	assert_non_null(n);
	strcpy(n->top, "/tmp/vmc-test-XXXXXX");
	assert_non_null(mkdtemp(n->top));
	snprintf(n->dir, sizeof(n->dir), "%s/vm", n->top);
	assert_int_equal(vmdir_claim(n->dir, 0600, n->fds, err, sizeof(err)),
			 0);
	cfg.control_fd = n->fds[1];
	cfg.connect_fd = n->fds[2];
	assert_int_equal(uv_loop_init(&n->loop), 0);
	assert_int_equal(broker_new(&n->b, &n->loop, &cfg), 0);
	node_set_rules(n, "connect * * allow\nlisten * * allow\n");
	n->link[0] = n->link[1] = -1;
	return n;
}

static inline struct node *node_new(const char *uuid, bool incoming)
{
	return node_in(NULL, false, uuid, incoming);
}

/* QEMU is there. */
static inline void node_link(struct node *n)
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, n->link),
		0);
	broker_link_attach(n->b, n->link[0], BROKER_LINK_SOCKET);
}

static inline void node_free(struct node *n)
{
	broker_link_detach(n->b);
	broker_free(n->b);
	uv_run(&n->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&n->loop), 0);
	vmdir_release(n->dir, n->fds);
	rmdir(n->top);
	if (n->link[0] >= 0) {
		close(n->link[0]);
		close(n->link[1]);
	}
	free(n);
}

/* As run.c: what epoll says, then the pump as long as it has work left. */
static inline void node_turn(struct node *n)
{
	struct epoll_event ev[8];
	int r = epoll_wait(n->b->inner, ev, 8, 0);

	for (int i = 0; i < r; i++) {
		struct stream *st = stream_get(n->b, ev[i].data.u64);

		if (ev[i].data.u64 == REF_LINK)
			link_events(n->b, ev[i].events);
		else if (st)
			stream_events(n->b, st, ev[i].events);
	}
	if (r > 0 || n->b->again)
		pump_run(n->b, broker_now_us());
	uv_run(&n->loop, UV_RUN_NOWAIT);
}

static inline struct guest *guest_new(void)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct vmc_session_config cfg;
	size_t size;
	void *mem;

	assert_non_null(g);
	vmc_session_config_default(&cfg, VMC_ROLE_GUEST);
	cfg.instance = 1;
	size = (vmc_session_size(&cfg) + 63) & ~(size_t)63;
	mem = aligned_alloc(64, size);
	assert_non_null(mem);
	assert_int_equal(vmc_session_init(&g->s, mem, size, &cfg), 0);
	g->link = -1;
	return g;
}

static inline void guest_free(struct guest *g)
{
	free(g->s);
	free(g);
}

/* It runs where @n is: no signal tells the guest. */
static inline void guest_run_at(struct guest *g, const struct node *n)
{
	uint8_t entropy[VMC_ENTROPY_LEN] = {1};
	bool first = g->link < 0 && g->seen[VMC_EV_UP] == 0;

	g->link = n->link[1];
	if (first)
		vmc_session_attach(g->s, entropy, broker_now_us());
}

static inline void guest_events(struct guest *g)
{
	uint8_t entropy[VMC_ENTROPY_LEN];
	struct vmc_event ev;

	while (vmc_session_next_event(g->s, &ev, broker_now_us())) {
		g->seen[ev.type]++;
		g->last[ev.type] = ev;
		if (ev.type == VMC_EV_OPEN)
			assert_int_equal(
				vmc_stream_accept(g->s, ev.stream, 1, 1), 0);
		if (ev.type != VMC_EV_NEED_ENTROPY)
			continue;
		assert_int_equal(getrandom(entropy, sizeof(entropy), 0),
				 sizeof(entropy));
		vmc_session_resync(g->s, entropy, broker_now_us());
	}
}

static inline void guest_turn(struct guest *g)
{
	const uint8_t *out;
	uint8_t *in;
	size_t room, len;
	ssize_t n;

	if (g->link < 0)
		return;
	vmc_session_tick(g->s, broker_now_us());
	room = vmc_session_input(g->s, &in);
	n = room ? recv(g->link, in, room, MSG_DONTWAIT) : 0;
	if (n > 0)
		vmc_session_input_done(g->s, (size_t)n, broker_now_us());
	guest_events(g);
	while ((len = vmc_session_output(g->s, &out, broker_now_us()))) {
		n = send(g->link, out, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			return;
		vmc_session_output_done(g->s, (size_t)n, broker_now_us());
	}
}

static inline void play(struct guest *g, struct node *a, struct node *b,
			int rounds)
{
	while (rounds-- > 0) {
		node_turn(a);
		if (b)
			node_turn(b);
		guest_turn(g);
	}
}

static inline void guest_sends(struct guest *g, vmc_stream h, const char *text,
			       size_t len)
{
	struct vmc_pull pull;

	assert_int_equal(vmc_stream_ready(g->s, h), 0);
	assert_true(vmc_session_pull(g->s, &pull, broker_now_us()));
	assert_true(pull.len >= len);
	memcpy(pull.buf, text, len);
	vmc_session_pull_done(g->s, len, 0, broker_now_us());
}

/* Return: bytes that the guest's program got and consumed. */
static inline size_t guest_gets(struct guest *g, vmc_stream h, char *ret,
				size_t size)
{
	struct iovec iov;
	size_t total = 0;

	while (total < size && vmc_stream_peek(g->s, h, &iov, 1) > 0) {
		size_t n =
			iov.iov_len < size - total ? iov.iov_len : size - total;

		memcpy(ret + total, iov.iov_base, n);
		total += n;
		vmc_stream_consume(g->s, h, n);
	}
	return total;
}

/* A call on a connection of its own, as a client makes it. */
static inline int node_call_of(struct node *n, const char *interface,
			       const char *method, const char *params,
			       const char *how)
{
	struct creds me;
	int fds[2];
	char *text = NULL;
	int len;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(creds_get(n->b, fds[0], &me), 0);
	creds_done(&me);
	assert_non_null(control_adopt(n->b, fds[0]));
	len = asprintf(&text, "{\"method\":\"%s.%s\",\"parameters\":%s%s%s}",
		       interface, method, params, how ? "," : "",
		       how ? how : "");
	assert_true(len > 0);
	assert_int_equal(send(fds[1], text, (size_t)len + 1, 0), len + 1);
	free(text);
	return fds[1];
}

static inline int node_call(struct node *n, const char *method,
			    const char *params, const char *how)
{
	return node_call_of(n, BROKER_INTERFACE, method, params, how);
}

/* Return: the next reply, or NULL if none has come. */
static inline json_t *reply(int fd)
{
	char text[4096];
	ssize_t n = recv(fd, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT);
	const char *end = n > 0 ? memchr(text, '\0', (size_t)n) : NULL;
	json_t *o;

	if (!end)
		return NULL;
	assert_int_equal(recv(fd, text, (size_t)(end - text) + 1, 0),
			 end - text + 1);
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	return o;
}

static inline json_t *reply_param(json_t *o, const char *name)
{
	return json_object_get(json_object_get(o, "parameters"), name);
}

static inline const char *reply_error(json_t *o)
{
	const char *e = json_string_value(json_object_get(o, "error"));
	const char *dot = e ? strrchr(e, '.') : NULL;

	return dot ? dot + 1 : "";
}

#endif /* TESTS_UNIT_BROKER_BENCH_H */
