/* SPDX-License-Identifier: MIT */
/*
 * main.c - vmchanneld: the host's side of one VM's channels
 */
#include "host/bus_main.h"
#include "host/options.h"
#include "host/qmp_main.h"
#include "host/supervisor.h"
#include "host/worker.h"

int main(int argc, char **argv)
{
	struct options opt;
	int r = options_parse(&opt, argc, argv);

	if (r >= 0)
		return r;
	if (opt.bus)
		return bus_run(&opt);
	if (opt.qmp)
		return qmp_run(&opt);
	if (opt.check_fd >= 0)
		return supervisor_check(&opt);
	return opt.worker ? worker_run(&opt) : supervisor_run(&opt);
}
