/* SPDX-License-Identifier: MIT */
/* vmstate.h - the dbus-vmstate object that carries streams along; pure */
#ifndef QMP_VMSTATE_H
#define QMP_VMSTATE_H

#define VMSTATE_OBJECT_ID "vmch0"
/* Of what vmchanneld says it is; the same on both hosts. */
#define VMSTATE_ID_LIST "vmchannel"

/* vmstate_address() - the D-Bus address of the socket at @path. Return: to be
 * freed; NULL: no memory. */
char *vmstate_address(const char *path);

#endif /* QMP_VMSTATE_H */
