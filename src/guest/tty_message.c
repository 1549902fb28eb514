/* SPDX-License-Identifier: MIT */
/* tty_message.c - words on a terminal */
#include "guest/tty_message.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "\r\n\aMessage from the host of this virtual machine:\r\n\r\n"
#define TAIL "\r\n\r\n"
/* Two bytes for a control character or a line's end. */
#define LONGEST 2

static size_t put(char *to, unsigned char c, unsigned char before)
{
	if (c == '\n') {
		to[0] = '\r';
		to[1] = '\n';
		return 2;
	}
	/* C1 controls, as UTF-8 has them: 0xc2 0x80 to 0xc2 0x9f. */
	if (before == 0xc2 && c < 0xa0) {
		to[-1] = '?';
		return 0;
	}
	if (c == '\t' || (c >= ' ' && c != 0x7f)) {
		to[0] = (char)c;
		return 1;
	}
	to[0] = '^';
	to[1] = (char)(c ^ 0x40);
	return 2;
}

size_t tty_message_make(char ret[TTY_MESSAGE_MAX], const char *text)
{
	size_t at = sizeof(HEAD) - 1, room = TTY_MESSAGE_MAX - sizeof(TAIL);
	unsigned char before = 0;

	memcpy(ret, HEAD, at);
	for (; *text && at + LONGEST <= room; text++) {
		at += put(ret + at, (unsigned char)*text, before);
		before = (unsigned char)*text;
	}
	memcpy(ret + at, TAIL, sizeof(TAIL) - 1);
	return at + sizeof(TAIL) - 1;
}

/* A name that the guest's records give: no way out of /dev. */
static bool is_line(const char *line)
{
	if (line[0] == '\0' || line[0] == '/' || strstr(line, ".."))
		return false;
	for (; *line; line++)
		if (!isalnum((unsigned char)*line) && !strchr("/-_.:", *line))
			return false;
	return true;
}

bool tty_message(const char *line, const char *text)
{
	char path[64], message[TTY_MESSAGE_MAX];
	size_t len = tty_message_make(message, text);
	struct stat st;
	bool ok;
	int fd;

	if (!is_line(line) || (size_t)snprintf(path, sizeof(path), "/dev/%s",
					       line) >= sizeof(path))
		return false;
	fd = open(path,
		  O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	ok = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && isatty(fd) &&
	     write(fd, message, len) == (ssize_t)len;
	close(fd);
	return ok;
}
