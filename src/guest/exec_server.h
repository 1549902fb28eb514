/* SPDX-License-Identifier: MIT */
/*
 * exec_server.h - the process that serves one command
 *
 * It starts the command, carries its bytes, and ends all that became of it. It
 * is a child of the operations process, which it has no other part in: a caller
 * that is slow, or sends what is no frame, stops or ends its own command only.
 */
#ifndef GUEST_EXEC_SERVER_H
#define GUEST_EXEC_SERVER_H

#include "guest/exec_plan.h"
#include "guest/ops.h"

/**
 * exec_serve() - run it and answer @call, or say why not
 * @name: of the command, for the answer that says why not
 */
__attribute__((noreturn)) void exec_serve(struct op_call *call,
					  const struct exec_plan *plan,
					  const char *name);

#endif /* GUEST_EXEC_SERVER_H */
