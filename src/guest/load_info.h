/* SPDX-License-Identifier: MIT */
/*
 * load_info.h - load, CPU times, memory and pressure, from /proc
 *
 * @root is "" but for tests. Return: false: the file is not there, or says
 * something else than we know.
 */
#ifndef GUEST_LOAD_INFO_H
#define GUEST_LOAD_INFO_H

#include <stdbool.h>
#include <stdint.h>

struct load_average {
	uint64_t load[3]; /* 1, 5, 15 minutes; hundredths */
	uint64_t running, processes;
};

bool load_average_read(const char *root, struct load_average *ret);

enum {
	CPU_USER,
	CPU_NICE,
	CPU_SYSTEM,
	CPU_IDLE,
	CPU_IOWAIT,
	CPU_IRQ,
	CPU_SOFTIRQ,
	CPU_STEAL,
	CPU_N_TIMES
};

struct load_cpu {
	uint64_t us[CPU_N_TIMES];
	unsigned int cpus; /* online */
	uint64_t context_switches, forks;
};

/* load_cpu_read() - @hz: in what the kernel counts, sysconf(_SC_CLK_TCK) */
bool load_cpu_read(const char *root, unsigned int hz, struct load_cpu *ret);

struct load_memory { /* bytes */
	uint64_t total, free, available, buffers, cached;
	uint64_t swap_total, swap_free;
};

bool load_memory_read(const char *root, struct load_memory *ret);

/* load_pressure_read() - @what: "cpu", "memory", "io"; @ret: hundredths of a
 * per cent, of the last 10 s */
bool load_pressure_read(const char *root, const char *what, uint64_t *ret);

#endif /* GUEST_LOAD_INFO_H */
