/* SPDX-License-Identifier: MIT */
/*
 * utmp_list.h - who is logged in, by the records of getty, login and sshd
 *
 * Records outlive what they tell of, so each is checked against what runs.
 */
#ifndef GUEST_UTMP_LIST_H
#define GUEST_UTMP_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <utmp.h>

#define UTMP_PATH "/run/utmp"
/* More are left out; each has a terminal, of which there are not so many. */
#define UTMP_MAX 512

struct utmp_session {
	char line[UT_LINESIZE + 1];
	char user[UT_NAMESIZE + 1];
	char host[UT_HOSTSIZE + 1];
	pid_t leader;
	uint64_t since_us;
	/* By utmp_list() only. */
	uid_t uid;
	bool active; /* the virtual terminal in the foreground */
};

/**
 * utmp_parse() - the logins among the records
 * @data: of the file, foreign: anybody in the group utmp writes it
 * @len:  a record that is not whole is left out
 * @ret:  room for @max
 *
 * Return: how many. Pure.
 */
size_t utmp_parse(const void *data, size_t len, struct utmp_session *ret,
		  size_t max);

/* utmp_list() - those of UTMP_PATH that are still there. @ret: UTMP_MAX */
size_t utmp_list(struct utmp_session *ret);

/* utmp_tell_all() - a message to all of them. Return: how many took it. */
unsigned int utmp_tell_all(const char *text);

#endif /* GUEST_UTMP_LIST_H */
