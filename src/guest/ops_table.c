/* SPDX-License-Identifier: MIT */
/* ops_table.c - the interfaces of this guest */
#include <stddef.h>

#include "guest/ops_table.h"

const struct op_interface *const op_interfaces[] = {
	&op_agent,   &op_exec,    &op_file,   &op_network, &op_power,
	&op_session, &op_storage, &op_system, NULL,
};
