/* SPDX-License-Identifier: MIT */
/* operror.h - an error that comes in a frame */
#ifndef CLI_OPERROR_H
#define CLI_OPERROR_H

#include <stddef.h>

/**
 * operror_parse() - is that an error reply, and what its interface says?
 * @text:           @len bytes of a guest, any
 * @ret_error:      its name, to be free()d
 * @ret_parameters: JSON, to be free()d; what is not known was left out
 *
 * Return: 0, or a negative errno: -EPROTO if it is none, -ENOMEM.
 */
int operror_parse(const char *text, size_t len, char **ret_error,
		  char **ret_parameters);

#endif /* CLI_OPERROR_H */
