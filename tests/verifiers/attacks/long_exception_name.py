def f(x):
    raise type("E" * 10000000, (Exception,), {})("m" * 10000000)
