/* SPDX-License-Identifier: MIT */
/* session_notify.c - a message on a user's desktop */
#include "guest/session_notify.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define NOTIFICATIONS      "org.freedesktop.Notifications"
#define NOTIFICATIONS_PATH "/org/freedesktop/Notifications"

static int become(uid_t uid, const char *user)
{
	const struct passwd *pw = getpwuid(uid);

	if (!pw)
		return -ENOENT;
	if (initgroups(user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
	    setuid(uid) < 0)
		return -errno;
	return 0;
}

static int open_bus(uid_t uid, sd_bus **ret)
{
	char address[64];
	int r = sd_bus_new(ret);

	snprintf(address, sizeof(address), "unix:path=/run/user/%u/bus",
		 (unsigned int)uid);
	if (r >= 0)
		r = sd_bus_set_address(*ret, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(*ret, 1);
	return r < 0 ? r : sd_bus_start(*ret);
}

static int notify(sd_bus *bus, const char *text)
{
	/* name, replaces, icon, summary, body, actions, hints, time-out */
	return sd_bus_call_method(bus, NOTIFICATIONS, NOTIFICATIONS_PATH,
				  NOTIFICATIONS, "Notify", NULL, NULL,
				  "susssasa{sv}i", "vmchannel", 0u, "",
				  "Message from the host of this virtual "
				  "machine",
				  text, 0, 0, -1);
}

__attribute__((noreturn)) static void child(uid_t uid, const char *user,
					    const char *text)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sd_bus *bus = NULL;
	sigset_t none;
	int r;

	/* Nothing of root's goes along. */
	(void)syscall(SYS_close_range, 3u, ~0u, 0u);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(SESSION_NOTIFY_SECONDS);
	r = become(uid, user);
	if (r >= 0)
		r = open_bus(uid, &bus);
	if (r >= 0)
		r = notify(bus, text);
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

int session_notify(struct ops *o, uid_t uid, const char *user, const char *text,
		   ops_child_fn *fn, void *data)
{
	pid_t pid = fork();

	if (pid == 0)
		child(uid, user, text);
	if (pid < 0)
		return -errno;
	if (ops_watch_child(o, pid, fn, data) < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -ENOMEM;
	}
	return 0;
}
