/* SPDX-License-Identifier: MIT */
/* ops_table.h - the interfaces, one file op_NAME.c each */
#ifndef GUEST_OPS_TABLE_H
#define GUEST_OPS_TABLE_H

#include "guest/ops.h"

extern const struct op_interface op_agent;
extern const struct op_interface op_exec;
extern const struct op_interface op_file;
extern const struct op_interface op_power;
extern const struct op_interface op_session;
extern const struct op_interface op_network;
extern const struct op_interface op_storage;
extern const struct op_interface op_system;

#endif /* GUEST_OPS_TABLE_H */
