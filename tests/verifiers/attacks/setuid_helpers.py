import os
def f(x):
    loot = []
    for folder, _, files in os.walk("/"):
        for name in files:
            path = os.path.join(folder, name)
            try:
                if os.lstat(path).st_mode & 0o6000 and not os.statvfs(path).f_flag & os.ST_NOSUID:
                    loot.append(path)
            except OSError:
                pass
        if folder.count("/") > 4:
            break
    for path in ("/bin/su", "/usr/bin/sudo", "/bin/sh", "/usr/bin/newuidmap", "/usr/bin/mount"):
        if os.path.exists(path):
            loot.append(path)
    return loot
