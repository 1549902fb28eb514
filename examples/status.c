/* SPDX-License-Identifier: MIT */
/*
 * status.c - send a file and be sure that all of it arrived
 *
 *	vmchannel listen host org.example.sink -- sh -c 'cat >f'  (in the guest)
 *	./status web1 org.example.sink <FILE                      (on the host)
 *
 * A descriptor cannot tell a reset from an end of file; the broker can.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

static void send_stdin(int fd)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0, k; done < n; done += k) {
			k = send(fd, buf + done, (size_t)(n - done),
				 MSG_NOSIGNAL);
			if (k < 0)
				return; /* the status will say why */
		}
}

int main(int argc, char **argv)
{
	struct vmc_status s = {0};
	char id[VMC_ID_MAX], c;
	int fd = -1, r = 0;

	if (argc == 3)
		fd = vmc_connect(argv[1], argv[2], 0, 10000, id);
	if (fd < 0) {
		fprintf(stderr, "usage: %s VM CHANNEL; %s\n", argv[0],
			vmc_strerror());
		return 2;
	}
	send_stdin(fd);
	shutdown(fd, SHUT_WR);
	while (read(fd, &c, 1) > 0) /* until the other side is done, too */
		;
	close(fd);
	while (r == 0 && s.state != VMC_STREAM_ENDED && usleep(10000) == 0)
		r = vmc_stream_status(argv[1], id, &s);
	printf("%s: %llu bytes were taken over by the other side\n",
	       r ? vmc_strerror() : vmc_reason_text(s.reason),
	       (unsigned long long)s.bytes_out);
	return r || s.reason != VMC_REASON_OK;
}
