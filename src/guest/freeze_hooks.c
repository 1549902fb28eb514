/* SPDX-License-Identifier: MIT */
/* freeze_hooks.c - programs that make applications ready for a freeze */
#include "guest/freeze_hooks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool counts(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", FREEZE_HOOKS_DIR, name);
	return name[0] != '.' && strlen(name) <= FREEZE_HOOK_NAME &&
	       stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
	       (st.st_mode & 022) == 0 && (st.st_mode & 0100) != 0;
}

void freeze_hooks_list(struct freeze_hooks *h)
{
	struct dirent **names;
	int n = scandir(FREEZE_HOOKS_DIR, &names, NULL, alphasort);

	h->n = h->ran = 0;
	for (int i = 0; i < n; i++) {
		if (h->n < FREEZE_HOOKS_MAX && counts(names[i]->d_name))
			snprintf(h->names[h->n++], FREEZE_HOOK_NAME + 1, "%.*s",
				 FREEZE_HOOK_NAME, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

__attribute__((noreturn)) static void hook_main(const char *name,
						const char *what)
{
	static char environment[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
		"/bin";
	char path[PATH_MAX], word[16];
	char *args[] = {path, word, NULL}, *env[] = {environment, NULL};
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	setpgid(0, 0);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	snprintf(path, sizeof(path), "%s/%s", FREEZE_HOOKS_DIR, name);
	snprintf(word, sizeof(word), "%s", what);
	execve(path, args, env);
	_exit(127);
}

/* The bell rings when a child ends, and when somebody asks. Return: its exit
 * status, as a shell has it. */
static int wait_for(struct freeze_record *rec, pid_t pid)
{
	uint64_t end = freeze_now_us() + FREEZE_HOOK_MS * UINT64_C(1000);
	int status;

	for (;;) {
		uint32_t seen = atomic_load(&rec->bell);
		uint64_t now = freeze_now_us();

		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status)
						 : 128 + WTERMSIG(status);
		if (now >= end)
			break;
		freeze_wait(rec, seen, end - now);
	}
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL); /* it may not have its group yet */
	waitpid(pid, &status, 0);
	return FREEZE_HOOK_TOO_LONG;
}

static int run(struct freeze_record *rec, const char *name, const char *what)
{
	pid_t pid = _Fork(); /* as in freeze_keeper.c */

	if (pid == 0)
		hook_main(name, what);
	return pid < 0 ? 126 : wait_for(rec, pid);
}

int freeze_hooks_before(struct freeze_hooks *h, struct freeze_record *rec)
{
	while (h->ran < h->n) {
		const char *name = h->names[h->ran];
		int status;

		if (atomic_load(&rec->ask) != FREEZE_NO_CAUSE)
			return -ECANCELED;
		status = run(rec, name, "freeze");
		if (status != 0) {
			rec->failure = FREEZE_FAIL_HOOK;
			rec->error = status;
			snprintf(rec->where, sizeof(rec->where), "%s", name);
			return -ECANCELED;
		}
		h->ran++;
	}
	return 0;
}

void freeze_hooks_after(struct freeze_hooks *h, struct freeze_record *rec)
{
	while (h->ran > 0)
		(void)run(rec, h->names[--h->ran], "thaw");
}
