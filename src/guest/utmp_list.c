/* SPDX-License-Identifier: MIT */
/* utmp_list.c - who is logged in, by utmp */
#include "guest/utmp_list.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/users.h"
#include "guest/tty_message.h"

/* Records of other kinds stand among them. */
#define RECORDS_MAX (4 * UTMP_MAX)

static bool take(const struct utmp *u, struct utmp_session *ret)
{
	if (u->ut_type != USER_PROCESS || u->ut_pid <= 0 ||
	    u->ut_user[0] == '\0' || u->ut_line[0] == '\0')
		return false;
	*ret = (struct utmp_session){.leader = u->ut_pid, .uid = (uid_t)-1};
	memcpy(ret->line, u->ut_line, UT_LINESIZE);
	memcpy(ret->user, u->ut_user, UT_NAMESIZE);
	memcpy(ret->host, u->ut_host, UT_HOSTSIZE);
	if (u->ut_tv.tv_sec > 0 && u->ut_tv.tv_usec >= 0 &&
	    u->ut_tv.tv_usec < 1000000)
		ret->since_us = (uint64_t)u->ut_tv.tv_sec * 1000000 +
				(uint64_t)u->ut_tv.tv_usec;
	return true;
}

size_t utmp_parse(const void *data, size_t len, struct utmp_session *ret,
		  size_t max)
{
	const char *p = data;
	struct utmp u;
	size_t n = 0;

	for (; len >= sizeof(u) && n < max; len -= sizeof(u)) {
		memcpy(&u, p, sizeof(u));
		p += sizeof(u);
		if (take(&u, &ret[n]))
			n++;
	}
	return n;
}

/* ---- what still runs ----------------------------------------------------- */

/* Return: the controlling terminal of a process, 0: none, -1: no process. */
static long tty_of(pid_t pid)
{
	char path[32], text[512];
	const char *at;
	char *end;
	long tty;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strrchr(text, ')'); /* the name before it may be anything */
	/* State, parent, group and session stand before it. */
	for (int i = 0; at && i < 5; i++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -1;
	tty = strtol(at + 1, &end, 10);
	return *end == ' ' ? tty : -1;
}

/* A leader that has gone, or whose number is that of another by now. sshd and
 * display managers have no terminal themselves. */
static bool is_stale(const struct utmp_session *s)
{
	char path[16 + UT_LINESIZE];
	long tty = tty_of(s->leader);
	struct stat st;

	if (tty <= 0)
		return tty < 0;
	snprintf(path, sizeof(path), "/dev/%s", s->line);
	return stat(path, &st) == 0 && S_ISCHR(st.st_mode) &&
	       (unsigned long)tty != (unsigned long)st.st_rdev;
}

static void read_active(char *ret, size_t size)
{
	FILE *f = fopen("/sys/class/tty/tty0/active", "re");

	if (!f || !fgets(ret, (int)size, f))
		ret[0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	if (f)
		(void)fclose(f);
}

static size_t read_file(char *buf, size_t size)
{
	int fd = open(UTMP_PATH, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = 0;
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && len < size) {
		n = read(fd, buf + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	return len;
}

static void complete(struct utmp_session *s, const char *active)
{
	struct user_ids ids;

	s->active = strcmp(s->line, active) == 0;
	if (user_resolve_files(&ids, s->user) == 0)
		s->uid = ids.uid;
}

size_t utmp_list(struct utmp_session *ret)
{
	const size_t size = RECORDS_MAX * sizeof(struct utmp);
	char active[UT_LINESIZE + 1], *buf = malloc(size);
	size_t n, kept = 0;

	if (!buf)
		return 0;
	n = utmp_parse(buf, read_file(buf, size), ret, UTMP_MAX);
	free(buf);
	read_active(active, sizeof(active));
	for (size_t i = 0; i < n; i++) {
		if (is_stale(&ret[i]))
			continue;
		ret[kept] = ret[i];
		complete(&ret[kept++], active);
	}
	return kept;
}

unsigned int utmp_tell_all(const char *text)
{
	struct utmp_session *list = calloc(UTMP_MAX, sizeof(*list));
	size_t n = list ? utmp_list(list) : 0;
	unsigned int told = 0;

	for (size_t i = 0; i < n; i++)
		told += tty_message(list[i].line, text);
	free(list);
	return told;
}
