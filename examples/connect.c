/* SPDX-License-Identifier: MIT */
/*
 * connect.c - open a stream, say a word, print the answer
 *
 *	vmchannel listen host org.example.echo -- cat     (in the guest)
 *	./connect web1 org.example.echo                   (on the host)
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

int main(int argc, char **argv)
{
	static const char hello[] = "hello through the channel\n";
	char buf[4096];
	ssize_t n;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: %s VM CHANNEL\n", argv[0]);
		return 2;
	}
	fd = vmc_connect(argv[1], argv[2], 0, 10000, NULL);
	if (fd < 0) {
		fprintf(stderr, "%s\n", vmc_strerror());
		return 1;
	}
	/* From here on it is an ordinary socket. */
	send(fd, hello, strlen(hello), MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	close(fd);
	return n < 0;
}
