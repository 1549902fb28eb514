/* SPDX-License-Identifier: MIT */
/* error.h - the text behind vmc_strerror() */
#ifndef CLIENT_ERROR_H
#define CLIENT_ERROR_H

/**
 * client_fail() - remember why a call fails
 * @error: positive errno
 * @fmt:   one line that names the thing and the remedy
 *
 * Return: -@error.
 */
int client_fail(int error, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* CLIENT_ERROR_H */
