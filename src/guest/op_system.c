/* SPDX-License-Identifier: MIT */
/*
 * op_system.c - org.vmchannel.System: what the guest is, its time, its load
 *
 * The kernel's word and the files that hostnamed and timedated themselves
 * read, so it is the same with and without D-Bus.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "guest/load_info.h"
#include "guest/ops_table.h"
#include "guest/ops_text.h"
#include "guest/os_info.h"
#include "guest/system_watch.h"

#define ROOT "" /* the guest's own */
/* timedated's measure, too. */
#define NTP_MAX_ERROR_US 16000000
/* What the kernel's clock takes, and no library has an overflow with. */
#define TIME_MAX_S INT64_C(8589934592)

static json_int_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (json_int_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what it is ---------------------------------------------------------- */

static void describe(struct op_call *call, json_t *p)
{
	char host[OS_NAME_MAX], id[OS_ID_MAX], virt[OS_ID_MAX];
	struct os_machine machine;
	struct os_info os;
	struct utsname u;

	(void)p;
	uname(&u);
	os_hostname(ROOT, host);
	os_info_read(ROOT, &os);
	os_machine_read(ROOT, &machine);
	os_machine_id(ROOT, id);
	os_virtualization(ROOT, virt);
	op_reply(call,
		 json_pack("{s:o,s:o*,s:o*,s:o*,s:o*,s:o,s:o,s:o,s:o*,s:s,"
			   "s:o*,s:o*,s:I}",
			   "hostname", op_text(host, 255), "pretty_hostname",
			   op_text_or_null(machine.pretty_hostname, 255),
			   "os_id", op_text_or_null(os.id, 63), "os_version",
			   op_text_or_null(os.version, 63), "os_name",
			   op_text_or_null(os.name, 255), "kernel",
			   op_text(u.release, 255), "kernel_version",
			   op_text(u.version, 255), "architecture",
			   op_text(u.machine, 63), "machine_id",
			   op_text_or_null(id, 64), "boot_id",
			   ops_boot(op_ops(call)), "virtualization",
			   op_text_or_null(virt, 63), "chassis",
			   machine.chassis[0] != '\0'
				   ? op_text_or_null(machine.chassis, 63)
			   : virt[0] != '\0' ? json_string("vm")
					     : NULL,
			   "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN)));
}

/* ---- time ---------------------------------------------------------------- */

static void get_time(struct op_call *call, json_t *p)
{
	struct timex t = {.modes = 0};
	bool known = adjtimex(&t) >= 0;

	(void)p;
	op_reply(call,
		 json_pack("{s:I,s:I,s:I,s:o*}", "realtime_us",
			   clock_us(CLOCK_REALTIME), "monotonic_us",
			   clock_us(CLOCK_MONOTONIC), "boottime_us",
			   clock_us(CLOCK_BOOTTIME), "synchronized",
			   known ? json_boolean(t.maxerror < NTP_MAX_ERROR_US)
				 : NULL));
}

/* The hardware clock after it: it is where the next boot begins. Guests
 * without one have nothing to set. */
static void set_hardware_clock(time_t now)
{
	int fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);
	struct rtc_time r = {.tm_isdst = 0};
	struct tm tm;

	if (fd < 0)
		return;
	if (os_rtc_is_local(ROOT))
		localtime_r(&now, &tm);
	else
		gmtime_r(&now, &tm);
	r.tm_sec = tm.tm_sec;
	r.tm_min = tm.tm_min;
	r.tm_hour = tm.tm_hour;
	r.tm_mday = tm.tm_mday;
	r.tm_mon = tm.tm_mon;
	r.tm_year = tm.tm_year;
	(void)ioctl(fd, RTC_SET_TIME, &r);
	close(fd);
}

/* Return: microseconds, or -1. */
static json_int_t wanted_time(const json_t *p)
{
	const json_t *at = json_object_get(p, "realtime_us");
	const json_t *by = json_object_get(p, "difference_us");
	json_int_t us = json_integer_value(json_is_integer(at) ? at : by);

	if (json_is_integer(at) == json_is_integer(by))
		return -1;
	if (json_is_integer(by) &&
	    __builtin_add_overflow(clock_us(CLOCK_REALTIME), us, &us))
		return -1;
	return us / 1000000 <= TIME_MAX_S ? us : -1;
}

static void set_time(struct op_call *call, json_t *p)
{
	json_int_t us = wanted_time(p);
	struct timespec t = {
		.tv_sec = us / 1000000,
		.tv_nsec = us % 1000000 * 1000,
	};
	int r = us < 0                                  ? -EINVAL
		: clock_settime(CLOCK_REALTIME, &t) < 0 ? -errno
							: 0;

	if (r == -EINVAL) {
		op_error(call, "InvalidTime", NULL);
		return;
	}
	if (r < 0) {
		op_failed(call, r, "the clock cannot be set here");
		return;
	}
	set_hardware_clock(t.tv_sec);
	op_reply(call, json_pack("{s:I}", "set_us", us));
}

static void get_timezone(struct op_call *call, json_t *p)
{
	char zone[OS_NAME_MAX];
	time_t now = time(NULL);
	struct tm tm;

	(void)p;
	os_timezone(ROOT, zone);
	tzset(); /* it may be another file now */
	localtime_r(&now, &tm);
	op_reply(call, json_pack("{s:o,s:I}", "timezone", op_text(zone, 255),
				 "offset_s", (json_int_t)tm.tm_gmtoff));
}

/* ---- load ---------------------------------------------------------------- */

static void cannot_read(struct op_call *call, const char *path)
{
	op_failed(call, EIO, path);
}

static json_t *pressure(const char *what)
{
	uint64_t n;

	return load_pressure_read(ROOT, what, &n) ? json_integer((json_int_t)n)
						  : NULL;
}

static void get_load(struct op_call *call, json_t *p)
{
	struct load_average l;

	(void)p;
	if (!load_average_read(ROOT, &l)) {
		cannot_read(call, "/proc/loadavg is not as expected");
		return;
	}
	op_reply(call,
		 json_pack("{s:I,s:I,s:I,s:I,s:I,s:o*,s:o*,s:o*}", "load_1",
			   (json_int_t)l.load[0], "load_5",
			   (json_int_t)l.load[1], "load_15",
			   (json_int_t)l.load[2], "running",
			   (json_int_t)l.running, "processes",
			   (json_int_t)l.processes, "pressure_cpu",
			   pressure("cpu"), "pressure_memory",
			   pressure("memory"), "pressure_io", pressure("io")));
}

static void get_cpu_stats(struct op_call *call, json_t *p)
{
	static const char *const names[CPU_N_TIMES] = {
		[CPU_USER] = "user_us",       [CPU_NICE] = "nice_us",
		[CPU_SYSTEM] = "system_us",   [CPU_IDLE] = "idle_us",
		[CPU_IOWAIT] = "iowait_us",   [CPU_IRQ] = "irq_us",
		[CPU_SOFTIRQ] = "softirq_us", [CPU_STEAL] = "steal_us",
	};
	long hz = sysconf(_SC_CLK_TCK);
	struct load_cpu c;
	json_t *times;

	(void)p;
	if (!load_cpu_read(ROOT, hz > 0 ? (unsigned int)hz : 0, &c)) {
		cannot_read(call, "/proc/stat is not as expected");
		return;
	}
	times = json_object();
	for (int i = 0; i < CPU_N_TIMES; i++)
		json_object_set_new(times, names[i],
				    json_integer((json_int_t)c.us[i]));
	op_reply(call,
		 json_pack("{s:I,s:o,s:I,s:I}", "cpus", (json_int_t)c.cpus,
			   "times", times, "context_switches",
			   (json_int_t)c.context_switches, "forks",
			   (json_int_t)c.forks));
}

static void get_memory(struct op_call *call, json_t *p)
{
	struct load_memory m;

	(void)p;
	if (!load_memory_read(ROOT, &m)) {
		cannot_read(call, "/proc/meminfo is not as expected");
		return;
	}
	op_reply(call,
		 json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "total",
			   (json_int_t)m.total, "free", (json_int_t)m.free,
			   "available", (json_int_t)m.available, "buffers",
			   (json_int_t)m.buffers, "cached",
			   (json_int_t)m.cached, "swap_total",
			   (json_int_t)m.swap_total, "swap_free",
			   (json_int_t)m.swap_free));
}

static void get_uptime(struct op_call *call, json_t *p)
{
	json_int_t up = clock_us(CLOCK_BOOTTIME);
	json_int_t boot = clock_us(CLOCK_REALTIME) - up;

	(void)p;
	/* A clock that is not set yet may be younger than the boot. */
	op_reply(call, json_pack("{s:I,s:I}", "uptime_us", up, "boot_time_us",
				 boot > 0 ? boot : 0));
}

static const struct op_row rows[] = {
	{.method = "Describe", .run = describe},
	{.method = "GetTime", .run = get_time},
	{.method = "SetTime", .run = set_time, .flags = OP_BLOCKING},
	{.method = "GetTimezone", .run = get_timezone},
	{.method = "GetLoad", .run = get_load},
	{.method = "GetCpuStats", .run = get_cpu_stats},
	{.method = "GetMemory", .run = get_memory},
	{.method = "GetUptime", .run = get_uptime},
};

const struct op_interface op_system = {
	.name = "org.vmchannel.System",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.start = system_watch_start,
	.stop = system_watch_stop,
};
