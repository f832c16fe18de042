def f(x):
    return [{i * (2**61 - 1) for i in range(14000)}]
