/* SPDX-License-Identifier: MIT */
/*
 * os_info.h - what the system is, from its files
 *
 * hostnamed and timedated read the same ones; so these work on any guest,
 * with and without D-Bus. @root is "" but for tests. Strings that are not
 * known are "".
 */
#ifndef GUEST_OS_INFO_H
#define GUEST_OS_INFO_H

#include <stdbool.h>

#define OS_ID_MAX   64
#define OS_NAME_MAX 256

struct os_info {
	char id[OS_ID_MAX];
	char version[OS_ID_MAX];
	char name[OS_NAME_MAX];
};

/* os_info_read() - /etc/os-release, else /usr/lib/os-release */
void os_info_read(const char *root, struct os_info *ret);

struct os_machine {
	char pretty_hostname[OS_NAME_MAX];
	char chassis[OS_ID_MAX];
};

/* os_machine_read() - /etc/machine-info: what the administrator wrote */
void os_machine_read(const char *root, struct os_machine *ret);

/* os_machine_id() - /etc/machine-id; "" before it has one */
void os_machine_id(const char *root, char ret[OS_ID_MAX]);

/* os_hostname() - what the kernel has */
void os_hostname(const char *root, char ret[OS_NAME_MAX]);

/* os_timezone() - where /etc/localtime leads, else /etc/timezone */
void os_timezone(const char *root, char ret[OS_NAME_MAX]);

/* os_rtc_is_local() - /etc/adjtime: is the hardware clock in local time? */
bool os_rtc_is_local(const char *root);

/* os_virtualization() - such as "kvm" or "qemu", by the CPU's word, else by
 * the firmware's */
void os_virtualization(const char *root, char ret[OS_ID_MAX]);

#endif /* GUEST_OS_INFO_H */
