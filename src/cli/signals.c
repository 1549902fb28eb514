/* SPDX-License-Identifier: MIT */
/* signals.c - signals of a command that runs far away */
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "cli/tty.h"

static int wake[2] = {-1, -1};
static volatile sig_atomic_t passed; /* signals that the command got */

static void default_action(int number)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};

	sigaction(number, &sa, NULL);
}

/* Takes effect when the handler returns. */
static void die(int number)
{
	tty_restore();
	default_action(number);
	raise(number);
}

static void tell(int number)
{
	unsigned char byte = (unsigned char)number;
	int e = errno;

	/* A full pipe wakes as well. */
	if (write(wake[1], &byte, 1) < 0)
		errno = e;
}

static void pass_once(int number)
{
	if (passed++)
		die(number);
	else
		tell(number);
}

/* Without a terminal the command gets the first one; with one, whoever sends
 * us a signal means us. Those that end us by mistake must still put the
 * terminal back. */
static const struct row {
	int number;
	void (*pipes)(int number); /* NULL: left as it is */
	void (*tty)(int number);
} rows[] = {
	{SIGINT, pass_once, die}, {SIGTERM, pass_once, die},
	{SIGHUP, pass_once, die}, {SIGQUIT, pass_once, die},
	{SIGWINCH, NULL, tell},   {SIGCONT, NULL, tell},
	{SIGTSTP, NULL, tell},    {SIGALRM, NULL, die},
	{SIGUSR1, NULL, die},     {SIGUSR2, NULL, die},
	{SIGXCPU, NULL, die},     {SIGABRT, NULL, die},
	{SIGBUS, NULL, die},      {SIGFPE, NULL, die},
	{SIGILL, NULL, die},      {SIGSEGV, NULL, die},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* No SA_RESTART: a write that waits gives way to what came. */
static void handle(int number, void (*handler)(int number))
{
	struct sigaction sa = {.sa_handler = handler}, before;

	/* Whoever started us may have it ignored (nohup). */
	if (sigaction(number, NULL, &before) == 0 &&
	    before.sa_handler != SIG_IGN)
		sigaction(number, &sa, NULL);
}

int signals_catch(bool tty)
{
	if (pipe2(wake, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	passed = 0;
	for (size_t i = 0; i < N_ROWS; i++)
		if (tty || rows[i].pipes)
			handle(rows[i].number,
			       tty ? rows[i].tty : rows[i].pipes);
	return wake[0];
}

int signals_next(void)
{
	unsigned char number;

	return read(wake[0], &number, 1) == 1 ? number : 0;
}

void signals_stop(void)
{
	tty_restore();
	default_action(SIGTSTP);
	raise(SIGTSTP);
	handle(SIGTSTP, tell);
}

void signals_release(void)
{
	struct sigaction now;

	for (size_t i = 0; i < N_ROWS; i++)
		if (sigaction(rows[i].number, NULL, &now) == 0 &&
		    now.sa_handler != SIG_IGN)
			default_action(rows[i].number);
	for (int i = 0; i < 2; i++) {
		close(wake[i]);
		wake[i] = -1;
	}
}
