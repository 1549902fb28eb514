/* SPDX-License-Identifier: MIT */
/*
 * supervisor.c - start, wait, stop
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/log.h"
#include "broker/state.h"
#include "host/arena.h"
#include "host/config.h"
#include "host/notify.h"
#include "host/qemu_group.h"
#include "host/resume.h"
#include "host/supervisor.h"

uint64_t supervisor_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* ---- configuration ---- */

void supervisor_send_config(struct supervisor *s, bool answer)
{
	const struct ipc_msg m = {
		.type = IPC_CONFIG,
		.value = answer,
		.size = (uint32_t)s->config_len,
	};

	worker_tell(s, &m, s->config_fd);
}

static int read_config(struct supervisor *s, char *err, size_t err_size)
{
	struct services fresh;
	size_t len;
	int fd;
	int r = config_load(s->opt->config, s->opt->vm, &fresh, &fd, &len, err,
			    err_size);

	if (r < 0)
		return r;
	services_done(&s->services);
	if (s->config_fd >= 0)
		close(s->config_fd);
	s->services = fresh;
	s->config_fd = fd;
	s->config_len = len;
	return 0;
}

static void tell_failure(struct supervisor *s, const char *err)
{
	struct ipc_msg m = {.type = IPC_CONFIG_FAILED};

	snprintf(m.text, sizeof(m.text), "%.*s", IPC_TEXT_MAX, err);
	/* A word of the file is quoted; it may hold anything. */
	for (char *c = m.text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	worker_tell(s, &m, -1);
}

void supervisor_reload(struct supervisor *s, bool answer)
{
	char err[1024];

	if (read_config(s, err, sizeof(err)) < 0) {
		log_error("ev=reload-failed error=\"%s\" action=keep-old", err);
		if (answer)
			tell_failure(s, err);
		return;
	}
	log_info("ev=reloaded services=%zu", s->services.n);
	s->up.reloaded = s->up.phase != UPGRADE_NONE;
	supervisor_send_config(s, answer);
}

/* ---- link ---- */

static void tell_detail(struct supervisor *s, const char *text)
{
	struct ipc_msg m = {.type = IPC_LINK_DETAIL};

	snprintf(m.text, sizeof(m.text), "%s", text);
	worker_tell(s, &m, -1);
}

static void link_found(struct supervisor *s, int fd)
{
	const struct ipc_msg m = {.type = IPC_LINK};

	log_limited(supervisor_now_ms() * 1000u, LOG_LEVEL_INFO,
		    "ev=link-found");
	tell_detail(s, "connected to QEMU");
	s->link_fd = fd;
	worker_tell(s, &m, fd);
	qmp_begin(s);
}

void supervisor_drop_link(struct supervisor *s)
{
	if (s->link_fd >= 0)
		close(s->link_fd);
	s->link_fd = -1;
}

static void link_missing(struct supervisor *s, int error, int before)
{
	char text[IPC_TEXT_MAX + 1];

	if (s->opt->exit_with_link && s->link.was_up &&
	    (error == ECONNREFUSED || error == ENOENT) &&
	    supervisor_now_ms() >= s->linger_ms) {
		supervisor_stop(s, "QEMU has ended");
		return;
	}
	if (error == before)
		return; /* said already */
	snprintf(text, sizeof(text), "waiting for QEMU at %s: %s",
		 s->link.addr.sun_path, strerror(error));
	log_limited(supervisor_now_ms() * 1000u, LOG_LEVEL_INFO,
		    "ev=link-missing socket=\"%s\" error=\"%s\"",
		    s->link.addr.sun_path, strerror(error));
	tell_detail(s, text);
}

void supervisor_find_link(struct supervisor *s)
{
	int before = s->link.last_error;
	int fd;

	if (s->opt->link_fd >= 0) {
		s->link.searching = false;
		link_found(s, s->opt->link_fd);
		return;
	}
	fd = link_try(&s->link, supervisor_now_ms());
	if (fd < 0) {
		link_missing(s, -fd, before);
		return;
	}
	link_found(s, fd);
}

/* ---- start and end ---- */

void supervisor_announce(struct supervisor *s)
{
	if (s->announced)
		return;
	s->announced = true;
	notify_manager("READY=1");
	log_info("ev=ready dir=%s", s->dir);
	if (s->opt->ready_fd >= 0) {
		/* Who does not listen any more has no need to know. */
		(void)!write(s->opt->ready_fd, "ready\n", 6);
		close(s->opt->ready_fd);
	}
}

void supervisor_stop(struct supervisor *s, const char *why)
{
	const struct ipc_msg m = {.type = IPC_STOP};

	if (s->stopping) {
		worker_kill(s); /* asked twice: no patience */
		return;
	}
	upgrade_failed(s, "vmchanneld is ending");
	log_info("ev=stopping why=\"%s\"", why);
	notify_manager("STOPPING=1");
	s->stopping = true;
	s->stop_ms = supervisor_now_ms() + STOP_MS;
	s->link.searching = false;
	s->restart_ms = 0;
	if (s->worker > 0)
		worker_tell(s, &m, -1);
	else
		s->done = true;
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->worker) {
			worker_died(s, status);
		} else if (pid == s->up.worker) {
			s->up.worker = 0;
			upgrade_failed(s, "the new worker has died");
		} else if (pid == s->bus_pid) {
			bus_died(s, status);
		} else if (pid == s->qmp.pid) {
			qmp_died(s, status);
		} else
			children_remove(&s->children, pid);
	}
}

static void on_signal(struct supervisor *s)
{
	struct signalfd_siginfo si;

	while (read(s->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGCHLD:
			reap(s);
			break;
		case SIGHUP:
			supervisor_reload(s, false);
			break;
		case SIGUSR2:
			upgrade_begin(s, false);
			break;
		default:
			supervisor_stop(s, si.ssi_signo == SIGINT ? "SIGINT"
								  : "SIGTERM");
			break;
		}
	}
}

/* ---- time ---- */

static uint64_t next_deadline(const struct supervisor *s)
{
	uint64_t at = qmp_due(s);

	if (s->link.searching && s->link.due_ms < at)
		at = s->link.due_ms;
	if (s->restart_ms && s->restart_ms < at)
		at = s->restart_ms;
	if (s->bus_restart_ms && s->bus_restart_ms < at)
		at = s->bus_restart_ms;
	if (s->stopping && s->stop_ms < at)
		at = s->stop_ms;
	if (s->up.phase != UPGRADE_NONE && s->up.due_ms < at)
		at = s->up.due_ms;
	return at;
}

static int poll_timeout(const struct supervisor *s)
{
	uint64_t at = next_deadline(s);
	uint64_t now = supervisor_now_ms();

	if (at == UINT64_MAX)
		return -1;
	return at <= now ? 0 : (int)(at - now);
}

static void restart_worker(struct supervisor *s)
{
	int r = worker_start(s);

	if (r == 0)
		return;
	log_error("ev=worker-start error=\"%s\" retry_ms=%u", strerror(-r),
		  RESTART_PAUSE_MS);
	s->restart_ms = supervisor_now_ms() + RESTART_PAUSE_MS;
}

static void on_time(struct supervisor *s)
{
	uint64_t now = supervisor_now_ms();

	if (s->restart_ms && s->restart_ms <= now)
		restart_worker(s);
	if (s->bus_restart_ms && s->bus_restart_ms <= now) {
		s->bus_restart_ms = 0; /* looked at again */
		qmp_mend(s);
	}
	qmp_on_time(s);
	if (s->link.searching && s->link.due_ms <= now)
		supervisor_find_link(s);
	if (s->up.phase != UPGRADE_NONE && s->up.due_ms <= now)
		upgrade_failed(s, "the new worker takes too long");
	if (s->stopping && s->stop_ms <= now) {
		log_warning("ev=worker-hangs action=kill");
		worker_kill(s);
		s->stop_ms = now + STOP_MS;
	}
}

static void loop(struct supervisor *s)
{
	while (!s->done) {
		struct pollfd p[] = {
			{.fd = s->signal_fd, .events = POLLIN},
			{.fd = s->pair, .events = POLLIN},
			{.fd = s->up.pair, .events = POLLIN},
			{.fd = bus_is_awaited(s) ? s->bus_listener : -1,
			 .events = POLLIN},
			{.fd = s->qmp.pair, .events = POLLIN},
		};

		if (poll(p, 5, poll_timeout(s)) < 0 && errno != EINTR) {
			log_error("ev=poll error=\"%s\"", strerror(errno));
			s->status = EXIT_RUN;
			return;
		}
		/* The worker's last words before its death is noticed. */
		if (p[1].revents)
			requests_handle(s);
		if (p[2].revents && s->up.pair >= 0)
			upgrade_handle(s);
		if (p[4].revents)
			qmp_handle(s);
		if (p[0].revents)
			on_signal(s);
		if (p[3].revents)
			bus_wanted(s);
		on_time(s);
	}
}

/* ---- preparing ---- */

static int open_std_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
	close(fd);
	return 0;
}

static int open_signals(struct supervisor *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR2);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : 0;
}

static int fail(int status, const char *what, int r)
{
	fprintf(stderr, "vmchanneld: %s: %s\n", what, strerror(-r));
	return status;
}

static int bad_dir(const struct supervisor *s, int r)
{
	switch (r) {
	case -EINVAL:
		fprintf(stderr,
			"vmchanneld: \"%s\" is not a VM's name; use 1 to 64 of "
			"A-Z a-z 0-9 . _ - and no dot first\n",
			s->opt->vm);
		return EXIT_USAGE;
	case -ENAMETOOLONG:
		fprintf(stderr, "vmchanneld: the directory's path is too long "
				"for a socket; give a shorter --dir\n");
		return EXIT_USAGE;
	case -ENOENT:
		fprintf(stderr, "vmchanneld: XDG_RUNTIME_DIR is not set; give "
				"--dir\n");
		return EXIT_USAGE;
	default:
		return fail(EXIT_RUN, "the VM's directory", r);
	}
}

static int long_path(const char *option, const char *path)
{
	fprintf(stderr,
		"vmchanneld: %s: the path \"%s\" is longer than a socket's can "
		"be; give a shorter one\n",
		option, path);
	return EXIT_USAGE;
}

static int find_link_path(struct supervisor *s)
{
	char own[sizeof(s->dir) + sizeof("/link")];
	const char *path = s->opt->link;

	if (!path) {
		snprintf(own, sizeof(own), "%s/link", s->dir);
		path = own;
	}
	if (link_init(&s->link, path) == 0)
		return -1;
	return long_path("--link", path);
}

static int check_link_fd(const struct options *o)
{
	int type = 0;
	socklen_t len = sizeof(type);

	/* One that takes over gets it with the state. */
	if (o->link_fd < 0 || o->resume_fd >= 0 || o->check_fd >= 0)
		return -1;
	if (getsockopt(o->link_fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM &&
	    fcntl(o->link_fd, F_SETFL,
		  fcntl(o->link_fd, F_GETFL) | O_NONBLOCK) == 0 &&
	    fcntl(o->link_fd, F_SETFD, FD_CLOEXEC) == 0)
		return -1;
	fprintf(stderr,
		"vmchanneld: --link-fd %d: expected a connected stream "
		"socket\n",
		o->link_fd);
	return EXIT_USAGE;
}

static int in_use(const struct supervisor *s)
{
	char path[PATH_MAX], pid[16] = "?";
	FILE *f;

	snprintf(path, sizeof(path), "%s/lock", s->dir);
	f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%15[0-9]", pid) != 1)
			memcpy(pid, "?", 2);
		(void)fclose(f);
	}
	fprintf(stderr,
		"vmchanneld: %s is in use by process %s; end that one, or "
		"choose another name or --dir\n",
		s->dir, pid);
	return EXIT_IN_USE;
}

/* Everything that can be wrong from outside. Return: -1 or the status. */
static int check(struct supervisor *s)
{
	char err[1024];
	int r = vmdir_path(s->dir, sizeof(s->dir), s->opt->dir, s->opt->vm);

	if (r < 0)
		return bad_dir(s, r);
	r = find_link_path(s);
	if (r < 0 && qmp_init(s) < 0)
		r = long_path("--qmp-events", s->opt->qmp_events);
	if (r < 0)
		r = check_link_fd(s->opt);
	if (r >= 0)
		return r;
	if (s->opt->user && geteuid() != 0) {
		fprintf(stderr, "vmchanneld: --user: only root can change the "
				"user; leave it out\n");
		return EXIT_USAGE;
	}
	if (s->opt->qemu_group &&
	    !qemu_group_find(s->opt->qemu_group, &s->qemu_gid)) {
		fprintf(stderr,
			"vmchanneld: --qemu-group \"%s\": expected a group's "
			"name or number\n",
			s->opt->qemu_group);
		return EXIT_USAGE;
	}
	if (read_config(s, err, sizeof(err)) < 0) {
		fprintf(stderr, "vmchanneld: %s\n", err);
		return EXIT_USAGE;
	}
	return -1;
}

static int admit_qemu(const struct supervisor *s)
{
	int r = bus_admit(s);

	if (r == 0)
		return -1;
	fprintf(stderr,
		"vmchanneld: --qemu-group %s: %s; start it as root, or as a "
		"member of that group\n",
		s->opt->qemu_group, strerror(-r));
	return EXIT_RUN;
}

static int claim(struct supervisor *s)
{
	char err[VMDIR_ERROR_MAX];
	int r = vmdir_claim(s->dir, s->opt->socket_mode, s->vm_fds, err,
			    sizeof(err));

	if (r == -EBUSY)
		return in_use(s);
	if (r < 0 && !err[0])
		return fail(EXIT_RUN, s->dir, r);
	if (r < 0)
		fprintf(stderr, "vmchanneld: %s\n", err);
	return r < 0 ? EXIT_RUN : -1;
}

/* Where the next program will be: this one's file, even if it is replaced. */
static int find_program(struct supervisor *s)
{
	ssize_t n = readlink("/proc/self/exe", s->exe_path,
			     sizeof(s->exe_path) - 1);

	if (n < 0)
		return -errno;
	s->exe_path[n] = '\0';
	s->exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	return s->exe_fd < 0 ? -errno : 0;
}

static int open_own(struct supervisor *s)
{
	int r = find_program(s);

	if (r < 0)
		return fail(EXIT_RUN, "/proc/self/exe", r);
	prctl(PR_SET_NAME, "vmchanneld"); /* not a descriptor's number */
	r = open_signals(s);
	return r < 0 ? fail(EXIT_RUN, "signals", r) : -1;
}

/* Its size is fixed, so that no process that maps it can be hurt by another
 * that has it. */
int supervisor_memory(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) ==
		    0)
		return fd;
	close(fd);
	return -ENOMEM;
}

/* We are the new program in the old one's process. */
static int take_over(struct supervisor *s)
{
	int r = resume_read(s, s->opt->resume_fd);

	close(s->opt->resume_fd);
	if (r < 0)
		return fail(EXIT_RUN, "the old program's state", r);
	resume_inherit(s, false);
	if (s->bus_listener < 0)
		bus_listen(s);
	r = admit_qemu(s);
	if (r >= 0)
		return r;
	qmp_begin(s); /* the old program's has ended with it */
	upgrade_continue(s);
	return -1;
}

static int prepare(struct supervisor *s)
{
	int r = open_std_fds();

	if (r < 0)
		return fail(EXIT_RUN, "/dev/null", r);
	r = check(s);
	if (r >= 0)
		return r;
	r = open_own(s);
	if (r >= 0)
		return r;
	if (s->opt->resume_fd >= 0)
		return take_over(s);
	r = claim(s);
	if (r >= 0)
		return r;
	bus_listen(s);
	r = admit_qemu(s);
	if (r >= 0)
		return r;
	s->state_fd = supervisor_memory("vmchannel-state", STATE_MAX);
	s->arena_fd = supervisor_memory(ARENA_NAME, ARENA_SIZE);
	if (s->state_fd < 0 || s->arena_fd < 0)
		return fail(EXIT_RUN, "shared memory", -ENOMEM);
	r = worker_start(s);
	if (r < 0)
		return fail(EXIT_RUN, "the worker", r);
	qmp_begin(s);
	return -1;
}

static void clean_up(struct supervisor *s)
{
	if (s->worker > 0) {
		worker_kill(s);
		waitpid(s->worker, NULL, 0);
	}
	if (s->pair >= 0)
		close(s->pair);
	bus_end(s);
	qmp_end(s);
	supervisor_drop_link(s);
	keep_done(&s->keep);
	if (s->state_fd >= 0)
		close(s->state_fd);
	if (s->arena_fd >= 0)
		close(s->arena_fd);
	if (s->vm_fds[0] >= 0)
		vmdir_release(s->dir, s->vm_fds);
	if (s->config_fd >= 0)
		close(s->config_fd);
	if (s->exe_fd >= 0)
		close(s->exe_fd);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	services_done(&s->services);
	children_done(&s->children);
}

static void init(struct supervisor *s, const struct options *opt)
{
	*s = (struct supervisor){
		.opt = opt,
		.vm_fds = {-1, -1, -1},
		.exe_fd = -1,
		.signal_fd = -1,
		.config_fd = -1,
		.state_fd = -1,
		.arena_fd = -1,
		.link_fd = -1,
		.pair = -1,
		.bus_listener = -1,
		.bus_pair = -1,
		.bus_fd = -1,
		.up = {.pair = -1, .arena_fd = -1},
		.qmp = {.pair = -1},
		.life = opt->incoming ? LIFE_INCOMING : LIFE_SERVING,
	};
}

int supervisor_check(const struct options *opt)
{
	static struct supervisor s;
	int r;

	init(&s, opt);
	r = check(&s);
	if (r >= 0)
		return r;
	r = resume_read(&s, opt->check_fd);
	return r < 0 ? fail(EXIT_RUN, "the running program's state", r) : 0;
}

int supervisor_run(const struct options *opt)
{
	static struct supervisor s;
	char name[96];
	int r;

	init(&s, opt);
	snprintf(name, sizeof(name), "vmchanneld: vm=%.64s", opt->vm);
	log_init(name);
	r = prepare(&s);
	if (r < 0) {
		loop(&s);
		r = s.status;
	}
	clean_up(&s);
	return r;
}
