/* SPDX-License-Identifier: MIT */
/*
 * fuzz_client.c - what a broker, or a service through a stream, answers to the
 * client library
 *
 * The bytes come over a socket, as they do in life: not one after a reply's
 * NUL may be taken from it. Each reply then goes through every reader of
 * replies, whatever it was an answer to.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/conn.h"
#include "client/replies.h"
#include "fuzz.h"

/* Fits a socket's buffer, and is over the limit of a message. */
#define BYTES_MAX (80u * 1024u)

static void check_printable(const char *s, size_t size)
{
	size_t len = strnlen(s, size);

	FUZZ_CHECK(len < size);
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(s[i] > 0x20 && s[i] < 0x7f);
}

static void try_event(const json_t *parameters)
{
	char instance[REPLY_INSTANCE_SIZE];
	struct vmc_monitor_event e;

	if (!reply_event(parameters, instance, &e))
		return;
	check_printable(instance, sizeof(instance));
	check_printable(e.id, sizeof(e.id));
	check_printable(e.channel, sizeof(e.channel));
	FUZZ_CHECK(e.seq <= INT64_MAX && e.lost <= INT64_MAX);
	FUZZ_CHECK(vmc_reason_text(e.reason));
}

static void try_status(const json_t *parameters)
{
	struct vmc_status s;

	if (!reply_status(parameters, &s))
		return;
	FUZZ_CHECK(s.state <= VMC_STREAM_ENDED);
	FUZZ_CHECK(s.bytes_in <= INT64_MAX && s.bytes_out <= INT64_MAX);
}

static void try_offer(const json_t *parameters)
{
	char token[REPLY_TOKEN_SIZE];
	struct vmc_caller caller = {0};

	if (!reply_offer(parameters, token, &caller))
		return;
	check_printable(token, sizeof(token));
	check_printable(caller.id, sizeof(caller.id));
	FUZZ_CHECK(token[0] != '\0');
	FUZZ_CHECK(caller.side == VMC_PRINCIPAL_HOST ||
		   caller.side == VMC_PRINCIPAL_GUEST);
}

/* Neither C0 nor, as UTF-8, C1: a terminal would obey them. */
static void check_one_line(const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		FUZZ_CHECK(*s >= 0x20 && *s != 0x7f);
		FUZZ_CHECK(*s != 0xc2 || s[1] < 0x80 || s[1] >= 0xa0);
	}
}

/* An error becomes an errno and one clean line. */
static void try_error(const struct client_conn *c, const struct varlink_msg *m)
{
	FUZZ_CHECK(client_reply_error(c, m) < 0);
	check_one_line(vmc_strerror());
}

static void try_reply(const struct client_conn *c, const struct varlink_msg *m)
{
	FUZZ_CHECK(m->method[0] == '\0');
	try_event(m->parameters);
	try_status(m->parameters);
	try_offer(m->parameters);
	if (m->error[0] != '\0')
		try_error(c, m);
}

/* Bytes that wait in the socket. */
static size_t waiting(int fd)
{
	int n = 0;

	FUZZ_CHECK(ioctl(fd, FIONREAD, &n) == 0);
	return (size_t)n;
}

static void read_replies(struct client_conn *c, const uint8_t *data,
			 size_t size)
{
	struct varlink_msg m;
	size_t at = 0;
	int r;

	while ((r = client_recv(c, &m, CLIENT_NEVER)) == 0) {
		const uint8_t *nul = memchr(data + at, '\0', size - at);

		FUZZ_CHECK(nul);
		at = (size_t)(nul - data) + 1;
		FUZZ_CHECK(waiting(c->fd) == size - at);
		try_reply(c, &m);
		varlink_msg_done(&m);
	}
	FUZZ_CHECK(r == -ECONNRESET || r == -EPROTO || r == -EMSGSIZE);
	FUZZ_CHECK(vmc_strerror()[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_conn c;
	int fds[2];

	if (size > BYTES_MAX)
		size = BYTES_MAX;
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	FUZZ_CHECK(send(fds[1], data, size, MSG_DONTWAIT) == (ssize_t)size);
	close(fds[1]);
	client_init(&c, fds[0], "vm", "org.example.fuzz");
	read_replies(&c, data, size);
	client_done(&c);
	return 0;
}
