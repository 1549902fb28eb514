/* SPDX-License-Identifier: MIT */
/* doctor_guest.c - the guest's own hops: port, device, agent */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/doctor.h"

#define PORT  "org.vmchannel.0"
#define SYSFS "/sys/class/virtio-ports"

/* Tests have a sysfs and a /dev of their own. */
static const char *root_of(const char *variable)
{
	const char *root = secure_getenv(variable);

	return root ? root : "";
}

static bool has_name(const char *dir, const char *port)
{
	char path[PATH_MAX], name[64];
	bool found;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s/name", dir, port) >=
	    (int)sizeof(path))
		return false;
	f = fopen(path, "re");
	if (!f)
		return false;
	found = fgets(name, sizeof(name), f) != NULL;
	(void)fclose(f);
	name[found ? strcspn(name, "\n") : 0] = '\0';
	return strcmp(name, PORT) == 0;
}

/* The kernel's name ("vport0p1") of our port. Return: ports seen in all, or
 * -1 without the class. */
static int find_port(char *ret, size_t size)
{
	char dir[PATH_MAX];
	const struct dirent *e;
	int seen = 0;
	DIR *d;

	ret[0] = '\0';
	snprintf(dir, sizeof(dir), "%s" SYSFS, root_of("VMCHANNEL_TEST_ROOT"));
	d = opendir(dir);
	if (!d)
		return -1;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		seen++;
		if (has_name(dir, e->d_name))
			snprintf(ret, size, "%s", e->d_name);
	}
	closedir(d);
	return seen;
}

/* The agent has the link: however it got it, the port is good enough. */
static bool link_is_up(const struct doctor *d)
{
	return d->info && strcmp(ask_text(d->info, "link"), "up") == 0;
}

static enum doctor_verdict check_port(struct doctor *d)
{
	char port[NAME_MAX + 1];
	int seen = find_port(port, sizeof(port));

	if (port[0] != '\0') {
		doctor_detail(d, "%s is " PORT, port);
		return DOCTOR_GOOD;
	}
	if (link_is_up(d)) {
		doctor_detail(d, "the link does not use a virtio port");
		return DOCTOR_SKIPPED;
	}
	if (seen < 0) {
		doctor_detail(d, SYSFS " does not exist");
		doctor_remedy(d, "load the driver: modprobe virtio_console");
	} else {
		doctor_detail(d, "no port " PORT " among the %d virtio ports",
			      seen);
		doctor_remedy(d,
			      "on the host: start the VM with what "
			      "'vmchannel qemu-args' or 'libvirt-xml' prints, "
			      "or 'vmchannel attach' the port");
	}
	return DOCTOR_BAD;
}

static enum doctor_verdict check_device(struct doctor *d)
{
	char port[NAME_MAX + 1], path[PATH_MAX];

	find_port(port, sizeof(port));
	if (port[0] == '\0') {
		doctor_detail(d, "no port");
		return DOCTOR_SKIPPED;
	}
	snprintf(path, sizeof(path), "%s/dev/%s",
		 root_of("VMCHANNEL_TEST_ROOT"), port);
	doctor_detail(d, "%s", path);
	if (access(path, F_OK) == 0)
		return DOCTOR_GOOD;
	doctor_detail(d, "%s does not exist", path);
	doctor_remedy(d, "mount devtmpfs on /dev, or start udev or mdev");
	return DOCTOR_BAD;
}

static enum doctor_verdict check_agent(struct doctor *d)
{
	if (d->info) {
		doctor_detail(d, "vmchannel-agent %s, pid %lld, answers",
			      ask_text(d->info, "version"),
			      ask_number(d->info, "pid"));
		return DOCTOR_GOOD;
	}
	doctor_detail(d, "%s", d->why_not);
	doctor_remedy(d, "start it: 'systemctl start vmchannel-agent', or run "
			 "vmchannel-agent as root");
	return DOCTOR_BAD;
}

const struct doctor_hop doctor_guest_hops[] = {
	{"port", check_port},
	{"device", check_device},
	{"agent", check_agent},
	{NULL, NULL},
};
