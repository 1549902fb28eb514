/* SPDX-License-Identifier: MIT */
/* command.h - a QMP command as text; pure */
#ifndef QMP_COMMAND_H
#define QMP_COMMAND_H

#include <jansson.h>

/**
 * qmp_command_text() - one line, with its end
 * @arguments: borrowed; NULL for none
 *
 * Return: to be freed; NULL: no memory.
 */
char *qmp_command_text(const char *name, json_int_t id, json_t *arguments);

#endif /* QMP_COMMAND_H */
