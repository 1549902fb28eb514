/* SPDX-License-Identifier: MIT */
/* place.c - where a broker is that may have a stream that moved */
#include "client/place.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/child_signals.h"
#include "client/error.h"
#include "client/vmpath.h"

/* VMs of one program whose streams it follows. */
#define NAMED_MAX 256

/* A command whose pipes are closed ends by itself; then it is told to. */
#define CHILD_END_MS  1000
#define CHILD_KILL_MS 1000
#define CHILD_STEP_MS 5

static struct named {
	struct named *next;
	char vm[VMC_NAME_MAX + 1];
	struct place_list list;
} * named;
static unsigned int n_named;
static pthread_mutex_t named_lock = PTHREAD_MUTEX_INITIALIZER;

int place_init(struct place *ret, const char *text, bool via)
{
	size_t len = strlen(text);

	if (len == 0 || len >= sizeof(ret->text))
		return client_fail(EINVAL,
				   "'%.80s' cannot be a place to follow to: "
				   "name a VM, an absolute directory or a "
				   "command, of at most %u characters",
				   text, PLACE_TEXT_MAX - 1);
	if (!via && text[0] != '/' && !vmpath_vm_valid(text))
		return client_fail(EINVAL,
				   "'%.80s' is neither the name of a VM nor an "
				   "absolute directory",
				   text);
	ret->via = via;
	memcpy(ret->text, text, len + 1);
	return 0;
}

static int add_all(struct place_list *l, const char *const *texts, bool via)
{
	int r = 0;

	for (; r == 0 && texts && *texts; texts++) {
		if (l->n == PLACE_LIST_MAX)
			return client_fail(EINVAL,
					   "more than %u places to follow to; "
					   "name fewer",
					   PLACE_LIST_MAX);
		r = place_init(&l->v[l->n++], *texts, via);
	}
	return r;
}

static struct named *find_named(const char *vm)
{
	struct named *n = named;

	while (n && strcmp(n->vm, vm) != 0)
		n = n->next;
	return n;
}

static struct named *add_named(const char *vm)
{
	struct named *n;

	if (n_named == NAMED_MAX)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	memcpy(n->vm, vm, strlen(vm) + 1);
	n->next = named;
	named = n;
	n_named++;
	return n;
}

int vmc_follow_to(const char *vm, const char *const *to, const char *const *via)
{
	struct place_list *list;
	struct named *n;
	int r;

	if (!vm || !vmpath_vm_valid(vm))
		return client_fail(EINVAL, "'%.80s' cannot be a VM's name",
				   vm ? vm : "");
	list = calloc(1, sizeof(*list));
	if (!list)
		return client_fail(ENOMEM, "vmc_follow_to: out of memory");
	r = add_all(list, to, false);
	if (r == 0)
		r = add_all(list, via, true);
	if (r == 0) {
		pthread_mutex_lock(&named_lock);
		n = find_named(vm);
		if (!n)
			n = add_named(vm);
		if (n)
			n->list = *list;
		else
			r = client_fail(ENOMEM, "vmc_follow_to: no room for "
						"another VM");
		pthread_mutex_unlock(&named_lock);
	}
	free(list);
	return r;
}

void place_list_of(const char *vm, struct place_list *ret)
{
	const struct named *n;

	ret->n = 0;
	pthread_mutex_lock(&named_lock);
	n = find_named(vm);
	if (n)
		*ret = n->list;
	pthread_mutex_unlock(&named_lock);
}

void place_lock(void)
{
	pthread_mutex_lock(&named_lock);
}

void place_unlock(void)
{
	pthread_mutex_unlock(&named_lock);
}

/* ---- a directory -------------------------------------------------------- */

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int find_in_directory(const char *dir, const char *vm,
			     struct sockaddr_un *ret)
{
	const size_t size = sizeof(ret->sun_path);

	if ((vmpath_join(ret->sun_path, size, dir, "control", NULL) &&
	     is_socket(ret->sun_path)) ||
	    (vmpath_join(ret->sun_path, size, dir, vm, "control") &&
	     is_socket(ret->sun_path)))
		return 0;
	return client_fail(ENOENT,
			   "%s: there is no socket 'control' in %s, nor "
			   "in its %s; does vmchanneld run there?",
			   vm, dir, vm);
}

/* ---- a command ---------------------------------------------------------- */

static int spawn_shell(pid_t *ret, const char *command, int in, int out)
{
	char shell[] = "/bin/sh", dash_c[] = "-c";
	char text[PLACE_TEXT_MAX];
	char *argv[] = {shell, dash_c, text, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	memcpy(text, command, strlen(command) + 1);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	r = child_signals(&attr);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, in,
						     STDIN_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out,
						     STDOUT_FILENO);
	if (!r)
		r = posix_spawn(ret, shell, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static void close_pair(int fd[2])
{
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* A socket for each way: the end of one must not need the other's, and a
 * reply is read with MSG_PEEK. */
static int dial_command(struct client_conn *c, const char *command,
			const char *vm, const char *channel, pid_t *ret)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};
	int r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out))
		r = errno;
	if (!r) {
		shutdown(in[1], SHUT_RD);
		shutdown(out[1], SHUT_WR);
		r = spawn_shell(ret, command, in[0], out[0]);
	}
	if (r) {
		close_pair(in);
		close_pair(out);
		return client_fail(r, "cannot run '%s': %s", command,
				   strerror(r));
	}
	close(in[0]);
	close(out[0]);
	client_init(c, out[1], vm, channel);
	c->out = in[1];
	return 0;
}

static bool has_ended(pid_t child, int ms)
{
	const struct timespec step = {.tv_nsec = CHILD_STEP_MS * 1000000L};

	for (; ms >= 0; ms -= CHILD_STEP_MS) {
		/* Somebody else may have waited for it. */
		if (waitpid(child, NULL, WNOHANG) != 0)
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

void place_end(struct client_conn *c, pid_t child, bool now)
{
	client_done(c);
	if (child <= 0 || has_ended(child, now ? 0 : CHILD_END_MS))
		return;
	kill(child, SIGTERM);
	if (has_ended(child, CHILD_KILL_MS))
		return;
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

int place_address(const struct place *p, const char *vm,
		  struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (p->via)
		return 0;
	if (p->text[0] == '/')
		return find_in_directory(p->text, vm, ret);
	return vmpath_find_socket(p->text, "control", ret);
}

bool place_socket(const struct place *p, const char *vm,
		  struct place_socket *ret)
{
	struct sockaddr_un sa;
	struct stat st;

	if (p->via || place_address(p, vm, &sa) || stat(sa.sun_path, &st))
		return false;
	*ret = (struct place_socket){st.st_dev, st.st_ino};
	return true;
}

int place_open(struct client_conn *c, const struct place *p, const char *vm,
	       const char *channel, pid_t *ret_child)
{
	*ret_child = 0;
	if (p->via)
		return dial_command(c, p->text, vm, channel, ret_child);
	return client_open(c, p->text[0] == '/' ? vm : p->text, channel);
}

int place_reach(struct client_conn *c, const struct place *p,
		const struct sockaddr_un *sa, uint64_t deadline)
{
	return p->via ? 0 : client_reach(c, sa, deadline);
}

int place_dial(struct client_conn *c, const struct place *p, const char *vm,
	       const char *channel, uint64_t deadline, pid_t *ret_child)
{
	struct sockaddr_un sa;
	int r = place_address(p, vm, &sa);

	*ret_child = 0;
	if (!r)
		r = place_open(c, p, vm, channel, ret_child);
	if (r)
		return r;
	r = place_reach(c, p, &sa, deadline);
	if (r)
		client_done(c);
	return r;
}
