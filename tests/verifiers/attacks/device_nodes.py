import os, stat
def f(x):
    loot = []
    for kind, number in ((stat.S_IFBLK, (8, 0)), (stat.S_IFCHR, (1, 1)), (stat.S_IFCHR, (10, 229))):
        try:
            os.mknod("/tmp/device%d" % number[0], kind | 0o666, os.makedev(*number))
            loot.append(number)
        except OSError:
            pass
    return loot
