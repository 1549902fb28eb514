/* SPDX-License-Identifier: MIT */
/*
 * offered.c - a varlink service of the guest, for the VM tests
 *
 *	offered SOCKET
 *
 * One process per connection. What it is asked it does, and writes each call
 * to stderr: tests look there for what came through.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "varlink/varlink.h"

#define NAME    "io.example.Offered"
#define SERVICE "org.varlink.service"

static const char description[] =
	"# A service for tests.\n"
	"interface " NAME "\n\n"
	"# The same text.\n"
	"method Echo(text: string) -> (text: string)\n\n"
	"# 1 to n, one reply each.\n"
	"method Count(n: int) -> (i: int)\n\n"
	"# A long answer.\n"
	"method Big(bytes: int) -> (data: string)\n\n"
	"# Raw bytes afterwards, which come back.\n"
	"method Raw() -> ()\n\n"
	"# The connection ends without a reply.\n"
	"method Close() -> ()\n\n"
	"# No reply comes.\n"
	"method Never() -> ()\n\n"
	"error Refused()\n";

static int fd;

static void put(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n <= 0)
			_exit(0);
		bytes += n;
		len -= (size_t)n;
	}
}

static void reply(const char *error, json_t *p, bool continues)
{
	size_t len;
	char *text = varlink_reply_text(error, p, continues, &len);

	put(text, len);
	free(text);
	json_decref(p);
}

static json_int_t number(const struct varlink_msg *m, const char *key)
{
	return json_integer_value(json_object_get(m->parameters, key));
}

static void do_info(const struct varlink_msg *m, const struct varlink_buf *b)
{
	reply(NULL,
	      json_pack("{s:s,s:s,s:s,s:s,s:[s,s]}", "vendor", "Example",
			"product", "offered", "version", "1", "url",
			"https://example.org/", "interfaces", NAME, SERVICE),
	      false);
}

static void do_describe(const struct varlink_msg *m,
			const struct varlink_buf *b)
{
	reply(NULL, json_pack("{s:s}", "description", description), false);
}

static void do_echo(const struct varlink_msg *m, const struct varlink_buf *b)
{
	if (!m->oneway)
		reply(NULL, json_incref(m->parameters), false);
}

static void do_count(const struct varlink_msg *m, const struct varlink_buf *b)
{
	json_int_t n = number(m, "n");

	for (json_int_t i = 1; i <= n; i++)
		reply(NULL, json_pack("{s:I}", "i", i), i < n);
}

static void do_big(const struct varlink_msg *m, const struct varlink_buf *b)
{
	static const char head[] = "{\"parameters\":{\"data\":\"",
			  tail[] = "\"}}";
	static char piece[65536];

	memset(piece, 'x', sizeof(piece));
	put(head, strlen(head));
	for (json_int_t left = number(m, "bytes"); left > 0;) {
		size_t n = left < (json_int_t)sizeof(piece) ? (size_t)left
							    : sizeof(piece);

		put(piece, n);
		left -= (json_int_t)n;
	}
	put(tail, sizeof(tail));
}

static void do_raw(const struct varlink_msg *m, const struct varlink_buf *b)
{
	char buf[4096];
	const char *rest;
	size_t len;
	ssize_t n;

	if (!m->upgrade) {
		reply(NAME ".Refused", json_object(), false);
		return;
	}
	reply(NULL, json_object(), false);
	rest = varlink_buf_rest(b, &len);
	put(rest, len);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		put(buf, (size_t)n);
	put("bye", 3);
	_exit(0);
}

static void do_close(const struct varlink_msg *m, const struct varlink_buf *b)
{
	_exit(0);
}

static void do_never(const struct varlink_msg *m, const struct varlink_buf *b)
{
}

static const struct {
	const char *method;
	void (*run)(const struct varlink_msg *m, const struct varlink_buf *b);
} rows[] = {
	{SERVICE ".GetInfo", do_info},
	{SERVICE ".GetInterfaceDescription", do_describe},
	{NAME ".Echo", do_echo},
	{NAME ".Count", do_count},
	{NAME ".Big", do_big},
	{NAME ".Raw", do_raw},
	{NAME ".Close", do_close},
	{NAME ".Never", do_never},
};

static void answer(const struct varlink_msg *m, const struct varlink_buf *b)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].method, m->method) != 0)
			continue;
		rows[i].run(m, b);
		return;
	}
	reply(SERVICE ".MethodNotFound",
	      json_pack("{s:s}", "method", m->method), false);
}

__attribute__((noreturn)) static void serve(void)
{
	struct varlink_buf b;
	struct varlink_msg m;
	char *room;
	long size;
	ssize_t n;

	varlink_buf_init(&b);
	while ((size = varlink_buf_room(&b, &room)) > 0 &&
	       (n = read(fd, room, (size_t)size)) > 0) {
		varlink_buf_add(&b, (size_t)n);
		while (varlink_buf_next(&b, &m) == 1) {
			fprintf(stderr, "%s\n", m.method);
			answer(&m, &b);
			varlink_msg_done(&m);
		}
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(sa.sun_path)) {
		fputs("usage: offered SOCKET\n", stderr);
		return 2;
	}
	strcpy(sa.sun_path, argv[1]);
	unlink(argv[1]);
	signal(SIGCHLD, SIG_IGN);
	if (s < 0 || bind(s, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(s, 16) < 0) {
		perror("offered");
		return 1;
	}
	while ((fd = accept(s, NULL, NULL)) >= 0) {
		if (fork() == 0)
			serve();
		close(fd);
	}
	return 1;
}
