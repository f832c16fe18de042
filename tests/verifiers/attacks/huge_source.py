exec("x = [" + "1, " * 300000 + "]\n" + "def g():\n" + "  x = 1\n" * 200000)
def f(x):
    return eval("+".join(["1"] * 100000))
