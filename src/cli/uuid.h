/* SPDX-License-Identifier: MIT */
/* uuid.h - identities of VMs */
#ifndef CLI_UUID_H
#define CLI_UUID_H

#include <stdbool.h>

#define UUID_SIZE 37 /* 36 characters and NUL */

/* uuid_valid() - 8-4-4-4-12 hexadecimal digits? */
bool uuid_valid(const char *text);
/* uuid_generate() - a random one (version 4). Return: 0, or -1 with errno. */
int uuid_generate(char ret[UUID_SIZE]);

#endif /* CLI_UUID_H */
