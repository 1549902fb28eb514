/* SPDX-License-Identifier: MIT */
/*
 * endpoint.h - descriptors of any transport from one line of text
 *
 *	file:PATH             a raw port's device
 *	unix:PATH             connect, e.g. to a chardev's socket
 *	tcp:ADDRESS:PORT      connect (IPv4)
 *	vmc:VM:CHANNEL        a stream to a channel of the other side
 *
 * and for endpoint_listen():
 *
 *	tcp:ADDRESS:PORT      port 0: any; the one chosen is told
 *	vmc:VM:CHANNEL        announce the channel
 */
#ifndef BENCH_ENDPOINT_H
#define BENCH_ENDPOINT_H

struct endpoint_listener;

/**
 * endpoint_open() - connect or open what @spec names
 *
 * Return: a blocking descriptor, or a negative errno.
 */
int endpoint_open(const char *spec);

/**
 * endpoint_listen() - wait for connections at @spec
 * @ret:      freed with endpoint_listener_free()
 * @ret_port: TCP: the port; else 0
 */
int endpoint_listen(const char *spec, struct endpoint_listener **ret,
		    int *ret_port);

/**
 * endpoint_accept() - the next connection, at most @timeout_ms from now
 *
 * Return: a blocking descriptor, or a negative errno.
 */
int endpoint_accept(struct endpoint_listener *l, int timeout_ms);
void endpoint_listener_free(struct endpoint_listener *l);

#endif /* BENCH_ENDPOINT_H */
