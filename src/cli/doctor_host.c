/* SPDX-License-Identifier: MIT */
/* doctor_host.c - the host's own hops: directory, daemon */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/doctor.h"
#include "client/vmpath.h"

/* The first root that has a directory for the VM. */
static bool find_directory(const char *vm, char ret[VMPATH_MAX], int *ret_errno)
{
	struct vmpath_roots roots;
	struct stat st;

	*ret_errno = ENOENT;
	vmpath_roots(&roots);
	for (unsigned int i = 0; i < roots.n; i++) {
		if (!vmpath_join(ret, VMPATH_MAX, roots.path[i], vm, NULL))
			continue;
		if (stat(ret, &st) == 0) {
			if (S_ISDIR(st.st_mode))
				return true;
			*ret_errno = ENOTDIR;
		} else if (errno != ENOENT) {
			*ret_errno = errno;
		}
	}
	return false;
}

static enum doctor_verdict check_directory(struct doctor *d)
{
	char path[VMPATH_MAX];
	int e;

	if (!vmpath_vm_valid(d->vm)) {
		doctor_detail(d, "'%s' cannot be a VM's name", d->vm);
		doctor_remedy(d, "use letters, digits, '.', '_' and '-', at "
				 "most 64 of them");
		return DOCTOR_BAD;
	}
	if (find_directory(d->vm, path, &e)) {
		doctor_detail(d, "%s", path);
		return DOCTOR_GOOD;
	}
	doctor_detail(d, "%s", d->why_not[0] ? d->why_not : strerror(e));
	doctor_remedy(d,
		      "start the VM with 'vmchannel run --name %s -- "
		      "qemu-system-...', or start 'vmchanneld' for it",
		      d->vm);
	return DOCTOR_BAD;
}

/* Is there a process that holds the directory? -1: this user cannot tell. */
static int is_locked(const char *vm)
{
	char dir[VMPATH_MAX], path[VMPATH_MAX + 8];
	int e, fd, r;

	if (!find_directory(vm, dir, &e))
		return 0;
	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	r = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	close(fd);
	return r;
}

static enum doctor_verdict check_daemon(struct doctor *d)
{
	int locked;

	if (d->info) {
		doctor_detail(d, "vmchanneld %s, pid %lld, answers",
			      ask_text(d->info, "version"),
			      ask_number(d->info, "pid"));
		return DOCTOR_GOOD;
	}
	doctor_detail(d, "%s", d->why_not);
	locked = is_locked(d->vm);
	if (locked == 0)
		doctor_remedy(d, "no vmchanneld holds the directory: start it "
				 "again ('vmchannel run' or 'vmchanneld')");
	else if (locked > 0)
		doctor_remedy(d,
			      "vmchanneld lives but does not answer you: is it "
			      "stopped (SIGSTOP), overloaded, or another "
			      "user's?");
	else
		doctor_remedy(d, "become the user who runs the VM, or let its "
				 "vmchanneld open the sockets to others");
	return DOCTOR_BAD;
}

/* What is true of the session, for people who wonder why nothing moves. It is
 * no fault of a hop. */
static enum doctor_verdict check_state(struct doctor *d)
{
	static const struct {
		const char *life, *text;
	} rows[] = {
		{"serving", "the VM runs here"},
		{"incoming", "waits for the VM to come with a migration"},
		{"fenced", "the VM's state left, with a migration or a "
			   "snapshot; streams wait until it is known where it "
			   "runs"},
		{"away", "the VM runs elsewhere; its streams have ended here"},
	};
	const char *life = ask_text(d->info, "life");
	const char *qmp = ask_text(d->info, "qmp");

	doctor_detail(d, "this vmchanneld does not say");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].life, life) != 0)
			continue;
		doctor_detail(d, "%s: %s%s%s", life, rows[i].text,
			      qmp[0] ? "; by QMP: " : "", cli_safe(qmp));
		return i == 0 ? DOCTOR_GOOD : DOCTOR_SKIPPED;
	}
	return DOCTOR_SKIPPED;
}

/* Of a dbus-vmstate that is connected to nobody. */
static const char *how_to_mend(const struct doctor *d)
{
	const char *qmp = ask_text(d->info, "qmp");

	if (qmp[0] && strcmp(qmp, "waiting") != 0)
		return "vmchanneld makes it anew by QMP as soon as no "
		       "migration runs; if it stays so, its log says why not";
	if (qmp[0])
		return "vmchanneld makes it anew as soon as QEMU answers at "
		       "its --qmp-events";
	return "by QMP, object-del \"vmch0\" and object-add what 'vmchannel "
	       "qemu-args' prints, which vmchanneld does by itself with "
	       "--qmp-events";
}

static enum doctor_verdict check_migration(struct doctor *d)
{
	const char *vmstate = ask_text(d->info, "vmstate");

	if (strcmp(vmstate, "connected") == 0) {
		doctor_detail(d, "QEMU takes the state of streams along");
		return DOCTOR_GOOD;
	}
	/* No fault of a hop: streams move bytes, and so they are looked at. */
	if (strcmp(vmstate, "lost") == 0) {
		doctor_detail(d,
			      "QEMU's migration would fail, and the VM go on "
			      "here: what its dbus-vmstate was connected to "
			      "has died; %s",
			      how_to_mend(d));
		return DOCTOR_SKIPPED;
	}
	doctor_detail(d, "streams would end: %s",
		      strcmp(vmstate, "waiting") == 0
			      ? "QEMU has no dbus-vmstate that is connected to "
				"vmstate.sock ('vmchannel qemu-args' prints it)"
			      : "vmchanneld has no vmstate.sock, see its log");
	return DOCTOR_SKIPPED;
}

const struct doctor_hop doctor_host_hops[] = {
	{"directory", check_directory},
	{"daemon", check_daemon},
	{"state", check_state},
	{"migration", check_migration},
	{NULL, NULL},
};
