import os
def f(x):
    os.write(3, b"\0" * 20 + b"\4" + b"\5\0\0\0" + b"i\2\0\0\0")
