import os
def f(x):
    loot = []
    for number in range(2, 5000):
        try:
            os.kill(number, 0)
            loot.append(number)
        except OSError:
            pass
    for call in (os.listdir,):
        try:
            loot += call("/proc")
        except OSError:
            pass
    return loot + [os.getpid() - 1, os.getppid()] if os.getpid() != 1 or os.getppid() != 0 else loot
