/* SPDX-License-Identifier: MIT */
/*
 * power_kernel.c - off, reboot and sleep on a guest without systemd's D-Bus
 *
 * An orderly end is init's to make, and init is asked in its own way: by a
 * signal. reboot(2) would end everything where it stands, so it is not used.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/log.h"
#include "guest/power.h"
#include "guest/utmp_list.h"

/* How init is asked: busybox's by three plain signals, systemd by real-time
 * ones (that guest's bus is not ours when this is the static agent). */
static const struct init {
	const char *exe;
	bool real_time;
	int signals[POWER_HALT + 1];
} inits[] = {
	{"busybox",
	 false,
	 {[POWER_OFF] = SIGUSR2,
	  [POWER_REBOOT] = SIGTERM,
	  [POWER_HALT] = SIGUSR1}},
	{"systemd",
	 true,
	 {[POWER_OFF] = 4, [POWER_REBOOT] = 5, [POWER_HALT] = 3}},
};

/* Words of /sys/power/state. */
static const char *const states[POWER_ACTIONS] = {
	[POWER_SUSPEND] = "mem",
	[POWER_HIBERNATE] = "disk",
};

static struct power_minimal {
	enum power_action next; /* when the host was told */
	int timer;              /* of the schedule */
	uv_poll_t poll;
	struct power_schedule schedule;
	struct sigaction uv; /* libuv's for SIGTERM */
} mp = {
	.timer = -1,
	.next = POWER_ACTIONS,
	.schedule = {.action = POWER_ACTIONS},
};

/* Who sent the last SIGTERM: only its handler knows. */
static volatile sig_atomic_t sigterm_from;

/* ---- init ---------------------------------------------------------------- */

static const char *init_exe(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/1/exe", buf, size - 1);
	char *end;

	if (n <= 0)
		return "";
	buf[n] = '\0';
	end = strstr(buf, " (deleted)"); /* after an update */
	if (end)
		*end = '\0';
	return strrchr(buf, '/') ? strrchr(buf, '/') + 1 : buf;
}

/* busybox is many programs in one: which one it is, its first word says. */
static bool is_applet_init(void)
{
	char words[64];
	int fd = open("/proc/1/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, words, sizeof(words) - 1) : -1;
	const char *name;

	if (fd >= 0)
		close(fd);
	words[n > 0 ? n : 0] = '\0';
	name = strrchr(words, '/') ? strrchr(words, '/') + 1 : words;
	return strcmp(name, "init") == 0 || strcmp(name, "linuxrc") == 0;
}

/* Return: the signal, or 0. */
static int init_signal(enum power_action a)
{
	char buf[PATH_MAX];
	const char *exe = init_exe(buf, sizeof(buf));

	for (size_t i = 0; i < sizeof(inits) / sizeof(inits[0]); i++) {
		if (strcmp(exe, inits[i].exe) != 0)
			continue;
		if (inits[i].real_time)
			return SIGRTMIN + inits[i].signals[a];
		return is_applet_init() ? inits[i].signals[a] : 0;
	}
	return 0;
}

/* ---- what it can --------------------------------------------------------- */

static bool file_has(const char *path, const char *word)
{
	char line[256] = "", *at = line, *w;
	FILE *f = fopen(path, "re");
	bool found = false;

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	(void)fclose(f);
	while (!found && (w = strsep(&at, " \n")) != NULL)
		found = strcmp(w, word) == 0;
	return found;
}

/* Return: what it lacks, or NULL. */
static const char *lacks(enum power_action a)
{
	if (a <= POWER_HALT)
		return init_signal(a) ? NULL
				      : "an init that can be asked: process 1 "
					"is neither busybox's init nor systemd";
	if (!file_has("/sys/power/state", states[a]))
		return "a kernel that can: /sys/power/state does not list it";
	if (a == POWER_HIBERNATE && file_has("/sys/power/resume", "0:0"))
		return "a place for its memory: no resume device is set";
	return NULL;
}

static void can(struct op_call *call, enum power_action a)
{
	const char *detail = lacks(a);

	op_reply(call, json_pack("{s:s,s:s*}", "can", detail ? "no" : "yes",
				 "detail", detail));
}

/* ---- to do it ------------------------------------------------------------ */

__attribute__((noreturn)) static void sleeper(const char *state)
{
	int fd = open("/sys/power/state", O_WRONLY | O_CLOEXEC);
	ssize_t len = (ssize_t)strlen(state);

	_exit(fd >= 0 && write(fd, state, (size_t)len) == len ? EXIT_SUCCESS
							      : EXIT_FAILURE);
}

static void on_awake(struct ops *o, pid_t pid, int status, void *data)
{
	(void)pid;
	(void)data;
	if (status != 0)
		log_warning("ev=sleep status=%d: the kernel did not", status);
	power_sleep_ended(o);
}

/* The write returns when it is over, so it is a child's. */
static void go_to_sleep(struct ops *o, const char *state)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sleeper(state);
	}
	if (pid < 0 || ops_watch_child(o, pid, on_awake, NULL) < 0) {
		log_error("ev=sleep error=\"no process for it\"");
		power_sleep_ended(o);
	}
}

/* power_told_fn */
static void go_on(struct ops *o)
{
	enum power_action a = mp.next;
	int n = a <= POWER_HALT ? init_signal(a) : 0;

	mp.next = POWER_ACTIONS;
	if (a > POWER_HALT) {
		go_to_sleep(o, states[a]);
	} else if (n == 0 || kill(1, n) < 0) {
		log_error("ev=power-off error=\"init does not take it\"");
		power_off_cancelled(o);
	}
}

static void begin(struct ops *o, enum power_action a)
{
	mp.next = a;
	if (a > POWER_HALT)
		power_sleep_begins(o, power_action_name(a), NULL);
	else
		power_off_begins(o, power_action_name(a), NULL);
	power_when_told(o, go_on);
}

/* Nothing inhibits anything here. */
static void act(struct op_call *call, enum power_action a, bool ignore)
{
	struct ops *o = op_ops(call);
	const char *detail = lacks(a);

	(void)ignore;
	if (detail) {
		power_refused();
		op_not_supported(call, detail);
		return;
	}
	if (a <= POWER_HALT && power_reason())
		utmp_tell_all(power_reason());
	power_accepted(call);
	begin(o, a);
}

/* ---- the schedule -------------------------------------------------------- */

static void set_timer(uint64_t time_us)
{
	const struct itimerspec at = {
		.it_value = {.tv_sec = (time_t)(time_us / 1000000),
			     .tv_nsec = (long)(time_us % 1000000 * 1000)},
	};

	(void)timerfd_settime(mp.timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void on_due(uv_poll_t *h, int status, int events)
{
	enum power_action a = mp.schedule.action;
	struct ops *o = h->data;
	uint64_t n;

	(void)status;
	(void)events;
	if (read(mp.timer, &n, sizeof(n)) < 0 || a == POWER_ACTIONS)
		return;
	mp.schedule.action = POWER_ACTIONS;
	begin(o, a);
}

static void schedule(struct op_call *call, const struct power_schedule *s,
		     const char *message)
{
	struct ops *o = op_ops(call);
	const char *detail = mp.timer < 0 ? "a timer" : lacks(s->action);

	if (detail) {
		op_not_supported(call, detail);
		return;
	}
	mp.schedule = *s;
	set_timer(s->time_us);
	if (message)
		utmp_tell_all(message);
	power_scheduled(o, s, true, message);
	op_reply(call, json_object());
}

static void cancel(struct op_call *call)
{
	struct ops *o = op_ops(call);
	bool had = mp.schedule.action != POWER_ACTIONS;

	if (had) {
		mp.schedule.action = POWER_ACTIONS;
		set_timer(0);
		power_scheduled(o, &mp.schedule, true, NULL);
	}
	op_reply(call, json_pack("{s:b}", "cancelled", had));
}

static void get_schedule(struct op_call *call)
{
	op_reply(call, json_pack("{s:o*}", "schedule",
				 power_schedule_json(&mp.schedule)));
}

static void list_inhibitors(struct op_call *call)
{
	op_reply(call, json_pack("{s:[]}", "inhibitors"));
}

static void watch_schedule(struct ops *o)
{
	mp.timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (mp.timer >= 0 &&
	    uv_poll_init(ops_loop(o), &mp.poll, mp.timer) < 0) {
		close(mp.timer);
		mp.timer = -1;
	}
	if (mp.timer < 0)
		return;
	mp.poll.data = o;
	uv_poll_start(&mp.poll, UV_READABLE, on_due);
}

/* ---- init's shutdown ----------------------------------------------------- */

/* In front of libuv's handler, which does not look at the sender. */
static void on_sigterm(int number, siginfo_t *info, void *context)
{
	sigterm_from = info->si_code == SI_USER ? info->si_pid : 0;
	if (mp.uv.sa_flags & SA_SIGINFO)
		mp.uv.sa_sigaction(number, info, context);
	else
		mp.uv.sa_handler(number);
}

static void watch_sigterm(void)
{
	struct sigaction a = {.sa_flags = SA_SIGINFO | SA_RESTART};

	a.sa_sigaction = on_sigterm;
	sigfillset(&a.sa_mask);
	sigterm_from = 0;
	if (sigaction(SIGTERM, NULL, &mp.uv) == 0 &&
	    mp.uv.sa_handler != SIG_DFL && mp.uv.sa_handler != SIG_IGN)
		(void)sigaction(SIGTERM, &a, NULL);
}

/* ---- start and stop ------------------------------------------------------ */

/* By rule the guest has booted when this process starts in a boot for the first
 * time: init says nothing that could be waited for. */
static int start(struct ops *o)
{
	struct timespec t;

	watch_sigterm();
	watch_schedule(o);
	clock_gettime(CLOCK_BOOTTIME, &t);
	power_booted(o,
		     (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
	return 0;
}

static void stop(struct ops *o)
{
	/* Init ends everything: the system goes down, who knows how. */
	if (sigterm_from == 1)
		power_off_begins(o, NULL, NULL);
	if (mp.timer < 0)
		return;
	uv_poll_stop(&mp.poll);
	uv_close((uv_handle_t *)&mp.poll, NULL);
	close(mp.timer);
	mp.timer = -1;
}

const struct power_back_end power_kernel = {
	.start = start,
	.stop = stop,
	.lacks = lacks,
	.act = act,
	.can = can,
	.schedule = schedule,
	.cancel = cancel,
	.get_schedule = get_schedule,
	.list_inhibitors = list_inhibitors,
};
