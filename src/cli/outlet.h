/* SPDX-License-Identifier: MIT */
/* outlet.h - stdout and stderr, which others may hold, too, without waiting */
#ifndef CLI_OUTLET_H
#define CLI_OUTLET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

struct outlet {
	int fd;     /* poll it for POLLOUT when a write said EAGAIN */
	int number; /* STDOUT_FILENO or STDERR_FILENO */
	bool own;   /* fd is not that one itself */
	bool socket;
};

/* outlet_open() - for STDOUT_FILENO or STDERR_FILENO */
void outlet_open(struct outlet *o, int number);

/* outlet_write() - as writev(); where it can be helped without waiting */
ssize_t outlet_write(const struct outlet *o, const struct iovec *v, int n);

/* outlet_hang_up() - whoever reads it learns that no more comes; the number
 * stays taken */
void outlet_hang_up(struct outlet *o);

/* outlet_close() - back to what it was before outlet_open() */
void outlet_close(struct outlet *o);

#endif /* CLI_OUTLET_H */
