def f(x):
    raise ValueError("\ud800\udfff\0" * 100)
