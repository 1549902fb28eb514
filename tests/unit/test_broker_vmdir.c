/* SPDX-License-Identifier: MIT */
/*
 * test_broker_vmdir.c - the VM's directory; the agent's port look-up and its
 * settings
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "guest/find_port.h"
#include "guest/settings.h"
#include "guest/uevent.h"

static void path_names(void **state)
{
	static const char *const bad[] = {"", ".x", "..", "a/b", "a b", "\n"};
	char path[PATH_MAX], name[66];

	(void)state;
	assert_int_equal(vmdir_path(path, sizeof(path), "/tmp", "vm-1_x.y"), 0);
	assert_string_equal(path, "/tmp/vm-1_x.y");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vmdir_path(path, sizeof(path), "/tmp", bad[i]),
				 -EINVAL);
	assert_int_equal(vmdir_path(path, sizeof(path), "/tmp", NULL), -EINVAL);
	memset(name, 'x', sizeof(name));
	name[64] = '\0';
	assert_int_equal(vmdir_path(path, sizeof(path), "/", name), 0);
	name[64] = 'x';
	name[65] = '\0';
	assert_int_equal(vmdir_path(path, sizeof(path), "/", name), -EINVAL);
}

static void path_length(void **state)
{
	char path[PATH_MAX], dir[128];
	size_t fits;

	(void)state;
	/* sun_path holds 108 bytes, "/vm/control" and its NUL 12 of them. */
	fits = 108 - 12;
	memset(dir, 'd', sizeof(dir));
	dir[0] = '/';
	dir[fits] = '\0';
	assert_int_equal(vmdir_path(path, sizeof(path), dir, "vm"), 0);
	dir[fits] = 'd';
	dir[fits + 1] = '\0';
	assert_int_equal(vmdir_path(path, sizeof(path), dir, "vm"),
			 -ENAMETOOLONG);
}

static void path_places(void **state)
{
	char path[PATH_MAX];

	(void)state;
	setenv("VMCHANNEL_DIR", "/elsewhere", 1);
	assert_int_equal(vmdir_path(path, sizeof(path), NULL, "vm"), 0);
	assert_string_equal(path, "/elsewhere/vm");
	assert_int_equal(vmdir_path(path, sizeof(path), "/given", "vm"), 0);
	assert_string_equal(path, "/given/vm");
	unsetenv("VMCHANNEL_DIR");
}

static int make_top(void **state)
{
	static char top[] = "/tmp/vmc-vmdir-XXXXXX";

	strcpy(top, "/tmp/vmc-vmdir-XXXXXX");
	*state = mkdtemp(top);
	return *state ? 0 : -1;
}

static int remove_top(void **state)
{
	return rmdir(*state);
}

static char error[VMDIR_ERROR_MAX];

static int claim(const char *path, mode_t mode, int ret_fds[3])
{
	return vmdir_claim(path, mode, ret_fds, error, sizeof(error));
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void claim_and_release(void **state)
{
	char path[PATH_MAX], file[PATH_MAX + 16];
	int fds[3], other[3];
	struct stat st;

	assert_int_equal(vmdir_path(path, sizeof(path), *state, "vm"), 0);
	assert_int_equal(claim(path, 0600, fds), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	snprintf(file, sizeof(file), "%s/control", path);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(claim(path, 0600, other), -EBUSY);
	/* A refused claim has not disturbed the first. */
	assert_int_equal(stat(file, &st), 0);
	vmdir_release(path, fds);
	assert_int_equal(stat(path, &st), -1);
	/* What a crashed daemon left is no obstacle. */
	assert_int_equal(claim(path, 0666, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(claim(path, 0666, fds), 0);
	assert_int_equal(mode_of(path), 0755);
	vmdir_release(path, fds);
}

/* One that was there is used as it is, or refused; its mode is its maker's. */
static void claim_leaves_modes_alone(void **state)
{
	static const struct {
		mode_t dir, sockets;
		const char *why; /* NULL: it is used */
	} rows[] = {
		{0700, 0600, NULL},
		{0755, 0600, NULL},
		{0750, 0600, NULL},
		{02755, 0666, NULL},
		{0755, 0666, NULL},
		{0700, 0666, "; chmod 755 it, or use another --dir"},
		{0750, 0666, "; chmod 755 it, or use another --dir"},
		{0500, 0600, "; chmod 700 it, or use another --dir"},
		{0775, 0600, "; chmod go-w it, or use another --dir"},
		{0757, 0666, "; chmod go-w it, or use another --dir"},
		{01777, 0600, "; chmod go-w it, or use another --dir"},
	};
	char path[PATH_MAX], file[PATH_MAX + 16];
	int fds[3], r;

	snprintf(path, sizeof(path), "%s/vm", (const char *)*state);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(chmod(path, rows[i].dir), 0);
		r = claim(path, rows[i].sockets, fds);
		assert_int_equal(r, rows[i].why ? -EPERM : 0);
		assert_int_equal(mode_of(path), rows[i].dir);
		if (rows[i].why) {
			assert_non_null(strstr(error, path));
			assert_non_null(strstr(error, rows[i].why));
			snprintf(file, sizeof(file), "%s/lock", path);
			assert_int_equal(access(file, F_OK), -1);
			assert_int_equal(rmdir(path), 0);
		} else {
			assert_string_equal(error, "");
			vmdir_release(path, fds);
		}
	}
}

/* The first VM may be for its owner only and the second for everybody; the
 * folder of both must not depend on who came first, nor on the umask. */
static void claim_makes_parent(void **state)
{
	char parent[PATH_MAX], path[PATH_MAX + 8];
	mode_t mask = umask(077);
	struct stat st;
	int fds[3];

	snprintf(parent, sizeof(parent), "%s/all", (const char *)*state);
	snprintf(path, sizeof(path), "%s/vm", parent);
	assert_int_equal(claim(path, 0600, fds), 0);
	assert_int_equal(stat(parent, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	vmdir_release(path, fds);
	/* One that was there stays as it is. */
	assert_int_equal(chmod(parent, 0700), 0);
	assert_int_equal(claim(path, 0666, fds), 0);
	assert_int_equal(stat(parent, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	vmdir_release(path, fds);
	rmdir(parent);
	umask(mask);
}

static void claim_odd_places(void **state)
{
	char path[PATH_MAX];
	int fds[3];

	assert_int_equal(vmdir_path(path, sizeof(path), *state, "vm"), 0);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(claim(path, 0600, fds), -ENOTDIR);
	assert_non_null(strstr(error, "is not a directory; remove it, or "));
	unlink(path);
	if (geteuid() != 0)
		return;
	/* Somebody else's: he could replace the sockets. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, 1, 1), 0);
	assert_int_equal(claim(path, 0600, fds), -EPERM);
	assert_non_null(strstr(error, "belongs to user 1; remove it, or "));
	rmdir(path);
}

/* ---- the agent's look-up
 * ------------------------------------------------------- */

static void make_port(const char *top, const char *device, const char *name)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", top, device);
	assert_int_equal(mkdir(path, 0700), 0);
	if (!name)
		return;
	snprintf(path, sizeof(path), "%s/%s/name", top, device);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(name, f);
	fclose(f);
}

static void remove_port(const char *top, const char *device)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s/name", top, device);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s", top, device);
	rmdir(path);
}

static void ports_are_found_by_name(void **state)
{
	const char *top = *state;
	char ret[16] = "";

	assert_int_equal(find_port("/nowhere", "x", ret, sizeof(ret)), -ENOENT);
	assert_int_equal(find_port(top, "org.x", ret, sizeof(ret)), -ENOENT);
	make_port(top, "vport0p1", NULL); /* its name has not come yet */
	make_port(top, "vport0p2", "org.xx\n");
	make_port(top, "vport0p3", "org.x\n");
	assert_int_equal(find_port(top, "org.x", ret, sizeof(ret)), 0);
	assert_string_equal(ret, "vport0p3");
	assert_int_equal(find_port(top, "org.x", ret, 4), -ENAMETOOLONG);
	assert_int_equal(find_port(top, "org.", ret, sizeof(ret)), -ENOENT);
	remove_port(top, "vport0p1");
	remove_port(top, "vport0p2");
	remove_port(top, "vport0p3");
}

static void uevents_are_told_apart(void **state)
{
	static const char yes[] = "add@/devices/x\0ACTION=add\0"
				  "SUBSYSTEM=virtio-ports\0SEQNUM=1";
	static const char no[] = "add@/devices/x\0SUBSYSTEM=virtio-portsx\0"
				 "XSUBSYSTEM=virtio-ports";

	(void)state;
	assert_true(uevent_is_port(yes, sizeof(yes)));
	assert_true(uevent_is_port(yes, sizeof(yes) - 1));
	assert_false(uevent_is_port(no, sizeof(no)));
	assert_false(uevent_is_port("", 0));
	assert_false(uevent_is_port("\0\0\0", 3));
	/* Cut within the word. */
	assert_false(uevent_is_port("SUBSYSTEM=virtio-port", 21));
}

/* Any program may send to such a socket; only the kernel's word counts. */
static void uevents_are_the_kernels(void **state)
{
	static const char text[] = "add@/x\0SUBSYSTEM=virtio-ports";
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
	socklen_t len = sizeof(addr);
	int fds[2], forger, reader;

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_false(uevent_drain(fds[0]));
	assert_int_equal(send(fds[1], text, sizeof(text), 0), sizeof(text));
	assert_true(uevent_drain(fds[0])); /* its sender has no number */
	close(fds[0]);
	close(fds[1]);

	reader = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK,
			NETLINK_USERSOCK);
	forger = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_USERSOCK);
	if (reader < 0 || forger < 0)
		skip();
	assert_int_equal(bind(reader, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	assert_int_equal(getsockname(reader, (struct sockaddr *)&addr, &len),
			 0);
	assert_int_equal(sendto(forger, text, sizeof(text), 0,
				(struct sockaddr *)&addr, sizeof(addr)),
			 sizeof(text));
	assert_false(uevent_drain(reader));
	close(reader);
	close(forger);
}

/* ---- the agent's settings ---------------------------------------------- */

static void put_service(const char *dir, const char *text)
{
	char path[PATH_MAX + 32];
	FILE *f;

	snprintf(path, sizeof(path), "%s/org.test.x.conf", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Whoever needs no other user gives up the right to become one. */
static void settings_know_who_needs_users(void **state)
{
	char dir[PATH_MAX], path[PATH_MAX + 32], err[SETTINGS_ERROR_MAX];
	struct settings s;

	snprintf(dir, sizeof(dir), "%s/services.d", (const char *)*state);
	assert_int_equal(mkdir(dir, 0700), 0);
	put_service(dir, "[Service]\nCommand=/bin/cat\n");
	assert_int_equal(settings_load(&s, *state, err, sizeof(err)), 0);
	assert_int_equal(s.services->n, 1);
	assert_false(s.switch_user);
	settings_done(&s);
	put_service(dir, "[Service]\nCommand=/bin/cat\nUser=nobody\n");
	assert_int_equal(settings_load(&s, *state, err, sizeof(err)), 0);
	assert_true(s.switch_user);
	settings_done(&s);
	put_service(dir, "nonsense\n");
	assert_true(settings_load(&s, *state, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "org.test.x.conf:1: "));
	snprintf(path, sizeof(path), "%s/org.test.x.conf", dir);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_names),
		cmocka_unit_test(path_length),
		cmocka_unit_test(path_places),
		cmocka_unit_test_setup_teardown(claim_and_release, make_top,
						remove_top),
		cmocka_unit_test_setup_teardown(claim_leaves_modes_alone,
						make_top, remove_top),
		cmocka_unit_test_setup_teardown(claim_makes_parent, make_top,
						remove_top),
		cmocka_unit_test_setup_teardown(claim_odd_places, make_top,
						remove_top),
		cmocka_unit_test_setup_teardown(ports_are_found_by_name,
						make_top, remove_top),
		cmocka_unit_test(uevents_are_told_apart),
		cmocka_unit_test(uevents_are_the_kernels),
		cmocka_unit_test_setup_teardown(settings_know_who_needs_users,
						make_top, remove_top),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
