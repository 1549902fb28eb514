/* SPDX-License-Identifier: MIT */
/* os_info.c - what the system is, from its files */
#include "guest/os_info.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "guest/text.h"

#define FILE_MAX 65536
/* Of an id in hexadecimal digits. */
#define MACHINE_ID_LEN 32

/* ---- files of assignments ------------------------------------------------ */

struct assignment {
	const char *key;
	char *ret;
	size_t size;
};

/* KEY=value, KEY="va\"lue", KEY='value', as in a shell, without expansion. */
static void unquote(struct text t, char *ret, size_t size)
{
	char quote = '\0';
	size_t n = 0;

	if (t.left && (*t.p == '"' || *t.p == '\''))
		quote = *t.p;

	for (size_t i = quote ? 1 : 0; i < t.left && n + 1 < size; i++) {
		if (quote && t.p[i] == quote)
			break;
		if (t.p[i] == '\\' && quote != '\'' && i + 1 < t.left)
			i++;
		ret[n++] = t.p[i];
	}
	ret[n] = '\0';
}

static void assign(struct text line, const struct assignment *a, size_t n_a)
{
	struct text key = text_until(&line, '=');

	for (size_t i = 0; i < n_a; i++)
		if (text_is(key, a[i].key))
			unquote(text_trim(line), a[i].ret, a[i].size);
}

static bool read_assignments(const char *root, const char *path,
			     const struct assignment *a, size_t n_a)
{
	char *buf;
	long n = text_read(root, path, FILE_MAX, &buf);
	struct text t, line;

	for (size_t i = 0; i < n_a; i++)
		a[i].ret[0] = '\0';
	if (n < 0)
		return false;
	t = (struct text){.p = buf, .left = (size_t)n};
	while (text_line(&t, &line))
		assign(text_trim(line), a, n_a);
	free(buf);
	return true;
}

void os_info_read(const char *root, struct os_info *ret)
{
	const struct assignment a[] = {
		{"ID", ret->id, sizeof(ret->id)},
		{"VERSION_ID", ret->version, sizeof(ret->version)},
		{"PRETTY_NAME", ret->name, sizeof(ret->name)},
	};
	const size_t n = sizeof(a) / sizeof(a[0]);

	if (!read_assignments(root, "/etc/os-release", a, n))
		(void)read_assignments(root, "/usr/lib/os-release", a, n);
}

void os_machine_read(const char *root, struct os_machine *ret)
{
	const struct assignment a[] = {
		{"PRETTY_HOSTNAME", ret->pretty_hostname,
		 sizeof(ret->pretty_hostname)},
		{"CHASSIS", ret->chassis, sizeof(ret->chassis)},
	};

	(void)read_assignments(root, "/etc/machine-info", a,
			       sizeof(a) / sizeof(a[0]));
}

/* ---- ids and names ------------------------------------------------------- */

void os_machine_id(const char *root, char ret[OS_ID_MAX])
{
	/* A first boot has "uninitialized" there. */
	if (!text_read_line(root, "/etc/machine-id", ret, OS_ID_MAX) ||
	    strspn(ret, "0123456789abcdef") != MACHINE_ID_LEN ||
	    ret[MACHINE_ID_LEN] != '\0')
		ret[0] = '\0';
}

void os_hostname(const char *root, char ret[OS_NAME_MAX])
{
	(void)text_read_line(root, "/proc/sys/kernel/hostname", ret,
			     OS_NAME_MAX);
}

void os_timezone(const char *root, char ret[OS_NAME_MAX])
{
	char path[PATH_MAX], to[PATH_MAX];
	const char *zone = NULL;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/etc/localtime", root);
	n = readlink(path, to, sizeof(to) - 1);
	if (n > 0) {
		to[n] = '\0';
		zone = strstr(to, "/zoneinfo/");
	}
	if (zone)
		snprintf(ret, OS_NAME_MAX, "%.*s", OS_NAME_MAX - 1,
			 zone + strlen("/zoneinfo/"));
	else
		(void)text_read_line(root, "/etc/timezone", ret, OS_NAME_MAX);
}

bool os_rtc_is_local(const char *root)
{
	char *buf;
	long n = text_read(root, "/etc/adjtime", FILE_MAX, &buf);
	struct text t, line = {.p = ""};
	bool there = n >= 0;

	if (n < 0)
		return false;
	t = (struct text){.p = buf, .left = (size_t)n};
	for (int i = 0; i < 3 && there; i++)
		there = text_line(&t, &line);
	there = there && text_is(text_trim(line), "LOCAL");
	free(buf);
	return there;
}

/* ---- virtualization ------------------------------------------------------ */

struct word {
	const char *is, *means;
};

static const char *look_up(const struct word *w, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strncmp(w[i].is, s, strlen(w[i].is)) == 0)
			return w[i].means;
	return "";
}

#if defined(__x86_64__) || defined(__i386__)
/* The hypervisor's signature, where the CPU says that there is one. */
static const char *by_cpu(void)
{
	static const struct word known[] = {
		{"KVMKVMKVM", "kvm"},          {"TCGTCGTCG", "qemu"},
		{"Microsoft Hv", "microsoft"}, {"XenVMMXenVMM", "xen"},
		{"VMwareVMware", "vmware"},    {"bhyve bhyve", "bhyve"},
	};
	unsigned int a = 0, b = 0, c = 0, d = 0;
	char s[13] = "";

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31))
		return "";
	__cpuid(0x40000000, a, b, c, d);
	memcpy(s, &b, 4);
	memcpy(s + 4, &c, 4);
	memcpy(s + 8, &d, 4);
	return look_up(known, sizeof(known) / sizeof(known[0]), s);
}
#else
static const char *by_cpu(void)
{
	return "";
}
#endif

void os_virtualization(const char *root, char ret[OS_ID_MAX])
{
	static const struct word vendors[] = {
		{"QEMU", "qemu"},           {"KVM", "kvm"},
		{"VMware", "vmware"},       {"innotek GmbH", "oracle"},
		{"Microsoft", "microsoft"}, {"Xen", "xen"},
	};
	char vendor[OS_NAME_MAX];
	const char *s = root[0] == '\0' ? by_cpu() : "";

	if (s[0] == '\0' && text_read_line(root, "/sys/class/dmi/id/sys_vendor",
					   vendor, sizeof(vendor)))
		s = look_up(vendors, sizeof(vendors) / sizeof(vendors[0]),
			    vendor);
	snprintf(ret, OS_ID_MAX, "%s", s);
}
