/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - the half of vmchanneld that never sees a guest's byte
 *
 * Theory of operation
 *
 * One poll() over a few descriptors: a signalfd, the pairs to the worker and
 * to the QMP process, and vmstate.sock until somebody connects (the bus process
 * has it then); timers
 *exist only while something is awaited (a link, a restart, the end). With the
 *link up nothing wakes it.
 *
 *	worker: none -> started -> ready -> (death) -> none, after a pause if it
 *		dies often
 *	link:   searched only while a worker is ready; found ones are passed on
 *		and a copy is kept, so that the worker's death closes nothing
 *
 * Upgrade (upgrade.c): the new program is asked whether it understands our
 * state and then takes this process over; it starts a worker of its own, lets
 * the old one hand over to that, and ends it.
 *
 * What the worker asks for is checked against the supervisor's own tables: it
 * names a service, never a command; it gets a link, never chooses one.
 */
#ifndef HOST_SUPERVISOR_H
#define HOST_SUPERVISOR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "broker/services.h"
#include "host/children.h"
#include "host/ipc.h"
#include "host/keep.h"
#include "host/life.h"
#include "host/link.h"
#include "host/loaded.h"
#include "host/options.h"
#include "host/qmp_proc.h"
#include "host/rate.h"

/* A worker that dies this often in this time is started slowly. */
#define DEATHS_MAX       5u
#define DEATHS_WINDOW_MS 10000u
#define RESTART_PAUSE_MS 1000u
/* An orderly end takes milliseconds; a worker that hangs is killed. */
#define STOP_MS 3000u
/* Messages of the worker handled per wake-up; then signals and timers. */
#define REQUESTS_PER_TURN 16

/* Where the worker finds what it inherits. */
#define WORKER_FD_PAIR    3
#define WORKER_FD_CONTROL 4
#define WORKER_FD_CONNECT 5
#define WORKER_FD_STATE   6
#define WORKER_FD_ARENA   7
#define WORKER_FD_NUM     8
/* A worker that lived this long did not die of how it was started. */
#define LIVED_MS 1000u
/* Between a VM's leaving and our end with it, for those who ask why. */
#define MOVED_MS 2000u

/* A worker that is to take over from the present one. */
struct upgrade {
	enum {
		UPGRADE_NONE,
		UPGRADE_STARTING, /* it does not serve yet */
		UPGRADE_HOLDING,  /* the present one stands still */
		UPGRADE_ADOPTING, /* and the new one loads */
	} phase;
	pid_t worker;
	int pair;     /* -1: none */
	int arena_fd; /* its own: the present one may have to go on */
	uint64_t due_ms;
	bool asked;    /* by a program, over the worker */
	bool reloaded; /* the new worker has an older configuration */
};

struct supervisor {
	const struct options *opt;
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int vm_fds[3];           /* vmdir_claim(): lock, control, connect */
	int exe_fd;              /* this program, for the worker */
	char exe_path[PATH_MAX]; /* where the next one will be */
	int signal_fd;
	int state_fd; /* memfd that a state goes through; worker's and ours */
	int arena_fd; /* memfd of the worker's session */

	struct services services;
	int config_fd; /* the worker's blob, for every worker */
	size_t config_len;

	struct link_search link;
	int link_fd; /* copy of the one that was found; -1: none */
	struct children children;
	struct keep keep;

	pid_t worker; /* 0: none */
	int pair;     /* -1: none */
	bool worker_ready;
	uint64_t started_ms; /* when it was started */
	enum life life;      /* as it said */
	uint64_t linger_ms;  /* the VM has left: do not end before; or 0 */
	struct upgrade up;
	struct rate upgrades;        /* that the worker asked for */
	struct rate claims;          /* the same */
	struct loaded loaded;        /* the last of them that was granted */
	uint64_t restart_ms;         /* 0: none planned */
	uint64_t deaths[DEATHS_MAX]; /* a ring */
	unsigned int n_deaths;

	/* bus_proc.c; the process runs after the first connection */
	gid_t qemu_gid;   /* of --qemu-group */
	int bus_listener; /* vmstate.sock; -1: none */
	pid_t bus_pid;    /* 0: none */
	int bus_pair;
	int bus_fd;              /* memfd that it shares with workers */
	uint64_t bus_start_ms;   /* when it was started */
	uint64_t bus_restart_ms; /* not before; 0: at once */
	bool bus_lost;           /* it died, and QEMU did not come back yet */

	struct qmp_side qmp; /* qmp_proc.c */

	bool announced; /* programs can connect, and it was said */
	bool stopping;
	uint64_t stop_ms; /* when patience ends */
	bool done;
	int status; /* to exit with */
};

/* supervisor_run() - all of it. Return: the status to exit with. */
int supervisor_run(const struct options *opt);
/* supervisor_check() - --check-state. Return: 0 if this program can go on from
 * there, otherwise the status to exit with; a line has been printed then. */
int supervisor_check(const struct options *opt);

/* ---- for its parts ------------------------------------------------------- */

uint64_t supervisor_now_ms(void);

/* worker_spawn() - @adopt: it waits for a predecessor's state. Return: its
 * pid or a negative errno. */
pid_t worker_spawn(const struct supervisor *s, bool adopt, int arena_fd,
		   int *ret_pair);
/* worker_start() - Return: 0 or a negative errno */
int worker_start(struct supervisor *s);
/* worker_give() - many messages in a row: waits a little for the worker */
void worker_give(struct supervisor *s, const struct ipc_msg *m, int fd);
/* worker_kill() - at once; its death is handled like any other */
void worker_kill(const struct supervisor *s);
/* worker_tell() - a worker that does not read is killed */
void worker_tell(struct supervisor *s, const struct ipc_msg *m, int fd);
/* worker_died() - plan the next one, or end */
void worker_died(struct supervisor *s, int wait_status);

/* worker_greet() - all that a worker needs before it serves */
void worker_greet(struct supervisor *s);

/* upgrade_not_in() - why there is none in that life; NULL: there is */
const char *upgrade_not_in(enum life life);
/* upgrade_why_not() - why there is none now; NULL: there may be */
const char *upgrade_why_not(const struct supervisor *s);
/* upgrade_begin() - ask the installed program, become it. Returns only on
 * failure. @asked: tell the worker then. */
void upgrade_begin(struct supervisor *s, bool asked);
/* upgrade_continue() - we are the new program: replace the worker */
void upgrade_continue(struct supervisor *s);
/* upgrade_handle() - what the new worker has sent */
void upgrade_handle(struct supervisor *s);
/* upgrade_given() / upgrade_held() - what the present one hands over */
void upgrade_given(struct supervisor *s, const struct ipc_msg *m, int fd);
void upgrade_held(struct supervisor *s, const struct ipc_msg *m);
/* upgrade_failed() - give up; the present worker goes on */
void upgrade_failed(struct supervisor *s, const char *why);
/* upgrade_alone() - the present worker has died. Return: the new one has all
 * it needs and takes its place. */
bool upgrade_alone(struct supervisor *s);
/* bus_listen() - bind vmstate.sock; without it the VM migrates without state */
void bus_listen(struct supervisor *s);
/* bus_admit() - vmstate.sock to --qemu-group, if that is given. Return: 0 or a
 * negative errno. */
int bus_admit(const struct supervisor *s);
/* bus_tell() - the worker: what a migration would find without that process */
void bus_tell(struct supervisor *s);
/* bus_is_awaited() - is a connection to vmstate.sock to be answered by
 * bus_wanted()? */
bool bus_is_awaited(const struct supervisor *s);
/* bus_wanted() - start the bus process, unless it runs */
void bus_wanted(struct supervisor *s);
/* bus_join() - give the bus process and the worker that is ready a new pair;
 * nothing if one of them is missing */
void bus_join(struct supervisor *s);
/* bus_path() - of vmstate.sock */
void bus_path(const struct supervisor *s, char *ret, size_t size);
/* bus_died() - the next connection starts another one */
void bus_died(struct supervisor *s, int wait_status);
/* bus_end() - end it, remove the socket */
void bus_end(struct supervisor *s);

/* requests_handle() - what the worker has sent */
void requests_handle(struct supervisor *s);
/* requests_last() - what a worker that is dead said about what it leaves */
void requests_last(struct supervisor *s);

/* supervisor_reload() - read the folders again; the old ones stay on error.
 * @answer: the worker waits for the result */
void supervisor_reload(struct supervisor *s, bool answer);
/* supervisor_send_config() */
void supervisor_send_config(struct supervisor *s, bool answer);
/* supervisor_memory() - a memfd of fixed size, zeroed, or a negative errno */
int supervisor_memory(const char *name, size_t size);
/* supervisor_announce() - tell whoever started us, once */
void supervisor_announce(struct supervisor *s);
/* supervisor_find_link() - one attempt, if it is time */
void supervisor_find_link(struct supervisor *s);
/* supervisor_drop_link() - close our copy */
void supervisor_drop_link(struct supervisor *s);
/* supervisor_stop() - begin the orderly end */
void supervisor_stop(struct supervisor *s, const char *why);

#endif /* HOST_SUPERVISOR_H */
