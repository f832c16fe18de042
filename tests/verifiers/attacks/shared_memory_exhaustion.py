import mmap
def f(x):
    kept = []
    for number in range(1000):
        with open("/dev/shm/%d" % number, "wb+") as file:
            file.truncate(1 << 26)
            kept.append(mmap.mmap(file.fileno(), 1 << 26))
            for place in range(0, 1 << 26, 4096):
                kept[-1][place] = 1
    return x + 1
