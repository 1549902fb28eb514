/* SPDX-License-Identifier: MIT */
/*
 * testport.h - open a virtio port by its name, in the test guest
 */
#ifndef TESTPORT_H
#define TESTPORT_H

/**
 * testport_open() - find the port in sysfs and open it
 * @want: name of the port
 *
 * Return: a non-blocking descriptor, or -1 if there is no such port (yet) or
 * somebody has it open.
 */
int testport_open(const char *want);

#endif /* TESTPORT_H */
