/* SPDX-License-Identifier: MIT */
/*
 * two-engines.c - the session engine without brokers
 *
 * What a VMM embeds: it owns the pipe (here a socketpair, there a device's
 * buffers) and an engine of each role speaks over it. The "guest" offers
 * org.example.upper; the "host" sends a line and prints the answer.
 *
 * Exit status: 0 the answer came, 1 it did not.
 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vmchannel/session.h>

struct end {
	struct vmc_session *s;
	int fd;
	vmc_stream stream;
	char text[256]; /* to be sent */
	size_t len;
	bool done;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void end_init(struct end *e, enum vmc_role role, int fd)
{
	struct vmc_session_config cfg;
	uint8_t entropy[VMC_ENTROPY_LEN];
	size_t size;
	void *mem;

	vmc_session_config_default(&cfg, role);
	size = (vmc_session_size(&cfg) + 63) & ~(size_t)63;
	mem = aligned_alloc(64, size);
	if (!mem || vmc_session_init(&e->s, mem, size, &cfg))
		die("session");
	if (getrandom(entropy, sizeof(entropy), 0) != sizeof(entropy))
		die("getrandom");
	e->fd = fd;
	vmc_session_attach(e->s, entropy, now_us());
}

/* Bytes of the peer: the guest answers them in capitals, the host prints. */
static void readable(struct end *e, enum vmc_role role)
{
	struct iovec iov;
	long n;

	while ((n = vmc_stream_peek(e->s, e->stream, &iov, 1)) > 0) {
		const char *p = iov.iov_base;

		if (role == VMC_ROLE_HOST)
			fwrite(p, 1, (size_t)n, stdout);
		for (long i = 0; role == VMC_ROLE_GUEST && i < n &&
				 e->len < sizeof(e->text);
		     i++)
			e->text[e->len++] = (char)toupper((unsigned char)p[i]);
		vmc_stream_consume(e->s, e->stream, (size_t)n);
	}
	if (role == VMC_ROLE_GUEST && vmc_stream_at_end(e->s, e->stream))
		vmc_stream_ready(e->s, e->stream);
}

static void handle(struct end *e, enum vmc_role role,
		   const struct vmc_event *ev)
{
	struct vmc_principal who = {.kind = VMC_PRINCIPAL_HOST,
				    .uid = getuid()};

	if (ev->type == VMC_EV_NAME_ADDED) {
		printf("the peer offers %s\n", ev->name);
		if (vmc_stream_open(e->s, &e->stream, ev->name, 0, &who, 1, 1,
				    now_us()))
			die("open");
		vmc_stream_ready(e->s, e->stream);
	} else if (ev->type == VMC_EV_OPEN) {
		e->stream = ev->stream;
		vmc_stream_accept(e->s, ev->stream, 1, 1);
	} else if (ev->type == VMC_EV_READABLE) {
		readable(e, role);
	} else if (ev->type == VMC_EV_END) {
		printf("%s: %s\n", role == VMC_ROLE_HOST ? "host" : "guest",
		       vmc_reason_text(ev->reason));
		e->done = true;
	}
}

/* What an end does on each wake-up, as session.h says. */
static void turn(struct end *e, enum vmc_role role)
{
	struct vmc_pull pull;
	struct vmc_event ev;
	const uint8_t *out;
	uint8_t *in;
	size_t room;
	ssize_t n;

	vmc_session_tick(e->s, now_us());
	do {
		while (vmc_session_next_event(e->s, &ev, now_us()))
			handle(e, role, &ev);
		room = vmc_session_input(e->s, &in);
		n = recv(e->fd, in, room, MSG_DONTWAIT);
		if (n > 0)
			vmc_session_input_done(e->s, (size_t)n, now_us());
	} while (n > 0);
	while (vmc_session_pull(e->s, &pull, now_us())) {
		memcpy(pull.buf, e->text, e->len);
		vmc_session_pull_done(e->s, e->len, VMC_PULL_FINISH, now_us());
	}
	while ((room = vmc_session_output(e->s, &out, now_us()))) {
		n = send(e->fd, out, room, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			break; /* the pipe is full: poll for POLLOUT */
		vmc_session_output_done(e->s, (size_t)n, now_us());
	}
}

static int timeout_ms(const struct end *a, const struct end *b)
{
	uint64_t ta = vmc_session_deadline(a->s);
	uint64_t tb = vmc_session_deadline(b->s);
	uint64_t t = ta < tb ? ta : tb, now = now_us();

	if (t == UINT64_MAX)
		return 1000;
	return t <= now ? 0 : (int)((t - now) / 1000 + 1);
}

int main(void)
{
	struct end host = {.text = "hello from the host\n"}, guest = {0};
	int fds[2];

	host.len = strlen(host.text);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		die("socketpair");
	end_init(&host, VMC_ROLE_HOST, fds[0]);
	end_init(&guest, VMC_ROLE_GUEST, fds[1]);
	vmc_name_advertise(guest.s, "org.example.upper", 0);
	for (int n = 0; n < 1000 && !(host.done && guest.done); n++) {
		struct pollfd p[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};

		turn(&host, VMC_ROLE_HOST);
		turn(&guest, VMC_ROLE_GUEST);
		if (poll(p, 2, timeout_ms(&host, &guest)) < 0 && errno != EINTR)
			die("poll");
	}
	free(host.s); /* the session lies at the start of its memory */
	free(guest.s);
	return host.done && guest.done ? 0 : 1;
}
