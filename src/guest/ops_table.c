/* SPDX-License-Identifier: MIT */
/*
 * ops_table.c - the interfaces of this guest
 *
 * Those without a row are announced, describe themselves and answer
 * MethodNotImplemented; each gets a file op_NAME.c.
 */
#include <stddef.h>

#include "guest/ops_table.h"

#define NO_ROWS(id, interface) \
	static const struct op_interface id = {.name = (interface)}

NO_ROWS(op_file, "org.vmchannel.File");

const struct op_interface *const op_interfaces[] = {
	&op_agent,   &op_exec,    &op_file,   &op_network, &op_power,
	&op_session, &op_storage, &op_system, NULL,
};
