/* SPDX-License-Identifier: MIT */
/* load_info.c - load, CPU times, memory and pressure, from /proc */
#include "guest/load_info.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "guest/text.h"

/* /proc/stat has a line for each CPU and one number for each interrupt. */
#define FILE_MAX 1048576

static bool read_file(const char *root, const char *path, char **ret_buf,
		      struct text *ret)
{
	long n = text_read(root, path, FILE_MAX, ret_buf);

	if (n < 0)
		return false;
	*ret = (struct text){.p = *ret_buf, .left = (size_t)n};
	return true;
}

bool load_average_read(const char *root, struct load_average *ret)
{
	char line[128];
	struct text t, w;
	bool ok = text_read_line(root, "/proc/loadavg", line, sizeof(line));

	t = text_of(line);
	for (int i = 0; i < 3; i++)
		ok = ok && text_word(&t, &w) &&
		     text_hundredths(w, &ret->load[i]);
	if (!ok || !text_word(&t, &w))
		return false;
	return text_number(text_until(&w, '/'), &ret->running) &&
	       text_number(w, &ret->processes);
}

/* ---- /proc/stat ---------------------------------------------------------- */

/* Old kernels have fewer columns. */
static bool read_times(struct text t, unsigned int hz, struct load_cpu *ret)
{
	struct text w;

	for (int i = 0; i < CPU_N_TIMES && text_word(&t, &w); i++) {
		uint64_t n;

		if (!text_number(w, &n) || n > INT64_MAX / 1000000)
			return false;
		ret->us[i] = n * (1000000 / hz);
	}
	return true;
}

static bool read_stat_line(struct text t, unsigned int hz, struct load_cpu *ret)
{
	struct text key, w;
	uint64_t nr;

	if (!text_word(&t, &key))
		return true;
	if (text_is(key, "cpu"))
		return read_times(t, hz, ret);
	if (text_is(key, "ctxt"))
		return text_word(&t, &w) &&
		       text_number(w, &ret->context_switches);
	if (text_is(key, "processes"))
		return text_word(&t, &w) && text_number(w, &ret->forks);
	if (text_skip(&key, "cpu") && text_number(key, &nr))
		ret->cpus++;
	return true;
}

bool load_cpu_read(const char *root, unsigned int hz, struct load_cpu *ret)
{
	struct text t, line;
	char *buf;
	bool ok;

	*ret = (struct load_cpu){.cpus = 0};
	if (hz == 0 || !read_file(root, "/proc/stat", &buf, &t))
		return false;
	ok = true;
	while (ok && text_line(&t, &line))
		ok = read_stat_line(line, hz, ret);
	free(buf);
	return ok && ret->cpus > 0;
}

/* ---- /proc/meminfo ------------------------------------------------------- */

static const struct {
	const char *key;
	size_t at;
} memory_keys[] = {
	{"MemTotal", offsetof(struct load_memory, total)},
	{"MemFree", offsetof(struct load_memory, free)},
	{"MemAvailable", offsetof(struct load_memory, available)},
	{"Buffers", offsetof(struct load_memory, buffers)},
	{"Cached", offsetof(struct load_memory, cached)},
	{"SwapTotal", offsetof(struct load_memory, swap_total)},
	{"SwapFree", offsetof(struct load_memory, swap_free)},
};

static bool read_memory_line(struct text t, struct load_memory *ret)
{
	struct text key = text_until(&t, ':'), w;
	uint64_t kib;

	for (size_t i = 0; i < sizeof(memory_keys) / sizeof(memory_keys[0]);
	     i++) {
		if (!text_is(key, memory_keys[i].key))
			continue;
		if (!text_word(&t, &w) || !text_number(w, &kib) ||
		    kib > INT64_MAX / 1024)
			return false;
		*(uint64_t *)(void *)((char *)ret + memory_keys[i].at) =
			kib * 1024;
	}
	return true;
}

bool load_memory_read(const char *root, struct load_memory *ret)
{
	struct text t, line;
	char *buf;
	bool ok = true;

	*ret = (struct load_memory){.total = 0};
	if (!read_file(root, "/proc/meminfo", &buf, &t))
		return false;
	while (ok && text_line(&t, &line))
		ok = read_memory_line(line, ret);
	free(buf);
	return ok && ret->total > 0;
}

/* ---- /proc/pressure ------------------------------------------------------ */

bool load_pressure_read(const char *root, const char *what, uint64_t *ret)
{
	char path[64], line[128];
	struct text t, w;

	snprintf(path, sizeof(path), "/proc/pressure/%s", what);
	if (!text_read_line(root, path, line, sizeof(line)))
		return false;
	t = text_of(line);
	return text_skip(&t, "some ") && text_word(&t, &w) &&
	       text_skip(&w, "avg10=") && text_hundredths(w, ret) &&
	       *ret <= 10000;
}
