def f(x):
    data = bytearray(1 << 36)
    return x + 1
