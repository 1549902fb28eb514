/* SPDX-License-Identifier: MIT */
/*
 * call.c - call a varlink method of a service at the other side
 *
 *	./call web1 org.varlink.service.GetInfo
 *	./call web1 org.example.db.Get '{"key": "x"}'
 */
#include <stdio.h>

#include <vmchannel/vmchannel.h>

int main(int argc, char **argv)
{
	const char *parameters, *error;
	struct vmc_call *c;
	int r;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: %s VM INTERFACE.METHOD [JSON]\n",
			argv[0]);
		return 2;
	}
	r = vmc_call_start(&c, argv[1], argv[2], argc > 3 ? argv[3] : NULL, 0,
			   10000);
	if (r == 0) {
		r = vmc_call_reply(c, &parameters, &error, 10000);
		if (r == 0)
			printf("%s%s%s\n", error ? error : "", error ? " " : "",
			       parameters);
		vmc_call_free(c); /* would also cancel it */
	}
	if (r < 0)
		fprintf(stderr, "%s\n", vmc_strerror());
	return r < 0;
}
