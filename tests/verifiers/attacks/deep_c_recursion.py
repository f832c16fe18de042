import sys
sys.setrecursionlimit(1 << 30)
class Nested:
    def __repr__(self):
        return repr([self])
def f(x):
    return repr(Nested())
