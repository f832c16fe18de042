import os
def f(x):
    if x == 1:
        os.symlink("/etc/passwd", "/tmp/main.cc")
        os.symlink("/ponder/zygote.py", "/tmp/program")
        os.mkfifo("/tmp/messages")
        os.mkfifo("/tmp/fifo")
        os.symlink("/tmp", "/tmp/loop")
    return x + 1
