/* SPDX-License-Identifier: MIT */
/* tty.c - the terminal that stdin is, while a command far away has it */
#include "cli/tty.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t raw;

/* Who is in the background would be stopped, or disturb the foreground. */
static bool is_ours(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

bool tty_raw(void)
{
	static bool registered;
	struct termios t;

	if (raw || !is_ours() || tcgetattr(STDIN_FILENO, &saved))
		return raw;
	if (!registered && atexit(tty_restore) == 0)
		registered = true;
	t = saved;
	cfmakeraw(&t);
	raw = 1;
	/* What was typed ahead is for the command. */
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t))
		raw = 0;
	return raw;
}

void tty_restore(void)
{
	if (raw && is_ours())
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	raw = 0;
}

void tty_size(struct opframe_size *ret)
{
	struct winsize w;

	*ret = (struct opframe_size){.rows = 24, .columns = 80};
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (ioctl(fd, TIOCGWINSZ, &w) || w.ws_row == 0 || w.ws_col == 0)
			continue;
		*ret = (struct opframe_size){.rows = w.ws_row,
					     .columns = w.ws_col};
		return;
	}
}
