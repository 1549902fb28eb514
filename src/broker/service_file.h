/* SPDX-License-Identifier: MIT */
/*
 * service_file.h - the text of one services.d file (private to services)
 */
#ifndef BROKER_SERVICE_FILE_H
#define BROKER_SERVICE_FILE_H

#include "broker/services.h"

/* Far more than any service needs; a bigger file is the wrong file. */
#define SERVICE_FILE_MAX 16384

/**
 * service_parse() - one service from the text of its file
 * @ret:     filled in on success; service_clear() frees it
 * @name:    the channel, from the file's name; checked
 * @file:    for messages
 * @ret_err: "FILE:LINE: what and what to do"
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
int service_parse(struct service *ret, const char *name, const char *file,
		  const char *text, size_t len, char *ret_err, size_t err_size);

/* service_clear() - frees what is in @s, not @s */
void service_clear(struct service *s);

/**
 * service_split() - cut a command at spaces, with double quotes, no shell
 * @argv: NULL-terminated; all words lie in one block that free(argv[0]) frees
 *
 * Inside quotes, \" and \\ stand for the character itself.
 *
 * Return: NULL, or what is wrong (a static string; @argv holds nothing then).
 */
const char *service_split(char *argv[SERVICE_ARGS_MAX + 1], const char *text);

#endif /* BROKER_SERVICE_FILE_H */
