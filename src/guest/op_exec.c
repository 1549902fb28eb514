/* SPDX-License-Identifier: MIT */
/*
 * op_exec.c - org.vmchannel.Exec
 *
 * Each method is done by a child of its own, which becomes the server of the
 * command: what is asked of disks and of the name service here may take its
 * time.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/become.h"
#include "guest/exec_cgroup.h"
#include "guest/exec_server.h"
#include "guest/ops_table.h"

#define SERVICES   "/etc/vmchannel/run.d"
#define SHELL_TERM "dumb"

static const char *text(const json_t *p, const char *key)
{
	return json_string_value(json_object_get(p, key));
}

/* Return: false, and it was answered. */
static bool resolve(struct op_call *call, struct user_ids *ret,
		    const char *user)
{
	int r = user_resolve(ret, user ? user : "0");

	if (r == 0)
		return true;
	if (r == -ENOENT)
		op_error(call, "NoSuchUser", json_pack("{s:s}", "user", user));
	else
		op_failed(call, r, "the list of users");
	return false;
}

static bool set_env(struct op_call *call, struct exec_plan *plan, json_t *more,
		    const char *term)
{
	if (!exec_env_is_right(more)) {
		op_invalid(call, "environment");
		return false;
	}
	plan->env = exec_env(&plan->user, more, term);
	if (!plan->env)
		op_failed(call, ENOMEM, "the environment");
	return plan->env != NULL;
}

static void set_size(struct exec_plan *plan, const json_t *size)
{
	plan->pty = json_is_object(size);
	plan->size.ws_row = (unsigned short)json_integer_value(
		json_object_get(size, "rows"));
	plan->size.ws_col = (unsigned short)json_integer_value(
		json_object_get(size, "columns"));
}

/* ---- Run ----------------------------------------------------------------- */

static void run(struct op_call *call, json_t *p)
{
	struct exec_plan plan = {.directory = text(p, "directory")};
	const json_t *words = json_object_get(p, "argv");

	if (!resolve(call, &plan.user, text(p, "user")))
		return;
	for (size_t i = 0; i < json_array_size(words) && i < EXEC_ARGV_MAX; i++)
		plan.argv[i] = json_string_value(json_array_get(words, i));
	plan.file = plan.argv[0];
	set_size(&plan, json_object_get(p, "pty"));
	if (set_env(call, &plan, json_object_get(p, "environment"), NULL))
		exec_serve(call, &plan, plan.file);
}

/* ---- Shell --------------------------------------------------------------- */

static void shell(struct op_call *call, json_t *p)
{
	const char *term = text(p, "term");
	struct exec_plan plan = {0};
	char name[USER_HOME_MAX + 1];

	if (!resolve(call, &plan.user, text(p, "user")))
		return;
	/* The dash makes it a log-in shell. */
	snprintf(name, sizeof(name), "-%s", strrchr(plan.user.shell, '/') + 1);
	plan.file = plan.user.shell;
	plan.argv[0] = name;
	set_size(&plan, json_object_get(p, "size"));
	if (set_env(call, &plan, NULL, term ? term : SHELL_TERM))
		exec_serve(call, &plan, plan.file);
}

/* ---- RunService ---------------------------------------------------------- */

/* What somebody else than root may write is not the administrator's. Return:
 * an errno; 0: it may be run. */
static int check_owner(const char *path, mode_t type)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if ((st.st_mode & S_IFMT) != type)
		return type == S_IFREG ? ENOENT : ENOTDIR;
	return st.st_uid == 0 && (st.st_mode & 022) == 0 ? 0 : EPERM;
}

static int check_service(const char *name, const char *path)
{
	int error = check_owner(SERVICES, S_IFDIR);

	if (name[0] == '.' || strchr(name, '/'))
		return ENOENT;
	return error ? error : check_owner(path, S_IFREG);
}

static void run_service(struct op_call *call, json_t *p)
{
	const char *name = text(p, "name");
	struct exec_plan plan = {.directory = "/"};
	char path[PATH_MAX];
	int error;

	snprintf(path, sizeof(path), "%s/%s", SERVICES, name);
	error = check_service(name, path);
	if (error == ENOENT) {
		op_error(call, "NoSuchService",
			 json_pack("{s:s}", "name", name));
		return;
	}
	if (error != 0) {
		op_error(call, "CannotRun",
			 json_pack("{s:s,s:s}", "command", path, "error",
				   strerrorname_np(error)));
		return;
	}
	plan.file = path;
	plan.argv[0] = path;
	plan.argv[1] = text(p, "argument");
	if (resolve(call, &plan.user, NULL) && set_env(call, &plan, NULL, NULL))
		exec_serve(call, &plan, path);
}

static int start(struct ops *o)
{
	(void)o;
	/* Those of a predecessor that was killed with its children. */
	exec_cgroup_sweep();
	return 0;
}

#define COMMAND .flags = OP_BLOCKING | OP_COMMAND, .ended = exec_cgroup_sweep

static const struct op_row rows[] = {
	{.method = "Run", .run = run, COMMAND},
	{.method = "Shell", .run = shell, COMMAND},
	{.method = "RunService", .run = run_service, COMMAND},
};

const struct op_interface op_exec = {
	.name = "org.vmchannel.Exec",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.start = start,
};
