/* SPDX-License-Identifier: MIT */
/* script_broker.c - a broker that does what a test's script says */
#include "script_broker.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A script that is not followed must not hang the test. */
#define SCRIPT_SECONDS 30

static void path_of(const struct script_broker *b, const char *file, char *ret,
		    size_t size)
{
	snprintf(ret, size, "%s/" SCRIPT_VM "%s", b->root, file);
}

static int listen_at(const struct script_broker *b)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	path_of(b, "", sa.sun_path, sizeof(sa.sun_path));
	assert_int_equal(mkdir(sa.sun_path, 0700), 0);
	path_of(b, "/control", sa.sun_path, sizeof(sa.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* In the child; what goes wrong is its exit status. */
static void fail_script(const char *why, const char *text)
{
	fprintf(stderr, "script: %s: %s\n", why, text ? text : "");
	_exit(1);
}

static void send_text(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0)
			return; /* the client had enough */
		text += n;
		len -= (size_t)n;
	}
}

static void expect_message(int fd, const char *text)
{
	char got[4096];
	size_t n = 0;

	do {
		if (n == sizeof(got) || read(fd, got + n, 1) != 1)
			fail_script("no message", text);
	} while (got[n++] != '\0');
	if (!strstr(got, text))
		fail_script(got, text);
}

static void expect_raw(int fd, const char *text)
{
	char got[256];
	size_t len = strlen(text);

	for (size_t n = 0; n < len; n++)
		if (read(fd, got + n, 1) != 1 || got[n] != text[n])
			fail_script("other bytes than", text);
}

static void expect_eof(int fd)
{
	char c;
	ssize_t n = read(fd, &c, 1);

	if (n > 0)
		fail_script("bytes instead of the end", NULL);
}

static void replace(int *fd, int by)
{
	if (*fd >= 0)
		close(*fd);
	*fd = by;
}

static void play(int listener, const struct script_step *s)
{
	int fd = -1;

	for (; s->what != SCRIPT_END; s++) {
		switch (s->what) {
		case SCRIPT_END:
			break;
		case SCRIPT_ACCEPT:
			replace(&fd, accept(listener, NULL, NULL));
			break;
		case SCRIPT_EXPECT:
			expect_message(fd, s->text);
			break;
		case SCRIPT_SEND:
			send_text(fd, s->text, strlen(s->text));
			break;
		case SCRIPT_NUL:
			send_text(fd, "", 1);
			break;
		case SCRIPT_BYTES:
			for (size_t i = 0; i < s->n; i++)
				send_text(fd, s->text, strlen(s->text));
			break;
		case SCRIPT_RAW:
			expect_raw(fd, s->text);
			break;
		case SCRIPT_EOF:
			expect_eof(fd);
			break;
		case SCRIPT_CLOSE:
			replace(&fd, -1);
			break;
		case SCRIPT_QUIT:
			replace(&listener, -1);
			break;
		}
	}
	_exit(0);
}

void script_start(struct script_broker *b, const struct script_step *steps)
{
	int fd;

	strcpy(b->root, "/tmp/vmc-test-XXXXXX");
	assert_non_null(mkdtemp(b->root));
	setenv("VMCHANNEL_DIR", b->root, 1);
	fd = listen_at(b);
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (b->pid == 0) {
		alarm(SCRIPT_SECONDS);
		play(fd, steps);
	}
	close(fd);
}

void script_finish(struct script_broker *b)
{
	char path[128];
	int status;

	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	path_of(b, "/control", path, sizeof(path));
	unlink(path);
	path_of(b, "", path, sizeof(path));
	rmdir(path);
	rmdir(b->root);
	unsetenv("VMCHANNEL_DIR");
	assert_int_equal(status, 0);
}

int script_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
