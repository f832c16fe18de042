def f(x):
    return "\udcff\ud800" + chr(0x10ffff) + "\0"
