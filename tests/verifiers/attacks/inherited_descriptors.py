import os, stat
def f(x):
    loot = []
    for number in range(1024):
        try:
            mode = os.fstat(number).st_mode
        except OSError:
            continue
        if number > 4 or (number != 3 and not stat.S_ISCHR(mode)):
            loot.append((number, mode))
    return loot
