import os
def f(x):
    kept = []
    try:
        while True:
            kept.append(os.dup(1))
    except OSError:
        pass
    return x + 1
