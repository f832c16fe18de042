import os, sys
def f(x):
    for _ in range(20000):
        os.write(1, b"y" * 65536)
        sys.stderr.write("z" * 65536)
    return x + 1
