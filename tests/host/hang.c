/* SPDX-License-Identifier: MIT */
/*
 * hang.c - preloaded: a worker that is to take over never gets to main()
 */
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void hang(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--adopt") != 0)
			continue;
		for (;;)
			pause();
	}
}
