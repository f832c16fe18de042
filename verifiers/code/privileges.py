"""Giving up every privilege, for good: the last thing before code that was written by others."""

import ctypes
import os
import resource

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


class FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def load_filter(path):
    with open(path, "rb") as file:
        data = file.read()
    return FilterProgram(len(data) // 8, data)


def check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, what + ": " + os.strerror(error))


def user_for_others():
    """The user of the box that code of others runs as: 1, where the box has two users, else its only one."""
    try:
        os.seteuid(1)
    except OSError:
        return 0
    os.seteuid(0)
    return 1


def give_up(uid, resources, system_calls):
    """Limits this process by `resources` (name to value), takes user `uid` of the box, and lets it make the calls only that
    the filter allows."""
    for name, value in resources.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
    if uid != 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(system_calls), 0, 0), "seccomp")
