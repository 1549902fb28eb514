/* SPDX-License-Identifier: MIT */
/*
 * marker.c - for each byte from the port PORT, something that becomes an event
 *
 *	marker PORT KIND ...
 *
 * and a byte back at the moment of it: the port is a raw one, so that the host
 * sees how much later the event came.
 */
#include "marker.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "../tests/vm/guest/testport.h"

static int port = -1;

void marker_say(char c)
{
	(void)!write(port, &c, 1);
}

int main(int argc, char **argv)
{
	char c;

	port = argc > 2 ? testport_open(argv[1]) : -1;
	if (port < 0 || fcntl(port, F_SETFL, 0) < 0 ||
	    !marker_init(argc - 2, argv + 2)) {
		fputs("usage: marker PORT KIND ...\n", stderr);
		return 2;
	}
	puts("ready");
	fflush(stdout);
	for (unsigned int n = 1; read(port, &c, 1) == 1; n++)
		if (!marker_happen(n)) {
			perror("marker");
			return 1;
		}
	return 0;
}
