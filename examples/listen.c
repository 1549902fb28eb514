/* SPDX-License-Identifier: MIT */
/*
 * listen.c - announce a channel; tell every caller who it is
 *
 *	./listen host org.example.whoami                  (in the guest)
 *	vmchannel connect web1 org.example.whoami         (on the host)
 */
#include <stdio.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

static int fail(void)
{
	fprintf(stderr, "%s\n", vmc_strerror());
	return 1;
}

int main(int argc, char **argv)
{
	struct vmc_listener *l;
	struct vmc_caller who;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: %s VM CHANNEL\n", argv[0]);
		return 2;
	}
	if (vmc_listen(&l, argv[1], argv[2], 0))
		return fail();
	/* A server with an event loop polls vmc_listener_fd(l) and passes 0
	 * for the timeout. */
	while ((fd = vmc_accept(l, &who, VMC_NO_TIMEOUT)) >= 0) {
		dprintf(fd, "you are user %u of the %s\n", who.uid,
			who.side == VMC_PRINCIPAL_HOST ? "host" : "guest");
		close(fd);
	}
	fail();
	vmc_listener_free(l);
	return 1;
}
