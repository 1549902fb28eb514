/* SPDX-License-Identifier: MIT */
/*
 * main.c - run a fuzz target over its corpus, without a fuzzer
 *
 *	TARGET [FOLDER | FILE]... [-r N]
 *
 * Each input is also tried cut short at some places, and -r adds N random
 * inputs (the same ones each time). Exit status 0 unless the target aborts; 2
 * for what cannot be read.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_MAX  (1u << 20)
#define RANDOM_MAX 2048u
/* An input is tried cut at that many places at most. */
#define CUTS_MAX 64u

static uint64_t n_inputs;

static void try_input(const uint8_t *data, size_t size)
{
	size_t step = size / CUTS_MAX + 1;

	LLVMFuzzerTestOneInput(data, size);
	for (size_t n = 0; n < size; n += step)
		LLVMFuzzerTestOneInput(data, n);
	n_inputs++;
}

static int try_file(const char *path)
{
	static uint8_t buf[INPUT_MAX];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		perror(path);
		return 2;
	}
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	try_input(buf, n);
	return 0;
}

static int try_folder(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);
	int bad = 0;

	if (n < 0) {
		perror(path);
		return 2;
	}
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.' && try_file(file))
			bad = 2;
		free(list[i]);
	}
	free(list);
	return bad;
}

static int try_path(const char *path)
{
	struct stat st;

	if (stat(path, &st)) {
		perror(path);
		return 2;
	}
	return S_ISDIR(st.st_mode) ? try_folder(path) : try_file(path);
}

static void try_random(unsigned long n)
{
	uint64_t x = 88172645463325252u;
	uint8_t buf[RANDOM_MAX];

	for (unsigned long i = 0; i < n; i++) {
		size_t size = (i * 37) % RANDOM_MAX;

		for (size_t k = 0; k < size; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			buf[k] = (uint8_t)(x >> 24);
		}
		LLVMFuzzerTestOneInput(buf, size);
		n_inputs++;
	}
}

int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-r") && i + 1 < argc)
			try_random(strtoul(argv[++i], NULL, 10));
		else if (try_path(argv[i]))
			bad = 2;
	}
	printf("%ju inputs\n", (uintmax_t)n_inputs);
	return bad;
}
