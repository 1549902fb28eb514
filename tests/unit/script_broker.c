/* SPDX-License-Identifier: MIT */
/* script_broker.c - a broker that does what a test's script says */
#include "script_broker.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A script that is not followed must not hang the test. */
#define SCRIPT_SECONDS 180
#define ANSWER_STEP_MS 20
#define CALLERS_MAX    16
#define BELL_MS        (60 * 1000)

static int bells[SCRIPT_BELLS];

void script_bells_make(void)
{
	for (size_t i = 0; i < SCRIPT_BELLS; i++) {
		bells[i] = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
		assert_true(bells[i] >= 0);
	}
}

void script_bells_free(void)
{
	for (size_t i = 0; i < SCRIPT_BELLS; i++)
		close(bells[i]);
}

void script_tell(size_t bell)
{
	eventfd_write(bells[bell], 1);
}

bool script_hear(size_t bell)
{
	struct pollfd p = {.fd = bells[bell], .events = POLLIN};
	eventfd_t n;

	return poll(&p, 1, BELL_MS) == 1 && eventfd_read(p.fd, &n) == 0;
}

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

/* Two messages that come at once */
static void send_both(int fd, const struct script_step *s)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "%s%c%s", s[0].text, '\0',
			 s[1].text);

	if (n < 0 || (size_t)n >= sizeof(text))
		fail_script("too long", s->text);
	send_text(fd, text, (size_t)n + 1);
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

unsigned char script_byte(unsigned long long at)
{
	return (unsigned char)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void send_pattern(int fd, unsigned long long at, size_t n)
{
	for (size_t i = 0; i < n;) {
		char part[4096];
		size_t len = 0;

		while (len < sizeof(part) && i < n)
			part[len++] = (char)script_byte(at + i++);
		send_text(fd, part, len);
	}
}

static void expect_pattern(int fd, unsigned long long at, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char part[4096];
		size_t want = n - i < sizeof(part) ? n - i : sizeof(part);
		ssize_t r = read(fd, part, want);

		if (r <= 0)
			fail_script("the end instead of bytes", NULL);
		for (ssize_t j = 0; j < r; j++)
			if (part[j] != script_byte(at + i++))
				fail_script("other bytes than the pattern's",
					    NULL);
	}
}

static void take_bytes(int fd, size_t n)
{
	char c;

	while (n-- > 0)
		if (read(fd, &c, 1) != 1)
			fail_script("the end instead of bytes", NULL);
}

static volatile sig_atomic_t enough;

static void on_enough(int sig)
{
	enough = 1;
}

/* A whole message of a client that asks, or its end */
static int asks(int fd)
{
	char got[4096];
	ssize_t n = recv(fd, got, sizeof(got), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (n == 0 || n == sizeof(got))
		return -1;
	return memchr(got, '\0', (size_t)n) != NULL;
}

/* Those that connected and have not asked, or not yet, hold nobody up. */
static void answer_all(int listener, const char *text)
{
	struct pollfd p[1 + CALLERS_MAX] = {{.fd = listener, .events = POLLIN}};
	nfds_t n = 1;

	while (!enough) {
		poll(p, n, ANSWER_STEP_MS);
		for (nfds_t i = n - 1; i > 0; i--) {
			int r = asks(p[i].fd);

			if (r == 0)
				continue;
			if (r > 0) {
				expect_message(p[i].fd, "");
				send_text(p[i].fd, text, strlen(text) + 1);
			}
			close(p[i].fd);
			p[i] = p[--n];
		}
		if ((p[0].revents & POLLIN) && n <= CALLERS_MAX)
			p[n++] = (struct pollfd){
				.fd = accept(listener, NULL, NULL),
				.events = POLLIN};
	}
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

/* Return: does the connection's first message contain @text? */
static int begins_with(int fd, const char *text)
{
	struct timespec step = {.tv_nsec = 1000000};
	char got[4096];
	ssize_t n;

	for (;;) {
		n = recv(fd, got, sizeof(got) - 1, MSG_PEEK);
		if (n <= 0)
			return 0;
		got[n] = '\0';
		if (memchr(got, '\0', (size_t)n))
			return strstr(got, text) != NULL;
		nanosleep(&step, NULL); /* a part of it */
	}
}

static int accept_call(int listener)
{
	static const char unknown[] =
		"{\"error\":\"org.varlink.service.MethodNotFound\","
		"\"parameters\":{\"method\":\"Follow\"}}";

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (!begins_with(fd, "Broker.Follow"))
			return fd;
		expect_message(fd, "");
		send_text(fd, unknown, sizeof(unknown));
		close(fd);
	}
}

static int accept_follow(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (!begins_with(fd, "Broker.Follow"))
		fail_script("another call", "Follow");
	expect_message(fd, "\"more\":true");
	return fd;
}

static void play(int listener, const struct script_step *s)
{
	int fd = -1, aside[SCRIPT_ASIDE_MAX] = {-1, -1}, swap;

	for (; s->what != SCRIPT_END; s++) {
		switch (s->what) {
		case SCRIPT_END:
			break;
		case SCRIPT_ACCEPT:
			replace(&fd, accept_call(listener));
			break;
		case SCRIPT_FOLLOW:
			replace(&fd, accept_follow(listener));
			break;
		case SCRIPT_EXPECT:
			expect_message(fd, s->text);
			break;
		case SCRIPT_SEND:
			send_text(fd, s->text, strlen(s->text));
			break;
		case SCRIPT_BOTH:
			send_both(fd, s++);
			break;
		case SCRIPT_NUL:
			send_text(fd, "", 1);
			break;
		case SCRIPT_BYTES:
			if (s->text[0] == SCRIPT_PATTERN[0]) {
				send_pattern(fd,
					     strtoull(s->text + 1, NULL, 10),
					     s->n);
				break;
			}
			for (size_t i = 0; i < s->n; i++)
				send_text(fd, s->text, strlen(s->text));
			break;
		case SCRIPT_RAW:
			if (s->text[0] == SCRIPT_PATTERN[0])
				expect_pattern(fd,
					       strtoull(s->text + 1, NULL, 10),
					       s->n);
			else
				expect_raw(fd, s->text);
			break;
		case SCRIPT_SHUT:
			shutdown(fd, SHUT_WR);
			break;
		case SCRIPT_DEAF:
			shutdown(fd, SHUT_RD);
			break;
		case SCRIPT_SWAP:
			swap = fd;
			fd = aside[s->n];
			aside[s->n] = swap;
			break;
		case SCRIPT_TAKE:
			take_bytes(fd, s->n);
			break;
		case SCRIPT_TELL:
			script_tell(s->n);
			break;
		case SCRIPT_HEAR:
			if (!script_hear(s->n))
				fail_script("nobody rang", NULL);
			break;
		case SCRIPT_NOBODY:
			if (poll(&(struct pollfd){listener, POLLIN, 0}, 1, 0))
				fail_script("a call too many", NULL);
			break;
		case SCRIPT_ANSWER:
			replace(&fd, -1);
			answer_all(listener, s->text);
			break;
		case SCRIPT_PAUSE:
			poll(NULL, 0, (int)s->n);
			break;
		case SCRIPT_EOF:
			expect_eof(fd);
			break;
		case SCRIPT_HALF:
			poll(&(struct pollfd){fd, POLLRDHUP, 0}, 1, -1);
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
	sigset_t mask, old;
	int fd;

	strcpy(b->root, "/tmp/vmc-test-XXXXXX");
	assert_non_null(mkdtemp(b->root));
	setenv("VMCHANNEL_DIR", b->root, 1);
	fd = listen_at(b);
	/* It must not be told before it listens to it. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, &old);
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (b->pid == 0) {
		sigaction(SIGUSR2,
			  &(struct sigaction){.sa_handler = on_enough,
					      .sa_flags = SA_RESTART},
			  NULL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		alarm(SCRIPT_SECONDS);
		play(fd, steps);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fd);
}

void script_wait(struct script_broker *b)
{
	int status;

	if (b->pid == 0)
		return;
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	b->pid = 0;
	assert_int_equal(status, 0);
}

void script_finish(struct script_broker *b)
{
	char path[128];

	if (b->pid)
		kill(b->pid, SIGUSR2);
	script_wait(b);
	path_of(b, "/control", path, sizeof(path));
	unlink(path);
	path_of(b, "", path, sizeof(path));
	rmdir(path);
	rmdir(b->root);
	unsetenv("VMCHANNEL_DIR");
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
