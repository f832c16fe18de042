import os
os.closerange(0, 1024)
def f(x):
    return x + 1
