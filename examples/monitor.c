/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - print the other side's channels as they come and go
 *
 *	./monitor web1
 */
#include <stdio.h>

#include <vmchannel/vmchannel.h>

static void print(const struct vmc_monitor_event *e)
{
	if (e->type == VMC_MON_CHANNEL_ADDED && e->peer)
		printf("+ %s\n", e->channel);
	else if (e->type == VMC_MON_CHANNEL_REMOVED && e->peer)
		printf("- %s\n", e->channel);
	else if (e->type == VMC_MON_LOST)
		printf("? %llu events were missed\n",
		       (unsigned long long)e->lost);
	/* There are other types, also those of newer brokers. */
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct vmc_monitor_event event;
	struct vmc_monitor *m;

	if (argc != 2) {
		fprintf(stderr, "usage: %s VM\n", argv[0]);
		return 2;
	}
	if (vmc_monitor_open(&m, argv[1], VMC_MONITOR_SNAPSHOT, 0, NULL) == 0) {
		while (vmc_monitor_next(m, &event, VMC_NO_TIMEOUT) == 1)
			print(&event);
		vmc_monitor_free(m);
	}
	fprintf(stderr, "%s\n", vmc_strerror());
	return 1;
}
